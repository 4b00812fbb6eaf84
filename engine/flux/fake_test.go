package flux

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/influxdata/influxdb/models"

	"headgate/engine/point"
)

// fakeBucket is a bucket in maps. It gives its chunks in memory that it scribbles
// over afterwards.
type fakeBucket struct {
	measurements map[string]map[string]point.FieldType
	series       []*fakeSeries
	// chunkRows is how many rows a chunk has at most.
	chunkRows int
	// holdBytes is what reading holds on behalf of the query.
	holdBytes int64
	// rowsRead counts the rows that were yielded, chunksRead the chunks.
	rowsRead, chunksRead atomic.Int64
	// damage, if it is not nil, is asked before each chunk, which cannot be read when it
	// returns an error.
	damage func(chunk int64) error
}

type fakeSeries struct {
	info point.SeriesInfo
	name string
	rows map[int64]map[string]any
}

var uintSupport = sync.OnceFunc(models.EnableUintSupport)

func (b *fakeBucket) write(lines string) error {
	uintSupport()
	points, err := models.ParsePointsWithPrecision([]byte(lines), time.Unix(0, 0), "s")
	if err != nil {
		return err
	}
	for _, p := range points {
		fields, err := p.Fields()
		if err != nil {
			return err
		}
		name := string(p.Name())
		if b.measurements[name] == nil {
			b.measurements[name] = make(map[string]point.FieldType)
		}
		var tags []point.Tag
		for _, t := range p.Tags() {
			tags = append(tags, point.Tag{Key: string(t.Key), Value: string(t.Value)})
		}
		key := string(point.AppendSeriesKey(nil, name, tags))
		i := slices.IndexFunc(b.series, func(s *fakeSeries) bool {
			return string(point.AppendSeriesKey(nil, s.name, s.info.Tags)) == key
		})
		if i < 0 {
			i = len(b.series)
			b.series = append(b.series, &fakeSeries{name: name, info: point.SeriesInfo{ID: point.SeriesID(i + 1), Tags: tags}, rows: make(map[int64]map[string]any)})
		}
		s := b.series[i]
		if s.rows[p.UnixNano()] == nil {
			s.rows[p.UnixNano()] = make(map[string]any)
		}
		for k, v := range fields {
			b.measurements[name][k] = typeOf(v)
			s.rows[p.UnixNano()][k] = v
		}
	}
	return nil
}

func typeOf(v any) point.FieldType {
	switch v.(type) {
	case float64:
		return point.Float
	case int64:
		return point.Integer
	case uint64:
		return point.Unsigned
	case string:
		return point.String
	}
	return point.Boolean
}

func (b *fakeBucket) Measurements() []string { return sortedKeys(b.measurements) }

func (b *fakeBucket) Fields(name string) map[string]point.FieldType { return b.measurements[name] }

func (b *fakeBucket) sorted(name string) []*fakeSeries {
	var found []*fakeSeries
	for _, s := range b.series {
		if s.name == name {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(x, y *fakeSeries) int {
		return strings.Compare(string(point.AppendSeriesKey(nil, name, x.info.Tags)), string(point.AppendSeriesKey(nil, name, y.info.Tags)))
	})
	return found
}

func (b *fakeBucket) Series(name string) []point.SeriesInfo {
	var infos []point.SeriesInfo
	for _, s := range b.sorted(name) {
		infos = append(infos, s.info)
	}
	return infos
}

func (b *fakeBucket) SeriesWhere(name string, f *point.TagFilter) ([]point.SeriesInfo, error) {
	return point.FilterSeries(b.Series(name), f), nil
}

func (b *fakeBucket) Read(ctx context.Context, r point.ReadRequest, yield func(point.SeriesRows) error) error {
	if err := r.Meter.Hold(b.holdBytes); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	defer r.Meter.Release(b.holdBytes)
	for _, s := range b.sorted(r.Measurement) {
		if r.Series != nil && !slices.Contains(r.Series, s.info.ID) {
			continue
		}
		var times []int64
		for at, row := range s.rows {
			if at >= r.Min && at <= r.Max && slices.ContainsFunc(r.Fields, func(f string) bool { return row[f] != nil }) {
				times = append(times, at)
			}
		}
		slices.Sort(times)
		n := b.chunkRows
		if n == 0 {
			n = 2
		}
		chunks := slices.Collect(slices.Chunk(times, n))
		if r.Descending {
			slices.Reverse(chunks)
		}
		for _, chunk := range chunks {
			if err := ctx.Err(); err != nil {
				return err
			}
			if n := b.chunksRead.Add(1); b.damage != nil {
				if err := b.damage(n); err != nil {
					return err
				}
			}
			rows := point.SeriesRows{Series: s.info.ID, Times: slices.Clone(chunk), Columns: make([]*point.Column, len(r.Fields))}
			for i, f := range r.Fields {
				c := &point.Column{Name: []byte(f), Type: b.measurements[r.Measurement][f]}
				for row, at := range chunk {
					switch v := s.rows[at][f].(type) {
					case float64:
						c.AppendNum(row, math.Float64bits(v))
					case int64:
						c.AppendNum(row, uint64(v))
					case uint64:
						c.AppendNum(row, v)
					case bool:
						c.AppendNum(row, map[bool]uint64{true: 1}[v])
					case string:
						c.AppendString(row, []byte(v))
					}
				}
				if c.Len() > 0 {
					rows.Columns[i] = c
				}
			}
			b.rowsRead.Add(int64(len(rows.Times)))
			err := yield(rows)
			for i := range rows.Times {
				rows.Times[i] = -1
			}
			for _, c := range rows.Columns {
				if c != nil {
					clear(c.Nums)
					clear(c.Bytes)
				}
			}
			if err == point.ErrSkipSeries {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fakeHost has buckets by name.
type fakeHost map[string]*fakeBucket

func (h fakeHost) Snapshot(_ context.Context, name, id string) (point.Reader, error) {
	if b := h[name]; b != nil && id == "" {
		return b, nil
	}
	return nil, &NotFoundError{Bucket: name + id}
}

func (h fakeHost) Buckets(context.Context) ([]Bucket, error) {
	var list []Bucket
	for _, name := range sortedKeys(h) {
		list = append(list, Bucket{Name: name, ID: "00000000000000b1", OrganizationID: "00000000000000a1", RetentionPeriod: time.Hour})
	}
	return list, nil
}
