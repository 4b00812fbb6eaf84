package block

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"headgate/engine/point"
)

// benchCase is a block of RowsMax rows with one column, or none for times.
type benchCase struct {
	name string
	rows *Rows
}

func benchCases() []benchCase {
	var cases []benchCase
	rng := rand.New(rand.NewPCG(1, 1))
	add := func(name string, series int, t point.FieldType, gen func(*rand.Rand) func(int) uint64) {
		r := grid(series, RowsMax/series)
		c := &point.Column{Field: 1, Type: t}
		for range series {
			next := gen(rng)
			for i := range RowsMax / series {
				c.Nums = append(c.Nums, next(i))
			}
		}
		r.Columns = []*point.Column{c}
		cases = append(cases, benchCase{fmt.Sprintf("%s/series=%d", name, series), r})
	}
	named := map[string]generator{}
	for _, g := range numberGenerators() {
		named[g.typ.String()+" "+g.name] = g
	}
	for _, c := range []struct {
		name   string
		series int
		of     string
	}{
		{"cpu-ints", 1, "integer percent"}, {"cpu-ints", 8, "integer percent"}, {"cpu-ints", 128, "integer percent"},
		{"cpu-floats", 1, "float percent"}, {"gauge-2-decimals", 1, "float 2 decimals"},
		{"counter", 1, "integer counter"}, {"counter-resets", 1, "unsigned counter with resets"}, {"gauge-ints", 1, "integer gauge"},
		{"float-random", 1, "float random"}, {"float-walk", 1, "float walk"}, {"float-32", 1, "float float32"},
		{"codes", 1, "integer codes"}, {"constant", 1, "integer constant"},
		{"bool-toggle", 1, "boolean toggle"}, {"bool-coin", 1, "boolean coin"},
	} {
		g := named[c.of]
		add(c.name, c.series, g.typ, g.make)
	}
	for _, name := range []string{"few", "uuid", "lines"} {
		r := grid(1, RowsMax)
		r.Columns = []*point.Column{textColumn(1, RowsMax, textGenerators()[name](rng))}
		cases = append(cases, benchCase{"strings-" + name + "/series=1", r})
	}
	for _, name := range []string{"regular", "gaps", "jittered", "drifting", "irregular"} {
		r := &Rows{Series: []point.SeriesID{1}, Ends: []uint32{RowsMax}, Times: timeGenerators()[name](rng, RowsMax)}
		cases = append(cases, benchCase{"times-" + name + "/series=1", r})
	}
	cases = append(cases, benchCase{"times-regular/series=160", grid(160, 50)})
	return cases
}

// benchBlock encodes and returns how many bytes the column, or the times, take.
func benchBlock(b *testing.B, r *Rows, l Level) (*Block, int) {
	data, err := new(Encoder).Encode(nil, 1, r, l)
	if err != nil {
		b.Fatal(err)
	}
	blk, err := Parse(data)
	if err != nil {
		b.Fatal(err)
	}
	if len(r.Columns) > 0 {
		return blk, blk.Columns()[0].Bytes
	}
	return blk, blk.times.end - blk.times.at
}

func perValue(b *testing.B, r *Rows, bytes int) {
	n := float64(r.Len())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
	b.ReportMetric(float64(bytes)/n, "B/value")
}

// BenchmarkEncode measures a block with one column: the times are in it.
func BenchmarkEncode(b *testing.B) {
	for _, c := range benchCases() {
		for level, name := range []string{"fast", "best"} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				_, bytes := benchBlock(b, c.rows, Level(level))
				var e Encoder
				var dst []byte
				b.SetBytes(int64(8 * c.rows.Len()))
				b.ReportAllocs()
				for b.Loop() {
					dst, _ = e.Encode(dst[:0], 1, c.rows, Level(level))
				}
				perValue(b, c.rows, bytes)
			})
		}
	}
}

// BenchmarkDecode measures the column alone, or the times if there is none.
func BenchmarkDecode(b *testing.B) {
	for _, c := range benchCases() {
		for level, name := range []string{"fast", "best"} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				blk, bytes := benchBlock(b, c.rows, Level(level))
				var col point.Column
				var times []int64
				b.SetBytes(int64(8 * c.rows.Len()))
				b.ReportAllocs()
				for b.Loop() {
					if len(c.rows.Columns) > 0 {
						if err := blk.Column(0, &col); err != nil {
							b.Fatal(err)
						}
					} else {
						times, _ = blk.Times(times)
					}
				}
				perValue(b, c.rows, bytes)
			})
		}
	}
}

func BenchmarkReset(b *testing.B) {
	for _, series := range []int{1, 160, RowsMax} {
		r := grid(series, RowsMax/series)
		for f := range 10 {
			r.Columns = append(r.Columns, column(point.FieldID(1+f), point.Integer, r.Len(), func(i int) uint64 { return uint64(i) }))
		}
		data, err := new(Encoder).Encode(nil, 1, r, Best)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("series=%d/fields=10", series), func(b *testing.B) {
			var blk Block
			b.ReportAllocs()
			for b.Loop() {
				if err := blk.Reset(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
