package engine

import (
	"fmt"
	"testing"

	"headgate/engine/point"
)

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
