package block

import (
	"bytes"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"headgate/engine/testkit"
)

func TestPackBytes(t *testing.T) {
	rng := newRand(t)
	for w := uint(1); w <= 8; w++ {
		for _, n := range []int{0, 1, 7, 8, 9, 15, 16, 63, 64, 65, 1000} {
			narrow, wide := make([]byte, n), make([]uint64, n)
			for i := range narrow {
				narrow[i] = byte(rng.UintN(1 << w))
				wide[i] = uint64(narrow[i])
			}
			got, want := packBytes([]byte{1, 2}, narrow, w), pack([]byte{1, 2}, wide, w)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d values of %d bits: %x, want %x", n, w, got, want)
			}
		}
	}
}

func TestByteBounds(t *testing.T) {
	rng := newRand(t)
	for _, n := range []int{1, 7, 8, 9, 40} {
		for range 50 {
			v := make([]byte, n)
			from := rng.UintN(200)
			for i := range v {
				v[i] = byte(from + rng.UintN(56))
			}
			least, most := byteBounds(v)
			if least != slices.Min(v) || most != slices.Max(v) {
				t.Fatalf("bounds of %v: %d and %d", v, least, most)
			}
			want := slices.Clone(v)
			for i := range want {
				want[i] -= least
			}
			if lower(v, least); !bytes.Equal(v, want) {
				t.Fatalf("lowered by %d: %v, want %v", least, v, want)
			}
		}
	}
}

// randomEnds divides n values into groups.
func randomEnds(rng *rand.Rand, n int) []uint32 {
	most := 1 + rng.IntN(1<<rng.IntN(13))
	var ends []uint32
	for at := 0; at < n; {
		at = min(n, at+1+rng.IntN(most))
		ends = append(ends, uint32(at))
	}
	if len(ends) == 1 {
		return nil
	}
	return ends
}

// TestNarrowPasses compares the passes with what they stand for.
func TestNarrowPasses(t *testing.T) {
	rng := newRand(t)
	var e Encoder
	var s intScratch
	for range 60 {
		v := make([]uint64, narrowFrom+rng.IntN(1000))
		last := rng.Uint64()
		for i := range v {
			last += rng.Uint64N(100) - 50
			v[i] = last
		}
		if rng.IntN(2) == 0 {
			v[rng.IntN(len(v))] += 1 << rng.UintN(64)
		}
		ends := randomEnds(rng, len(v))
		s.deltas(v, ends)
		base := rng.Uint64N(60) - 60
		var all uint64
		want := make([]byte, len(s.delta))
		for i, d := range s.delta {
			want[i] = byte(d - base)
			all |= d - base
		}
		got, firsts := make([]byte, len(want)), make([]uint64, len(s.firsts))
		if a := narrowDeltas(got, firsts, v, ends, base); a != all || !bytes.Equal(got, want) || !slices.Equal(firsts, s.firsts) {
			t.Fatalf("differences of %d values in groups to %v: bits %x, want %x", len(v), ends, a, all)
		}
		got, want, all = make([]byte, len(v)), make([]byte, len(v)), 0
		for i, u := range v {
			want[i] = byte(u - v[0])
			all |= u - v[0]
		}
		if a := narrowValues(got, v, v[0]); a != all || !bytes.Equal(got, want) {
			t.Fatalf("%d values: bits %x, want %x", len(v), a, all)
		}

		lo, hi, sum := boundsAndSum(v)
		lo2, hi2 := bounds(v)
		signed, total := make([]int64, len(v)), uint64(0)
		for i, u := range v {
			signed[i] = int64(u)
			total += u
		}
		if lo != slices.Min(signed) || hi != slices.Max(signed) || lo != lo2 || hi != hi2 || sum != total {
			t.Fatalf("bounds %d, %d and %d, %d; sum %d", lo, hi, lo2, hi2, sum)
		}

		// Whatever the groups, a sample has no difference between two of them.
		values, steps, _ := e.sampleNarrow(v, ends)
		if len(values) != narrowChunks*narrowChunk || len(steps) > len(values)-narrowChunks {
			t.Fatalf("sample of %d values and %d differences", len(values), len(steps))
		}
		if ends == nil && len(steps) != len(values)-narrowChunks {
			t.Fatalf("sample has %d differences of %d values of one group", len(steps), len(values))
		}
		for _, d := range steps {
			if !slices.Contains(s.delta, d) {
				t.Fatalf("sampled difference %d is none within a group", int64(d))
			}
		}
	}
}

// surprise changes values so that a sample may or may not see it.
func surprise(rng *rand.Rand, v []uint64) {
	n := 1 + rng.IntN(1<<rng.IntN(8))
	for range rng.IntN(3) {
		at, size := rng.IntN(len(v)), uint64(1)<<rng.UintN(64)
		switch rng.IntN(4) {
		case 0: // spikes
			for range n {
				v[rng.IntN(len(v))] += rng.Uint64N(size)
			}
		case 1: // another level from here on
			for i := at; i < len(v); i++ {
				v[i] += size
			}
		case 2: // another kind for a while
			for i := at; i < min(at+n, len(v)); i++ {
				v[i] = rng.Uint64N(size)
			}
		case 3: // a stop
			for i := at; i < min(at+n, len(v)); i++ {
				v[i] = v[at]
			}
		}
	}
}

// TestNarrowSurprises encodes what a sample does not tell: it comes back as it
// was, and takes hardly more than what has been planned.
func TestNarrowSurprises(t *testing.T) {
	rng := newRand(t)
	var e, planned Encoder
	var d decoder
	narrow, worst := 0, 0.0
	rounds := testkit.Rounds(300)
	for range rounds {
		v := make([]uint64, narrowFrom+rng.IntN(1500))
		span, drift, last, still := uint64(1)<<rng.UintN(8), rng.Uint64N(200), rng.Uint64(), rng.IntN(80)
		if rng.IntN(2) == 0 {
			drift, last = 0, rng.Uint64N(100)
		}
		for i := range v {
			step := rng.Uint64N(span) + rng.Uint64N(span) - span + drift
			if drift > 0 || rng.IntN(100) >= still {
				last += step
			}
			v[i] = last
		}
		ends := randomEnds(rng, len(v))
		for g, start := range ends { // each series has a level of its own
			level := rng.Uint64N(100) * min(drift, 1)
			for i := start; g+1 < len(ends) && i < ends[g+1]; i++ {
				v[i] += level << 20
			}
		}
		surprise(rng, v)
		lo, hi := bounds(v)
		for _, e.level = range []Level{Fast, Best} {
			data := e.appendInts(nil, v, ends, 0, hintNone)
			r := reader{data: data, end: len(data)}
			got := make([]uint64, len(v))
			if d.ints(&r, got, ends, 0); r.finish("integers") != nil || !slices.Equal(got, v) {
				t.Fatalf("level %d: %d values in %d groups do not come back: %v", e.level, len(v), len(ends), r.err)
			}
			if lo == hi {
				continue
			}
			if _, ok := e.appendNarrow(nil, v, ends, lo, hi); ok {
				narrow++
			}
			planned.level = e.level
			want := planned.appendPlanned(nil, v, ends, lo, hi, 0, hintNone)
			worst = max(worst, float64(len(data))/float64(len(want)+64))
		}
	}
	t.Logf("%d were narrow; the worst took %.3f times what planning takes", narrow, worst)
	if narrow < rounds/4 || narrow > rounds {
		t.Errorf("%d of %d were narrow: the test looks at one side only", narrow, 2*rounds)
	}
	if worst > 1.06 {
		t.Errorf("some took %.3f times what planning takes", worst)
	}
}

// FuzzNarrow walks by the bytes that it is given, over and over, and is surprised;
// one encoder sees it all.
func FuzzNarrow(f *testing.F) {
	f.Add([]byte{0, 1, 255, 0, 2}, uint64(1), uint16(30))
	f.Add([]byte{7, 9, 11}, uint64(2), uint16(0))
	f.Add([]byte{128, 127, 0}, uint64(3), uint16(900))
	var e Encoder
	var d decoder
	f.Fuzz(func(t *testing.T, steps []byte, seed uint64, more uint16) {
		if len(steps) == 0 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		v := make([]uint64, narrowFrom+int(more)%(RowsMax-narrowFrom))
		last := rng.Uint64()
		for i := range v {
			last += uint64(int8(steps[i%len(steps)]))
			v[i] = last
		}
		surprise(rng, v)
		ends := randomEnds(rng, len(v))
		got := make([]uint64, len(v))
		for _, e.level = range []Level{Fast, Best} {
			data := e.appendInts(nil, v, ends, 0, hintNone)
			r := reader{data: data, end: len(data)}
			if d.ints(&r, got, ends, 0); r.finish("integers") != nil || !slices.Equal(got, v) {
				t.Fatalf("level %d: %d values in %d groups do not come back: %v", e.level, len(v), len(ends), r.err)
			}
			again := Encoder{level: e.level}
			if !bytes.Equal(data, again.appendInts(nil, v, ends, 0, hintNone)) {
				t.Fatalf("level %d: a second encoder makes other bytes", e.level)
			}
		}
	})
}

// TestNarrowKinds holds which integers are narrow and how they are stored.
func TestNarrowKinds(t *testing.T) {
	rng := newRand(t)
	var e Encoder
	n := 2 * narrowFrom
	var each []uint32
	for i := range n {
		each = append(each, uint32(i+1))
	}
	step := uint64(0)
	for _, c := range []struct {
		name  string
		ends  []uint32
		value func(i int) uint64
		code  int // -1 for not narrow
		res   byte
	}{
		{"coin", nil, func(int) uint64 { return rng.Uint64N(2) }, intsPlain, resPacked},
		{"percentages of their own", each, func(int) uint64 { return rng.Uint64N(101) }, intsPlain, resPacked},
		{"negative", nil, func(int) uint64 { return -rng.Uint64N(200) - 5 }, intsPlain, resPacked},
		{"mostly few", nil, func(int) uint64 { return rng.Uint64N(1+rng.Uint64N(1+rng.Uint64N(60))) + 9 }, intsPlain, resDirect},
		{"counter", nil, func(int) uint64 { step += rng.Uint64N(101); return step }, intsDelta, resPacked},
		{"counter from the top", nil, func(i int) uint64 { return math.MaxUint64 - 90*uint64(i) - rng.Uint64N(4) }, intsDelta, resPacked},
		{"walk", nil, func(int) uint64 { step += rng.Uint64N(3) + rng.Uint64N(3) - 2; return step }, intsDelta, resDirect},
		{"runs", nil, func(i int) uint64 { return uint64(i/5) % 9 }, -1, 0},
		{"multiples", nil, func(int) uint64 { return 8 * rng.Uint64N(32) }, -1, 0},
		{"wide", nil, func(int) uint64 { return rng.Uint64() }, -1, 0},
		{"a spike between the samples", nil, func(i int) uint64 { return rng.Uint64N(100) + uint64(i&1023/1023)<<50 }, -1, 0},
	} {
		v := make([]uint64, n)
		for i := range v {
			v[i] = c.value(i)
		}
		lo, hi := bounds(v)
		for _, e.level = range []Level{Fast, Best} {
			data, ok := e.appendNarrow([]byte("x"), v, c.ends, lo, hi)
			if ok != (c.code >= 0) {
				t.Errorf("%s, level %d: narrow is %v", c.name, e.level, ok)
				continue
			}
			if !ok {
				if string(data) != "x" {
					t.Errorf("%s, level %d: what was given up is still there", c.name, e.level)
				}
				continue
			}
			r := reader{data: data, at: 1, end: len(data)}
			if code := r.byte(); int(code) != c.code {
				t.Errorf("%s, level %d: coded as %s", c.name, e.level, intsNames[code])
			}
			if c.code == intsDelta {
				new(decoder).ints(&r, make([]uint64, max(1, len(c.ends))), nil, 1)
			}
			if p := r.residuals(); p.code != c.res || p.code == resPacked && p.width > uint(bits.Len64(uint64(hi-lo))) {
				t.Errorf("%s, level %d: residuals are %+v", c.name, e.level, p)
			}
		}
	}
}
