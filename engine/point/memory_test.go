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

// TestMadeAgain: what a batch makes after a Reset is empty, and costs nothing.
func TestMadeAgain(t *testing.T) {
	b := new(Batch)
	name, rows := []byte("m"), []uint32{4}
	fill := func() {
		_, table := b.Table(name, 7)
		if table.Rows() != 0 || len(table.Columns) != 0 || table.ID != 7 {
			t.Fatalf("a table is not empty: %+v", table)
		}
		table.AppendRow(1, 2, 3)
		for range 20 {
			c := b.NewColumn()
			if c.Len() != 0 || c.Name != nil || c.Type != 0 || c.Field != 0 || c.Rows != nil {
				t.Fatalf("a column is not empty: %+v", c)
			}
			*c = Column{Name: name, Type: Float, Field: 3, Rows: rows, Nums: b.Words(1)}
			table.Columns = append(table.Columns, c)
		}
		b.Reset()
	}
	fill()
	// The name, and Series, Times and Lines, which the parser cuts from Words.
	if n := testing.AllocsPerRun(20, fill); n > 5 {
		t.Errorf("%v allocations, want no tables and columns among them", n)
	}
	for range columnsKept + 10 {
		b.NewColumn()
	}
	if b.Reset(); len(b.made.columns) > columnsKept {
		t.Errorf("%d columns are kept", len(b.made.columns))
	}
}
