package store

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"headgate/engine/point"
)

// cpuTime is what the process has used, which says more than the clock when
// other work shares the machine.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU reports the CPU time of a value since cpu.
func reportCPU(b *testing.B, cpu time.Duration, values int) {
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N)/float64(values), "cpu-ns/value")
}

// walkTable is like benchTable with values that go up and down, as the load of a
// machine does.
func walkTable(rows, series, at int, last []int64) *point.Table {
	t := benchTable(rows, series, at)
	for f, c := range t.Columns {
		for i := range rows {
			k := ((at+i)%series)*len(t.Columns) + f
			x := uint64(at+i)*0x9E3779B97F4A7C15 + uint64(f)*0xBF58476D1CE4E5B9
			x ^= x >> 31
			x *= 0x94D049BB133111EB
			last[k] = min(100, max(0, last[k]+int64(x>>62)-int64(x>>60&3)))
			c.Nums[i] = uint64(last[k])
		}
	}
	return t
}

// BenchmarkReadParts reads 10-second points of TSBS cpu from one compacted part, or
// from the parts of some flushes.
func BenchmarkReadParts(b *testing.B) {
	for _, shape := range []struct {
		series, steps int
		compacted     bool
	}{{400, 4320, true}, {400, 4320, false}, {4000, 360, false}} {
		series, steps, compacted := shape.series, shape.steps, shape.compacted
		bucket := newDiskBucket(b)
		batch := &point.Batch{}
		_, t := batch.Table([]byte("cpu"), 0)
		for i := range series {
			batch.NewSeries = append(batch.NewSeries, point.NewSeries{Key: benchKey(i)})
		}
		t.AppendRow(point.NewSeriesBit, 0, 1)
		for f := range 10 {
			t.Column(fmt.Appendf(nil, "i%d", f), point.Integer).AppendNum(0, 1)
		}
		p, err := bucket.Define(batch)
		if err != nil {
			b.Fatal(err)
		}
		bucket.Logged([]*Pending{p})
		last := make([]int64, series*10)
		seq := uint64(0)
		for at := 0; at < series*steps; at += 5000 {
			batch := &point.Batch{Tables: []*point.Table{walkTable(min(5000, series*steps-at), series, at, last)}}
			bucket.Link(batch, Pack(batch))
			if seq++; seq%20 == 0 || at+5000 >= series*steps {
				bucket.Freeze(seq)
				if _, err := bucket.Flush(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		}
		for compacted {
			if more, err := bucket.Compact(context.Background(), true); err != nil {
				b.Fatal(err)
			} else if !more {
				break
			}
		}
		stats := bucket.Stats()
		v := bucket.Snapshot()
		b.Cleanup(v.Close)
		for _, c := range []struct {
			ids    int // 0 for all
			fields int
			hours  int
			rows   int
			byID   bool
		}{{0, 1, 12, 0, false}, {0, 1, 12, 0, true}, {0, 10, 12, 0, false}, {0, 10, 12, 0, true}, {8, 5, 12, 0, false}, {1, 1, 1, 0, false}, {0, 10, 12, 1, true}} {
			b.Run(fmt.Sprintf("parts=%d/of=%d/series=%d/fields=%d/hours=%d/last=%d/byid=%v", stats.Parts, series, c.ids, c.fields, c.hours, c.rows, c.byID), func(b *testing.B) {
				req := point.ReadRequest{Measurement: "cpu", Max: 1_700_000_000_000_000_000 + int64(c.hours)*3600e9, RowsMax: c.rows, Descending: c.rows > 0, ByID: c.byID}
				for f := range c.fields {
					req.Fields = append(req.Fields, fmt.Sprint("i", f))
				}
				for i := range c.ids {
					req.Series = append(req.Series, point.SeriesID(1+i*7))
				}
				values, chunks := 0, 0
				b.ReportAllocs()
				cpu := cpuTime(b)
				for b.Loop() {
					values, chunks = 0, 0
					err := v.Read(context.Background(), req, func(s point.SeriesRows) error {
						chunks++
						for _, c := range s.Columns {
							values += c.Len()
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				reportCPU(b, cpu, values)
				b.ReportMetric(float64(chunks), "chunks")
				b.ReportMetric(float64(stats.DiskBytes)/float64(stats.Values), "B/value")
			})
		}
	}
}
