package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FillOptions says which data Fill writes. Zero fields mean their defaults. The
// same options always make the same points, so that queries know what is there and
// several servers can be given the same.
type FillOptions struct {
	// URL is where the server listens, see LoadOptions.URL. Required.
	URL string
	// Database is written to by POST /write, and created first. Default bench.
	Database string
	// Token is sent with every request unless it is empty.
	Token string
	// Workload is what to write: not Mixed and not Real, whose amount does not
	// follow from a time range. Default CPU.
	Workload Workload
	// Seed makes the data. Default 1.
	Seed uint64
	// Hosts is how many hosts report. Of HighCard it is how many new series there
	// are each interval. Default 100.
	Hosts int
	// Start is the time of the first report, Span the range of time that the data
	// covers, Interval the time between two reports of one host: every host reports
	// Span/Interval times, rounded down. Defaults 2016-01-01, 24 h and 10 s.
	Start    time.Time
	Span     time.Duration
	Interval time.Duration
	// Lines is the number of lines in a body. Default 5000.
	Lines int
	// Conns is the number of connections among which the hosts are dealt out. With
	// one the points come in order of time, as from the Time Series Benchmark Suite;
	// with more, those of each host do. Default 4, but never more than Hosts.
	Conns int
	// RequestTimeout is how long to wait for an answer. Default 60 s.
	RequestTimeout time.Duration
	// Progress gets a line a second. Default: nobody.
	Progress io.Writer
	// ProgressTerminal rewrites one line of Progress instead of adding lines.
	ProgressTerminal bool
}

// EnsureDefaults fills in the zero fields.
func (o *FillOptions) EnsureDefaults() {
	setDefault(&o.Database, "bench")
	setDefault(&o.Workload, CPU)
	setDefault(&o.Seed, 1)
	setDefault(&o.Hosts, 100)
	setDefault(&o.Span, 24*time.Hour)
	setDefault(&o.Interval, reportStep)
	setDefault(&o.Lines, 5000)
	setDefault(&o.Conns, 4)
	setDefault(&o.RequestTimeout, time.Minute)
	if o.Workload == Single {
		o.Lines = 1
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	o.Conns = min(o.Conns, o.Hosts)
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *FillOptions) Validate() error {
	switch {
	case o.Hosts < 1 || o.Lines < 1 || o.Conns < 1:
		return errors.New("bench: FillOptions.Hosts, Lines and Conns must be positive")
	case o.Interval < 0 || o.Span < o.Interval || o.RequestTimeout < 0:
		return errors.New("bench: FillOptions.Interval and RequestTimeout must be positive, and Span no shorter than Interval")
	case o.Start.Year() < 2002 || o.Start.Year() > 2200 || o.Start.Add(o.Span).Year() > 2200:
		return fmt.Errorf("bench: FillOptions.Start %v and Span %v leave the years 2002 to 2200", o.Start, o.Span)
	case o.Workload == Mixed || o.Workload == Real:
		return fmt.Errorf("bench: FillOptions.Workload %s has no fixed amount of data", o.Workload)
	}
	_, err := ParseWorkload(string(o.Workload))
	return err
}

// steps is how often each host reports.
func (o *FillOptions) steps() int64 { return int64(o.Span / o.Interval) }

// text says which data it is.
func (o *FillOptions) text() string {
	return fmt.Sprintf("%s, seed %d, %d hosts, every %v for %v from %s",
		o.Workload, o.Seed, o.Hosts, o.Interval, o.Span, o.Start.UTC().Format(time.RFC3339))
}

// FillReport is what came of Fill.
type FillReport struct {
	ElapsedSeconds  float64 `json:"elapsed_seconds"`
	Requests        int64   `json:"requests"`
	Retries         int64   `json:"retries"`
	Points          int64   `json:"points"`
	Values          int64   `json:"values"`
	LineBytes       int64   `json:"line_bytes"`
	PointsPerSecond float64 `json:"points_per_second"`
	// SettleSeconds is how long the server took afterwards to go quiet.
	SettleSeconds float64 `json:"settle_seconds"`
}

// Fill writes all of a fixed set of points, as fast as the server answers. Unlike
// Load it makes the lines while it sends, so nothing repeats and values compress as
// those of real hosts would. What is refused for the moment is sent again; any other
// refusal is an error, as is ctx being done: then only a part was written.
func Fill(ctx context.Context, o FillOptions) (*FillReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	target, err := ParseTarget(o.URL)
	if err != nil {
		return nil, err
	}
	if err := createDatabase(ctx, target, o.Token, o.Database); err != nil {
		return nil, err
	}
	q := url.Values{"db": {o.Database}, "precision": {"ns"}}
	var (
		h       = head{method: "POST", path: "/write?" + q.Encode(), token: o.Token, contentType: "text/plain; charset=utf-8"}
		sent    atomic.Int64
		writers = make([]*fillWriter, o.Conns)
		errs    = make([]error, o.Conns)
		wg      sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range writers {
		share := (o.Hosts-i-1)/o.Conns + 1
		src, err := newLineSource(sourceOptions{
			workload: o.Workload, seed: o.Seed, hosts: o.Hosts, conn: i, conns: o.Conns, start: o.Start, interval: o.Interval,
			seriesPerNow: share, precision: "ns",
		})
		if err != nil {
			return nil, err
		}
		writers[i] = &fillWriter{
			target: target, head: h, timeout: o.RequestTimeout, src: src, left: o.steps() * int64(src.round()), lines: o.Lines, sent: &sent,
		}
	}
	var total int64
	for _, w := range writers {
		total += w.left
	}
	begin := time.Now()
	for i, w := range writers {
		wg.Go(func() {
			if errs[i] = w.run(ctx); errs[i] != nil {
				cancel() // the others need not go on
			}
		})
	}
	o.showUntilDone(&wg, &sent, total)
	r := &FillReport{ElapsedSeconds: time.Since(begin).Seconds()}
	for _, w := range writers {
		r.Requests += w.requests
		r.Retries += w.retries
		r.Points += w.points
		r.Values += w.values
		r.LineBytes += w.lineBytes
	}
	if r.ElapsedSeconds > 0 {
		r.PointsPerSecond = float64(r.Points) / r.ElapsedSeconds
	}
	// The first failure made the others give up: theirs say nothing.
	slices.SortStableFunc(errs, func(a, b error) int {
		return boolInt(errors.Is(a, context.Canceled)) - boolInt(errors.Is(b, context.Canceled))
	})
	for _, err := range errs {
		if err != nil {
			return r, fmt.Errorf("fill %s: %w", o.URL, err)
		}
	}
	return r, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// showUntilDone waits for the writers and shows how they get on.
func (o *FillOptions) showUntilDone(wg *sync.WaitGroup, sent *atomic.Int64, total int64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case <-done:
			if o.ProgressTerminal {
				fmt.Fprint(o.Progress, "\r\x1b[K")
			}
			return
		case <-tick.C:
			n := sent.Load()
			line := fmt.Sprintf("%12s of %s points, %s points/s", short(float64(n)), short(float64(total)), short(float64(n-before)))
			before = n
			if o.ProgressTerminal {
				fmt.Fprintf(o.Progress, "\r\x1b[K%s", line)
			} else {
				fmt.Fprintln(o.Progress, line)
			}
		}
	}
}

// fillWriter writes one connection's share of the points.
type fillWriter struct {
	target  Target
	head    head
	timeout time.Duration
	src     lineSource
	left    int64 // lines still to be sent
	lines   int   // of a body
	// sent counts the points of all writers.
	sent *atomic.Int64

	conn              *Conn
	body              Body
	headText          []byte
	requests, retries int64
	points, values    int64
	lineBytes         int64
}

func (w *fillWriter) run(ctx context.Context) error {
	defer w.hangUp()
	w.body.setPrecision("ns")
	for w.left > 0 {
		w.body.reset()
		for range min(w.left, int64(w.lines)) {
			w.src.appendLine(&w.body)
		}
		w.left -= int64(w.body.Points)
		w.headText = w.head.append(w.headText[:0], w.target, len(w.body.text))
		if err := w.sendUntilTaken(ctx); err != nil {
			return err
		}
		w.points += int64(w.body.Points)
		w.values += int64(w.body.Values)
		w.lineBytes += int64(len(w.body.text))
		w.sent.Add(int64(w.body.Points))
	}
	return nil
}

// fillBrokenMax is how often in a row a connection may fail.
const fillBrokenMax = 5

// sendUntilTaken sends the body until the server has acknowledged it. Writing the
// same points again changes nothing, so a broken connection is no loss.
func (w *fillWriter) sendUntilTaken(ctx context.Context) error {
	for broken := 0; ; w.retries++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		answer, err := w.send(ctx)
		switch {
		case err != nil:
			if broken++; broken == fillBrokenMax {
				return err
			}
			pause(ctx, 100*time.Millisecond)
		case answer.Status/100 == 2:
			return nil
		case answer.Status == 503 || answer.Status == 429:
			broken = 0
			pause(ctx, max(answer.RetryAfter, 100*time.Millisecond))
		default:
			return fmt.Errorf("bench: write answered %d %s", answer.Status, strings.TrimSpace(string(answer.Body[:min(len(answer.Body), 300)])))
		}
	}
}

func (w *fillWriter) send(ctx context.Context) (Answer, error) {
	if w.conn == nil {
		c, err := Dial(ctx, w.target)
		if err != nil {
			return Answer{}, err
		}
		w.conn = c
	}
	w.requests++
	answer, err := w.conn.Do(w.headText, w.body.text, time.Now().Add(w.timeout))
	if w.conn.Spent() {
		w.hangUp()
	}
	return answer, err
}

func (w *fillWriter) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close() // nothing is under way on it
		w.conn = nil
	}
}
