package flux

import (
	"context"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"headgate/engine/point"
)

// columns is a bucket whose reader hands out blocks that are decoded already: one
// measurement m with a float v every second.
type columns struct {
	series, rows int
	times        []int64
	values       []uint64
}

func (c *columns) Measurements() []string { return []string{"m"} }

func (c *columns) Fields(string) map[string]point.FieldType {
	return map[string]point.FieldType{"v": point.Float}
}

func (c *columns) Series(string) []point.SeriesInfo {
	infos := make([]point.SeriesInfo, c.series)
	for i := range infos {
		infos[i] = point.SeriesInfo{ID: point.SeriesID(i + 1), Tags: []point.Tag{{Key: "host", Value: fmt.Sprint(i)}, {Key: "region", Value: "eu"}}}
	}
	return infos
}

func (c *columns) SeriesWhere(name string, f *point.TagFilter) ([]point.SeriesInfo, error) {
	return point.FilterSeries(c.Series(name), f), nil
}

func (c *columns) Read(_ context.Context, r point.ReadRequest, yield func(point.SeriesRows) error) error {
	const blockRows = 8192
	for _, id := range r.Series {
		for i := 0; i < c.rows; i += blockRows {
			j := min(i+blockRows, c.rows)
			col := &point.Column{Name: []byte("v"), Type: point.Float, Nums: c.values[i:j]}
			if err := yield(point.SeriesRows{Series: id, Times: c.times[i:j], Columns: []*point.Column{col}}); err != nil {
				return err
			}
		}
	}
	return nil
}

type columnsHost struct{ c *columns }

func (h columnsHost) Snapshot(context.Context, string, string) (point.Reader, error) { return h.c, nil }

func (h columnsHost) Buckets(context.Context) ([]Bucket, error) { return nil, nil }

// BenchmarkAggregateWindow is a graph's query, with what is pushed down and without.
func BenchmarkAggregateWindow(b *testing.B) {
	c := &columns{series: 10, rows: 20_000}
	for i := range c.rows {
		c.times = append(c.times, int64(i)*int64(time.Second))
		c.values = append(c.values, math.Float64bits(float64(i%100)))
	}
	for _, fn := range []string{"mean", "max", "last"} {
		for _, off := range []bool{false, true} {
			b.Run(fmt.Sprintf("fn=%s/pushdown=%t", fn, !off), func(b *testing.B) {
				b.ReportAllocs()
				text := `from(bucket: "b") |> range(start: 0, stop: 1970-01-02T00:00:00Z) |> filter(fn: (r) => r._measurement == "m" and r._field == "v")
|> aggregateWindow(every: 1m, fn: ` + fn + `, createEmpty: false)`
				for b.Loop() {
					if err := Run(b.Context(), columnsHost{c}, Query{Text: text, pushDownOff: off}, io.Discard); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.series*c.rows), "ns/point")
			})
		}
	}
}
