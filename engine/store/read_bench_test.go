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

// BenchmarkReadParts reads half a day of 10-second points of TSBS cpu from one
// compacted part, or from the parts of many flushes.
func BenchmarkReadParts(b *testing.B) {
	const series, steps = 400, 4320
	for _, compacted := range []bool{true, false} {
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
			bucket.Link(&point.Batch{Tables: []*point.Table{walkTable(min(5000, series*steps-at), series, at, last)}})
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
			max    int64
			rows   int
		}{{0, 1, 1 << 62, 0}, {0, 10, 1 << 62, 0}, {8, 5, 1 << 62, 0}, {1, 1, 1_700_000_000_000_000_000 + 3600e9, 0}, {0, 10, 1 << 62, 1}} {
			b.Run(fmt.Sprintf("parts=%d/series=%d/fields=%d/hours=%v/last=%d", stats.Parts, c.ids, c.fields, c.max < 1<<62, c.rows), func(b *testing.B) {
				req := point.ReadRequest{Measurement: "cpu", Max: c.max, RowsMax: c.rows, Descending: c.rows > 0}
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
