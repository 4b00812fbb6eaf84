package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"headgate/cmd/headgate/client"
	"headgate/cmd/headgate/csvline"
)

type writeFlags struct {
	bucket, bucketID, precision, format, encoding, compression, errorsFile, rateLimit string
	files, headers                                                                    []string
	skipHeader, maxLine, batchLines, batchBytes, concurrency, retries                 int
	flushInterval                                                                     time.Duration
	skipRowOnError, skipErrors, dryRun, check, ignoreTypes                            bool
}

const writeAbout = `Writes line protocol or CSV, from files, arguments or standard input, .gz and .zst included.
What the server does not take is told with file, line and reason, and fails the command, unless --skip-errors.
A 503 is waited out as the server asks. --check has the server say what it would take, and --dry-run, or
"headgate write dryrun", prints the line protocol; neither writes any.`

func writeCommand() *command {
	return &command{name: "write", args: "[dryrun] [LINE | FILE]...", about: writeAbout, run: runWrite, flags: func(c *call) {
		f := new(writeFlags)
		c.values = f
		c.text(&f.bucket, "bucket", "b", "", "`name` or id of the bucket")
		c.text(&f.bucketID, "bucket-id", "", "", "`id` of the bucket, instead of its name")
		c.text(&f.precision, "precision", "p", "ns", "`unit` of the timestamps: ns, us, ms, s, or auto to tell it by their size")
		c.list(&f.files, "file", "f", "`file` to write, - is standard input; more of them may follow, patterns such as '*.lp' too")
		c.text(&f.format, "format", "", "auto", "`kind` of input: lp for line protocol, or csv; auto tells it by the name of the file")
		c.list(&f.headers, "header", "", "`line` to put before CSV, such as '#constant measurement,cpu'; may be repeated")
		c.set.IntVar(&f.skipHeader, "skipHeader", 0, "how many `lines` of each CSV file to leave out at its beginning")
		c.flag(&f.skipRowOnError, "skipRowOnError", "", "go on behind CSV rows that make no point")
		c.flag(&f.ignoreTypes, "xIgnoreDataTypeInColumnName", "", "take | in a CSV label for a part of it")
		c.flag(&f.skipErrors, "skip-errors", "", "go on behind whatever the server does not take, and end with status 0")
		c.text(&f.errorsFile, "errors-file", "", "", "`file` to put rows and lines into that were not taken, each behind a comment with the reason")
		c.text(&f.encoding, "encoding", "", "UTF-8", "`character set` of the input, UTF-8 or ISO-8859-1")
		c.text(&f.compression, "compression", "", "auto", "`how` the input is compressed: auto, none, gzip or zstd")
		c.set.IntVar(&f.maxLine, "max-line-length", 16_000_000, "longest line, in `bytes`")
		c.set.IntVar(&f.batchLines, "batch-lines", 5000, "most `lines` in a request")
		c.set.IntVar(&f.batchBytes, "batch-bytes", 1<<20, "most `bytes` in a request, before they are compressed")
		c.set.DurationVar(&f.flushInterval, "flush-interval", time.Second, "how long lines wait for more of them before they are sent, a `duration`")
		c.set.IntVar(&f.concurrency, "concurrency", 1, "how many `requests` at once; with more than one, later points may be written before earlier ones")
		c.set.IntVar(&f.retries, "retries", 10, "how `often` to send a batch again that the server may take later")
		c.text(&f.rateLimit, "rate-limit", "", "", "`rate` of line protocol, such as 5MB or '5MB / 5min'")
		c.flag(&f.dryRun, "dry-run", "", "print the line protocol instead of writing it; no server is asked, and line protocol not looked at: --check does that")
		c.flag(&f.check, "check", "", "have the server say what it would take, as with dry_run=true, and write nothing")
	}}
}

// batch is lines on their way to the server.
type batch struct {
	source string
	body   []byte
	// at are the lines of the source: one for each physical line of the body.
	at []int
}

// writer is a write that runs.
type writer struct {
	c        *call
	f        *writeFlags
	client   *client.Client
	org      string
	bucket   string
	limit    *limiter
	read     atomic.Int64 // bytes of the sources, as they are stored
	total    int64
	points   atomic.Int64
	mu       sync.Mutex // for what follows
	errors   *os.File
	said     int
	rejected int
	// skippedRows are those among rejected that --skipRowOnError or --skip-errors allows. Owned
	// by the goroutine that reads.
	skippedRows int
	update      func(string, int64, int64)
	end         func()
}

// saidMax is how many lines that were not taken are told one by one.
const saidMax = 20

func runWrite(ctx context.Context, c *call) error {
	f := c.values.(*writeFlags)
	if len(c.args) > 0 && c.args[0] == "dryrun" {
		f.dryRun, c.args = true, c.args[1:]
	}
	if !slices.Contains([]string{"ns", "us", "ms", "s", "auto"}, f.precision) {
		return usagef("--precision is ns, us, ms, s or auto, not %q", f.precision)
	}
	if !slices.Contains([]string{"auto", "lp", "csv"}, f.format) {
		return usagef("--format is lp or csv, not %q", f.format)
	}
	for name, v := range map[string]int{"--max-line-length": f.maxLine, "--batch-lines": f.batchLines, "--batch-bytes": f.batchBytes, "--concurrency": f.concurrency} {
		if v < 1 {
			return usagef("%s must be 1 or more", name)
		}
	}
	if f.flushInterval <= 0 {
		return usagef("--flush-interval must be more than 0")
	}
	switch {
	case f.concurrency > 64:
		return usagef("--concurrency is at most 64")
	case f.retries < 0:
		return usagef("--retries must not be negative")
	case f.skipHeader < 0:
		return usagef("--skipHeader must not be negative")
	}
	w := &writer{c: c, f: f, org: c.common.org}
	var err error
	if w.limit, err = newLimiter(f.rateLimit); err != nil {
		return err
	}
	var sources []source
	var lines []string
	for _, a := range c.args {
		if name, ok := strings.CutPrefix(a, "@"); ok {
			f.files = append(f.files, name)
		} else if a == "-" {
			f.files = append(f.files, a)
		} else {
			// Line protocol has a blank, and hardly is the name of a file.
			if _, err := os.Stat(a); err == nil || strings.ContainsAny(a, "*?[") && !strings.Contains(a, " ") {
				f.files = append(f.files, a)
				continue
			}
			if !strings.ContainsAny(strings.TrimSpace(a), " \n") {
				return usagef("%q is neither a file nor line protocol, such as 'cpu,host=a usage=0.5'", a)
			}
			lines = append(lines, a)
		}
	}
	if len(lines) > 0 {
		text := strings.Join(lines, "\n")
		sources = append(sources, source{"the argument", func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }, int64(len(text))})
	} else if len(f.files) == 0 {
		if isTerminal(c.Stdin) {
			fmt.Fprintln(c.Stderr, "Reading line protocol from the terminal; Ctrl-D ends it.")
		}
		f.files = []string{"-"}
	}
	files, err := c.sources(f.files)
	if err != nil {
		return err
	}
	sources = append(sources, files...)
	for _, s := range sources {
		w.total += s.size
	}
	if slices.ContainsFunc(sources, func(s source) bool { return s.size == 0 }) {
		w.total = 0 // a pipe
	}
	if !f.dryRun {
		if w.bucket, err = c.bucket(f.bucket, f.bucketID); err != nil {
			return err
		}
		if w.client, err = c.client(); err != nil {
			return err
		}
		defer w.client.Close()
	}
	if f.errorsFile != "" {
		if w.errors, err = os.OpenFile(f.errorsFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			return err
		}
	}
	w.update, w.end = c.meter()
	err = w.run(ctx, sources)
	w.end()
	if w.errors != nil {
		err = errors.Join(err, w.errors.Close())
	}
	if w.rejected > 0 {
		if w.said < w.rejected && f.errorsFile == "" {
			fmt.Fprintf(c.Stderr, "and %d more; --errors-file keeps all\n", w.rejected-w.said)
		}
	}
	switch {
	case f.dryRun && w.rejected == 0:
	case w.rejected > 0:
		fmt.Fprintf(c.Stderr, "%s, %s not taken\n", w.done(), count(int64(w.rejected), "line"))
	case err != nil && w.points.Load() > 0, err == nil && f.check, isTerminal(c.Stderr):
		fmt.Fprintln(c.Stderr, w.done())
	}
	if w.rejected > 0 {
		if err == nil && w.rejected > w.skippedRows && !f.skipErrors {
			return errReported
		}
	}
	return err
}

// done says how many lines have met their end, and which.
func (w *writer) done() string {
	text := count(w.points.Load(), "line")
	switch {
	case w.f.dryRun:
		return text + " printed"
	case w.f.check:
		return text + " would be written"
	}
	return text + " written"
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(n) + " " + noun + "s"
}

// run reads the sources in this goroutine and sends batches in others.
func (w *writer) run(ctx context.Context, sources []source) error {
	if w.f.dryRun {
		out := bufio.NewWriterSize(w.c.Stdout, 1<<16)
		err := w.readAll(ctx, sources, func(b batch) error {
			w.points.Add(int64(b.lines()))
			_, err := out.Write(b.body)
			return errors.Join(err, out.Flush())
		})
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan batch)
	var senders sync.WaitGroup
	for range w.f.concurrency {
		senders.Go(func() {
			for b := range batches {
				if err := w.send(ctx, b); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := w.readAll(ctx, sources, func(b batch) error {
		if err := w.limit.wait(ctx, len(b.body)); err != nil {
			return err
		}
		select {
		case batches <- b:
			w.progress()
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(batches)
	senders.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (w *writer) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	total := w.total
	if total > 0 {
		total = max(total, w.read.Load())
	}
	w.update(w.done(), w.read.Load(), total)
}

func (w *writer) readAll(ctx context.Context, sources []source, send func(batch) error) error {
	for _, s := range sources {
		if err := w.readOne(ctx, s, send); err != nil {
			if _, ok := errors.AsType[*client.Error](err); ok || errors.Is(err, errReported) || ctx.Err() != nil {
				return err
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (w *writer) readOne(ctx context.Context, s source, send func(batch) error) error {
	f, err := s.open()
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, done, err := inflate(newInterruptible(ctx, counter{f, &w.read}), w.f.compression)
	if err != nil {
		return err
	}
	defer done()
	if r, err = decode(r, w.f.encoding); err != nil {
		return err
	}
	next := &nextBatch{b: batch{source: s.name}, send: send}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		next.sendInTime(ctx, w.f.flushInterval, cancel)
	}()
	defer func() { cancel(nil); <-ended }()
	add := func(at int, text []byte) error {
		next.mu.Lock()
		defer next.mu.Unlock()
		b := &next.b
		if len(b.body) > 0 && (len(b.at) >= w.f.batchLines || len(b.body)+len(text) > w.f.batchBytes) {
			if err := next.sendNow(); err != nil {
				return err
			}
		}
		if len(b.body) == 0 {
			next.begun = time.Now()
		}
		if text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		b.body = append(b.body, text...)
		for range bytes.Count(text, []byte{'\n'}) {
			b.at = append(b.at, at)
		}
		return context.Cause(ctx)
	}
	if w.isCSV(s.name) {
		o := csvline.Options{Headers: w.f.headers, SkipLines: w.f.skipHeader, IgnoreTypesInLabels: w.f.ignoreTypes, Unit: unitOf(w.f.precision)}
		if w.f.skipRowOnError || w.f.skipErrors {
			o.Skip = func(e *csvline.RowError) error {
				reason := e.Err.Error()
				if e.Column != "" {
					reason = fmt.Sprintf("column %q: %s", e.Column, reason)
				}
				if e.Header > 0 {
					w.reject(fmt.Sprintf("--header %d", e.Header), 0, reason, strings.Join(e.Row, ","))
				} else {
					w.reject(s.name, e.Line, reason, strings.Join(e.Row, ","))
				}
				w.skippedRows++
				return nil
			}
		}
		err = csvline.Convert(r, o, add)
		if _, ok := errors.AsType[*csvline.RowError](err); ok {
			err = fmt.Errorf("%w (--skipRowOnError goes on behind such rows)", err)
		}
	} else {
		lines := &lineReader{in: bufio.NewReaderSize(r, 1<<16), max: w.f.maxLine, next: 1}
		for {
			text, at, lineErr := lines.line()
			if lineErr == io.EOF {
				break
			} else if lineErr != nil {
				if errors.Is(lineErr, io.ErrUnexpectedEOF) {
					lineErr = errors.New("the compressed data ends here: the file is cut off")
				}
				err = fmt.Errorf("line %d: %w", at, lineErr)
				break
			}
			if t := bytes.TrimSpace(text); len(t) == 0 || t[0] == '#' {
				continue
			}
			if err = add(at, text); err != nil {
				break
			}
		}
	}
	// What came before a mistake is written.
	next.mu.Lock()
	defer next.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(err, next.sendNow())
}

// nextBatch is the lines that wait for more of them.
type nextBatch struct {
	send func(batch) error

	mu    sync.Mutex // held while a batch is sent, so that they stay in order
	b     batch
	begun time.Time // when its first line came
}

// sendNow sends what there is. The caller holds mu.
func (n *nextBatch) sendNow() error {
	b := n.b
	if len(b.body) == 0 {
		return nil
	}
	n.b = batch{source: b.source}
	return n.send(b)
}

// sendInTime sends what has waited for interval, until ctx ends. An error ends ctx.
func (n *nextBatch) sendInTime(ctx context.Context, interval time.Duration, end context.CancelCauseFunc) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			n.mu.Lock()
			var err error
			if now.Sub(n.begun) >= interval {
				err = n.sendNow()
			}
			n.mu.Unlock()
			if err != nil {
				end(err)
				return
			}
		}
	}
}

func unitOf(precision string) time.Duration {
	return map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second}[precision]
}

func (w *writer) isCSV(name string) bool {
	if w.f.format != "auto" {
		return w.f.format == "csv"
	}
	name = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(name), ".gz"), ".zst")
	return strings.HasSuffix(name, ".csv") || len(w.f.headers) > 0
}

// send writes a batch. Lines that are malformed are taken out of it when errors are
// skipped, for the server takes none of a batch that has any.
func (w *writer) send(ctx context.Context, b batch) error {
	for len(b.body) > 0 {
		err := w.client.Write(ctx, client.Batch{Org: w.org, Bucket: w.bucket, Precision: w.f.precision, Body: b.body, Compression: "gzip",
			DryRun: w.f.check, Tries: w.f.retries + 1, Waiting: w.waiting})
		refused, ok := errors.AsType[*client.Error](err)
		switch {
		case err == nil:
			w.points.Add(int64(b.lines()))
			w.progress()
			return nil
		case !ok:
			return err
		case refused.Partial, refused.Status == 422:
			w.points.Add(int64(max(0, b.lines()-refused.Dropped)))
			for _, l := range refused.Lines {
				w.reject(b.source, b.line(l.Line), l.Message, b.text(l.Line))
			}
			w.uncounted(b, refused.Dropped-len(refused.Lines), refused.Message)
			w.progress()
			return nil
		case refused.Status == 400 && (len(refused.Lines) > 0 || refused.Line > 0):
			bad := make(map[int]bool)
			if len(refused.Lines) == 0 {
				refused.Lines = []client.LineError{{Line: refused.Line, Message: refused.Message}}
			}
			for _, l := range refused.Lines {
				if !bad[l.Line] {
					bad[l.Line] = true
					w.reject(b.source, b.line(l.Line), l.Message, b.text(l.Line))
				}
			}
			if !w.f.skipErrors {
				w.uncounted(b, refused.Malformed-len(refused.Lines), refused.Message)
				if w.f.check {
					return fmt.Errorf("%s: nothing of these would be written because of the malformed lines; with --skip-errors the others would", b.place())
				}
				return fmt.Errorf("%s: nothing of these was written because of the malformed lines; --skip-errors writes the others", b.place())
			}
			before := len(b.body)
			if b = b.without(bad); len(b.body) == before {
				return err // it names lines that there are none of
			}
		default:
			return err
		}
	}
	return nil
}

// uncounted tells of lines that were not taken and that the server does not list.
func (w *writer) uncounted(b batch, n int, reason string) {
	if n <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	w.rejected += n
	w.said += n
	fmt.Fprintf(w.c.Stderr, "%s: %s not taken; the first reason: %s\n", b.place(), more(n), printable(firstLine(reason)))
	if w.errors != nil {
		fmt.Fprintf(w.errors, "# %s: %s not taken, and the server does not list them\n", b.place(), more(n))
	}
}

// waiting tells why nothing happens.
func (w *writer) waiting(err error, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	fmt.Fprintf(w.c.Stderr, "%s; trying again in %s\n", printable(err.Error()), wait)
}

// reject tells of a line that was not taken, and keeps it.
func (w *writer) reject(source string, line int, reason, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rejected++
	if w.said < saidMax {
		w.said++
		w.end()
		fmt.Fprintf(w.c.Stderr, "%s: %s\n", place(source, line, line), printable(firstLine(reason)))
	}
	if w.errors != nil {
		fmt.Fprintf(w.errors, "# %s: %s\n%s\n", place(source, line, line), printable(firstLine(reason)), strings.TrimRight(text, "\n"))
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// line is where physical line n of the body, from 1, is from.
func (b batch) line(n int) int {
	if n < 1 || n > len(b.at) {
		return 0
	}
	return b.at[n-1]
}

// place is where the batch is from.
func (b batch) place() string { return place(b.source, b.at[0], b.at[len(b.at)-1]) }

// place names lines of a source, 0 for one that is not known.
func place(source string, first, last int) string {
	switch {
	case first == 0:
		return source
	case first == last:
		return fmt.Sprintf("%s, line %d", source, first)
	}
	return fmt.Sprintf("%s, lines %d to %d", source, first, last)
}

func more(n int) string {
	if n == 1 {
		return "1 more was"
	}
	return humanize.Comma(int64(n)) + " more were"
}

// lines is how many lines of the source there are.
func (b batch) lines() int { return len(slices.Compact(slices.Clone(b.at))) }

// span is the physical lines that belong to line n.
func (b batch) span(n int) (first, last int) {
	if n < 1 || n > len(b.at) {
		return 0, 0
	}
	first, last = n, n
	for first > 1 && b.at[first-2] == b.at[n-1] {
		first--
	}
	for last < len(b.at) && b.at[last] == b.at[n-1] {
		last++
	}
	return first, last
}

// text is the line that physical line n belongs to.
func (b batch) text(n int) string {
	first, last := b.span(n)
	if first == 0 {
		return ""
	}
	lines := bytes.SplitAfter(b.body, []byte{'\n'})
	return string(bytes.Join(lines[first-1:last], nil))
}

// without is b without the lines that bad names.
func (b batch) without(bad map[int]bool) batch {
	out := make(map[int]bool)
	for n := range bad {
		first, last := b.span(n)
		for i := first; i <= last && i > 0; i++ {
			out[i] = true
		}
	}
	left := batch{source: b.source}
	for i, line := range bytes.SplitAfter(b.body, []byte{'\n'}) {
		if len(line) > 0 && !out[i+1] {
			left.body, left.at = append(left.body, line...), append(left.at, b.at[i])
		}
	}
	return left
}

// limiter keeps a rate.
type limiter struct {
	perSecond float64
	next      time.Time
}

// newLimiter reads a rate such as 5MB (a second) or 5MB / 5min; nil is none.
func newLimiter(text string) (*limiter, error) {
	if text == "" {
		return nil, nil
	}
	amount, per, has := strings.Cut(text, "/")
	n, err := humanize.ParseBytes(strings.TrimSpace(amount))
	period := time.Second
	if has && err == nil {
		per = strings.TrimSpace(per)
		if per != "" && strings.Trim(per[:1], "0123456789") != "" {
			per = "1" + per
		}
		per = strings.Replace(strings.Replace(per, "sec", "s", 1), "min", "m", 1)
		period, err = durationOf(strings.ReplaceAll(per, " ", ""))
	}
	if err != nil || n == 0 || period <= 0 {
		return nil, usagef("%q is no rate: write 5MB for each second, or 5MB / 5min", text)
	}
	return &limiter{perSecond: float64(n) / period.Seconds()}, nil
}

// wait waits until n bytes may go.
func (l *limiter) wait(ctx context.Context, n int) error {
	if l == nil {
		return nil
	}
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	pause := l.next.Sub(now)
	l.next = l.next.Add(time.Duration(float64(n) / l.perSecond * float64(time.Second)))
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
