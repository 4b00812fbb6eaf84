package bench

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

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
	var file *replayFile
	if o.File != "" && (o.Workload == Real || o.Workload == Mixed) {
		if file, err = readReplayFile(o.File, o.Precision); err != nil {
			return nil, err
		}
	}
	workers := make([]*loadWorker, o.Conns)
	for i := range workers {
		ring, err := newRing(ringOptions{
			sourceOptions: sourceOptions{
				workload: o.Workload, seed: o.Seed, hosts: o.Hosts, conn: i, conns: o.Conns, start: o.Start,
				firstSeries: o.FirstSeries, churn: o.Churn, outOfOrder: o.OutOfOrder, duplicates: o.Duplicates,
				precision: o.Precision, file: file,
			},
			lines: o.Lines, bytesMax: o.RingBytes / o.Conns, bodiesMax: 256, compression: o.Compression,
			target: target, head: o.writeHead(),
		})
		if err != nil {
			return nil, err
		}
		workers[i] = &loadWorker{target: target, ring: ring, timeout: o.RequestTimeout}
	}

	if o.Database != "" {
		if err := createDatabase(ctx, target, o.Token, o.Database); err != nil {
			return nil, err
		}
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
