package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"headgate/engine/point"
	"headgate/engine/record"
)

func pt(measurement, host, field string, time int64) testPoint {
	p := testPoint{measurement: measurement, time: time, fields: map[string]any{field: uint64(1)}}
	if host != "" {
		p.tags = []point.Tag{{Key: "host", Value: host}}
	}
	if typeOf(field) == point.String {
		p.fields[field] = "text"
	}
	return p
}

func TestDefineRace(t *testing.T) {
	b := NewBucket(7, Options{})
	// Two requests resolve the same new things under the same schema.
	x := resolved(b, []testPoint{pt("cpu", "a", "f1", 1), pt("cpu", "b", "f1", 1)})
	y := resolved(b, []testPoint{pt("cpu", "b", "f1", 2), pt("cpu", "c", "i1", 2)})
	px, err := b.Define(x)
	if err != nil || px == nil {
		t.Fatal(px, err)
	}
	py, err := b.Define(y)
	if err != nil || py == nil {
		t.Fatal(py, err)
	}
	if x.Tables[0].ID != y.Tables[0].ID || x.Tables[0].Columns[0].Field != y.Tables[0].Columns[0].Field || x.NewSeries[1].ID != y.NewSeries[0].ID {
		t.Errorf("the second define made its own ids: %+v, %+v", x.NewSeries, y.NewSeries)
	}
	var d record.Definitions
	py.AppendTo(&d)
	if len(d.Measurements) != 0 || len(d.Fields) != 1 || len(d.Series) != 1 || string(d.Series[0].Key) != "cpu,host=c" {
		t.Errorf("second define is pending with %+v", d)
	}
	// The same again defines nothing.
	if p, err := b.Define(resolved(b, []testPoint{pt("cpu", "a", "f1", 3)})); p != nil || err != nil {
		t.Error(p, err)
	}
}

func TestDefineConflict(t *testing.T) {
	b := NewBucket(1, Options{})
	late := resolved(b, []testPoint{pt("cpu", "new", "f1", 1), pt("mem", "", "i9", 1)})
	if _, err := b.Define(resolved(b, []testPoint{pt("cpu", "a", "f1", 1)})); err != nil {
		t.Fatal(err)
	}
	late.Tables[0].Columns[0].Type = point.Integer
	before := b.Stats()
	if p, err := b.Define(late); !errors.Is(err, ErrConflict) || p != nil {
		t.Fatal(p, err)
	}
	if b.Stats() != before || late.Tables[0].ID != 0 || late.NewSeries[0].ID != 0 || b.Schema().Measurement([]byte("mem")) != nil {
		t.Error("a conflict left something behind")
	}
	if _, _, ok := b.LookupSeries([]byte("cpu,host=new")); ok {
		t.Error("a conflict left a series behind")
	}
	// Two types of one new field in one batch.
	two := resolved(b, []testPoint{pt("disk", "a", "f1", 1)})
	two.Tables[0].Column([]byte("f1"), point.String).AppendString(0, []byte("x"))
	if _, err := b.Define(two); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
}

func TestDefineSeriesLimit(t *testing.T) {
	b := NewBucket(1, Options{SeriesMax: 3})
	stale := resolved(b, []testPoint{pt("cpu", "a", "f1", 1), pt("cpu", "b", "f1", 1)})
	write(t, b, []testPoint{pt("cpu", "a", "f1", 1), pt("cpu", "b", "f1", 1)})
	over := resolved(b, []testPoint{pt("cpu", "c", "f2", 1), pt("cpu", "d", "f2", 1)})
	if _, err := b.Define(over); !errors.Is(err, ErrSeriesLimit) || over.NewSeries[0].ID != 0 {
		t.Error(err)
	}
	if _, ok := b.Schema().Measurement([]byte("cpu")).Field([]byte("f2")); ok {
		t.Error("a refused define left its field behind")
	}
	if _, err := b.Define(stale); err != nil || stale.NewSeries[1].ID == 0 {
		t.Error("series that exist count against the limit:", err)
	}
	if _, err := b.Define(resolved(b, []testPoint{pt("cpu", "c", "f2", 1)})); err != nil {
		t.Error(err)
	}
	long := resolved(b, []testPoint{pt("cpu", string(make([]byte, seriesKeyLenMax)), "f1", 1)})
	if _, err := b.Define(long); !errors.Is(err, ErrSeriesKey) {
		t.Error(err)
	}
}

func TestDefineSchemaLimits(t *testing.T) {
	b := NewBucket(1, Options{MeasurementsMax: 2, FieldsMax: 2})
	write(t, b, []testPoint{pt("cpu", "a", "f1", 1)})
	before := b.Stats()
	over := resolved(b, []testPoint{pt("mem", "a", "f1", 1), pt("disk", "a", "f1", 1)})
	if _, err := b.Define(over); !errors.Is(err, ErrMeasurementLimit) || over.Tables[0].ID != 0 {
		t.Error(err)
	}
	for _, measurement := range []string{"cpu", "mem"} {
		over := resolved(b, []testPoint{pt(measurement, "a", "f1", 1), pt(measurement, "a", "f2", 1), pt(measurement, "a", "f3", 1)})
		if _, err := b.Define(over); !errors.Is(err, ErrFieldLimit) {
			t.Error(measurement, err)
		}
	}
	if b.Stats() != before {
		t.Error("a refused define left something behind")
	}
	write(t, b, []testPoint{pt("cpu", "a", "f2", 1), pt("mem", "a", "f1", 1), pt("mem", "a", "f2", 1)})
	if _, err := b.Define(resolved(b, []testPoint{pt("disk", "a", "f1", 1)})); !errors.Is(err, ErrMeasurementLimit) {
		t.Error(err)
	}
	// A full bucket takes what it knows.
	write(t, b, []testPoint{pt("cpu", "b", "f2", 2), pt("mem", "b", "f1", 2)})
}

// TestDefinedIsInvisible: what was never linked shows in no view.
func TestDefinedIsInvisible(t *testing.T) {
	b := NewBucket(1, Options{})
	write(t, b, []testPoint{pt("cpu", "a", "f1", 1)})
	if _, err := b.Define(resolved(b, []testPoint{pt("cpu", "b", "f2", 1), pt("mem", "a", "f1", 1)})); err != nil {
		t.Fatal(err)
	}
	v := b.Snapshot()
	if got := v.Measurements(); !slices.Equal(got, []string{"cpu"}) {
		t.Error(got)
	}
	if got := v.Fields("cpu"); len(got) != 1 {
		t.Error(got)
	}
	if v.Fields("mem") != nil || v.Series("mem") != nil || len(v.Series("cpu")) != 1 {
		t.Error("defined things are visible")
	}
}

func TestPending(t *testing.T) {
	b := NewBucket(1, Options{})
	define := func(points ...testPoint) (*point.Batch, *Pending) {
		t.Helper()
		batch := resolved(b, points)
		p, err := b.Define(batch)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(batch)
		return batch, p
	}
	expect := func(name string, batch *point.Batch, want ...*Pending) {
		t.Helper()
		if got := b.PendingFor(batch); !slices.Equal(got, want) {
			t.Errorf("%s: %d pendings, want %d", name, len(got), len(want))
		}
	}
	x, px := define(pt("cpu", "a", "f1", 1))
	expect("own", x, px)
	y, py := define(pt("cpu", "a", "f2", 1))
	expect("new field of a pending measurement", y, px, py)
	z, pz := define(pt("mem", "a", "f1", 1), pt("cpu", "b", "f1", 1))
	// z's series of cpu needs px even for a batch that only has mem.
	w, pw := define(pt("mem", "a", "f1", 2))
	if pw != nil {
		t.Fatal("nothing was new")
	}
	expect("through a measurement", w, px, pz)
	expect("two", z, px, pz)
	other, po := define(pt("disk", "a", "f1", 1))
	expect("unrelated", other, po)

	b.Logged([]*Pending{px, pz})
	expect("logged", x)
	expect("logged", w)
	expect("field left", y, py)
	b.Logged(b.PendingFor(y))
	b.Logged(b.PendingFor(other))
	if n := testing.AllocsPerRun(10, func() { expect("nothing pending", z) }); n > 0 {
		t.Errorf("PendingFor allocates %v with nothing pending", n)
	}
}

// TestPendingRecords plays requests that overtake one another or never arrive,
// and replays what was logged: every record must find its ids defined.
func TestPendingRecords(t *testing.T) {
	r := newRand(t)
	for range 20 {
		b := NewBucket(1, Options{})
		m := model{}
		type request struct {
			points []testPoint
			batch  *point.Batch
			ps     []*Pending
			rec    []byte
		}
		var open []*request
		var log [][]byte
		for range 300 {
			switch {
			case len(open) < 8 && r.IntN(2) == 0: // resolve
				points := randomPoints(r, 1+r.IntN(4))
				for i := range points {
					points[i].measurement = fmt.Sprint("m", r.IntN(12))
				}
				open = append(open, &request{points: points, batch: resolved(b, points)})
			case len(open) > 0:
				i := r.IntN(len(open))
				q := open[i]
				if r.IntN(10) == 0 { // abandoned
					open = slices.Delete(open, i, i+1)
					break
				}
				switch {
				case q.ps == nil && q.rec == nil:
					if _, err := b.Define(q.batch); err != nil {
						t.Fatal(err)
					}
					rewrite(q.batch)
					var defs record.Definitions
					q.ps = b.PendingFor(q.batch)
					for _, p := range q.ps {
						p.AppendTo(&defs)
					}
					q.rec = record.Encode(nil, q.batch, &defs)
				default:
					b.Logged(q.ps)
					log = append(log, q.rec)
					b.Link(q.batch, Pack(q.batch))
					m.write(q.points)
					open = slices.Delete(open, i, i+1)
				}
			}
		}
		compare(t, r, b.Snapshot(), m)
		again := NewBucket(2, Options{})
		for _, rec := range log {
			if err := again.Replay(0, rec); err != nil {
				t.Fatal(err)
			}
		}
		compare(t, r, again.Snapshot(), m)
		// It goes on where it was, past the gaps.
		points := randomPoints(r, 20)
		write(t, again, points)
		m.write(points)
		compare(t, r, again.Snapshot(), m)
	}
}

func TestReplayInconsistent(t *testing.T) {
	row := func(id point.MeasurementID, series point.SeriesRef, field point.FieldID, typ point.FieldType) *point.Batch {
		return &point.Batch{Tables: []*point.Table{{ID: id, Series: []point.SeriesRef{series}, Times: []int64{1},
			Columns: []*point.Column{{Type: typ, Field: field, Nums: []uint64{1}}}}}}
	}
	base := &record.Definitions{
		Measurements: []record.MeasurementDef{{ID: 1, Name: "cpu"}, {ID: 2, Name: "mem"}},
		Fields:       []record.FieldDef{{Measurement: 1, ID: 3, Type: point.Float, Name: "f1"}},
		Series:       []record.SeriesDef{{ID: 9, Measurement: 1, Key: []byte("cpu,host=a")}},
	}
	for _, c := range []struct {
		name  string
		defs  record.Definitions
		batch *point.Batch
		ok    bool
	}{
		{"the same again", *base, row(1, 9, 3, point.Float), true},
		{"another name", record.Definitions{Measurements: []record.MeasurementDef{{ID: 1, Name: "disk"}}}, &point.Batch{}, false},
		{"another id", record.Definitions{Measurements: []record.MeasurementDef{{ID: 5, Name: "cpu"}}}, &point.Batch{}, false},
		{"huge measurement id", record.Definitions{Measurements: []record.MeasurementDef{{ID: 1 << 30, Name: "x"}}}, &point.Batch{}, false},
		{"field of nothing", record.Definitions{Fields: []record.FieldDef{{Measurement: 7, ID: 1, Type: point.Float, Name: "f"}}}, &point.Batch{}, false},
		{"field of another type", record.Definitions{Fields: []record.FieldDef{{Measurement: 1, ID: 3, Type: point.Integer, Name: "f1"}}}, &point.Batch{}, false},
		{"field of another id", record.Definitions{Fields: []record.FieldDef{{Measurement: 1, ID: 4, Type: point.Float, Name: "f1"}}}, &point.Batch{}, false},
		{"huge field id", record.Definitions{Fields: []record.FieldDef{{Measurement: 1, ID: 1 << 30, Type: point.Float, Name: "f2"}}}, &point.Batch{}, false},
		{"series of nothing", record.Definitions{Series: []record.SeriesDef{{ID: 8, Measurement: 7, Key: []byte("x")}}}, &point.Batch{}, false},
		{"series of another id", record.Definitions{Series: []record.SeriesDef{{ID: 8, Measurement: 1, Key: []byte("cpu,host=a")}}}, &point.Batch{}, false},
		{"series of another key", record.Definitions{Series: []record.SeriesDef{{ID: 9, Measurement: 1, Key: []byte("cpu,host=b")}}}, &point.Batch{}, false},
		{"largest series id", record.Definitions{Series: []record.SeriesDef{{ID: point.SeriesIDMax, Measurement: 1, Key: []byte("cpu,host=z")}}}, row(1, point.SeriesRef(point.SeriesIDMax), 3, point.Float), true},
		{"points of nothing", record.Definitions{}, row(3, 9, 3, point.Float), false},
		{"points of another series", record.Definitions{}, row(1, 10, 3, point.Float), false},
		{"points of another measurement's series", record.Definitions{}, row(2, 9, 3, point.Float), false},
		{"values of nothing", record.Definitions{}, row(1, 9, 1, point.Float), false},
		{"values of another type", record.Definitions{}, row(1, 9, 3, point.Integer), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBucket(1, Options{})
			if err := b.Replay(0, record.Encode(nil, row(1, 9, 3, point.Float), base)); err != nil {
				t.Fatal(err)
			}
			err := b.Replay(0, record.Encode(nil, c.batch, &c.defs))
			if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInconsistent) {
				t.Error(err)
			}
		})
	}
	if err := NewBucket(1, Options{}).Replay(0, []byte("no record")); !errors.Is(err, record.ErrCorrupt) {
		t.Error(err)
	}
}

// TestTrie compares the trie with a map, with hashes that collide in part and
// in full.
func TestTrie(t *testing.T) {
	r := newRand(t)
	for _, mask := range []uint64{^uint64(0), 0xff, 1 << 63, 0x8000_0000_0000_0003} {
		hash := func(key string) uint64 {
			h := rand.NewPCG(uint64(len(key)), 7)
			for _, c := range []byte(key) {
				h.Seed(h.Uint64(), uint64(c))
			}
			return h.Uint64() & mask
		}
		var m trie[int]
		want := map[string]int{}
		var old trie[int]
		for i := range 1000 {
			key := fmt.Sprint("k", r.IntN(500))
			m = m.with(hash(key), key, i)
			want[key] = i
			if i == 0 {
				old = m
			}
		}
		if m.n != len(want) || old.n != 1 {
			t.Fatalf("%d entries, want %d; %d before", m.n, len(want), old.n)
		}
		for i := range 500 {
			key := fmt.Sprint("k", i)
			got, ok := m.get(hash(key), []byte(key))
			if w, has := want[key]; has != ok || got != w {
				t.Fatalf("%s is %d, %t; want %d", key, got, ok, w)
			}
		}
	}
}
