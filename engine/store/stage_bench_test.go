package store

import (
	"context"
	"fmt"
	"math"
	"testing"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/point"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// stageBucket is a bucket to which the bodies of a ring are linked.
type stageBucket struct {
	*Bucket
	tb     testing.TB
	ring   *bench.Ring
	schema stages.Schema
	seq    uint64
	work   stages.Work // of a body
}

// newStageBucket has its data on a real disk, or in memory.
func newStageBucket(tb testing.TB, onDisk bool, o bench.BodiesOptions) *stageBucket {
	s := &stageBucket{tb: tb, ring: stages.Bodies(tb, o)}
	if !onDisk {
		s.Bucket = newDiskBucket(tb)
	} else {
		data, err := disk.Open(disk.Options{Dir: tb.TempDir() + "/data"})
		if err != nil {
			tb.Fatal(err)
		}
		d, err := data.Bucket(7)
		if err != nil {
			tb.Fatal(err)
		}
		if s.Bucket, err = OpenBucket(1, d, Options{}); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			s.Bucket.Close()
			if err := data.Close(); err != nil {
				tb.Error(err)
			}
		})
	}
	return s
}

// batch is the next body, resolved.
func (s *stageBucket) batch() *point.Batch {
	body := s.ring.Next()
	s.work = stages.WorkOf(body)
	batch := s.schema.Parse(s.tb, body)
	if len(batch.NewSeries) > 0 {
		p, err := s.Define(batch)
		if err != nil {
			s.tb.Fatal(err)
		}
		s.Logged([]*Pending{p})
	}
	s.schema.Define(batch) // both hand out ids in order of appearance
	return batch
}

// fill links n bodies and freezes the memtable.
func (s *stageBucket) fill(n int) {
	for range n {
		batch := s.batch()
		s.Link(batch, Pack(batch))
		s.seq++
	}
	s.Freeze(s.seq)
}

func (s *stageBucket) flush() {
	if _, err := s.Flush(context.Background()); err != nil {
		s.tb.Fatal(err)
	}
}

// BenchmarkStagePack packs batches as the memtable keeps them, in the goroutine of the
// request.
func BenchmarkStagePack(b *testing.B) {
	s := newStageBucket(b, false, bench.BodiesOptions{})
	var batches []*point.Batch
	for range 16 {
		batches = append(batches, s.batch())
	}
	batch := new(point.Batch)
	m := stages.Start(b, s.work)
	for i := 0; b.Loop(); i++ {
		batch.Tables = append(batch.Tables[:0], batches[i%len(batches)].Tables...)
		if Pack(batch) == nil {
			b.Fatal("nothing to pack")
		}
	}
	m.Stop()
}

// BenchmarkStageLink links packed batches to the memtable: the actor's part.
func BenchmarkStageLink(b *testing.B) {
	s := newStageBucket(b, false, bench.BodiesOptions{})
	var packed []*Packed
	for range 16 {
		packed = append(packed, Pack(s.batch()))
	}
	batch := new(point.Batch)
	m := stages.Start(b, s.work)
	for i := 0; b.Loop(); i++ {
		s.Link(batch, packed[i%len(packed)])
		if i%1000 == 999 {
			s.Freeze(uint64(i)) // bounded memory: what is frozen is packed, and let go
			s.mu.Lock()
			s.queue = nil
			s.mu.Unlock()
		}
	}
	m.Stop()
}

// stageBodies is what a memtable of these benchmarks holds: 200,000 lines.
const stageBodies = 40

// BenchmarkStageSort sorts the rows of a memtable into blocks, which nobody encodes.
func BenchmarkStageSort(b *testing.B) {
	for _, hosts := range []int{100, 4000} {
		b.Run(fmt.Sprintf("series=%d", hosts), func(b *testing.B) {
			s := newStageBucket(b, false, bench.BodiesOptions{Hosts: hosts})
			var segs []*segment
			for range stageBodies {
				segs = append(segs, segmentsOf(s.batch().Tables...)...)
			}
			var order sorter
			m := stages.Start(b, s.work.Times(stageBodies))
			for b.Loop() {
				if err := sortSegments(context.Background(), segs, math.MinInt64, math.MaxInt64, &order, func(*block.Rows) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			m.Stop()
		})
	}
}

// BenchmarkStageFlush writes a frozen memtable: sorting, encoding, the sstable and the
// commit, on a real disk and without one.
func BenchmarkStageFlush(b *testing.B) {
	for _, onDisk := range []bool{false, true} {
		b.Run(fmt.Sprintf("series=4000/disk=%v", onDisk), func(b *testing.B) {
			s := newStageBucket(b, onDisk, bench.BodiesOptions{})
			s.fill(1)
			s.flush() // defines the series
			m := stages.Start(b, s.work.Times(stageBodies))
			for range b.N {
				m.Pause()
				s.fill(stageBodies)
				m.Resume()
				s.flush()
			}
			m.Stop()
			io := s.IOStats()
			b.ReportMetric(float64(io.FlushedBytes)/float64(io.FlushedValues), "B/value")
		})
	}
}

// BenchmarkStageCompact merges the parts of sixteen flushes: reading, merging, encoding
// at the better level, the sstable and the commit.
func BenchmarkStageCompact(b *testing.B) {
	const parts, bodies = 16, 4
	b.Run(fmt.Sprintf("series=400/parts=%d", parts), func(b *testing.B) {
		o := bench.BodiesOptions{Hosts: 400}
		s := newStageBucket(b, false, o)
		s.batch()
		m := stages.Start(b, s.work.Times(parts*bodies))
		for range b.N {
			m.Pause()
			s = newStageBucket(b, false, o)
			for range parts {
				s.fill(bodies)
				s.flush()
			}
			m.Resume()
			for more := true; more; {
				var err error
				if more, err = s.Compact(context.Background(), true); err != nil {
					b.Fatal(err)
				}
			}
		}
		m.Stop()
		io := s.IOStats()
		b.ReportMetric(float64(io.CompactedValues)/float64(io.FlushedValues), "times/value")
		b.ReportMetric(float64(io.CompactedBytes)/float64(io.CompactedValues), "B/value")
	})
}
