package point

import (
	"math/rand/v2"
	"testing"
)

// TestWords: pieces never overlap, and in the steady state nothing is allocated.
func TestWords(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b := new(Batch)
	for round := range 50 {
		var pieces [][]uint64
		for k := range 1 + r.IntN(9) {
			w := b.Words(1 + r.IntN(1000<<r.IntN(8)))
			if cap(w) != len(w) {
				t.Fatalf("round %d: %d words can grow into the next piece: %d", round, len(w), cap(w))
			}
			for i := range w {
				w[i] = uint64(k)
			}
			pieces = append(pieces, w)
		}
		for k, w := range pieces {
			for _, x := range w {
				if x != uint64(k) {
					t.Fatalf("round %d: a word of piece %d holds %d", round, k, x)
				}
			}
		}
		b.Reset()
	}
	fill := func() {
		for range 9 {
			b.Words(5000)
		}
		b.Reset()
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	b.Words(wordsKept + 1)
	if b.Reset(); cap(b.memory.block) != 0 {
		t.Errorf("%d words are kept", cap(b.memory.block))
	}
}
