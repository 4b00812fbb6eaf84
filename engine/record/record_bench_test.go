package record

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"headgate/engine/point"
)

// benchBatch is 5,000 rows of 10 columns over 4,000 series, as a fleet of agents
// sends them: every series in turn, one timestamp each 10 s.
func benchBatch(value func(r *rand.Rand, row int) uint64, typ point.FieldType) *point.Batch {
	r := rand.New(rand.NewPCG(1, 1))
	t := &point.Table{ID: 1}
	for i := range 5000 {
		t.AppendRow(point.SeriesRef(1+i%4000), 1_700_000_000_000_000_000+int64(i/4000)*10_000_000_000, 0)
	}
	for f := range 10 {
		c := &point.Column{Type: typ, Field: point.FieldID(1 + f)}
		for i := range 5000 {
			if typ == point.String {
				c.AppendString(i, fmt.Appendf(nil, "state-%d", value(r, i)))
			} else {
				c.AppendNum(i, value(r, i))
			}
		}
		t.Columns = append(t.Columns, c)
	}
	return &point.Batch{Tables: []*point.Table{t}}
}

var benchCases = []struct {
	name string
	b    *point.Batch
}{
	{"cpu", benchBatch(func(r *rand.Rand, _ int) uint64 { return r.Uint64N(101) }, point.Integer)},
	{"counters", benchBatch(func(r *rand.Rand, row int) uint64 { return uint64(row)<<20 + r.Uint64N(1<<20) }, point.Integer)},
	{"decimals", benchBatch(func(r *rand.Rand, _ int) uint64 { return math.Float64bits(float64(r.IntN(10000)) / 100) }, point.Float)},
	{"floats", benchBatch(func(r *rand.Rand, _ int) uint64 { return math.Float64bits(r.Float64()) }, point.Float)},
	{"strings-few", benchBatch(func(r *rand.Rand, _ int) uint64 { return r.Uint64N(5) }, point.String)},
	{"strings-many", benchBatch(func(r *rand.Rand, _ int) uint64 { return r.Uint64N(1e9) }, point.String)},
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name+"/points=5000/fields=10", func(b *testing.B) {
			var rec []byte
			b.ReportAllocs()
			for b.Loop() {
				rec = Encode(rec[:0], c.b, nil)
			}
			b.SetBytes(c.b.MemoryBytes())
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/line")
			b.ReportMetric(float64(len(rec))/5000, "B/line")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name+"/points=5000/fields=10", func(b *testing.B) {
			rec := Encode(nil, c.b, nil)
			b.ReportAllocs()
			for b.Loop() {
				var out point.Batch
				if err := Decode(rec, &out, new(Definitions)); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(c.b.MemoryBytes())
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/line")
		})
	}
}

func BenchmarkEncodeOneLine(b *testing.B) {
	t := &point.Table{ID: 1, Series: []point.SeriesRef{7}, Times: []int64{1_700_000_000_000_000_000}}
	for f := range 10 {
		t.Columns = append(t.Columns, &point.Column{Type: point.Integer, Field: point.FieldID(1 + f), Nums: []uint64{uint64(f)}})
	}
	batch := &point.Batch{Tables: []*point.Table{t}}
	var rec []byte
	b.ReportAllocs()
	for b.Loop() {
		rec = Encode(rec[:0], batch, nil)
	}
	b.ReportMetric(float64(len(rec)), "B/line")
}
