package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"headgate/engine/point"
)

const benchTags = ",arch=x86,datacenter=eu-west-1c,os=Ubuntu16.04LTS,rack=87,region=eu-west-1,service=18,team=NYC"

func benchKey(i int) []byte { return fmt.Appendf(nil, "cpu,hostname=host_%d%s", i, benchTags) }

// benchBucket has n series of cpu and ten integer fields.
func benchBucket(tb testing.TB, n int) *Bucket {
	b := NewBucket(1, Options{})
	for at := 0; at < n; at += 5000 {
		batch := &point.Batch{}
		_, t := batch.Table([]byte("cpu"), 0)
		for i := at; i < min(at+5000, n); i++ {
			batch.NewSeries = append(batch.NewSeries, point.NewSeries{Key: benchKey(i)})
		}
		t.AppendRow(point.NewSeriesBit, 0, 1)
		for f := range 10 {
			t.Column(fmt.Appendf(nil, "i%d", f), point.Integer).AppendNum(0, 1)
		}
		if at > 0 {
			t.ID = 1
		}
		p, err := b.Define(batch)
		if err != nil {
			tb.Fatal(err)
		}
		b.Logged([]*Pending{p})
	}
	return b
}

func benchTable(rows, series, at int) *point.Table {
	t := &point.Table{ID: 1, Name: []byte("cpu")}
	for i := range rows {
		t.AppendRow(point.SeriesRef(1+(at+i)%series), 1_700_000_000_000_000_000+int64((at+i)/series)*10_000_000_000, uint32(i))
	}
	for f := range 10 {
		c := &point.Column{Name: []byte("usage"), Type: point.Integer, Field: point.FieldID(1 + f), Nums: make([]uint64, rows)}
		for i := range rows {
			c.Nums[i] = uint64(i+f) % 101
		}
		t.Columns = append(t.Columns, c)
	}
	return t
}

func BenchmarkLink(b *testing.B) {
	for _, c := range []struct{ rows, series int }{{5000, 4000}, {5000, 1_000_000}, {100, 4000}, {1, 4000}} {
		b.Run(fmt.Sprintf("points=%d/series=%d/fields=10", c.rows, c.series), func(b *testing.B) {
			bucket := benchBucket(b, c.series)
			tables := make([]*point.Table, 64)
			for i := range tables {
				tables[i] = benchTable(c.rows, c.series, i*c.rows)
			}
			batch := new(point.Batch)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				batch.Tables = append(batch.Tables[:0], tables[i%len(tables)])
				bucket.Link(batch, Pack(batch))
				if i%10_000 == 9999 { // bounded memory
					b.StopTimer()
					m := bucket.measurements[1]
					bucket.mu.Lock()
					m.points.segments = nil
					bucket.mu.Unlock()
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.rows), "ns/line")
		})
	}
}

func BenchmarkDefine(b *testing.B) {
	b.Run("series=5000", func(b *testing.B) {
		bucket := benchBucket(b, 100)
		next := 100
		b.ReportAllocs()
		for range b.N {
			b.StopTimer()
			if next > 4_000_000 {
				bucket, next = benchBucket(b, 100), 100
			}
			batch := &point.Batch{}
			_, t := batch.Table([]byte("cpu"), 1)
			t.AppendRow(point.NewSeriesBit, 0, 1)
			for range 5000 {
				batch.NewSeries = append(batch.NewSeries, point.NewSeries{Key: benchKey(next)})
				next++
			}
			b.StartTimer()
			p, err := bucket.Define(batch)
			if err != nil {
				b.Fatal(err)
			}
			bucket.Logged([]*Pending{p})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/series")
	})
}

func BenchmarkLookupSeries(b *testing.B) {
	for _, n := range []int{4000, 1_000_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			bucket := benchBucket(b, n)
			r := rand.New(rand.NewPCG(1, 1))
			keys := make([][]byte, 1<<16)
			for i := range keys {
				keys[i] = benchKey(r.IntN(n))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if _, _, ok := bucket.LookupSeries(keys[i%len(keys)]); !ok {
					b.Fatal("not found")
				}
			}
			b.ReportMetric(float64(bucket.MemoryBytes())/float64(n), "B/series")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const series = 4000
	bucket := benchBucket(b, series)
	for i := range 100 {
		batch := &point.Batch{Tables: []*point.Table{benchTable(5000, series, i*5000)}}
		bucket.Link(batch, Pack(batch))
	}
	fields := []string{"i0", "i1", "i2", "i3", "i4"}
	for _, c := range []struct {
		name string
		ids  []point.SeriesID
	}{{"all", nil}, {"one", []point.SeriesID{17}}} {
		b.Run(fmt.Sprintf("points=500000/series=%s/fields=5", c.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := bucket.Snapshot()
				req := point.ReadRequest{Measurement: "cpu", Series: c.ids, Fields: fields, Min: point.TimeMin, Max: point.TimeMax}
				if err := v.Read(context.Background(), req, func(point.SeriesRows) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bucket.Snapshot()
		}
	})
	b.Run("series=4000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s := bucket.Snapshot().Series("cpu"); len(s) != series || len(s[0].Tags) != strings.Count(benchTags, ",")+1 {
				b.Fatal(len(s))
			}
		}
	})
}
