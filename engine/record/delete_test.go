package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// randomSet makes a set of one of the shapes that containers and runs tell apart.
func randomSet(r *rand.Rand) *roaring.Bitmap {
	s := roaring.New()
	const top = uint64(point.SeriesIDMax) + 1
	for range r.IntN(4) {
		base := 1 + r.Uint64N(1<<20)
		switch r.IntN(8) {
		case 0: // scattered
			for range r.IntN(300) {
				s.Add(1 + r.Uint32N(uint32(point.SeriesIDMax)))
			}
		case 1: // one run over several containers
			s.AddRange(base, base+r.Uint64N(300_000))
		case 2: // every nth
			step := 1 + r.Uint64N(9)
			for i := range r.Uint64N(20_000) {
				s.Add(uint32(base + i*step))
			}
		case 3: // dense with holes
			for i := range r.Uint64N(70_000) {
				if r.IntN(10) > 0 {
					s.Add(uint32(base + i))
				}
			}
		case 4: // whole containers, and their edges
			s.AddRange(1<<16, 3<<16)
			s.Add(3<<16 + uint32(r.IntN(3)))
		case 5: // the ends
			s.Add(1)
			s.Add(uint32(point.SeriesIDMax))
		case 6: // runs
			for at := base; s.GetCardinality() < 5000; at += 1 + r.Uint64N(50) {
				end := at + r.Uint64N(100)
				s.AddRange(at, end)
				at = end
			}
		case 7: // up to the last id
			s.AddRange(top-r.Uint64N(1<<18), top)
		}
	}
	if r.IntN(2) == 0 {
		s.RunOptimize() // other containers, the same set
	}
	return s
}

// sameSet is Equals with nil being empty.
func sameSet(a, b *roaring.Bitmap) bool {
	if b == nil {
		return a.IsEmpty()
	}
	return a.Equals(b)
}

func TestDeleteRoundTrip(t *testing.T) {
	r := newRand(t)
	for i := range 100 {
		d := Delete{Min: int64(r.Uint64()), Max: int64(r.Uint64()), Series: randomSet(r)}
		f := Free{Series: randomSet(r)}
		for range r.IntN(40) {
			f.Measurements = append(f.Measurements, point.MeasurementID(1+r.Uint32()>>(1+r.IntN(31))))
		}
		if i == 0 {
			d, f = Delete{Min: math.MinInt64, Max: math.MaxInt64}, Free{}
		}
		prefix := []byte("before")
		drec := EncodeDelete(slices.Clone(prefix), d)
		frec := EncodeFree(slices.Clone(prefix), f)
		if !bytes.HasPrefix(drec, prefix) || !bytes.HasPrefix(frec, prefix) {
			t.Fatal("what is appended to was changed")
		}
		drec, frec = drec[len(prefix):], frec[len(prefix):]
		gotd, err := DecodeDelete(drec)
		if err != nil || gotd.Min != d.Min || gotd.Max != d.Max || !sameSet(gotd.Series, d.Series) {
			t.Fatalf("delete differs: %v", err)
		}
		gotf, err := DecodeFree(frec)
		slices.Sort(f.Measurements)
		if err != nil || !slices.Equal(gotf.Measurements, slices.Compact(f.Measurements)) || !sameSet(gotf.Series, f.Series) {
			t.Fatalf("free differs: %v", err)
		}
		if err := gotd.Series.Validate(); d.Series != nil && !d.Series.IsEmpty() && err != nil {
			t.Fatal(err)
		}
		// The bytes depend on the set, not on how a bitmap keeps it.
		if d.Series != nil {
			d.Series.RunOptimize()
			if !bytes.Equal(EncodeDelete(nil, d), drec) || !bytes.Equal(EncodeDelete(nil, gotd), drec) {
				t.Fatal("the same set made different bytes")
			}
		}
		if k, err := KindOf(drec); k != KindDelete || err != nil {
			t.Fatalf("kind %d, %v", k, err)
		}
		if k, err := KindOf(frec); k != KindFree || err != nil {
			t.Fatalf("kind %d, %v", k, err)
		}
		for _, rec := range [][]byte{drec, frec} {
			if err := Decode(rec, new(point.Batch), new(Definitions)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("decoded as a write: %v", err)
			}
			flipped := slices.Clone(rec)
			flipped[r.IntN(len(rec))] ^= 1 << r.IntN(8)
			for _, bad := range [][]byte{flipped, rec[:r.IntN(len(rec))]} {
				if _, err := DecodeDelete(bad); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("damaged delete: %v", err)
				}
				if _, err := DecodeFree(bad); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("damaged free: %v", err)
				}
			}
		}
		if _, err := DecodeDelete(frec); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("a free decoded as a delete: %v", err)
		}
		if _, err := DecodeFree(drec); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("a delete decoded as a free: %v", err)
		}
	}
}

// TestSetSize: what deletions select is small in the log.
func TestSetSize(t *testing.T) {
	all := roaring.New()
	all.AddRange(1, 1_000_001)
	tenth := roaring.New()
	for i := uint32(0); i < 1_000_000; i += 10 {
		tenth.Add(5 + i)
	}
	r := rand.New(rand.NewPCG(1, 1))
	random := roaring.New()
	for range 10_000 {
		random.Add(1 + r.Uint32N(1_000_000))
	}
	for _, c := range []struct {
		name string
		set  *roaring.Bitmap
		max  int
	}{{"all", all, 64}, {"every tenth", tenth, 10_000}, {"random", random, 25_000}} {
		if n := len(EncodeDelete(nil, Delete{Series: c.set})); n > c.max {
			t.Errorf("%s: %d bytes, over %d", c.name, n, c.max)
		}
	}
}

func TestEncodeDeletePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"series 0":      func() { EncodeDelete(nil, Delete{Series: roaring.BitmapOf(0, 1)}) },
		"series 1<<31":  func() { EncodeFree(nil, Free{Series: roaring.BitmapOf(1, 1<<31)}) },
		"measurement 0": func() { EncodeFree(nil, Free{Measurements: []point.MeasurementID{1, 0}}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: encoded", name)
				}
			}()
			f()
		}()
	}
}

// TestSetAllocation gives the decoder the sets whose bitmaps are largest for
// their length, and looks at what it allocates.
func TestSetAllocation(t *testing.T) {
	full, alternate, edges, sparse := roaring.New(), roaring.New(), roaring.New(), roaring.New()
	full.AddRange(1, uint64(point.SeriesIDMax)+1)
	for i := uint32(1); i < 1_000_000; i += 2 {
		alternate.Add(i)
	}
	for i := uint64(1 << 16); i < 1<<22; i += 1 << 16 { // two long runs in each container
		edges.AddRange(i, i+30_000)
		edges.AddRange(i+30_001, i+1<<16-1)
		sparse.AddRange(i, i+2)
		sparse.AddRange(i+100, i+102)
	}
	for name, set := range map[string]*roaring.Bitmap{"full": full, "alternate": alternate, "edges": edges, "sparse": sparse} {
		rec := EncodeDelete(nil, Delete{Series: set})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := DecodeDelete(rec)
		runtime.ReadMemStats(&after)
		if err != nil || !got.Series.Equals(set) {
			t.Fatalf("%s: differs, %v", name, err)
		}
		n := int(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: %d bytes, %d decoded, %d allowed", name, len(rec), n, DecodedBytesMax(len(rec)))
		if n > DecodedBytesMax(len(rec)) {
			t.Errorf("%s: decoding %d bytes allocated %d", name, len(rec), n)
		}
		// Without its padding it is refused, before anything is allocated.
		if short := bytes.TrimRight(rec, "\x00"); len(short) < len(rec)/2 {
			short = slices.Clone(short)
			binary.LittleEndian.PutUint32(short[2:], checksum(short))
			if _, err := DecodeDelete(short); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: decoded %d bytes of %d: %v", name, len(short), len(rec), err)
			}
		}
	}
}

// fuzzKind gives a decoder of kind any body at all, with a good checksum.
func fuzzKind(f *testing.F, kind Kind, check func(t *testing.T, rec []byte) error) {
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := append([]byte{Version, byte(kind), 0, 0, 0, 0}, body...)
		binary.LittleEndian.PutUint32(rec[2:], checksum(rec))
		if err := check(t, rec); err != nil {
			var c *CorruptError
			if !errors.As(err, &c) || c.Offset < 0 || c.Offset > len(rec) {
				t.Fatalf("error %v", err)
			}
		}
	})
}

func FuzzDecodeDelete(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(EncodeDelete(nil, Delete{Min: -1, Max: int64(seed), Series: randomSet(rand.New(rand.NewPCG(seed, 3)))})[headerLen:])
	}
	fuzzKind(f, KindDelete, func(t *testing.T, rec []byte) error {
		d, err := DecodeDelete(rec)
		if err != nil {
			return err
		}
		again, err := DecodeDelete(EncodeDelete(nil, d))
		if err != nil || again.Min != d.Min || again.Max != d.Max || !again.Series.Equals(d.Series) {
			t.Fatalf("differs: %v", err)
		}
		return nil
	})
}

func FuzzDecodeFree(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(EncodeFree(nil, Free{Measurements: []point.MeasurementID{1, 2, 40}, Series: randomSet(rand.New(rand.NewPCG(seed, 4)))})[headerLen:])
	}
	fuzzKind(f, KindFree, func(t *testing.T, rec []byte) error {
		d, err := DecodeFree(rec)
		if err != nil {
			return err
		}
		again, err := DecodeFree(EncodeFree(nil, d))
		if err != nil || !slices.Equal(again.Measurements, d.Measurements) || !again.Series.Equals(d.Series) {
			t.Fatalf("differs: %v", err)
		}
		return nil
	})
}
