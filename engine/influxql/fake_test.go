package influxql

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/influxdb/models"

	"headgate/engine/point"
)

// fakeBucket is a bucket held in maps. It implements point.Reader by the letter of
// its contract: columns are sparse where values are missing, and their memory is
// scribbled over once the reader's caller has returned.
type fakeBucket struct {
	measurements map[string]*fakeMeasurement
	ids          point.SeriesID
	reads        int
}

type fakeMeasurement struct {
	fields map[string]point.FieldType
	series map[string]*fakeSeries
}

type fakeSeries struct {
	info point.SeriesInfo
	rows map[int64]map[string]any
}

func newFakeBucket() *fakeBucket {
	return &fakeBucket{measurements: make(map[string]*fakeMeasurement)}
}

var uintSupport = sync.OnceFunc(models.EnableUintSupport)

// write adds lines of line protocol; times are in units of precision.
func (b *fakeBucket) write(lines, precision string, now time.Time) error {
	uintSupport()
	points, err := models.ParsePointsWithPrecision([]byte(lines), now, precision)
	if err != nil {
		return err
	}
	for _, p := range points {
		fields, err := p.Fields()
		if err != nil {
			return err
		}
		delete(fields, "time")
		if len(fields) > 0 {
			b.add(string(p.Name()), p.Tags(), p.UnixNano(), fields)
		}
	}
	return nil
}

func (b *fakeBucket) add(name string, tags models.Tags, at int64, fields models.Fields) {
	m := b.measurements[name]
	if m == nil {
		m = &fakeMeasurement{fields: make(map[string]point.FieldType), series: make(map[string]*fakeSeries)}
		b.measurements[name] = m
	}
	for k, v := range fields {
		if have, ok := m.fields[k]; ok && have != typeOf(v) {
			return // the point is dropped
		}
	}
	var ts []point.Tag
	for _, t := range tags {
		ts = append(ts, point.Tag{Key: string(t.Key), Value: string(t.Value)})
	}
	key := string(point.AppendSeriesKey(nil, name, ts))
	s := m.series[key]
	if s == nil {
		b.ids++
		// Ids are handed out by arrival, not by key.
		s = &fakeSeries{info: point.SeriesInfo{ID: b.ids, Tags: ts}, rows: make(map[int64]map[string]any)}
		m.series[key] = s
	}
	if s.rows[at] == nil {
		s.rows[at] = make(map[string]any)
	}
	for k, v := range fields {
		m.fields[k] = typeOf(v)
		s.rows[at][k] = v
	}
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

func (b *fakeBucket) Measurements() []string {
	names := make([]string, 0, len(b.measurements))
	for name := range b.measurements {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (b *fakeBucket) Fields(name string) map[string]point.FieldType {
	if m := b.measurements[name]; m != nil {
		return m.fields
	}
	return nil
}

func (b *fakeBucket) keys(name string) []string {
	var keys []string
	if m := b.measurements[name]; m != nil {
		for key := range m.series {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// readOrder lists the series that a request selects, in its order.
func (b *fakeBucket) readOrder(r point.ReadRequest) []*fakeSeries {
	var series []*fakeSeries
	for _, key := range b.keys(r.Measurement) {
		s := b.measurements[r.Measurement].series[key]
		if r.Series == nil || slices.Contains(r.Series, s.info.ID) {
			series = append(series, s)
		}
	}
	if r.ByID {
		slices.SortFunc(series, func(x, y *fakeSeries) int { return int(x.info.ID) - int(y.info.ID) })
	}
	return series
}

func (b *fakeBucket) Series(name string) []point.SeriesInfo {
	var series []point.SeriesInfo
	for _, key := range b.keys(name) {
		series = append(series, b.measurements[name].series[key].info)
	}
	return series
}

func (b *fakeBucket) SeriesWhere(name string, f *point.TagFilter) ([]point.SeriesInfo, error) {
	return point.FilterSeries(b.Series(name), f), nil
}

func (b *fakeBucket) Read(ctx context.Context, r point.ReadRequest, yield func(point.SeriesRows) error) error {
	b.reads++
	for _, s := range b.readOrder(r) {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := s.read(r)
		if len(rows.Times) == 0 {
			continue
		}
		if err := yield(rows); err != nil && err != point.ErrSkipSeries {
			return err
		}
		for i := range rows.Times {
			rows.Times[i] = -1
		}
		for _, c := range rows.Columns {
			if c != nil {
				clear(c.Nums)
				clear(c.Bytes)
			}
		}
	}
	return nil
}

func (s *fakeSeries) read(r point.ReadRequest) point.SeriesRows {
	rows := point.SeriesRows{Series: s.info.ID, Columns: make([]*point.Column, len(r.Fields))}
	var times []int64
	for at, fields := range s.rows {
		has := slices.ContainsFunc(r.Fields, func(f string) bool { return fields[f] != nil })
		if has && at >= r.Min && at <= r.Max {
			times = append(times, at)
		}
	}
	slices.Sort(times)
	rows.Times = times
	for row, at := range times {
		for i, field := range r.Fields {
			v, ok := s.rows[at][field]
			if !ok {
				continue
			}
			c := rows.Columns[i]
			if c == nil {
				c = &point.Column{Type: typeOf(v)}
				rows.Columns[i] = c
			}
			switch v := v.(type) {
			case float64:
				c.AppendNum(row, math.Float64bits(v))
			case int64:
				c.AppendNum(row, uint64(v))
			case uint64:
				c.AppendNum(row, v)
			case bool:
				var num uint64
				if v {
					num = 1
				}
				c.AppendNum(row, num)
			case string:
				c.AppendString(row, []byte(v))
			}
		}
	}
	return rows
}

// fakeHost has databases of buckets and notes what it is asked to change.
type fakeHost struct {
	order    []string
	policies map[string][]RetentionPolicy
	buckets  map[bucketName]point.Reader
	changes  []string
	failNext error
}

func newFakeHost() *fakeHost {
	return &fakeHost{policies: make(map[string][]RetentionPolicy), buckets: make(map[bucketName]point.Reader)}
}

func (h *fakeHost) add(db, rp string, isDefault bool, r point.Reader) {
	if _, ok := h.policies[db]; !ok {
		h.order = append(h.order, db)
	}
	h.policies[db] = append(h.policies[db], RetentionPolicy{Name: rp, ShardGroupDuration: 7 * 24 * time.Hour, ReplicaN: 1, Default: isDefault})
	h.buckets[bucketName{db, rp}] = r
}

func (h *fakeHost) Databases(context.Context) ([]string, error) { return h.order, nil }

func (h *fakeHost) RetentionPolicies(_ context.Context, db string) ([]RetentionPolicy, error) {
	return h.policies[db], nil
}

func (h *fakeHost) Snapshot(_ context.Context, db, rp string) (point.Reader, error) {
	policies, ok := h.policies[db]
	if !ok {
		return nil, ErrDatabaseNotFound{db}
	}
	for _, p := range policies {
		if p.Name == rp || rp == "" && p.Default {
			return h.buckets[bucketName{db, p.Name}], nil
		}
	}
	return nil, ErrRetentionPolicyNotFound{rp}
}

func (h *fakeHost) SnapshotToDelete(ctx context.Context, db string) (point.Reader, error) {
	return h.Snapshot(ctx, db, "")
}

func (h *fakeHost) change(format string, args ...any) error {
	h.changes = append(h.changes, fmt.Sprintf(format, args...))
	err := h.failNext
	h.failNext = nil
	return err
}

func deref[T any](p *T) any {
	if p == nil {
		return "unset"
	}
	return *p
}

func (h *fakeHost) CreateDatabase(_ context.Context, r CreateDatabase) error {
	if rp := r.RetentionPolicy; rp != nil {
		return h.change("create database %q with policy %q duration %v replication %v shard %v",
			r.Name, rp.Name, deref(rp.Duration), deref(rp.ReplicaN), rp.ShardGroupDuration)
	}
	return h.change("create database %q", r.Name)
}

func (h *fakeHost) DropDatabase(_ context.Context, db string) error {
	return h.change("drop database %q", db)
}

func (h *fakeHost) CreateRetentionPolicy(_ context.Context, r CreateRetentionPolicy) error {
	return h.change("create policy %+v", r)
}

func (h *fakeHost) AlterRetentionPolicy(_ context.Context, r AlterRetentionPolicy) error {
	return h.change("alter policy %q on %q duration %v replication %v shard %v default %v",
		r.Name, r.Database, deref(r.Duration), deref(r.ReplicaN), deref(r.ShardGroupDuration), r.Default)
}

func (h *fakeHost) DropRetentionPolicy(_ context.Context, db, name string) error {
	return h.change("drop policy %q on %q", name, db)
}

func (h *fakeHost) Delete(_ context.Context, r DeleteRequest) error {
	var keys []string
	if _, ok := h.policies[r.Database]; !ok {
		return ErrDatabaseNotFound{r.Database}
	}
	for _, p := range h.policies[r.Database] {
		if !p.Default && !r.AllRetentionPolicies {
			continue
		}
		s := h.buckets[bucketName{r.Database, p.Name}]
		for _, name := range s.Measurements() {
			match := r.Series.Filter(name)
			for _, info := range s.Series(name) {
				one := r.Series.Match(name, info.Tags)
				if one != (match != nil && match(info.Tags)) {
					return fmt.Errorf("Match and Filter disagree")
				}
				if one {
					keys = append(keys, string(point.AppendSeriesKey(nil, name, info.Tags)))
				}
			}
		}
	}
	if again, err := ParseSeriesPredicate(r.Series.String()); err != nil || again.String() != r.Series.String() {
		return fmt.Errorf("predicate %q does not survive its text: %v", r.Series.String(), err)
	}
	return h.change("delete from %q all=%v [%d,%d] %q: %v", r.Database, r.AllRetentionPolicies, r.Min, r.Max, r.Series.String(), keys)
}

// jsonResult writes a result as InfluxDB does; epoch makes times integers.
func jsonResult(r Result, epoch bool) map[string]any {
	out := map[string]any{"statement_id": r.StatementID}
	if r.Err != nil {
		out["error"] = r.Err.Error()
	}
	if r.Partial {
		out["partial"] = true
	}
	var series []any
	for _, row := range r.Series {
		s := map[string]any{"columns": row.Columns}
		if row.Name != "" {
			s["name"] = row.Name
		}
		if len(row.Tags) > 0 {
			s["tags"] = row.Tags
		}
		if row.Partial {
			s["partial"] = true
		}
		var values [][]any
		for _, vs := range row.Values {
			vs = slices.Clone(vs)
			for i, v := range vs {
				if t, ok := v.(time.Time); ok {
					vs[i] = t.Format(time.RFC3339Nano)
					if epoch {
						vs[i] = t.UnixNano()
					}
				}
			}
			values = append(values, vs)
		}
		if values != nil {
			s["values"] = values
		}
		series = append(series, s)
	}
	if series != nil {
		out["series"] = series
	}
	return out
}

// answer runs q and merges its results as an unchunked response does.
func answer(t *testing.T, h Host, q Query, epoch bool) string {
	t.Helper()
	var results []map[string]any
	err := Run(context.Background(), h, q, func(r Result) error {
		j := jsonResult(r, epoch)
		delete(j, "partial")
		if n := len(results); n > 0 && results[n-1]["statement_id"] == r.StatementID {
			if more, ok := j["series"].([]any); ok {
				have, _ := results[n-1]["series"].([]any)
				results[n-1]["series"] = append(have, more...)
			}
			if e, ok := j["error"]; ok {
				results[n-1]["error"] = e
			}
			return nil
		}
		results = append(results, j)
		return nil
	})
	if err != nil {
		return err.Error()
	}
	body := map[string]any{}
	if results != nil {
		body["results"] = results
	}
	var sb strings.Builder
	enc := json.NewEncoder(&sb)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(sb.String())
}
