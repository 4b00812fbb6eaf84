package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
	"headgate/engine/testkit"
)

// newDiskBucket opens an empty bucket with a data store in memory.
func newDiskBucket(t testing.TB) *Bucket {
	t.Helper()
	data, err := disk.Open(disk.Options{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := data.Bucket(7)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenBucket(1, d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		if err := data.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// readLoad makes batches of points: of many series with few rows or few with
// many, in order or not, in one window or in several, with overwrites.
type readLoad struct {
	r      *rand.Rand
	series int
	span   int64
	unit   int64
	at     int64
	late   int // one in so many points is out of order
}

func newReadLoad(r *rand.Rand) *readLoad {
	l := &readLoad{r: r, series: 1 + r.IntN(3), span: 20_000, late: []int{1, 2, 20, 1 << 30}[r.IntN(4)]}
	if r.IntN(2) == 0 {
		l.series, l.span = 50+r.IntN(250), 100
	}
	l.unit = []int64{1, int64(windowLong) * 5 / l.span}[r.IntN(2)]
	return l
}

func (l *readLoad) batch() []testPoint {
	r := l.r
	points := make([]testPoint, 1+r.IntN(2500))
	fields := []string{"f1", "i1", "u1", "s1", "b1", "i2", "s2", "i3"}[:1+r.IntN(8)]
	dense := r.IntN(2) == 0
	one := r.IntN(4) == 0 // series
	for i := range points {
		p := &points[i]
		p.measurement = "cpu"
		host := i % l.series
		if one {
			host = 0
		}
		if host == 0 || one {
			l.at = (l.at + 1) % l.span
		}
		p.tags = []point.Tag{{Key: "host", Value: fmt.Sprint("h", host)}}
		p.time = l.at * l.unit
		if r.IntN(l.late) == 0 {
			p.time = r.Int64N(l.span) * l.unit
		}
		p.fields = map[string]any{}
		for _, f := range fields {
			if !dense && r.IntN(3) > 0 {
				continue
			}
			switch typeOf(f) {
			case point.String:
				p.fields[f] = fmt.Sprint("v", r.IntN(100))
			case point.Float:
				p.fields[f] = math.Float64bits(float64(p.time/l.unit) + float64(r.IntN(8))/4)
			case point.Boolean:
				p.fields[f] = r.Uint64N(2)
			default:
				p.fields[f] = uint64(p.time/l.unit) + r.Uint64N(50)
			}
		}
		if len(p.fields) == 0 {
			p.fields["u1"] = uint64(i)
		}
	}
	return points
}

// testMeter fails over a limit.
type testMeter struct{ held, most, limit int64 }

var errMeter = errors.New("too much memory")

func (m *testMeter) Hold(n int64) error {
	if n < 0 {
		panic("hold less than nothing")
	}
	if m.limit > 0 && m.held+n > m.limit {
		return errMeter
	}
	m.held += n
	m.most = max(m.most, m.held)
	return nil
}

func (m *testMeter) Release(n int64) {
	if n < 0 || n > m.held {
		panic("release more than is held")
	}
	m.held -= n
}

// row is a row as text, with its time.
type textRow struct {
	time int64
	text string
}

// meets is what a row must do to be wanted.
func meets(row map[string]any, bounds []point.FieldBound) bool {
	for _, b := range bounds {
		v, ok := row[b.Field]
		if !ok {
			return false
		}
		var f float64
		switch typeOf(b.Field) {
		case point.Float:
			f = math.Float64frombits(v.(uint64))
		case point.Integer:
			f = float64(int64(v.(uint64)))
		case point.Unsigned:
			f = float64(v.(uint64))
		default:
			continue
		}
		if f < b.Min || f > b.Max {
			return false
		}
	}
	return true
}

// checkRead compares a Read with the model.
func checkRead(t *testing.T, v *View, m model, req point.ReadRequest, skip func() bool) {
	t.Helper()
	wanted := map[point.SeriesID]bool{}
	for _, id := range req.Series {
		wanted[id] = true
	}
	got := map[string][]textRow{}
	var keys []string
	skipped := map[string]bool{}
	err := v.Read(context.Background(), req, func(s point.SeriesRows) error {
		key := string(v.b.SeriesKey(s.Series))
		if len(keys) == 0 || keys[len(keys)-1] != key {
			if got[key] != nil {
				t.Fatalf("series %s again", key)
			}
			keys = append(keys, key)
		}
		if skipped[key] {
			t.Fatalf("series %s after it was skipped", key)
		}
		if len(s.Times) == 0 || len(s.Times) > v.groupRows || len(s.Columns) != len(req.Fields) {
			t.Fatalf("%d rows, %d columns", len(s.Times), len(s.Columns))
		}
		rows := make([]textRow, len(s.Times))
		for i, at := range s.Times {
			if i > 0 && at <= s.Times[i-1] {
				t.Fatalf("times %v", s.Times)
			}
			rows[i].time = at
		}
		for i, c := range s.Columns {
			if c == nil {
				continue
			}
			if string(c.Name) != req.Fields[i] || c.Type != typeOf(req.Fields[i]) || c.Rows != nil && len(c.Rows) != c.Len() || c.Rows == nil && c.Len() != len(s.Times) {
				t.Fatalf("column %q %s with %d values, %d rows of %d, answers %s", c.Name, c.Type, c.Len(), len(c.Rows), len(s.Times), req.Fields[i])
			}
			for k := range c.Len() {
				rows[c.Row(k)].text += fmt.Sprintf(" %d:%v", i, valueAt(c, k))
			}
		}
		if req.Descending {
			slices.Reverse(rows)
		}
		got[key] = append(got[key], rows...)
		if skip() {
			skipped[key] = true
			return point.ErrSkipSeries
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	id := func(key string) point.SeriesID {
		id, _, _ := v.b.LookupSeries([]byte(key))
		return id
	}
	byID := func(x, y string) int { return cmp.Compare(id(x), id(y)) }
	if req.ByID && !slices.IsSortedFunc(keys, byID) || !req.ByID && !slices.IsSorted(keys) {
		t.Fatalf("series in the order %v", keys)
	}
	for key, rows := range m["cpu"] {
		have := got[key]
		delete(got, key)
		if req.Series != nil && !wanted[id(key)] {
			if have != nil {
				t.Fatalf("series %s is not wanted", key)
			}
			continue
		}
		times := slices.Sorted(maps.Keys(rows))
		if req.Descending {
			slices.Reverse(times)
		}
		n := 0
		for _, at := range times {
			var text strings.Builder
			for i, f := range req.Fields {
				if value, ok := rows[at][f]; ok {
					fmt.Fprintf(&text, " %d:%v", i, value)
				}
			}
			if text.Len() == 0 || at < req.Min || at > req.Max {
				continue
			}
			if n < len(have) && have[n].time == at {
				if have[n].text != text.String() {
					t.Fatalf("series %s, time %d:%s, want%s", key, at, have[n].text, text.String())
				}
				n++
				continue
			}
			if !meets(rows[at], req.Where) {
				continue
			}
			if n == len(have) && (req.RowsMax > 0 && n >= req.RowsMax || skipped[key]) {
				break
			}
			t.Fatalf("series %s: row %d is not at %d but %v", key, n, at, have[n:min(n+1, len(have))])
		}
		if n != len(have) {
			t.Fatalf("series %s: %d rows are left", key, len(have)-n)
		}
	}
	if len(got) > 0 {
		t.Fatalf("series %v", slices.Collect(maps.Keys(got)))
	}
}

// TestRead compares all kinds of requests, over memtables and parts, with a map.
func TestRead(t *testing.T) {
	r := newRand(t)
	for round := range testkit.Rounds(6) {
		l := newReadLoad(r)
		b := newDiskBucket(t)
		m := model{}
		for seq := range uint64(2 + r.IntN(12)) {
			points := l.batch()
			write(t, b, points)
			m.write(points)
			switch r.IntN(6) {
			case 0:
				b.Freeze(seq + 1)
			case 1, 2:
				b.Freeze(seq + 1)
				if _, err := b.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
			case 3:
				if _, err := b.Compact(context.Background(), true); err != nil {
					t.Fatal(err)
				}
			}
		}
		v := b.Snapshot()
		infos := v.Series("cpu")
		var fields []string
		for f := range v.Fields("cpu") {
			fields = append(fields, f)
		}
		fields = append(fields, "f-unknown")
		for i := range 40 {
			v.groupRows = []int{groupRowsMax, 700, 1}[r.IntN(3)]
			v.groupCells = []int{groupCellsMax, 20_000, 1}[r.IntN(3)]
			req := point.ReadRequest{Measurement: "cpu", Min: point.TimeMin, Max: point.TimeMax, Descending: r.IntN(2) == 0, ByID: r.IntN(2) == 0}
			for range 1 + r.IntN(4) {
				req.Fields = append(req.Fields, fields[r.IntN(len(fields))])
			}
			if r.IntN(3) > 0 {
				req.Min = l.unit * (r.Int64N(l.span+20) - 10)
				req.Max = req.Min + l.unit*r.Int64N(l.span)
			}
			if r.IntN(2) == 0 {
				req.Series = []point.SeriesID{point.SeriesIDMax}
				for range r.IntN(10) {
					req.Series = append(req.Series, infos[r.IntN(len(infos))].ID)
				}
			}
			if r.IntN(2) == 0 {
				req.RowsMax = 1 + r.IntN([]int{1, 10, 5000}[r.IntN(3)])
			}
			if r.IntN(3) == 0 {
				f := req.Fields[r.IntN(len(req.Fields))]
				lo := float64(r.Int64N(l.span))
				req.Where = []point.FieldBound{{Field: f, Min: lo, Max: lo + float64(r.Int64N(l.span))}}
				if r.IntN(2) == 0 {
					req.Where[0].Min = math.Inf(-1)
				}
			}
			meter := &testMeter{}
			req.Meter = meter
			skip := func() bool { return false }
			if r.IntN(3) == 0 {
				skip = func() bool { return r.IntN(3) == 0 }
			}
			if !t.Run(fmt.Sprintf("%d-%d", round, i), func(t *testing.T) { checkRead(t, v, m, req, skip) }) {
				t.Fatalf("request %+v", req)
			}
			if meter.held != 0 {
				t.Fatalf("%d bytes are still held", meter.held)
			}
			if meter.most > 0 {
				meter.limit = 1 + r.Int64N(meter.most)
				if err := v.Read(context.Background(), req, func(point.SeriesRows) error { return nil }); err != nil && err != errMeter || meter.held != 0 {
					t.Fatalf("over the limit: %v, %d bytes held", err, meter.held)
				}
			}
		}
		v.Close()
	}
}

// TestReadCorrupt flips a bit of a block at a time: a Read that needs what has been
// hit fails, names the block and leaves nothing charged; others do not notice.
func TestReadCorrupt(t *testing.T) {
	r := newRand(t)
	rows := &block.Rows{Series: []point.SeriesID{1, 2}, Ends: []uint32{50, 100}}
	columns := []*point.Column{{Field: 1, Type: point.Integer}, {Field: 2, Type: point.String}}
	for i := range 100 {
		rows.Times = append(rows.Times, int64(i)*10)
		columns[0].AppendNum(i, r.Uint64N(1000))
		columns[1].AppendString(i, fmt.Append(nil, "v", r.IntN(20)))
	}
	rows.Columns = columns
	var e block.Encoder
	good, err := e.Encode(nil, 1, rows, block.Fast)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 40 {
		b := newDiskBucket(t)
		write(t, b, []testPoint{
			{measurement: "cpu", tags: []point.Tag{{Key: "host", Value: "a"}}, fields: map[string]any{"i1": uint64(1)}},
			{measurement: "cpu", tags: []point.Tag{{Key: "host", Value: "b"}}, fields: map[string]any{"s1": "x"}},
		})
		data := slices.Clone(good)
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
		w := b.newPart(new(jobScratch), window{0, 1000}, 1, 1, 0, block.Fast)
		meta := disk.BlockMeta{SeriesMin: 1, SeriesMax: 2, TimeMin: 0, TimeMax: 990, Rows: 100, Values: 200, Bytes: uint32(len(data))}
		if err := w.w.Add(1, meta, rows.Series, []point.FieldID{1, 2}, data); err != nil {
			t.Fatal(err)
		}
		if err := b.commit(context.Background(), new(disk.Edit), []*partWriter{w}, 0); err != nil {
			t.Fatal(err)
		}
		v := b.Snapshot()
		one := 0
		for _, fields := range [][]string{{"i1"}, {"s1"}, {"i1", "s1"}} {
			meter := &testMeter{}
			req := point.ReadRequest{Measurement: "cpu", Fields: fields, Min: 10, Max: 900, Meter: meter}
			err := v.Read(context.Background(), req, func(s point.SeriesRows) error { return nil })
			if err != nil {
				one++
				if !errors.Is(err, block.ErrCorrupt) || !strings.Contains(err.Error(), "block 0") {
					t.Errorf("%v: %v", fields, err)
				}
			}
			if meter.held != 0 {
				t.Errorf("%v: %d bytes are held", fields, meter.held)
			}
		}
		if one > 0 {
			failed++
		}
		v.Close()
	}
	if failed < 20 {
		t.Errorf("%d of 40 blocks were found corrupt", failed)
	}
}
