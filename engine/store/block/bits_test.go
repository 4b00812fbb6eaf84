package block

import (
	"fmt"
	"slices"
	"testing"
)

func TestPack(t *testing.T) {
	rng := newRand(t)
	for w := range uint(65) {
		for _, n := range []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 1000} {
			v := make([]uint64, n)
			for i := range v {
				if v[i] = rng.Uint64(); w < 64 {
					v[i] &= 1<<w - 1
				}
			}
			data := pack([]byte{1, 2}, v, w)
			if len(data) != 2+packedLen(n, w) {
				t.Fatalf("%d values of %d bits take %d bytes, not %d", n, w, len(data)-2, packedLen(n, w))
			}
			exact := slices.Clip(data[2:])
			// With all kinds of room behind.
			for more := range 20 {
				got := make([]uint64, n)
				src := slices.Concat(exact, slices.Repeat([]byte{0xff}, more))
				if unpack(got, src, w); !slices.Equal(got, v) {
					t.Fatalf("%d values of %d bits come back wrong with %d bytes behind", n, w, more)
				}
			}
		}
	}
}

func TestBuckets(t *testing.T) {
	rng := newRand(t)
	var v []uint64
	var sym []byte
	for i := range 5000 {
		u := rng.Uint64() >> rng.IntN(64)
		if i < 20 {
			u = uint64(i)
		}
		s, _ := bucketOf(u)
		if int(s) >= bucketsMax {
			t.Fatalf("symbol %d of %d", s, u)
		}
		v, sym = append(v, u), append(sym, s)
	}
	src := appendExtras(nil, v)
	got := make([]uint64, len(v))
	if n := extras(got, sym, src); n != len(src) || !slices.Equal(got, v) {
		t.Errorf("%d of %d bytes used, equal %t", n, len(src), slices.Equal(got, v))
	}
}

func TestCommonDivisor(t *testing.T) {
	rng := newRand(t)
	for range 2000 {
		want := 1 + rng.Uint64()>>(4+rng.IntN(60))
		base := rng.Uint64()
		v := []uint64{base, base + want, base}
		for range rng.IntN(50) {
			v = append(v, base+want*rng.Uint64N(1+(1<<61)/want))
		}
		got := commonDivisor(v)
		if got != want {
			t.Fatalf("divisor %d, not %d", got, want)
		}
		by := newExact(got)
		for _, u := range v {
			if by.signed(u-base)*got != u-base {
				t.Fatalf("%d does not come back", u)
			}
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	rng := newRand(b)
	v := make([]uint64, RowsMax)
	for i := range v {
		v[i] = rng.Uint64()
	}
	for _, w := range []uint{1, 3, 8, 11, 16, 21, 28, 29, 40, 51, 57, 60, 64} {
		b.Run(fmt.Sprintf("width=%d", w), func(b *testing.B) {
			data := pack(nil, v, w)
			b.SetBytes(8 * RowsMax)
			for b.Loop() {
				unpack(v, data, w)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/RowsMax, "ns/value")
		})
	}
}
