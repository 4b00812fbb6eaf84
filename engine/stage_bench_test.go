package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/lineproto"
	"headgate/engine/point"
	"headgate/engine/store"
)

// openStageEngine opens an engine on a real disk with one bucket.
func openStageEngine(b *testing.B) (*Engine, Bucket) {
	return openEngineWith(b, Options{MemoryBytesMax: 1 << 30})
}

func openEngineWith(b *testing.B, o Options) (*Engine, Bucket) {
	o.Dir, o.AuthDisabled = b.TempDir(), true
	e, err := Open(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	org, err := e.DefaultOrganization()
	if err != nil {
		b.Fatal(err)
	}
	bucket, err := e.CreateBucket(context.Background(), e.Operator(), BucketRequest{OrgID: org.ID, Name: "b"})
	if err != nil {
		b.Fatal(err)
	}
	return e, bucket
}

// BenchmarkStageResolve looks up the fields of batches that define nothing and lose no
// points, in a bucket that keeps points for ever and in one with a retention period.
func BenchmarkStageResolve(b *testing.B) {
	body := stages.Bodies(b, bench.BodiesOptions{Bodies: 2}).Next()
	bucket := store.NewBucket(1, store.Options{})
	var schema stages.Schema
	first := schema.Parse(b, body)
	p, err := bucket.Define(first)
	if err != nil {
		b.Fatal(err)
	}
	bucket.Logged([]*store.Pending{p})
	schema.Define(first)
	batch := new(point.Batch)
	o := lineproto.Options{Index: schema.Index, Series: bucket}
	if err := new(lineproto.Parser).Parse(batch, body.Text(), o); err != nil {
		b.Fatal(err)
	}
	now := batch.Tables[0].Times[0]
	for _, retention := range []int64{0, 3600e9} {
		b.Run(fmt.Sprintf("points=5000/retention=%v", retention > 0), func(b *testing.B) {
			var options Options
			options.EnsureDefaults()
			r := &resolver{limits: limits{o: &options, series: -1}}
			m := stages.Start(b, stages.WorkOf(body))
			for b.Loop() {
				r.resolve(batch, bucket.Schema(), now, retention)
				if len(r.drops) > 0 || needsDefine(batch) {
					b.Fatal("points dropped, or new")
				}
			}
			m.Stop()
		})
	}
}

// BenchmarkEngineWrite is everything but HTTP: bodies of 5,000 lines into one bucket on a
// real disk, a closed loop of so many writers, syncs, flushes and compactions included. The
// bodies are made before; moving their timestamps on is the driver's part of the cost, see
// BenchmarkRingNext in bench. With -cpu 1,2 it says how one bucket scales, if the machine is
// idle otherwise: cores is what the process used, idle-cores what nobody did. Run it for
// longer than a second (-benchtime 10s) to see a steady state: a memtable lasts that long.
func BenchmarkEngineWrite(b *testing.B) {
	for _, writers := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprintf("points=5000/writers=%d", writers), func(b *testing.B) {
			benchmarkEngineWrite(b, writers, Options{MemoryBytesMax: 1 << 30})
		})
	}
	// What can be kept up: the memory is soon full, and what is refused is sent again.
	// Without that a run with fewer processors leaves more of the flushing and compacting
	// for later, and looks faster than it is. Comparing processors takes a minute each
	// (-benchtime 16000x): until then the one has hardly begun to compact.
	b.Run("sustained/writers=8", func(b *testing.B) {
		benchmarkEngineWrite(b, 8, Options{MemoryBytesMax: 256 << 20})
	})
}

// overloaded reports whether a write was refused for want of room.
func overloaded(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == Overloaded
}

func benchmarkEngineWrite(b *testing.B, writers int, o Options) {
	e, bucket := openEngineWith(b, o)
	rings := make([]*bench.Ring, writers)
	var work stages.Work
	for i := range rings {
		rings[i] = stages.Bodies(b, bench.BodiesOptions{Conn: i, Conns: writers})
		body := rings[i].Next() // which defines the series
		work = stages.WorkOf(body)
		if err := e.Write(b.Context(), bucket.ID, body.Text(), Nanosecond); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	m := stages.Start(b, work)
	for _, ring := range rings {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				text := ring.Next().Text()
				err := e.Write(b.Context(), bucket.ID, text, Nanosecond)
				for overloaded(err) {
					time.Sleep(5 * time.Millisecond) // less than Retry-After, whose unit is a second
					err = e.Write(b.Context(), bucket.ID, text, Nanosecond)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	m.Stop()
	m.ReportCores()
}

// BenchmarkStageQuery runs two of TSBS's statements and a count over an hour of 100 hosts,
// flushed and compacted. A line is one that the statement has to look at.
func BenchmarkStageQuery(b *testing.B) {
	e, bucket := openStageEngine(b)
	const hosts, hour = 100, 360
	ring := stages.Bodies(b, bench.BodiesOptions{Hosts: hosts, Bodies: 8})
	for range hosts * hour / 5000 {
		if err := e.Write(b.Context(), bucket.ID, ring.Next().Text(), Nanosecond); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Compact(b.Context(), e.Operator()); err != nil {
		b.Fatal(err)
	}
	const during = "time >= '2016-01-01T00:00:00Z' AND time < '2016-01-01T01:00:00Z'"
	for _, q := range []struct {
		name, text string
		lines      int
	}{
		{"single-groupby-1-1-1", "SELECT max(usage_user) FROM cpu WHERE hostname = 'host_7' AND " + during + " GROUP BY time(1m)", hour},
		{"double-groupby-1", "SELECT mean(usage_user) FROM cpu WHERE " + during + " GROUP BY time(1h), hostname", hosts * hour},
		{"count", "SELECT count(usage_user) FROM cpu", hosts * hour},
	} {
		b.Run(q.name, func(b *testing.B) {
			m := stages.Start(b, stages.Work{Lines: q.lines})
			for b.Loop() {
				rows := 0
				err := e.Query(b.Context(), nil, Query{Text: q.text, Database: bucket.Name}, func(r Result) error {
					for _, s := range r.Series {
						rows += len(s.Values)
					}
					return r.Err
				})
				if err != nil || rows == 0 {
					b.Fatal(rows, err)
				}
			}
			m.Stop()
		})
	}
}
