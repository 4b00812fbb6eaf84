package store

import (
	"errors"
	"math"
	"slices"
	"testing"

	"headgate/engine/store/disk"
)

// TestPickRunRewritesLittle flushes for a long time, compacting what is to be
// compacted: a byte is rewritten about once for every sixteenfold growth, and parts
// stay few.
func TestPickRunRewritesLittle(t *testing.T) {
	r := newRand(t)
	for _, c := range []struct {
		name  string
		bytes func(i int) int64
	}{
		{"equal", func(int) int64 { return 1 << 20 }},
		{"about a tier's limit", func(int) int64 { return 1<<20 + r.Int64N(2<<20) }},
		{"any", func(int) int64 { return 1 + r.Int64N(1<<uint(r.IntN(22))) }},
		{"large and small", func(i int) int64 { return 1 + int64(i%8/7)<<22 }},
		{"growing", func(i int) int64 { return int64(1+i) << 10 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBucket(1, Options{PartBytesMax: 1 << 40})
			var parts []*disk.Part
			var flushed, rewritten int64
			most := 0
			const flushes = 3000
			for i := range flushes {
				n := c.bytes(i)
				flushed += n
				parts = append(parts, &disk.Part{Bytes: n, SeqMin: uint64(i), SeqMax: uint64(i)})
				for {
					run := b.pickRun(parts, false, false, &compactRoom{most: math.MaxInt64})
					if len(run) < 2 {
						break
					}
					at := slices.Index(parts, run[0])
					merged := &disk.Part{SeqMin: run[0].SeqMin, SeqMax: run[len(run)-1].SeqMax}
					for _, p := range run {
						merged.Bytes += p.Bytes
					}
					rewritten += merged.Bytes
					parts = slices.Replace(parts, at, at+len(run), merged)
				}
				most = max(most, len(parts))
			}
			times := float64(rewritten) / float64(flushed)
			t.Logf("%d flushes: a byte is rewritten %.2f times, at most %d parts", flushes, times, most)
			if times > 4.5 || most > 100 {
				t.Errorf("a byte is rewritten %.2f times, want 4.5 at most; there are up to %d parts, want 100 at most", times, most)
			}
		})
	}
}

// TestCompactWhatFits: parts that are too large for the room that there is keep no
// others from being merged, be they of the same window or not; and once there is room,
// they are.
func TestCompactWhatFits(t *testing.T) {
	for windows := range 2 {
		h := newHarness(t, newRand(t))
		room := int64(math.MaxInt64)
		noRoom := errors.New("no room")
		h.options(Options{CompactPartsMin: 4, CompactionRoom: func(bytes int64) error {
			if bytes > room {
				return noRoom
			}
			return nil
		}})
		largest := int64(0)
		for i := range 9 {
			large := 1 - i/5
			var points []testPoint
			for j := range 500 * large {
				points = append(points, at("m", "a", "i1", h.r.Uint64(), int64(j)))
			}
			h.write(append(points, at("m", "a", "i1", uint64(i), int64((1-large)*windows)*int64(windowLong))))
			h.flush()
			largest = max(largest, h.b.version.Parts()[i].Bytes)
		}
		room = largest
		if more, err := h.b.Compact(t.Context(), false); err != nil || !more {
			t.Fatalf("the small ones: %t, %v", more, err)
		}
		if more, err := h.b.Compact(t.Context(), false); more || !errors.Is(err, noRoom) {
			t.Errorf("the large ones: %t, %v", more, err)
		}
		if n := len(h.b.version.Parts()); n != 6 {
			t.Errorf("%d parts, want 6: the small ones are merged", n)
		}
		room *= 6
		if n := h.settle(false); n != 1 || len(h.b.version.Parts()) != 1+windows {
			t.Errorf("%d compactions with room, %d parts", n, len(h.b.version.Parts()))
		}
		h.check(h.b.Snapshot(), h.model, "after compacting")
		h.close()
	}
}
