package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"headgate/engine/point"
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

// randomNums makes n values of one of the shapes that the encodings tell apart.
func randomNums(r *rand.Rand, typ point.FieldType, n int) []uint64 {
	v := make([]uint64, n)
	shape := r.IntN(9)
	base := r.Uint64() >> r.IntN(64)
	for i := range v {
		switch shape {
		case 0: // constant
			v[i] = base
		case 1: // counter
			base += uint64(r.IntN(1000))
			v[i] = base
		case 2: // small range, of every width
			v[i] = base + r.Uint64N(1<<(1+n%20))
		case 3: // negative and positive
			v[i] = uint64(r.Int64N(2001) - 1000)
		case 4: // anything
			v[i] = r.Uint64()
		case 5: // exactly regular
			v[i] = base + uint64(i)*10_000_000_000
		case 6: // coarse clock, not regular
			v[i] = 1_700_000_000_000_000_000 + uint64(r.IntN(5000))*1_000_000
		case 7: // extremes
			v[i] = []uint64{0, 1, math.MaxUint64, 1 << 63, 1<<63 - 1}[r.IntN(5)]
		case 8: // wide steps down
			base -= 1 << 40
			v[i] = base
		}
	}
	switch typ {
	case point.Boolean:
		for i := range v {
			v[i] &= 1
		}
	case point.Float:
		shape := r.IntN(7)
		for i := range v {
			var f float64
			switch shape {
			case 0:
				f = float64(r.IntN(100))
			case 1:
				f = float64(r.IntN(100000)) / 100
			case 2:
				f = r.Float64()
			case 3:
				f = float64(r.Float32())
			case 4: // decimals that a sample may miss
				f = float64(r.IntN(50)) / 2
				if r.IntN(200) == 0 {
					f = float64(r.IntN(1e7)) / 1e5
				}
			case 5:
				f = []float64{0, math.Copysign(0, -1), math.Inf(1), math.NaN(), math.MaxFloat64, 5e-324, 1 << 53, -1 << 60, 0.1}[r.IntN(9)]
			case 6:
				f = math.Float64frombits(v[i])
			}
			v[i] = math.Float64bits(f)
		}
	}
	return v
}

func randomColumn(r *rand.Rand, id point.FieldID, rows int) *point.Column {
	c := &point.Column{Type: point.FieldType(1 + r.IntN(5)), Field: id}
	n := rows
	switch r.IntN(4) {
	case 0: // dense prefix
		n = 1 + r.IntN(rows)
	case 1, 2: // rows listed, few or many
		keep := r.Float64()
		if r.IntN(2) == 0 {
			keep /= 20
		}
		for i := range rows {
			if r.Float64() < keep {
				c.Rows = append(c.Rows, uint32(i))
			}
		}
		if len(c.Rows) == 0 {
			c.Rows = []uint32{uint32(r.IntN(rows))}
		}
		n = len(c.Rows)
	}
	if c.Type != point.String {
		c.Nums = randomNums(r, c.Type, n)
		return c
	}
	distinct := []int{1, 3, 200, 1 << 20}[r.IntN(4)]
	for range n {
		s := fmt.Sprintf("value %d", r.IntN(distinct))
		if r.IntN(50) == 0 {
			s = ""
		}
		c.Bytes = append(c.Bytes, s...)
		c.Ends = append(c.Ends, uint32(len(c.Bytes)))
	}
	return c
}

func randomBatch(r *rand.Rand) (*point.Batch, *Definitions) {
	b, d := new(point.Batch), new(Definitions)
	for i := range r.IntN(4) {
		t := &point.Table{ID: point.MeasurementID(1 + i)}
		rows := 1 + r.IntN(40)
		if r.IntN(3) == 0 {
			rows = 1 + r.IntN(3000)
		}
		series := randomNums(r, point.Integer, rows)
		for i := range series {
			t.Series = append(t.Series, point.SeriesRef(1+series[i]%uint64(point.SeriesIDMax)))
			t.Lines = append(t.Lines, uint32(i+1))
		}
		for _, x := range randomNums(r, point.Integer, rows) {
			t.Times = append(t.Times, int64(x))
		}
		for j := range r.IntN(8) {
			t.Columns = append(t.Columns, randomColumn(r, point.FieldID(1+j), rows))
		}
		b.Tables = append(b.Tables, t)
	}
	for i := range r.IntN(5) {
		d.Measurements = append(d.Measurements, MeasurementDef{point.MeasurementID(1 + i), fmt.Sprint("m", i)})
		d.Fields = append(d.Fields, FieldDef{point.MeasurementID(1 + i), point.FieldID(1 + r.IntN(9)), point.FieldType(1 + r.IntN(5)), fmt.Sprint("f", i)})
	}
	for i := range r.IntN(50) {
		d.Series = append(d.Series, SeriesDef{point.SeriesID(1 + i), point.MeasurementID(1 + r.IntN(3)), fmt.Appendf(nil, "m,host=%d", r.Uint32())})
	}
	return b, d
}

// same compares what a record keeps.
func same(t *testing.T, got, want *point.Batch) {
	t.Helper()
	if len(got.Tables) != len(want.Tables) {
		t.Fatalf("%d tables, want %d", len(got.Tables), len(want.Tables))
	}
	for i, w := range want.Tables {
		g := got.Tables[i]
		if g.ID != w.ID || !slices.Equal(g.Series, w.Series) || !slices.Equal(g.Times, w.Times) || len(g.Columns) != len(w.Columns) {
			t.Fatalf("table %d differs", i)
		}
		for j, wc := range w.Columns {
			gc := g.Columns[j]
			wantRows := wc.Rows
			if len(wantRows) == w.Rows() {
				wantRows = nil
			}
			if gc.Field != wc.Field || gc.Type != wc.Type || !slices.Equal(gc.Rows, wantRows) || (gc.Rows == nil) != (wantRows == nil) ||
				!slices.Equal(gc.Nums, wc.Nums) || !slices.Equal(gc.Ends, wc.Ends) || !bytes.Equal(gc.Bytes, wc.Bytes) {
				t.Fatalf("table %d, column %d (%s) differs:\n%v\n%v", i, j, wc.Type, gc, wc)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	r := newRand(t)
	for range 400 {
		b, d := randomBatch(r)
		prefix := []byte("before")
		rec := Encode(slices.Clip(slices.Clone(prefix)), b, d)
		if !bytes.HasPrefix(rec, prefix) {
			t.Fatal("Encode changed what it appends to")
		}
		rec = rec[len(prefix):]
		if again := Encode(nil, b, d); !bytes.Equal(rec, again) {
			t.Fatal("the same batch made different bytes")
		}
		if k, err := KindOf(rec); k != KindWrite || err != nil {
			t.Fatalf("kind %d, %v", k, err)
		}
		got, gotDefs := new(point.Batch), new(Definitions)
		if err := Decode(rec, got, gotDefs); err != nil {
			t.Fatal(err)
		}
		kept := slices.Clone(rec)
		clear(rec) // nothing may alias it
		same(t, got, b)
		if len(d.Series)+len(d.Measurements) > 0 && !reflect.DeepEqual(gotDefs, d) {
			t.Fatalf("definitions differ:\n%v\n%v", gotDefs, d)
		}
		// Any flipped bit is noticed.
		kept[r.IntN(len(kept))] ^= 1 << r.IntN(8)
		if err := Decode(kept, new(point.Batch), new(Definitions)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("flipped bit: %v", err)
		}
		var c *CorruptError
		if err := Decode(rec[:r.IntN(len(rec))], new(point.Batch), new(Definitions)); !errors.As(err, &c) {
			t.Fatalf("truncated: %v", err)
		}
	}
}

// TestSequence drives every width, scale and mode at its edges.
func TestSequence(t *testing.T) {
	e := new(encoder)
	check := func(v []uint64, ordered, scaled bool) int {
		t.Helper()
		enc := e.appendSequence(nil, v, ordered, scaled)
		d := decoder{rec: enc, budget: 1 << 30}
		got := make([]uint64, len(v))
		d.sequence(got)
		if d.err != nil || d.at != len(enc) || !slices.Equal(got, v) {
			t.Fatalf("%v -> % x -> %v, %v", v, enc, got, d.err)
		}
		return len(enc)
	}
	for bits := range 65 {
		for n := range 70 {
			v := make([]uint64, n)
			for i := range v {
				v[i] = uint64(i%2) * (1<<bits - 1)
			}
			check(v, n%2 == 0, false)
			for _, scale := range scales {
				for i := range v {
					v[i] = uint64(int64(-5+i*i)) * scale
				}
				check(v, true, true)
			}
		}
	}
	regular := make([]uint64, 1000)
	for i := range regular {
		regular[i] = 1_700_000_000_000_000_000 + uint64(i)*10_000_000_000
	}
	if n := check(regular, true, true); n > 20 {
		t.Errorf("regular times take %d bytes", n)
	}
}

func TestEncodeSkipsEmpty(t *testing.T) {
	b := &point.Batch{Tables: []*point.Table{
		{ID: 0, Name: []byte("empty")},
		{ID: 1, Series: []point.SeriesRef{1}, Times: []int64{5}, Columns: []*point.Column{{Type: point.Float}, {Type: point.Integer, Field: 1, Nums: []uint64{7}}}},
	}}
	got := new(point.Batch)
	if err := Decode(Encode(nil, b, nil), got, new(Definitions)); err != nil {
		t.Fatal(err)
	}
	if len(got.Tables) != 1 || len(got.Tables[0].Columns) != 1 || got.Tables[0].Columns[0].Nums[0] != 7 {
		t.Fatalf("got %+v", got.Tables)
	}
}

func TestEncodePanicsUnresolved(t *testing.T) {
	table := func(id point.MeasurementID, ref point.SeriesRef, field point.FieldID) *point.Batch {
		return &point.Batch{Tables: []*point.Table{{ID: id, Series: []point.SeriesRef{ref}, Times: []int64{1},
			Columns: []*point.Column{{Type: point.Integer, Field: field, Nums: []uint64{1}}}}}}
	}
	Encode(nil, table(1, 1, 1), nil)
	for _, b := range []*point.Batch{table(0, 1, 1), table(1, 0, 1), table(1, point.NewSeriesBit, 1), table(1, 1, 0)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("encoded %+v", b.Tables[0])
				}
			}()
			Encode(nil, b, nil)
		}()
	}
}

// TestPadding shows that batches that shrink to nothing still decode within the
// bound, by what they allocate.
func TestPadding(t *testing.T) {
	const rows = 400_000
	long := bytes.Repeat([]byte("x"), 2000)
	tb := &point.Table{ID: 1, Series: make([]point.SeriesRef, rows), Times: make([]int64, rows)}
	s := &point.Column{Type: point.String, Field: 2}
	n := &point.Column{Type: point.Float, Field: 1, Nums: make([]uint64, rows)}
	for i := range rows {
		tb.Series[i] = 1
		if i < 5000 {
			s.Bytes = append(s.Bytes, long...)
			s.Ends = append(s.Ends, uint32(len(s.Bytes)))
		}
	}
	tb.Columns = []*point.Column{n, s}
	b := &point.Batch{Tables: []*point.Table{tb}}
	rec := Encode(nil, b, nil)
	if len(rec) > b.Points()+int(b.MemoryBytes())/100 {
		t.Errorf("record is %d bytes", len(rec))
	}
	got := new(point.Batch)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Decode(rec, got, new(Definitions)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := int(after.TotalAlloc - before.TotalAlloc); n > DecodedBytesMax(len(rec)) {
		t.Errorf("decoding %d bytes allocated %d", len(rec), n)
	}
	same(t, got, b)
}

// FuzzDecode gives the decoder any body at all: it must not panic, must stay
// within its budget, and what it accepts must survive another round trip.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		b, d := randomBatch(rand.New(rand.NewPCG(seed, 2)))
		f.Add(Encode(nil, b, d)[headerLen:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := append([]byte{Version, byte(KindWrite), 0, 0, 0, 0}, body...)
		binary.LittleEndian.PutUint32(rec[2:], checksum(rec))
		b, d := new(point.Batch), new(Definitions)
		err := Decode(rec, b, d)
		if err != nil {
			var c *CorruptError
			if !errors.As(err, &c) || c.Offset < 0 || c.Offset > len(rec) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, d2 := new(point.Batch), new(Definitions)
		if err := Decode(Encode(nil, b, d), again, d2); err != nil {
			t.Fatal(err)
		}
		same(t, again, b)
		if !reflect.DeepEqual(d2, d) {
			t.Fatal("definitions differ")
		}
	})
}
