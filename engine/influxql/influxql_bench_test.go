package influxql

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"headgate/engine/point"
)

// columnReader yields the same rows for each of its series, without work.
type columnReader struct {
	series []point.SeriesInfo
	rows   point.SeriesRows
	fields map[string]point.FieldType
}

// spread gives the reader n fields with the same values.
func (r *columnReader) spread(n int) {
	r.fields = make(map[string]point.FieldType)
	for i := range n {
		r.fields[fmt.Sprintf("usage%d", i)] = point.Float
	}
}

func newColumnReader(series, rows int) *columnReader {
	r := &columnReader{fields: map[string]point.FieldType{"usage": point.Float}}
	for i := range series {
		r.series = append(r.series, point.SeriesInfo{ID: point.SeriesID(i + 1), Tags: []point.Tag{{Key: "host", Value: fmt.Sprintf("h%04d", i)}}})
	}
	c := &point.Column{Type: point.Float}
	for row := range rows {
		r.rows.Times = append(r.rows.Times, int64(row)*int64(10*time.Second))
		c.AppendNum(row, math.Float64bits(float64(row%97)))
	}
	r.rows.Columns = []*point.Column{c}
	return r
}

func (r *columnReader) Measurements() []string { return []string{"cpu"} }

func (r *columnReader) Fields(string) map[string]point.FieldType {
	return r.fields
}

func (r *columnReader) Series(string) []point.SeriesInfo { return r.series }

func (r *columnReader) SeriesWhere(_ string, f *point.TagFilter) ([]point.SeriesInfo, error) {
	return point.FilterSeries(r.series, f), nil
}

func (r *columnReader) Read(_ context.Context, req point.ReadRequest, yield func(point.SeriesRows) error) error {
	next := 0
	for _, s := range r.series {
		if req.Series != nil && (next == len(req.Series) || req.Series[next] != s.ID) {
			continue
		}
		next++
		rows := r.rows
		rows.Series = s.ID
		rows.Columns = make([]*point.Column, len(req.Fields))
		for i := range rows.Columns {
			rows.Columns[i] = r.rows.Columns[0]
		}
		if err := yield(rows); err != nil && err != point.ErrSkipSeries {
			return err
		}
	}
	return nil
}

// BenchmarkRun reads 100 series of 10,000 rows; bytes are those of their values.
func BenchmarkRun(b *testing.B) {
	r := newColumnReader(100, 10_000)
	host := newFakeHost()
	host.add("db", "autogen", true, r)
	for name, text := range map[string]string{
		"count":           "SELECT count(usage) FROM cpu",
		"mean/host":       "SELECT mean(usage) FROM cpu GROUP BY host",
		"max/1h":          "SELECT max(usage) FROM cpu WHERE time >= 0 AND time < 100000s GROUP BY time(1h)",
		"mean/1h,host":    "SELECT mean(usage) FROM cpu WHERE time >= 0 AND time < 100000s GROUP BY time(1h), host",
		"last/host":       "SELECT last(usage) FROM cpu GROUP BY host",
		"raw/host":        "SELECT usage FROM cpu GROUP BY host",
		"raw/merged":      "SELECT usage FROM cpu",
		"raw/limit":       "SELECT usage FROM cpu LIMIT 10",
		"raw/condition":   "SELECT usage FROM cpu WHERE usage > 95 GROUP BY host",
		"median/host":     "SELECT median(usage) FROM cpu GROUP BY host",
		"raw/none-match":  "SELECT usage FROM cpu WHERE host = 'nosuch'",
		"show/tag-values": "SHOW TAG VALUES WITH KEY = host",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(100 * 10_000 * 8)
			b.ReportAllocs()
			for b.Loop() {
				err := Run(context.Background(), host, Query{Text: text, Database: "db", ChunkSize: 10_000}, func(r Result) error { return r.Err })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGroupBy is TSBS's double-groupby over 12 hours of 10 s: values are read
// through one pass for all fields. ns/value is its cost.
func BenchmarkGroupBy(b *testing.B) {
	const rows = 4320
	for _, series := range []int{100, 4000} {
		for _, fields := range []int{1, 10} {
			r := newColumnReader(series, rows)
			r.spread(fields)
			host := newFakeHost()
			host.add("db", "autogen", true, r)
			var calls []string
			for i := range fields {
				calls = append(calls, fmt.Sprintf("mean(usage%d)", i))
			}
			text := "SELECT " + strings.Join(calls, ", ") + " FROM cpu WHERE time >= 0 AND time < 12h GROUP BY time(1h), host"
			b.Run(fmt.Sprintf("series=%d/fields=%d", series, fields), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					err := Run(context.Background(), host, Query{Text: text, Database: "db", ChunkSize: 10_000}, func(r Result) error { return r.Err })
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(series*rows*fields), "ns/value")
			})
		}
	}
}
