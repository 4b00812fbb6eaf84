package store

import (
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
					run := b.pickRun(parts, false, false)
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
