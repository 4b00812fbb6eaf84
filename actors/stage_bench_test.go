package actors

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store"
	"headgate/wal"
)

// instantLog is a log without a disk, in which everything is durable at once.
type instantLog struct{ wal.Log }

func (instantLog) Append(_, seq uint64, _ []byte, n wal.Notifier) error {
	n.Committed(seq, nil)
	return nil
}
func (instantLog) Replay(context.Context, uint64, uint64, func(uint64, []byte) error) error {
	return nil
}
func (instantLog) Buckets(context.Context) ([]uint64, error) { return nil, nil }
func (instantLog) Drop(uint64) error                         { return nil }
func (instantLog) Failed() error                             { return nil }
func (instantLog) Close() error                              { return nil }

// openStageBucket opens a bucket of a shard that never flushes. The points of what is
// linked are shared among the messages, so that memory is bounded all the same.
func openStageBucket(b *testing.B, log wal.Log) *Bucket {
	s, err := OpenShard(Options{
		OpenLog:          func() (wal.Log, error) { return log, nil },
		MemtableBytesMax: 1 << 60, LogBytesMax: 1 << 60,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	bucket, err := s.OpenBucket(1)
	if err != nil {
		b.Fatal(err)
	}
	if err := bucket.WaitOpen(context.Background()); err != nil {
		b.Fatal(err)
	}
	return bucket
}

// stageAppends makes a source of messages to append: the batches of some bodies,
// resolved, packed and encoded.
func stageAppends(b *testing.B, bucket *Bucket, o bench.BodiesOptions) (next func(*appendBatch), work stages.Work) {
	ring := stages.Bodies(b, o)
	var schema stages.Schema
	type prepared struct {
		body   *bench.Body
		packed *store.Packed
		record []byte
	}
	var all []prepared
	epoch := bucket.State().Epoch
	for range 16 {
		body := ring.Next()
		work = stages.WorkOf(body)
		batch := schema.Parse(b, body)
		batch.Epoch = epoch
		if err := bucket.Define(context.Background(), batch, testTimeout); err != nil {
			b.Fatal(err)
		}
		schema.Define(batch) // both hand out ids in order of appearance
		rec := record.Encode(nil, batch, nil)
		pendings := bucket.State().Store.PendingFor(batch)
		packed := store.Pack(batch)
		all = append(all, prepared{body, packed, rec})
		if _, _, err := bucket.Append(context.Background(), batch, packed, rec, pendings, time.Now().Add(testTimeout), nil); err != nil {
			b.Fatal(err) // from now on they are known
		}
	}
	i := 0
	return func(m *appendBatch) {
		p := &all[i%len(all)]
		i++
		if p.packed == nil { // too small, and the actor's once it has been sent
			m.batch = schema.Batch(b, p.body)
		} else {
			m.batch = point.GetBatch()
		}
		m.batch.Epoch, m.packed, m.record = epoch, p.packed, p.record
	}, work
}

// BenchmarkStageActor is the serial section of a write: the messages of one bucket
// through its actor, with a log that commits at once. What a batch takes of one processor
// bounds what one bucket can do, however many processors there are. ns/batch is the time
// in the actor, queue and notices included; making the messages does not count.
func BenchmarkStageActor(b *testing.B) {
	for _, lines := range []int{1, 5000} {
		b.Run(fmt.Sprintf("points=%d", lines), func(b *testing.B) {
			bucket := openStageBucket(b, instantLog{})
			next, work := stageAppends(b, bucket, bench.BodiesOptions{Lines: lines})
			calls := make([]*call, 256)
			m := stages.Start(b, work)
			m.Pause()
			for sent := 0; sent < b.N; {
				n := min(b.N-sent, len(calls))
				for i := range n {
					calls[i] = getCall()
					next(&calls[i].append)
				}
				m.Resume()
				for _, c := range calls[:n] {
					bucket.send(&c.append)
				}
				for _, c := range calls[:n] {
					if err, _ := c.wait(context.Background(), time.Now().Add(time.Minute), bucket); err != nil {
						b.Fatal(err)
					}
				}
				m.Pause()
				for _, c := range calls[:n] {
					putCall(c)
				}
				sent += n
			}
			m.Resume()
			m.Stop()
			perBatch := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(perBatch, "ns/batch")
			b.ReportMetric(float64(work.Values)/perBatch*1e3, "Mvalues/s")
		})
	}
}

// BenchmarkStageAppend is the same with callers that wait for each answer, as requests
// do: the way of a goroutine to the actor and back is in it.
func BenchmarkStageAppend(b *testing.B) {
	bucket := openStageBucket(b, instantLog{})
	next, work := stageAppends(b, bucket, bench.BodiesOptions{})
	m := stages.Start(b, work)
	for b.Loop() {
		var a appendBatch
		next(&a)
		if _, _, err := bucket.Append(context.Background(), a.batch, a.packed, a.record, nil, time.Now().Add(time.Minute), nil); err != nil {
			b.Fatal(err)
		}
	}
	m.Stop()
}

// BenchmarkStageGate takes credit and gives it back, and is refused.
func BenchmarkStageGate(b *testing.B) {
	b.Run("acquire", func(b *testing.B) {
		s := NewGate(GateOptions{}).NewShare()
		b.ReportAllocs()
		for b.Loop() {
			s.Acquire(context.Background(), 100, time.Second)
			s.Release(100)
		}
	})
	b.Run("acquire/parallel", func(b *testing.B) {
		g := NewGate(GateOptions{})
		b.ReportAllocs()
		b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			s := g.NewShare()
			for pb.Next() {
				s.Acquire(context.Background(), 100, time.Second)
				s.Release(100)
			}
		})
	})
	b.Run("refuse", func(b *testing.B) {
		s := NewGate(GateOptions{BytesMax: 100}).NewShare()
		s.Acquire(context.Background(), 100, 0)
		b.ReportAllocs()
		for b.Loop() {
			s.Acquire(context.Background(), 100, 0)
		}
	})
}
