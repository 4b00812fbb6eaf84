package block

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

var seedFlag = flag.Uint64("block.seed", 0, "seed of the random tests; 0 is a fixed one")

// newRand prints its seed if the test fails.
func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = 20240229
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run again with -block.seed=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

const (
	sec       = int64(1e9)
	testStart = 1_700_000_000 * sec
)

// column makes a column of n values, each from next, dense.
func column(field point.FieldID, t point.FieldType, n int, next func(i int) uint64) *point.Column {
	c := &point.Column{Field: field, Type: t}
	for i := range n {
		c.Nums = append(c.Nums, next(i))
	}
	return c
}

func textColumn(field point.FieldID, n int, next func(i int) string) *point.Column {
	c := &point.Column{Field: field, Type: point.String}
	for i := range n {
		c.AppendString(i, []byte(next(i)))
	}
	return c
}

// grid is rows of series on one grid of 10 s.
func grid(series, each int) *Rows {
	r := &Rows{}
	for s := range series {
		r.Series = append(r.Series, point.SeriesID(1+s))
		for i := range each {
			r.Times = append(r.Times, testStart+int64(i)*10*sec)
		}
		r.Ends = append(r.Ends, uint32(len(r.Times)))
	}
	return r
}

func bitsOf(f float64) uint64 { return math.Float64bits(f) }

// walkInt is a percentage as monitoring agents report it.
func walkInt(rng *rand.Rand) func(int) uint64 {
	w := 100 * rng.Float64()
	return func(int) uint64 {
		w = min(max(w+rng.NormFloat64(), 0), 100)
		return uint64(int64(w))
	}
}

func walkFloat(rng *rand.Rand) func(int) uint64 {
	w := 100 * rng.Float64()
	return func(int) uint64 {
		w = min(max(w+rng.NormFloat64(), 0), 100)
		return bitsOf(w)
	}
}

// generator is a kind of value.
type generator struct {
	name string
	typ  point.FieldType
	make func(rng *rand.Rand) func(i int) uint64
}

func numberGenerators() []generator {
	stateless := func(f func(rng *rand.Rand, i int) uint64) func(*rand.Rand) func(int) uint64 {
		return func(rng *rand.Rand) func(int) uint64 { return func(i int) uint64 { return f(rng, i) } }
	}
	pick := func(v ...uint64) func(*rand.Rand) func(int) uint64 {
		return stateless(func(rng *rand.Rand, i int) uint64 { return v[rng.IntN(len(v))] })
	}
	return []generator{
		{"percent", point.Integer, walkInt},
		{"constant", point.Integer, stateless(func(*rand.Rand, int) uint64 { return 1 << 40 })},
		{"counter", point.Integer, func(rng *rand.Rand) func(int) uint64 {
			n := rng.Uint64N(1e9)
			return func(int) uint64 { n += rng.Uint64N(101); return n }
		}},
		{"counter with resets", point.Unsigned, func(rng *rand.Rand) func(int) uint64 {
			n := rng.Uint64N(1e15)
			return func(int) uint64 {
				if n += rng.Uint64N(101); rng.IntN(300) == 0 {
					n = 0
				}
				return n
			}
		}},
		{"gauge", point.Integer, func(rng *rand.Rand) func(int) uint64 {
			w := float64(int64(1)<<37) * rng.Float64()
			return func(int) uint64 { w += float64(1<<27) * rng.NormFloat64(); return uint64(int64(w)) }
		}},
		{"random", point.Integer, stateless(func(rng *rand.Rand, _ int) uint64 { return rng.Uint64() })},
		{"extremes", point.Integer, pick(1<<63, 1<<63-1, 0, 1<<64-1)},
		{"extremes", point.Unsigned, pick(1<<63, 1<<64-1, 0, 1)},
		{"alternating", point.Integer, stateless(func(_ *rand.Rand, i int) uint64 { return uint64(i%2) * 1e12 })},
		{"spikes", point.Integer, stateless(func(rng *rand.Rand, i int) uint64 {
			if rng.IntN(200) == 0 {
				return rng.Uint64N(1 << 50)
			}
			return rng.Uint64N(50)
		})},
		{"codes", point.Integer, pick(200, 200, 200, 200, 404, 500, 301, 1<<33)},
		{"multiples", point.Integer, stateless(func(rng *rand.Rand, i int) uint64 { return 12345 - 4096*rng.Uint64N(1000) })},
		{"steps", point.Integer, stateless(func(_ *rand.Rand, i int) uint64 { return uint64(i / 100 * 7) })},
		{"seldom", point.Integer, stateless(func(rng *rand.Rand, i int) uint64 {
			if rng.IntN(100) == 0 {
				return 1
			}
			return 0
		})},
		{"magnitudes", point.Integer, stateless(func(rng *rand.Rand, i int) uint64 { return rng.Uint64N(1 << (4 + i/200%5*8)) })},
		{"percent", point.Float, func(rng *rand.Rand) func(int) uint64 {
			next := walkInt(rng)
			return func(i int) uint64 { return bitsOf(float64(next(i))) }
		}},
		{"2 decimals", point.Float, func(rng *rand.Rand) func(int) uint64 {
			w := 500 * rng.Float64()
			return func(int) uint64 {
				w = max(w+0.5*rng.NormFloat64(), 0)
				return bitsOf(math.Round(w*100) / 100)
			}
		}},
		{"walk", point.Float, walkFloat},
		{"random", point.Float, stateless(func(rng *rand.Rand, _ int) uint64 { return bitsOf(rng.Float64()) })},
		{"any bits", point.Float, stateless(func(rng *rand.Rand, _ int) uint64 { return rng.Uint64() })},
		{"float32", point.Float, stateless(func(rng *rand.Rand, _ int) uint64 { return bitsOf(float64(rng.Float32())) })},
		{"specials", point.Float, stateless(func(rng *rand.Rand, i int) uint64 {
			if rng.IntN(20) > 0 {
				return bitsOf(float64(rng.IntN(1000)) / 10)
			}
			s := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e300, 1.0 / 3}
			return bitsOf(s[rng.IntN(len(s))])
		})},
		{"only NaN", point.Float, pick(bitsOf(math.NaN()), bitsOf(math.NaN())^1)},
		{"zeros of both signs", point.Float, pick(0, 1<<63)},
		{"toggle", point.Boolean, func(rng *rand.Rand) func(int) uint64 {
			v := uint64(0)
			return func(int) uint64 {
				if rng.IntN(100) == 0 {
					v ^= 1
				}
				return v
			}
		}},
		{"coin", point.Boolean, stateless(func(rng *rand.Rand, _ int) uint64 { return rng.Uint64N(2) })},
		{"true", point.Boolean, pick(1)},
	}
}

func textGenerators() map[string]func(rng *rand.Rand) func(i int) string {
	words := []string{"ok", "degraded", "waiting for the leader", "shut down", "starting", ""}
	return map[string]func(rng *rand.Rand) func(i int) string{
		"few": func(rng *rand.Rand) func(int) string {
			return func(int) string { return words[rng.IntN(len(words))] }
		},
		"one":   func(*rand.Rand) func(int) string { return func(int) string { return "the same" } },
		"empty": func(*rand.Rand) func(int) string { return func(int) string { return "" } },
		"uuid": func(rng *rand.Rand) func(int) string {
			return func(int) string { return uuid(rng) }
		},
		"lines": func(rng *rand.Rand) func(int) string {
			return func(i int) string { return fmt.Sprintf("GET /api/v%d/items/%d 200", rng.IntN(3), rng.IntN(10000)) }
		},
		"bytes": func(rng *rand.Rand) func(int) string {
			return func(i int) string {
				b := make([]byte, rng.IntN(40))
				for k := range b {
					b[k] = byte(rng.Uint32())
				}
				return string(b)
			}
		},
	}
}

func uuid(rng *rand.Rand) string {
	a, b := rng.Uint64(), rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&(1<<48-1))
}

// timeGenerators make the times of one series.
func timeGenerators() map[string]func(rng *rand.Rand, n int) []int64 {
	from := func(step func(rng *rand.Rand, i int) int64) func(rng *rand.Rand, n int) []int64 {
		return func(rng *rand.Rand, n int) []int64 {
			out, at := make([]int64, n), testStart+rng.Int64N(1000)*sec
			for i := range out {
				out[i] = at
				at += step(rng, i)
			}
			return out
		}
	}
	return map[string]func(rng *rand.Rand, n int) []int64{
		"regular": from(func(*rand.Rand, int) int64 { return 10 * sec }),
		"gaps": from(func(rng *rand.Rand, _ int) int64 {
			if rng.IntN(50) == 0 {
				return 10 * sec * (1 + rng.Int64N(100))
			}
			return 10 * sec
		}),
		"drifting":  from(func(rng *rand.Rand, _ int) int64 { return 10*sec + rng.Int64N(5e6) }),
		"irregular": from(func(rng *rand.Rand, _ int) int64 { return 1 + rng.Int64N(60*sec) }),
		"dense":     from(func(*rand.Rand, int) int64 { return 1 }),
		"jittered": func(rng *rand.Rand, n int) []int64 {
			out := make([]int64, n)
			for i := range out {
				out[i] = testStart + int64(i)*10*sec + rng.Int64N(1000)*1e6
			}
			return out
		},
		"extreme": func(rng *rand.Rand, n int) []int64 {
			out := make([]int64, n)
			for i := range out {
				out[i] = math.MinInt64 + 2 + int64(uint64(i)*(math.MaxUint64/RowsMax-1))
			}
			return out
		},
	}
}

// thin leaves out values: keep says whether row i keeps its value.
func thin(c *point.Column, keep func(i int) bool) *point.Column {
	out := &point.Column{Field: c.Field, Type: c.Type, Rows: []uint32{}}
	for i := range c.Len() {
		if !keep(i) {
			continue
		}
		out.Rows = append(out.Rows, uint32(i))
		if c.Type == point.String {
			out.Bytes = append(out.Bytes, c.StringAt(i)...)
			out.Ends = append(out.Ends, uint32(len(out.Bytes)))
		} else {
			out.Nums = append(out.Nums, c.Nums[i])
		}
	}
	return out
}

// codec is what a test reuses from block to block.
type codec struct {
	e, again Encoder
	b        Block
	// fresh makes the second encoder new each time, which takes a while.
	fresh bool
}

// roundTrip encodes rows on both levels and checks that they come back.
func (k *codec) roundTrip(t testing.TB, r *Rows) {
	t.Helper()
	b := &k.b
	prefix := []byte("before")
	if k.fresh {
		k.again = Encoder{}
	}
	for _, level := range []Level{Fast, Best} {
		out, err := k.e.Encode(slices.Clip(prefix), 7, r, level)
		if err != nil {
			t.Fatalf("level %d: %v", level, err)
		}
		if !bytes.HasPrefix(out, prefix) {
			t.Fatalf("level %d: Encode changed what it appended to", level)
		}
		data := slices.Clip(out[len(prefix):])
		again, err := k.again.Encode(nil, 7, r, level)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("level %d: a second encoder makes other bytes (%v)", level, err)
		}
		if err := b.Reset(data); err != nil {
			t.Fatalf("level %d: %v", level, err)
		}
		if err := equalRows(b, r); err != nil {
			t.Fatalf("level %d: %v", level, err)
		}
		if err := b.Verify(); err != nil {
			t.Fatalf("level %d: verify: %v", level, err)
		}
		infos, err := b.Describe()
		if err != nil {
			t.Fatalf("level %d: describe: %v", level, err)
		}
		sum := 0
		for _, s := range infos {
			sum += s.Bytes
		}
		if sum != len(data) {
			t.Fatalf("level %d: sections have %d bytes of %d: %v", level, sum, len(data), infos)
		}
	}
}

// equalRows compares a block with what it was made from.
func equalRows(b *Block, r *Rows) error {
	if b.Measurement() != 7 || b.Rows() != r.Len() || !slices.Equal(b.Series(), r.Series) || !slices.Equal(b.Ends(), r.Ends) {
		return fmt.Errorf("measurement %d, %d rows, %d series", b.Measurement(), b.Rows(), len(b.Series()))
	}
	times, err := b.Times(nil)
	if err != nil {
		return err
	}
	if !slices.Equal(times, r.Times) {
		return fmt.Errorf("times differ")
	}
	if lo, hi := b.TimeRange(); lo != slices.Min(times) || hi != slices.Max(times) {
		return fmt.Errorf("time range %d to %d", lo, hi)
	}
	if len(b.Columns()) != len(r.Columns) {
		return fmt.Errorf("%d columns, not %d", len(b.Columns()), len(r.Columns))
	}
	// One column for all, so that reuse is tested too.
	var got point.Column
	for i, want := range r.Columns {
		if err := b.Column(i, &got); err != nil {
			return err
		}
		info := b.Columns()[i]
		if got.Field != want.Field || got.Type != want.Type || info.Field != want.Field || info.Type != want.Type || info.Values != want.Len() {
			return fmt.Errorf("column %d: got field %d, %s, %d values", i, got.Field, got.Type, info.Values)
		}
		rows := want.Rows
		if len(rows) == r.Len() {
			rows = nil
		}
		if (rows == nil) != (got.Rows == nil) || !slices.Equal(got.Rows, rows) {
			return fmt.Errorf("column %d (%s): rows differ", i, info.Encoding)
		}
		if !slices.Equal(got.Nums, want.Nums) || !slices.Equal(got.Ends, want.Ends) {
			return fmt.Errorf("column %d (%s): values differ", i, info.Encoding)
		}
		if want.Type == point.String && !bytes.Equal(got.Bytes, want.Bytes) {
			return fmt.Errorf("column %d (%s): strings differ", i, info.Encoding)
		}
		if err := checkStats(info, want); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

// checkStats recomputes statistics the slow way.
func checkStats(info ColumnInfo, c *point.Column) error {
	switch c.Type {
	case point.Integer, point.Unsigned, point.Boolean:
		less := func(a, b uint64) bool { return a < b }
		if c.Type == point.Integer {
			less = func(a, b uint64) bool { return int64(a) < int64(b) }
		}
		lo, hi := c.Nums[0], c.Nums[0]
		sum, valid := 0.0, true
		var wrapped uint64
		for _, v := range c.Nums {
			if less(v, lo) {
				lo = v
			}
			if less(hi, v) {
				hi = v
			}
			wrapped += v
			if c.Type == point.Integer {
				sum += float64(int64(v))
			} else {
				sum += float64(v)
			}
		}
		if c.Type == point.Integer && math.Abs(sum) > 0x1.01p63 || c.Type == point.Unsigned && sum > 0x1.01p64 {
			valid = false
		}
		if info.Min != lo || info.Max != hi {
			return fmt.Errorf("min %d max %d, not %d and %d", info.Min, info.Max, lo, hi)
		}
		if info.SumValid && (!valid || info.Sum != wrapped) || !info.SumValid && math.Abs(sum) < 0x1p62 {
			return fmt.Errorf("sum %d, valid %t, not %g", info.Sum, info.SumValid, sum)
		}
	case point.Float:
		lo, hi := math.NaN(), math.NaN()
		for _, v := range c.Nums {
			f := math.Float64frombits(v)
			if !(lo <= f) && f == f {
				lo = f
			}
			if !(hi >= f) && f == f {
				hi = f
			}
		}
		gotLo, gotHi := math.Float64frombits(info.Min), math.Float64frombits(info.Max)
		if !(gotLo == lo && gotHi == hi || lo != lo && gotLo != gotLo && gotHi != gotHi) {
			return fmt.Errorf("min %g max %g, not %g and %g", gotLo, gotHi, lo, hi)
		}
	}
	return nil
}

// shapes are numbers of series and of rows of each.
var shapes = [][2]int{{1, 1}, {1, 2}, {1, 7}, {1, 100}, {3, 5}, {8, 129}, {160, 50}, {1, RowsMax}, {RowsMax, 1}, {2, 3000}}

// roundTripShapes are the shapes that a test tries: the small ones under the race
// detector, which knows no more after eight thousand rows.
func roundTripShapes() [][2]int {
	if testkit.RaceEnabled {
		return shapes[:6]
	}
	return shapes
}

func TestRoundTripNumbers(t *testing.T) {
	rng := newRand(t)
	var k codec
	for _, g := range numberGenerators() {
		for _, shape := range roundTripShapes() {
			r := grid(shape[0], shape[1])
			c := &point.Column{Field: 3, Type: g.typ}
			for range shape[0] {
				next := g.make(rng)
				for i := range shape[1] {
					c.Nums = append(c.Nums, next(i))
				}
			}
			r.Columns = []*point.Column{c}
			t.Run(fmt.Sprintf("%s/%s/%dx%d", g.typ, g.name, shape[0], shape[1]), func(t *testing.T) {
				k.roundTrip(t, r)
			})
		}
	}
}

func TestRoundTripStrings(t *testing.T) {
	rng := newRand(t)
	var k codec
	for name, gen := range textGenerators() {
		for _, shape := range roundTripShapes() {
			r := grid(shape[0], shape[1])
			r.Columns = []*point.Column{textColumn(9, r.Len(), gen(rng))}
			t.Run(fmt.Sprintf("%s/%dx%d", name, shape[0], shape[1]), func(t *testing.T) { k.roundTrip(t, r) })
		}
	}
}

func TestRoundTripTimes(t *testing.T) {
	rng := newRand(t)
	var k codec
	for name, gen := range timeGenerators() {
		for _, shape := range roundTripShapes() {
			for _, ragged := range []bool{false, true} {
				r := &Rows{}
				for s := range shape[0] {
					n := shape[1]
					if ragged {
						n = 1 + rng.IntN(n)
					}
					r.Series = append(r.Series, point.SeriesID(5+9*s))
					r.Times = append(r.Times, gen(rng, n)...)
					r.Ends = append(r.Ends, uint32(len(r.Times)))
				}
				t.Run(fmt.Sprintf("%s/%dx%d/ragged=%t", name, shape[0], shape[1], ragged), func(t *testing.T) {
					k.roundTrip(t, r)
				})
			}
		}
	}
}

func TestRoundTripSparse(t *testing.T) {
	rng := newRand(t)
	var k codec
	keeps := map[string]func(i int) bool{
		"half":      func(int) bool { return rng.IntN(2) == 0 },
		"few":       func(i int) bool { return i == 0 || rng.IntN(300) == 0 },
		"all":       func(int) bool { return true },
		"most":      func(i int) bool { return i == 0 || rng.IntN(300) != 0 },
		"every 7th": func(i int) bool { return i%7 == 0 },
		"prefix":    func(i int) bool { return i < 50 },
		"series":    func(i int) bool { return i/50%3 == 0 },
	}
	for name, keep := range keeps {
		for _, shape := range roundTripShapes() {
			r := grid(shape[0], shape[1])
			n := r.Len()
			same := thin(column(4, point.Float, n, walkFloat(rng)), keep)
			other := column(5, point.Integer, n, walkInt(rng))
			shared := thin(other, func(i int) bool { return slices.Contains(same.Rows, uint32(i)) })
			if n > 1000 { // Contains is slow
				shared = thin(other, keep)
			}
			r.Columns = []*point.Column{
				column(1, point.Integer, n, walkInt(rng)), same, shared,
				thin(textColumn(6, n, textGenerators()["few"](rng)), keep),
			}
			r.Columns = slices.DeleteFunc(r.Columns, func(c *point.Column) bool { return c.Len() == 0 })
			t.Run(fmt.Sprintf("%s/%dx%d", name, shape[0], shape[1]), func(t *testing.T) { k.roundTrip(t, r) })
		}
	}
}

// TestRoundTripMixed draws blocks of everything.
func TestRoundTripMixed(t *testing.T) {
	rng := newRand(t)
	k := codec{fresh: true}
	numbers, texts, times := numberGenerators(), textGenerators(), timeGenerators()
	for range testkit.Rounds(150) {
		r := &Rows{}
		id := uint32(0)
		for range 1 + rng.IntN(1<<rng.IntN(7)) {
			id += 1 + rng.Uint32N(1<<rng.IntN(10))
			gen := times[slices.Sorted(keys(times))[rng.IntN(len(times))]]
			r.Series = append(r.Series, point.SeriesID(id))
			r.Times = append(r.Times, gen(rng, 1+rng.IntN(64))...)
			r.Ends = append(r.Ends, uint32(len(r.Times)))
		}
		for f := range rng.IntN(12) {
			var c *point.Column
			if rng.IntN(5) == 0 {
				c = textColumn(0, r.Len(), texts[slices.Sorted(keys(texts))[rng.IntN(len(texts))]](rng))
			} else {
				g := numbers[rng.IntN(len(numbers))]
				c = column(0, g.typ, r.Len(), g.make(rng))
			}
			if rng.IntN(3) == 0 {
				if s := thin(c, func(int) bool { return rng.IntN(3) > 0 }); s.Len() > 0 {
					c = s
				}
			}
			c.Field = point.FieldID(1 + 1000*f)
			r.Columns = append(r.Columns, c)
		}
		k.roundTrip(t, r)
	}
}

func keys[K comparable, V any](m map[K]V) func(yield func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	one := func(change func(r *Rows)) *Rows {
		r := grid(2, 3)
		r.Columns = []*point.Column{column(1, point.Boolean, 6, func(int) uint64 { return 1 })}
		change(r)
		return r
	}
	for name, r := range map[string]*Rows{
		"no rows":        {},
		"too many rows":  grid(1, RowsMax+1),
		"series descend": one(func(r *Rows) { r.Series[1] = 1 }),
		"series zero":    one(func(r *Rows) { r.Series[0] = 0 }),
		"series empty":   one(func(r *Rows) { r.Ends[0] = 0 }),
		"end beyond":     one(func(r *Rows) { r.Ends[0] = 7 }),
		"rows left over": one(func(r *Rows) { r.Ends[1] = 5 }),
		"times repeat":   one(func(r *Rows) { r.Times[1] = r.Times[0] }),
		"fields repeat":  one(func(r *Rows) { r.Columns = append(r.Columns, r.Columns[0]) }),
		"no type":        one(func(r *Rows) { r.Columns[0].Type = 0 }),
		"no values":      one(func(r *Rows) { r.Columns[0].Nums = nil }),
		"too few values": one(func(r *Rows) { r.Columns[0].Nums = make([]uint64, 5) }),
		"too few rows":   one(func(r *Rows) { r.Columns[0].Rows = []uint32{1, 2} }),
		"row beyond":     one(func(r *Rows) { r.Columns[0].Nums, r.Columns[0].Rows = []uint64{1}, []uint32{6} }),
		"rows descend":   one(func(r *Rows) { r.Columns[0].Nums, r.Columns[0].Rows = []uint64{1, 1}, []uint32{2, 1} }),
		"boolean of 2":   one(func(r *Rows) { r.Columns[0].Nums[3] = 2 }),
		"strings too large": one(func(r *Rows) {
			r.Columns[0] = textColumn(1, 6, func(int) string { return string(make([]byte, 3<<20)) })
		}),
		"strings overlap": one(func(r *Rows) {
			r.Columns[0] = &point.Column{Field: 1, Type: point.String, Ends: []uint32{1, 2, 1, 2, 2, 2}, Bytes: []byte("ab")}
		}),
	} {
		dst := []byte("kept")
		out, err := new(Encoder).Encode(dst, 1, r, Fast)
		if !errors.Is(err, ErrRows) || string(out) != "kept" {
			t.Errorf("%s: error %v, %q", name, err, out)
		}
	}
}

// TestLargeStrings has more text than scratch is kept for, and one string that
// fills a row.
func TestLargeStrings(t *testing.T) {
	rng := newRand(t)
	var k codec
	for _, size := range []int{1 << 10, 1 << 16, 1 << 20} {
		r := grid(1, 8)
		once := textGenerators()["bytes"](rng)
		r.Columns = []*point.Column{
			textColumn(1, 8, func(i int) string { return strings.Repeat(once(i)+"x", size/20)[:size/20] }),
			textColumn(2, 8, func(i int) string { return strings.Repeat("the same", size/8) }),
		}
		k.roundTrip(t, r)
	}
}

// TestWide has as many columns as a block has cells, most of them sparse.
func TestWide(t *testing.T) {
	rng := newRand(t)
	r := grid(4, 10)
	for f := range CellsMax / 40 {
		c := column(point.FieldID(1+f), point.Integer, 40, walkInt(rng))
		if f%3 > 0 {
			c = thin(c, func(i int) bool { return (i+f)%7 > f%5 })
		}
		r.Columns = append(r.Columns, c)
	}
	var k codec
	k.roundTrip(t, r)
}

// TestReaders reads one block from several goroutines, each with a Block of its
// own.
func TestReaders(t *testing.T) {
	r := cpuRows(newRand(t), 8, 100)
	data, err := new(Encoder).Encode(nil, 7, r, Best)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			b, err := Parse(data)
			for range 5 {
				if err == nil {
					err = equalRows(b, r)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestErrors says what a person sees of a damaged block.
func TestErrors(t *testing.T) {
	r := cpuRows(newRand(t), 2, 100)
	data, err := new(Encoder).Encode(nil, 7, r, Best)
	if err != nil {
		t.Fatal(err)
	}
	good, err := Parse(slices.Clone(data))
	if err != nil {
		t.Fatal(err)
	}
	place := good.places[3]
	data[place.at+crcLen+5] ^= 4
	b, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	var c point.Column
	for i := range b.Columns() {
		if err := b.Column(i, &c); (err != nil) != (i == 3) {
			t.Errorf("column %d: %v", i, err)
		}
	}
	want := fmt.Sprintf("block: corrupt column 3 (field 4) at byte %d: checksum does not match", place.at)
	if err := b.Verify(); err == nil || err.Error() != want || !errors.Is(err, ErrCorrupt) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
