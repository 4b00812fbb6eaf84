package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LoadOptions configures Load. Zero fields mean their defaults.
type LoadOptions struct {
	// URL is where the server listens, http://host:port or unix:///path. Required.
	URL string
	// Database, when set, is written to by POST /write, and created first. Else
	// Org and Bucket are written to by POST /api/v2/write and must exist.
	Database, Org, Bucket string
	// Token is sent with every request unless it is empty.
	Token string
	// PID is the server's process. When set its CPU, memory and disk traffic are
	// reported; 0 leaves them out.
	PID int

	// Workload is what to write. Default CPU.
	Workload Workload
	// Seed makes the data. Default 1.
	Seed uint64
	// Hosts is how many hosts report, dealt out among the connections; at least
	// one each. Default 1000; no effect on HighCard.
	Hosts int
	// Lines is the number of lines in a body. Default 5000; Single has 1.
	Lines int
	// Conns is the number of connections, and so of writes under way. Default 4.
	Conns int
	// Duration is how long to write. Default 10 s.
	Duration time.Duration
	// Gzip compresses the bodies, before the run: the same compressed bodies go
	// round, so after the first round the points overwrite themselves.
	Gzip bool
	// RingBytes bounds the memory of the bodies made in advance, all connections
	// together. Default 64 MiB; there are at least two bodies a connection.
	RingBytes int
	// Start is the time of the first report. Default 2016-01-01; before 2001 and
	// after 2200 it cannot be.
	Start time.Time
	// RequestTimeout is how long to wait for an answer. Default 60 s.
	RequestTimeout time.Duration
	// SettleMax is how long to wait after the run until the server has gone quiet,
	// so that its work in the background is counted. Default 60 s; no effect
	// without PID.
	SettleMax time.Duration
	// Progress gets a line a second. Default: nobody.
	Progress io.Writer
}

// EnsureDefaults fills in the zero fields.
func (o *LoadOptions) EnsureDefaults() {
	setDefault(&o.Workload, CPU)
	setDefault(&o.Seed, 1)
	setDefault(&o.Hosts, 1000)
	setDefault(&o.Lines, 5000)
	setDefault(&o.Conns, 4)
	setDefault(&o.Duration, 10*time.Second)
	setDefault(&o.RingBytes, 64<<20)
	setDefault(&o.RequestTimeout, time.Minute)
	setDefault(&o.SettleMax, time.Minute)
	if o.Workload == Single {
		o.Lines = 1
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *LoadOptions) Validate() error {
	switch {
	case o.Database == "" && o.Bucket == "":
		return errors.New("bench: neither LoadOptions.Database nor Bucket says what to write to")
	case o.Database != "" && o.Bucket != "":
		return errors.New("bench: LoadOptions.Database and Bucket are both set")
	case o.Hosts < 1 || o.Lines < 1 || o.Conns < 1 || o.RingBytes < 1:
		return errors.New("bench: LoadOptions.Hosts, Lines, Conns and RingBytes must be positive")
	case o.Duration < 0 || o.RequestTimeout < 0 || o.SettleMax < 0:
		return errors.New("bench: a duration in LoadOptions is negative")
	case o.Start.Year() < 2002 || o.Start.Year() > 2200:
		return fmt.Errorf("bench: LoadOptions.Start %v is not between the years 2002 and 2200", o.Start)
	}
	_, err := ParseWorkload(string(o.Workload))
	return err
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// writeHead returns the request head that the options ask for.
func (o *LoadOptions) writeHead() head {
	h := head{method: "POST", token: o.Token, contentType: "text/plain; charset=utf-8"}
	if o.Gzip {
		h.encoding = "gzip"
	}
	q := url.Values{"precision": {"ns"}}
	if o.Database != "" {
		q.Set("db", o.Database)
		h.path = "/write?" + q.Encode()
		return h
	}
	q.Set("bucket", o.Bucket)
	if o.Org != "" {
		q.Set("org", o.Org)
	}
	h.path = "/api/v2/write?" + q.Encode()
	return h
}

// Load writes to a server as fast as it answers, and reports. Cancelling ctx ends
// the run early; what was measured until then is reported.
func Load(ctx context.Context, o LoadOptions) (*LoadReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	target, err := ParseTarget(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Database != "" {
		if err := createDatabase(ctx, target, o.Token, o.Database); err != nil {
			return nil, err
		}
	}
	workers := make([]*loadWorker, o.Conns)
	for i := range workers {
		ring, err := newRing(ringOptions{
			workload: o.Workload, seed: o.Seed, hosts: o.Hosts, conn: i, conns: o.Conns, lines: o.Lines,
			bytesMax: o.RingBytes / o.Conns, bodiesMax: 256, gzip: o.Gzip, start: o.Start,
			target: target, head: o.writeHead(),
		})
		if err != nil {
			return nil, err
		}
		workers[i] = &loadWorker{target: target, ring: ring, timeout: o.RequestTimeout}
	}

	before, err := takeServerSample(ctx, target, o.Token, o.PID)
	if err != nil {
		return nil, err
	}
	elapsed := runWorkers(ctx, workers, o)
	settled, err := settle(ctx, o.PID, o.SettleMax)
	if err != nil {
		return nil, err
	}
	after, err := takeServerSample(context.WithoutCancel(ctx), target, o.Token, o.PID)
	if err != nil {
		return nil, err
	}
	return newLoadReport(o, workers, elapsed, settled, before, after), nil
}

// runWorkers drives all connections until the time is over, and returns how long
// it took until the last answer.
func runWorkers(ctx context.Context, workers []*loadWorker, o LoadOptions) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	begin := time.Now()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.run(ctx) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var lastPoints int64
	for {
		select {
		case <-done:
			return time.Since(begin)
		case <-tick.C:
			var points, failed int64
			for _, w := range workers {
				points += w.pointsLive.Load()
				failed += w.failedLive.Load()
			}
			fmt.Fprintf(o.Progress, "%4.0fs %12d points/s %10d not accepted\n", time.Since(begin).Seconds(), points-lastPoints, failed)
			lastPoints = points
		}
	}
}

// loadWorker is one connection of the closed loop.
type loadWorker struct {
	target  Target
	ring    *Ring
	timeout time.Duration

	// The rest is the worker's own until it has ended.
	latencies              Latencies
	requests               int64
	points, values         int64
	lineBytes, wireBytes   int64
	statuses               map[int]int64
	connErrors             int64
	firstError             string
	pointsLive, failedLive atomic.Int64 // read while the worker runs
}

// run sends one body after another. A body that was refused for the moment, 503 or
// 429, is sent again after the time the server asked for, as an agent would.
func (w *loadWorker) run(ctx context.Context) {
	w.statuses = map[int]int64{}
	var c *Conn
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for ctx.Err() == nil {
		b := w.ring.Next()
		for again := true; again && ctx.Err() == nil; {
			if c == nil {
				var err error
				if c, err = Dial(ctx, w.target); err != nil {
					w.failed(ctx, err)
					continue
				}
			}
			again = w.send(ctx, c, b)
			if c.Spent() {
				_ = c.Close()
				c = nil
			}
		}
	}
}

// send sends a body once and reports whether to send it again.
func (w *loadWorker) send(ctx context.Context, c *Conn, b *Body) (again bool) {
	begin := time.Now()
	answer, err := c.Do(b.head, b.Wire(), begin.Add(w.timeout))
	w.requests++
	if err != nil {
		w.failed(ctx, err)
		return true
	}
	w.latencies.Add(time.Since(begin))
	w.statuses[answer.Status]++
	if answer.Status/100 == 2 {
		w.points += int64(b.Points)
		w.values += int64(b.Values)
		w.lineBytes += int64(b.lineBytes)
		w.wireBytes += int64(len(b.Wire()))
		w.pointsLive.Store(w.points)
		return false
	}
	w.failedLive.Add(1)
	if w.firstError == "" {
		w.firstError = fmt.Sprintf("%d %s", answer.Status, strings.TrimSpace(string(answer.Body[:min(len(answer.Body), 300)])))
	}
	if answer.Status == 503 || answer.Status == 429 {
		pause(ctx, max(answer.RetryAfter, 100*time.Millisecond))
		return true
	}
	return false
}

// failed notes that a connection could not be made or broke.
func (w *loadWorker) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.connErrors++
	w.failedLive.Add(1)
	if w.firstError == "" {
		w.firstError = err.Error()
	}
	pause(ctx, 100*time.Millisecond)
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// createDatabase asks for a database by InfluxQL. A server that does not know the
// statement is not an error: some make databases by themselves.
func createDatabase(ctx context.Context, t Target, token, name string) error {
	c, err := Dial(ctx, t)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	q := url.Values{"q": {`CREATE DATABASE "` + strings.ReplaceAll(name, `"`, `\"`) + `"`}}
	h := head{method: "POST", path: "/query?" + q.Encode(), token: token}
	if _, err := c.Do(h.append(nil, t, 0), nil, time.Now().Add(30*time.Second)); err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	return nil
}
