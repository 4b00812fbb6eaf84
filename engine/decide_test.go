package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// TestDecideFields compares what is dropped of random tables with what a look at one
// point after the other says, and what is left with what that leaves.
func TestDecideFields(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	conflicts, over := 0, 0
	for range testkit.Rounds(400) {
		type value struct {
			field string
			typ   point.FieldType
		}
		o := Options{FieldsPerMeasurementMax: 1 + rnd.IntN(6)}
		o.EnsureDefaults()
		r := &resolver{limits: limits{o: &o}}
		table := &point.Table{Name: []byte("m")}
		rows := make([][]value, 1+rnd.IntN(8))
		for row := range rows {
			table.AppendRow(0, int64(row), uint32(row+1))
			for range 1 + rnd.IntN(4) {
				v := value{string(rune('a' + rnd.IntN(7))), point.Float}
				if rnd.IntN(6) == 0 {
					v.typ = point.Integer
				}
				table.Column([]byte(v.field), v.typ).AppendNum(row, 1)
			}
		}
		for _, c := range table.Columns { // a point's fields are in the order of the columns
			for i := range c.Len() {
				rows[c.Row(i)] = append(rows[c.Row(i)], value{string(c.Name), c.Type})
			}
		}
		batch := &point.Batch{Tables: []*point.Table{table}}
		gone := make([]bool, len(rows))
		for row := range rows {
			if rnd.IntN(8) == 0 { // for another reason
				r.drop(batch, table, row, drop{code: beyondRetention})
				gone[row] = true
			}
		}
		var want []drop
		decided := make(map[string]point.FieldType)
		for row, values := range rows {
			if gone[row] {
				continue
			}
			next := make(map[string]point.FieldType)
			d := drop{line: uint32(row + 1)}
			for _, v := range values {
				have := decided[v.field]
				if have == 0 {
					have = next[v.field]
				}
				if have != 0 && have != v.typ {
					d.field, d.have, d.want = []byte(v.field), have, v.typ
					break
				}
				if decided[v.field] == 0 {
					next[v.field] = v.typ
				}
			}
			if d.field == nil && len(decided)+len(next) > o.FieldsPerMeasurementMax {
				d.code = fieldLimit
				for i, room := 0, o.FieldsPerMeasurementMax-len(decided); d.field == nil; i++ {
					if decided[values[i].field] != 0 {
						continue
					}
					if room--; room < 0 {
						d.field = []byte(values[i].field)
					}
				}
			}
			if d.field != nil {
				want, gone[row] = append(want, d), true
				continue
			}
			for field, typ := range next {
				decided[field] = typ
			}
		}
		r.decideFields(batch, table, nil)
		got := slices.DeleteFunc(r.drops, func(d drop) bool { return d.code == beyondRetention })
		same := func(a, b drop) bool {
			return a.line == b.line && a.code == b.code && string(a.field) == string(b.field) && a.have == b.have && a.want == b.want
		}
		if !slices.EqualFunc(got, want, same) {
			t.Fatalf("of %v with at most %d fields\n%+v are dropped, want\n%+v", rows, o.FieldsPerMeasurementMax, got, want)
		}
		for row := range rows {
			if r.isDropped(row) != gone[row] {
				t.Fatalf("row %d: dropped %t, want %t", row, r.isDropped(row), gone[row])
			}
		}
		for _, d := range got {
			if d.code == fieldLimit {
				over++
			} else {
				conflicts++
			}
		}
	}
	if conflicts == 0 || over == 0 {
		t.Errorf("%d conflicts, %d points over the limit", conflicts, over)
	}
}

// BenchmarkDecideFields decides one point of many fields, the last of which contradicts
// the first.
func BenchmarkDecideFields(b *testing.B) {
	for _, fields := range []int{100, 1_000, 10_000, 60_000} {
		b.Run(fmt.Sprintf("fields=%d", fields), func(b *testing.B) {
			t := &point.Table{Name: []byte("m"), Times: []int64{1}, Lines: []uint32{1}, Series: []point.SeriesRef{0}}
			for i := range fields {
				c := &point.Column{Name: fmt.Appendf(nil, "f%d", i), Type: point.Float}
				c.AppendNum(0, 1)
				t.Columns = append(t.Columns, c)
			}
			c := &point.Column{Name: []byte("f0"), Type: point.Integer}
			c.AppendNum(0, 1)
			t.Columns = append(t.Columns, c)
			batch := &point.Batch{Tables: []*point.Table{t}}
			var o Options
			o.EnsureDefaults()
			r := &resolver{limits: limits{o: &o}}
			for b.Loop() {
				r.reset()
				r.dropped = r.dropped[:0]
				r.decideFields(batch, t, nil)
				if len(r.drops) != 1 || r.drops[0].have != point.Float {
					b.Fatalf("dropped %+v", r.drops)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*fields), "ns/field")
		})
	}
}
