package store

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/testkit"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 for a new one")

func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// testPoint is a point as a client would write it. Values are uint64 or string.
type testPoint struct {
	measurement string
	tags        []point.Tag
	time        int64
	fields      map[string]any
}

func (p *testPoint) key() string { return string(point.AppendSeriesKey(nil, p.measurement, p.tags)) }

// typeOf goes by the field's name, so that tests need not carry types around.
func typeOf(field string) point.FieldType {
	return map[byte]point.FieldType{'f': point.Float, 'i': point.Integer, 'u': point.Unsigned, 's': point.String, 'b': point.Boolean}[field[0]]
}

// resolved makes the batch of points as the engine would: what the bucket knows
// carries its id.
func resolved(b *Bucket, points []testPoint) *point.Batch {
	batch := point.GetBatch()
	batch.Epoch = b.Epoch()
	schema := b.Schema()
	news := map[string]int{}
	for _, p := range points {
		m := schema.Measurement([]byte(p.measurement))
		mid := point.MeasurementID(0)
		if m != nil {
			mid = m.ID
		}
		ti, t := batch.Table([]byte(p.measurement), mid)
		key := p.key()
		var ref point.SeriesRef
		if id, _, ok := b.LookupSeries([]byte(key)); ok {
			ref = point.SeriesRef(id)
		} else {
			i, ok := news[key]
			if !ok {
				i = len(batch.NewSeries)
				news[key] = i
				batch.NewSeries = append(batch.NewSeries, point.NewSeries{Key: []byte(key), Table: ti})
			}
			ref = point.NewSeriesBit | point.SeriesRef(i)
		}
		row := t.AppendRow(ref, p.time, uint32(t.Rows()+1))
		for _, name := range slices.Sorted(maps.Keys(p.fields)) {
			c := t.Column([]byte(name), typeOf(name))
			if f, ok := m.Field([]byte(name)); ok {
				c.Field = f.ID
			}
			switch v := p.fields[name].(type) {
			case uint64:
				c.AppendNum(row, v)
			case string:
				c.AppendString(row, []byte(v))
			}
		}
	}
	return batch
}

// rewrite puts the ids of new series into the rows.
func rewrite(batch *point.Batch) {
	for _, t := range batch.Tables {
		for i, ref := range t.Series {
			if ref.IsNew() {
				t.Series[i] = point.SeriesRef(batch.NewSeries[ref.NewIndex()].ID)
			}
		}
	}
}

// write takes points the whole way and returns their record.
func write(t testing.TB, b *Bucket, points []testPoint) []byte {
	t.Helper()
	batch := resolved(b, points)
	if _, err := b.Define(batch); err != nil {
		t.Fatal(err)
	}
	rewrite(batch)
	rec := logged(b, batch)
	b.Link(batch, Pack(batch))
	point.PutBatch(batch)
	return rec
}

// logged encodes a defined batch with what it needs and settles that.
func logged(b *Bucket, batch *point.Batch) []byte {
	var defs record.Definitions
	ps := b.PendingFor(batch)
	for _, p := range ps {
		p.AppendTo(&defs)
	}
	rec := record.Encode(nil, batch, &defs)
	b.Logged(ps)
	return rec
}

// model is what a bucket should answer: measurement, series key, time, field.
type model map[string]map[string]map[int64]map[string]any

func (m model) write(points []testPoint) {
	for _, p := range points {
		if m[p.measurement] == nil {
			m[p.measurement] = map[string]map[int64]map[string]any{}
		}
		if m[p.measurement][p.key()] == nil {
			m[p.measurement][p.key()] = map[int64]map[string]any{}
		}
		row := m[p.measurement][p.key()][p.time]
		if row == nil {
			row = map[string]any{}
			m[p.measurement][p.key()][p.time] = row
		}
		maps.Copy(row, p.fields)
	}
}

// read answers a request from the model, as text.
func (m model) read(measurement string, keys map[string]bool, fields []string, lo, hi int64) string {
	var out bytes.Buffer
	series := m[measurement]
	for _, key := range slices.Sorted(maps.Keys(series)) {
		if keys != nil && !keys[key] {
			continue
		}
		for _, t := range slices.Sorted(maps.Keys(series[key])) {
			row := series[key][t]
			line := ""
			for i, f := range fields {
				if v, ok := row[f]; ok {
					line += fmt.Sprintf(" %d:%s=%v", i, f, v)
				}
			}
			if line != "" && t >= lo && t <= hi {
				fmt.Fprintf(&out, "%s %d%s\n", key, t, line)
			}
		}
	}
	return out.String()
}

// read answers a request from a view, as text.
func read(t testing.TB, v *View, measurement string, ids []point.SeriesID, fields []string, lo, hi int64) string {
	t.Helper()
	var out bytes.Buffer
	req := point.ReadRequest{Measurement: measurement, Series: ids, Fields: fields, Min: lo, Max: hi}
	err := v.Read(context.Background(), req, func(s point.SeriesRows) error {
		if len(s.Columns) != len(fields) {
			t.Fatalf("%d columns for %d fields", len(s.Columns), len(fields))
		}
		lines := make([]string, len(s.Times))
		for i, c := range s.Columns {
			if c == nil {
				continue
			}
			if string(c.Name) != fields[i] || c.Type != typeOf(fields[i]) {
				t.Fatalf("column %q %s answers %q", c.Name, c.Type, fields[i])
			}
			for j := range c.Len() {
				var value any
				if c.Type == point.String {
					value = string(c.StringAt(j))
				} else {
					value = c.Nums[j]
				}
				if j > 0 && c.Row(j) <= c.Row(j-1) {
					t.Fatalf("rows %v do not ascend", c.Rows)
				}
				lines[c.Row(j)] += fmt.Sprintf(" %d:%s=%v", i, fields[i], value)
			}
		}
		for i, line := range lines {
			fmt.Fprintf(&out, "%s %d%s\n", v.b.SeriesKey(s.Series), s.Times[i], line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// compare reads everything, and a few random selections, from both.
func compare(t testing.TB, r *rand.Rand, v *View, m model) {
	t.Helper()
	if got, want := v.Measurements(), slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) {
		t.Fatalf("measurements %v, want %v", got, want)
	}
	for name, series := range m {
		types := map[string]point.FieldType{}
		for _, rows := range series {
			for _, row := range rows {
				for f := range row {
					types[f] = typeOf(f)
				}
			}
		}
		if got := v.Fields(name); !maps.Equal(got, types) {
			t.Fatalf("fields of %s: %v, want %v", name, got, types)
		}
		infos := v.Series(name)
		var keys []string
		for _, s := range infos {
			keys = append(keys, string(point.AppendSeriesKey(nil, name, s.Tags)))
			if key := string(v.b.SeriesKey(s.ID)); key != keys[len(keys)-1] {
				t.Fatalf("series %d has key %s and tags %v", s.ID, key, s.Tags)
			}
		}
		if want := slices.Sorted(maps.Keys(series)); !slices.Equal(keys, want) {
			t.Fatalf("series of %s: %v, want %v", name, keys, want)
		}
		fields := append(slices.Sorted(maps.Keys(types)), "f-unknown")
		if got, want := read(t, v, name, nil, fields, point.TimeMin, point.TimeMax), m.read(name, nil, fields, point.TimeMin, point.TimeMax); got != want {
			t.Fatalf("all of %s:\n%s\nwant:\n%s", name, got, want)
		}
		for range 3 {
			some := map[string]bool{}
			ids := []point.SeriesID{}
			for _, s := range infos {
				if r.IntN(4) == 0 || len(infos) > 40 && r.IntN(len(infos)) == 0 {
					ids = append(ids, s.ID)
					some[string(v.b.SeriesKey(s.ID))] = true
				}
			}
			ids = append(ids, point.SeriesIDMax) // unknown
			if r.IntN(2) == 0 {
				ids = append(ids, ids[0])
			}
			r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			lo, hi := int64(r.IntN(120)-10), int64(r.IntN(120)-10)
			wanted := []string{fields[r.IntN(len(fields))], fields[r.IntN(len(fields))]}
			if got, want := read(t, v, name, ids, wanted, lo, hi), m.read(name, some, wanted, lo, hi); got != want {
				t.Fatalf("%v of %d series of %s in [%d,%d]:\n%s\nwant:\n%s", wanted, len(ids), name, lo, hi, got, want)
			}
		}
	}
}

// randomPoints makes points whose series and times collide often.
func randomPoints(r *rand.Rand, n int) []testPoint {
	points := make([]testPoint, n)
	span := 1 + r.IntN(100)
	measurements := []string{"cpu", "mem", "a b,c"}[:1+r.IntN(3)]
	fields := []string{"f1", "f2", "i1", "u1", "s1", "s2", "b1", "i2"}
	for i := range points {
		p := &points[i]
		p.measurement = measurements[r.IntN(len(measurements))]
		if n := r.IntN(30); n > 0 {
			p.tags = []point.Tag{{Key: "host", Value: fmt.Sprint("h", n)}}
		}
		if r.IntN(10) == 0 {
			p.tags = append(p.tags, point.Tag{Key: "p q", Value: "x,y=z"})
		}
		p.time = int64(r.IntN(span))
		p.fields = map[string]any{}
		want := 1 + r.IntN(len(fields))
		for len(p.fields) == 0 || r.IntN(want) > 0 {
			f := fields[r.IntN(len(fields))]
			switch typeOf(f) {
			case point.String:
				p.fields[f] = fmt.Sprint("v", r.IntN(100))
			case point.Boolean:
				p.fields[f] = r.Uint64N(2)
			default:
				p.fields[f] = r.Uint64() >> r.IntN(64)
			}
		}
	}
	return points
}

// TestModel writes random batches of all sizes, and checks now and then that
// views old and new, and a bucket replayed from the log, answer like a map.
func TestModel(t *testing.T) {
	r := newRand(t)
	for round := range testkit.Rounds(3) {
		b := NewBucket(uint64(round), Options{})
		m := model{}
		var log [][]byte
		var old *View
		var oldWant string
		for i := range 60 {
			n := 1 + r.IntN(10)
			switch r.IntN(8) {
			case 0:
				n = segmentRowsMin * (1 + r.IntN(6))
			case 1:
				n = 1
			}
			points := randomPoints(r, n)
			if r.IntN(2) == 0 { // in order, as clients send them
				sort.SliceStable(points, func(i, j int) bool { return points[i].time < points[j].time })
			}
			log = append(log, write(t, b, points))
			m.write(points)
			if i == 20 {
				old = b.Snapshot()
				oldWant = m.read("cpu", nil, []string{"f1", "s1"}, 0, 1000)
			}
			if i%20 == 7 {
				compare(t, r, b.Snapshot(), m)
			}
		}
		compare(t, r, b.Snapshot(), m)
		if got := read(t, old, "cpu", nil, []string{"f1", "s1"}, 0, 1000); got != oldWant {
			t.Fatalf("an old view has changed:\n%s\nwant:\n%s", got, oldWant)
		}
		again := NewBucket(99, Options{})
		for _, rec := range log {
			if err := again.Replay(0, rec); err != nil {
				t.Fatal(err)
			}
		}
		compare(t, r, again.Snapshot(), m)
		x, y := b.Stats(), again.Stats()
		x.Bytes, y.Bytes = 0, 0
		if x.Series != y.Series || x.Points != y.Points || x.Values != y.Values || x.Fields != y.Fields {
			t.Fatalf("stats %+v, replayed %+v", x, y)
		}
	}
}

// TestTail drives the tail past its limits with single lines.
func TestTail(t *testing.T) {
	r := newRand(t)
	b := NewBucket(1, Options{})
	m := model{}
	n := 2*tailRowsMax + 100
	for i := range n {
		p := randomPoints(r, 1)
		p[0].measurement, p[0].time = "cpu", int64(i/2)
		write(t, b, p)
		m.write(p)
		if i == tailRowsMax-1 || i == tailRowsMax {
			compare(t, r, b.Snapshot(), m)
		}
	}
	compare(t, r, b.Snapshot(), m)
	if s := b.Stats(); s.Segments != 2 || s.Points != int64(n) {
		t.Errorf("%+v after %d lines", s, n)
	}
	write(t, b, []testPoint{{measurement: "cpu", fields: map[string]any{"s1": string(make([]byte, segmentBytesMin))}}})
	if s := b.Stats(); s.Segments != 4 {
		t.Errorf("a large point is no segment of its own: %+v", s)
	}
}

// TestGroups reads more rows and cells than fit into one group.
func TestGroups(t *testing.T) {
	r := newRand(t)
	b := NewBucket(1, Options{})
	m := model{}
	for i := range 10 {
		points := make([]testPoint, 1000)
		for j := range points {
			points[j] = testPoint{"cpu", []point.Tag{{Key: "host", Value: fmt.Sprintf("h%04d", r.IntN(500))}}, int64(i), map[string]any{"i1": uint64(j), "s1": "x"}}
		}
		write(t, b, points)
		m.write(points)
	}
	v := b.Snapshot()
	fields := []string{"i1", "s1"}
	want := m.read("cpu", nil, fields, 0, 100)
	if got := read(t, v, "cpu", nil, fields, 0, 100); got != want {
		t.Fatal("rows differ")
	}
	v.groupRows = 700
	if got := read(t, v, "cpu", nil, fields, 0, 100); got != want {
		t.Fatal("rows differ in groups of 700 rows")
	}
	v.groupRows, v.groupCells = groupRowsMax, 3
	if got := read(t, v, "cpu", nil, fields, 0, 100); got != want {
		t.Fatal("rows differ in groups of two series")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := v.Read(ctx, point.ReadRequest{Measurement: "cpu", Fields: fields, Max: 100}, func(point.SeriesRows) error { return nil }); err != context.Canceled {
		t.Errorf("canceled read: %v", err)
	}
	stop := fmt.Errorf("enough")
	if err := v.Read(context.Background(), point.ReadRequest{Measurement: "cpu", Fields: fields, Max: 100}, func(point.SeriesRows) error { return stop }); err != stop {
		t.Errorf("stopped read: %v", err)
	}
}

// TestSeriesOrder extends the remembered order by few and by many series, and
// asks views that are older than it.
func TestSeriesOrder(t *testing.T) {
	r := newRand(t)
	b := NewBucket(1, Options{})
	var views []*View
	var want [][]string
	var keys []string
	for _, n := range []int{3, 100, 2, 5, 300, 1} {
		var points []testPoint
		for range n {
			p := pt("cpu", fmt.Sprint("h", len(keys), "-", r.Uint32()), "f1", 1)
			if r.IntN(2) == 0 {
				p.tags[0].Value = p.tags[0].Value[1:] // before the others
			}
			points = append(points, p)
			keys = append(keys, p.key())
		}
		write(t, b, points)
		views = append(views, b.Snapshot())
		want = append(want, slices.Sorted(slices.Values(keys)))
	}
	for _, i := range r.Perm(len(views)) {
		var got []string
		for _, s := range views[i].Series("cpu") {
			got = append(got, string(b.SeriesKey(s.ID)))
		}
		if !slices.Equal(got, want[i]) {
			t.Fatalf("view %d: %v, want %v", i, got, want[i])
		}
	}
}
