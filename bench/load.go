package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Load writes to a server, as fast as it answers or at a rate, and reports. Cancelling ctx ends
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
	var schedule *arrivals
	if o.Rate > 0 {
		// With Start, so that the rounds of Compare do not all have the same gaps.
		schedule = newArrivals(o.Arrivals, o.Rate, o.BacklogMax, o.Seed^uint64(o.Start.UnixNano()))
	}
	workers := make([]*loadWorker, o.Conns)
	for i := range workers {
		ring, err := newRing(ringOptions{
			sourceOptions: sourceOptions{
				workload: o.Workload, seed: o.Seed, hosts: o.Hosts, conn: i, conns: o.Conns, start: o.Start,
				interval: o.Interval, firstSeries: o.FirstSeries, churn: o.Churn, outOfOrder: o.OutOfOrder, duplicates: o.Duplicates,
				precision: o.Precision, file: file,
			},
			lines: o.Lines, bytesMax: o.RingBytes / o.Conns, bodiesMax: 256, compression: o.Compression,
			target: target, head: o.writeHead(),
		})
		if err != nil {
			return nil, err
		}
		workers[i] = &loadWorker{target: target, ring: ring, timeout: o.RequestTimeout, schedule: schedule, statuses: map[int]int64{}}
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
	t := newTimeline(o)
	clientBefore := ownCPU()
	elapsed, err := runWorkers(ctx, workers, o, t)
	if err != nil {
		return nil, err
	}
	clientCPU := ownCPU() - clientBefore
	settled, err := settle(ctx, o.PID, settleCalm, o.SettleMax)
	if err != nil {
		return nil, err
	}
	after, err := takeServerSample(context.WithoutCancel(ctx), target, o.Token, o.PID)
	if err != nil {
		return nil, err
	}
	r := newLoadReport(o, workers, elapsed)
	r.Timeline = t.intervals
	r.ClientCPUSeconds = clientCPU.Seconds()
	r.addArrivals(schedule, workers, min(elapsed, o.Duration))
	if err := r.addServer(o, settled, before, after); err != nil {
		return nil, err
	}
	return r, nil
}

// runWorkers drives all connections until the time is over, and returns how long
// it took until the last answer. It ends at once, with an error, when the server takes no
// writes of this caller.
func runWorkers(ctx context.Context, workers []*loadWorker, o LoadOptions, t *timeline) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	begin := time.Now()
	var wg sync.WaitGroup
	for _, w := range workers {
		w.begin, w.stop = begin, stop
		wg.Go(func() { w.run(ctx) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			elapsed := time.Since(begin)
			t.close(elapsed, workers)
			hopeless, _ := errors.AsType[*hopelessError](context.Cause(ctx))
			if hopeless != nil {
				return elapsed, hopeless
			}
			return elapsed, nil
		case <-tick.C:
			t.tick(time.Since(begin), workers)
		}
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
