package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"headgate/cmd/headgate/cli"
	"headgate/cmd/headgate/client"
)

const tailAbout = `Shows the points that BUCKET rejects, each with its line, the reason and who sent it: first
the last few that the server remembers, then what comes, until it is interrupted. The token must
be allowed to read the bucket. When the connection breaks it is made again, and nothing is shown twice.`

// tailFlags is what `headgate tail` can be told.
type tailFlags struct {
	server       cli.ServerFlags
	since        string
	lines        int
	json, follow bool
}

// runTail runs `headgate tail`.
func runTail(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f tailFlags
	fs := flag.NewFlagSet("tail", flag.ContinueOnError)
	f.server.Register(fs, "`token` that may read the bucket; not needed with --auth=false", "`name` or id of the bucket's organization; not needed with --auth=false")
	f.server.RegisterBucket(fs)
	for _, name := range []string{"lines", "n"} {
		fs.IntVar(&f.lines, name, 10, "how many of those that are remembered to show first, a `number` up to 1000")
	}
	fs.StringVar(&f.since, "since", "", "of those only the ones since a `time` such as 2026-01-02T15:04:05Z, or in the last duration such as 15m")
	fs.BoolVar(&f.json, "json", false, "show each as a JSON object on a line, as GET /api/v2/rejected has them")
	fs.BoolVar(&f.follow, "follow", true, "go on with what comes; with --follow=false end after those that are remembered")
	command := toolCommand{name: "tail", args: []string{"[BUCKET]"}, about: tailAbout, asks: true}
	values, status, done := command.parse(fs, args, stdout, stderr)
	if done {
		return status
	}
	c, err := f.server.Client("headgate-tail/"+version, nil)
	if err != nil {
		fmt.Fprintf(stderr, "headgate tail: %v\n", err)
		return cli.Status(err)
	}
	defer c.Close()
	bucket, err := f.server.Bucket(strings.Join(values, ""))
	if err != nil {
		fmt.Fprintf(stderr, "headgate tail: %v\nSee \"headgate tail --help\".\n", err)
		return cli.Status(err)
	}
	t := &tail{flags: f, client: c, bucket: bucket, out: stdout, status: stderr, silence: tailSilence, pause: time.Second}
	if err := t.run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "headgate tail: %s\n", printable(err.Error()))
		return 1
	}
	return 0
}

// tail shows what a server says, over as many connections as it takes.
type tail struct {
	flags       tailFlags
	client      *client.Client
	bucket      string
	out, status io.Writer
	// silence is how long a server may say nothing; it says something every 10 s.
	silence time.Duration
	// pause is how long to wait before the first attempt to connect again.
	pause time.Duration

	last uint64 // the newest sequence that has been shown
}

const (
	tailSilence  = 35 * time.Second
	tailPauseMax = 30 * time.Second
)

// badLineError is what the server says and tail does not understand, or cannot write: it
// would be the same next time.
type badLineError struct{ error }

func (t *tail) run(ctx context.Context) error {
	pause, heard := t.pause, false
	for {
		n, err := t.connect(ctx)
		if n > 0 {
			pause, heard = t.pause, true
		}
		var said *client.Error
		var bad *badLineError
		answered := errors.As(err, &said)
		switch {
		case ctx.Err() != nil, !t.flags.follow, answered && !said.Temporary(), errors.As(err, &bad), !heard && !answered:
			return err
		case answered:
			pause = max(pause, said.RetryAfter)
		}
		fmt.Fprintf(t.status, "%s; trying again in %s\n", printable(err.Error()), pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, tailPauseMax)
	}
}

// connect asks the server once and shows what it says until it ends. n is how many lines it
// has said, empty ones among them.
func (t *tail) connect(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(t.silence, func() { cancel(fmt.Errorf("the server has said nothing for %s", t.silence)) })
	defer watchdog.Stop()
	q := url.Values{"bucket": {t.bucket}, "limit": {strconv.Itoa(t.flags.lines)}}
	if org := t.flags.server.Org; org != "" {
		q.Set("org", org)
	}
	if t.flags.follow {
		q.Set("follow", "true")
	}
	if t.last > 0 {
		q.Set("after", strconv.FormatUint(t.last, 10))
		q.Set("limit", "1000")
	} else if t.flags.since != "" {
		q.Set("since", t.flags.since)
	}
	resp, err := t.client.Do(ctx, client.Request{Method: http.MethodGet, Path: "/api/v2/rejected", Query: q})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if !t.flags.follow {
		var answer struct{ Rejected []json.RawMessage }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return 0, err
		}
		for _, line := range answer.Rejected {
			if err := t.show(line); err != nil {
				return 0, err
			}
		}
		return len(answer.Rejected), nil
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if err == io.EOF {
				err = errors.New("the server has ended the connection")
			}
			return n, causeOf(ctx, err)
		}
		n++
		watchdog.Reset(t.silence)
		if len(line) > 1 {
			if err := t.show(line); err != nil {
				return n, &badLineError{err}
			}
		}
	}
}

// causeOf is why ctx has ended, if it has, else err.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// show writes one of the server's lines.
func (t *tail) show(line []byte) error {
	var p struct {
		Sequence, Missed                                                uint64
		Time                                                            time.Time
		Status, Line, More                                              int
		Code, Message, Measurement, Text, Address, UserAgent, RequestID string
	}
	if err := json.Unmarshal(line, &p); err != nil {
		return fmt.Errorf("the server says %q: %w", line[:min(len(line), 100)], err)
	}
	t.last = max(t.last, p.Sequence)
	var b strings.Builder
	switch {
	case t.flags.json:
		var compact strings.Builder
		e := json.NewEncoder(&compact)
		if err := e.Encode(json.RawMessage(line)); err != nil {
			return err
		}
		b.WriteString(printable(strings.TrimSuffix(compact.String(), "\n")) + "\n")
	case p.Missed > 0:
		verbs := [2]string{"were", "are"}
		if p.Missed == 1 {
			verbs = [2]string{"was", "is"}
		}
		fmt.Fprintf(&b, "(%d more %s rejected than %s remembered)\n", p.Missed, verbs[0], verbs[1])
	default:
		fmt.Fprintf(&b, "%s %d", p.Time.Local().Format("2006-01-02T15:04:05.000Z07:00"), p.Status)
		if p.Line > 0 {
			fmt.Fprintf(&b, " line %d", p.Line)
		}
		fmt.Fprintf(&b, ": %s (%s)", printable(p.Message), printable(p.Code))
		if p.Address != "" || p.UserAgent != "" {
			fmt.Fprintf(&b, " from %s", printable(strings.TrimSpace(p.Address+" "+p.UserAgent)))
		}
		if p.RequestID != "" {
			fmt.Fprintf(&b, " request %s", printable(p.RequestID))
		}
		fmt.Fprintf(&b, "\n    %s\n", printable(p.Text))
		if p.More > 0 {
			fmt.Fprintf(&b, "    (and %s of this batch)\n", count(p.More, "more line"))
		}
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// printable is s with what could move a terminal's cursor, or worse, written as \u and hex
// digits: the lines are what anyone has sent. JSON stays JSON.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
