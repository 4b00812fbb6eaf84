package bench

import (
	"container/heap"
	"math/rand/v2"
)

// disorderLinesMax bounds how many lines later a held line comes, and so the
// memory of held ones.
const disorderLinesMax = 100_000

// disorderSource sends some lines later than they were made, which makes them out
// of order, and some a second time, as an agent does that missed an answer. The
// points are the same as without it.
type disorderSource struct {
	src        lineSource
	rng        *rand.Rand
	outOfOrder float64
	duplicates float64
	held       heldLines
	made       int
	line       Body
}

func newDisorderSource(src lineSource, o sourceOptions) *disorderSource {
	s := &disorderSource{
		src: src, rng: rand.New(rand.NewPCG(o.seed, 1<<63+uint64(o.conn))),
		outOfOrder: o.outOfOrder, duplicates: o.duplicates,
	}
	s.line.setPrecision(o.precision)
	return s
}

func (s *disorderSource) round() int { return s.src.round() }

func (s *disorderSource) appendLine(b *Body) {
	for {
		if len(s.held) > 0 && s.held[0].due <= s.made {
			b.appendBody(&heap.Pop(&s.held).(*heldLine).line)
			return
		}
		s.made++
		s.line.reset()
		s.src.appendLine(&s.line)
		p := s.rng.Float64()
		late := p < s.outOfOrder
		if late || p < s.outOfOrder+s.duplicates {
			h := &heldLine{due: s.made + 1 + s.rng.IntN(min(3*s.round(), disorderLinesMax))}
			h.line.appendBody(&s.line)
			heap.Push(&s.held, h)
		}
		if !late {
			b.appendBody(&s.line)
			return
		}
	}
}

// heldLine is a line that comes once so many lines were made.
type heldLine struct {
	due  int
	line Body
}

// heldLines is a heap by due.
type heldLines []*heldLine

func (h heldLines) Len() int           { return len(h) }
func (h heldLines) Less(i, j int) bool { return h[i].due < h[j].due }
func (h heldLines) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heldLines) Push(v any)        { *h = append(*h, v.(*heldLine)) }
func (h *heldLines) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
