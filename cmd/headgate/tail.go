package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

const tailAbout = `Shows the points that BUCKET rejects, each with its line, the reason and who sent it: first
the last few that the server remembers, then what comes, until it is interrupted. The token must
be allowed to read the bucket. When the connection breaks it is made again, and nothing is shown twice.`

// tailFlags is what `headgate tail` can be told.
type tailFlags struct {
	host, token, org, since string
	lines                   int
	json, follow            bool
}

// runTail runs `headgate tail`.
func runTail(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f tailFlags
	fs := flag.NewFlagSet("tail", flag.ContinueOnError)
	fs.StringVar(&f.host, "host", "http://127.0.0.1:8086", "`URL` of the server: http://, https://, or unix:///path of its socket")
	fs.StringVar(&f.token, "token", "", "`token` that may read the bucket; not needed with --auth=false")
	fs.StringVar(&f.org, "org", "", "`name` or id of the bucket's organization; not needed with --auth=false")
	fs.IntVar(&f.lines, "n", 10, "how many of those that are remembered to show first, a `number` up to 1000")
	fs.StringVar(&f.since, "since", "", "of those only the ones since a `time` such as 2026-01-02T15:04:05Z, or in the last duration such as 15m")
	fs.BoolVar(&f.json, "json", false, "show each as a JSON object on a line, as GET /api/v2/rejected has them")
	fs.BoolVar(&f.follow, "follow", true, "go on with what comes; with --follow=false end after those that are remembered")
	c := toolCommand{name: "tail", args: []string{"BUCKET"}, about: tailAbout}
	values, status, done := c.parse(fs, args, stdout, stderr)
	if done {
		return status
	}
	t := &tail{flags: f, bucket: values[0], out: stdout, status: stderr, silence: tailSilence, pause: time.Second}
	if err := t.run(ctx); err != nil && ctx.Err() == nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = fmt.Errorf("%w: start it, or say with --host where it is", err)
		}
		fmt.Fprintf(stderr, "headgate tail: %v\n", err)
		return 1
	}
	return 0
}

// tail shows what a server says, over as many connections as it takes.
type tail struct {
	flags       tailFlags
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

// refusedError is a reason that would be the same next time.
type refusedError struct{ error }

// busyError is an answer that asks to come again.
type busyError struct {
	error
	after time.Duration
}

func (t *tail) run(ctx context.Context) error {
	pause, heard := t.pause, false
	for {
		n, err := t.connect(ctx)
		if n > 0 {
			pause, heard = t.pause, true
		}
		var busy *busyError
		var refused *refusedError
		switch isBusy := errors.As(err, &busy); {
		case ctx.Err() != nil, !t.flags.follow, errors.As(err, &refused), !heard && !isBusy:
			return err
		case isBusy:
			pause = max(pause, busy.after)
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
	client, base := clientOf(t.flags.host)
	q := url.Values{"bucket": {t.bucket}, "limit": {strconv.Itoa(t.flags.lines)}}
	if t.flags.org != "" {
		q.Set("org", t.flags.org)
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
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v2/rejected?"+q.Encode(), nil)
	if err != nil {
		return 0, &refusedError{err}
	}
	if t.flags.token != "" {
		r.Header.Set("Authorization", "Token "+t.flags.token)
	}
	r.Header.Set("User-Agent", "headgate-tail/"+version)
	resp, err := client.Do(r)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) { // whose URL is long
			err = fmt.Errorf("%s cannot be reached: %w", t.flags.host, at.Err)
		}
		return 0, causeOf(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, t.refusal(resp)
	}
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
				return n, &refusedError{err}
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

// refusal says what an answer other than 200 means.
func (t *tail) refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	var said struct{ Message string }
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(string(text))
	}
	hint := ""
	switch resp.StatusCode {
	case http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &busyError{fmt.Errorf("%s: %s", resp.Status, said.Message), time.Duration(seconds) * time.Second}
	case http.StatusUnauthorized:
		hint = ": give --token, or set " + envName("token") + ", with one that may read the bucket"
	case http.StatusBadRequest:
		if t.flags.org == "" {
			hint = ": give --org, or set " + envName("org")
		}
	case http.StatusNotFound:
		if said.Message == "path not found" || !strings.Contains(said.Message, "not found") {
			hint = ": is it Headgate that runs there?"
		}
	}
	return &refusedError{fmt.Errorf("%s: %s%s", resp.Status, printable(said.Message), hint)}
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
		fmt.Fprintf(&b, "(%d more were rejected than are remembered)\n", p.Missed)
	default:
		fmt.Fprintf(&b, "%s %d line %d: %s (%s)", p.Time.Local().Format("2006-01-02T15:04:05.000Z07:00"), p.Status, p.Line, printable(p.Message), printable(p.Code))
		if p.Address != "" || p.UserAgent != "" {
			fmt.Fprintf(&b, " from %s", printable(strings.TrimSpace(p.Address+" "+p.UserAgent)))
		}
		if p.RequestID != "" {
			fmt.Fprintf(&b, " request %s", printable(p.RequestID))
		}
		fmt.Fprintf(&b, "\n    %s\n", printable(p.Text))
		if p.More > 0 {
			fmt.Fprintf(&b, "    (and %d more lines of this batch)\n", p.More)
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
