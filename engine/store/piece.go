package store

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"headgate/engine/point"
)

// piece is rows of the series under way that are together and in order: those in
// one block of a part, or those in memory.
type piece struct {
	// order is the place in the log's order: of two pieces with a value for the
	// same time and field, the one with the higher order wins.
	order int
	// part and block say where it is, indexes into reading.parts and the blocks
	// there; part is len(reading.parts) for memory.
	part, block int
	// low and high bound the keys of the times, about until it is loaded.
	low, high int64
	// alone: no other piece has rows between low and high.
	alone bool

	entry *cachedBlock // nil for memory; pinned while loaded
	rows  *columnRows
	// from to to-1 are the rows that have not been taken.
	from, to int
}

// columnRows is decoded rows, with a column for each of reading.fields; nil for
// one without values.
type columnRows struct {
	times   []int64
	columns []*point.Column
}

// readSeries yields the rows of a series.
func (q *reading) readSeries(rank int) error {
	q.findPieces(rank)
	q.next, q.active = 0, q.active[:0]
	q.done, q.left, q.step = false, q.req.RowsMax, q.req.RowsMax
	q.chunk.series = q.series[rank]
	for !q.done {
		more, err := q.merge(rank)
		if err != nil {
			return err
		}
		if !more {
			if err := q.chunk.flush(); err != nil {
				return err
			}
			break
		}
	}
	for _, i := range q.active {
		q.chunk.spend(&q.pieces[i])
	}
	q.chunk.drop()
	return nil
}

// findPieces lists the series' pieces in the order of their first rows.
func (q *reading) findPieces(rank int) {
	id := q.series[rank]
	q.pieces = q.pieces[:0]
	for k, p := range q.parts {
		if !p.m.Series.Contains(uint32(id)) {
			continue
		}
		blocks := p.m.Blocks
		first := sort.Search(len(blocks), func(i int) bool { return blocks[i].SeriesMax >= id })
		for i := first; i < len(blocks) && blocks[i].SeriesMin <= id; i++ {
			if b := &blocks[i]; b.TimeMin <= q.max && b.TimeMax >= q.min {
				q.addPiece(k, i, max(b.TimeMin, q.min), min(b.TimeMax, q.max))
			}
		}
	}
	if lo, hi, ok := q.memory.times(rank); ok {
		q.addPiece(len(q.parts), 0, lo, hi)
	}
	byLow := func(x, y piece) int { return cmp.Compare(x.low, y.low) }
	if !slices.IsSortedFunc(q.pieces, byLow) {
		slices.SortFunc(q.pieces, byLow)
	}
	if len(q.bounds) == 0 {
		return
	}
	high := int64(math.MinInt64)
	for i := range q.pieces {
		p := &q.pieces[i]
		p.alone = (i == 0 || high < p.low) && (i+1 == len(q.pieces) || q.pieces[i+1].low > p.high)
		high = max(high, p.high)
	}
}

func (q *reading) addPiece(part, block int, lo, hi int64) {
	if q.req.Descending {
		lo, hi = ^hi, ^lo
	}
	q.pieces = append(q.pieces, piece{order: part, part: part, block: block, low: lo, high: hi})
}

// merge takes the next rows of the series to the chunk: those that one piece has
// before all others, or those of one time. It reports whether there were any.
func (q *reading) merge(rank int) (bool, error) {
	for {
		at, same, limit := q.front()
		if at < 0 {
			if q.next == len(q.pieces) {
				return false, nil
			}
			if err := q.load(rank); err != nil {
				return false, err
			}
			continue
		}
		p := &q.pieces[q.active[at]]
		// What may have rows among those of p has to be loaded; if few rows are
		// wanted, only what may have some before p's first.
		until := q.head(p)
		if q.left == 0 {
			until = q.last(p)
		}
		if q.next < len(q.pieces) && q.pieces[q.next].low <= until {
			if err := q.load(rank); err != nil {
				return false, err
			}
			continue
		}
		if same {
			return true, q.takeSame(rank, q.head(p))
		}
		if q.next < len(q.pieces) {
			limit = min(limit, q.pieces[q.next].low)
		}
		n := q.before(p, limit)
		if q.left > 0 {
			n = min(n, max(1, q.step-q.chunk.rows))
		}
		if err := q.chunk.take(p, n); err != nil {
			return false, err
		}
		if err := q.settle(rank, at); err != nil {
			return false, err
		}
		return true, q.enough()
	}
}

// front finds the active piece whose next row is the first, or the only piece
// that has it, and up to which key none of the others has rows.
func (q *reading) front() (at int, same bool, limit int64) {
	at, limit = -1, math.MaxInt64
	var head int64
	for i, k := range q.active {
		h := q.head(&q.pieces[k])
		switch {
		case at < 0:
			at, head = i, h
		case h < head:
			at, head, limit, same = i, h, head, false
		case h == head:
			same = true
		default:
			limit = min(limit, h)
		}
	}
	return at, same, limit
}

// head is the key of the next row, last that of the last one.
func (q *reading) head(p *piece) int64 {
	if q.req.Descending {
		return ^p.rows.times[p.to-1]
	}
	return p.rows.times[p.from]
}

func (q *reading) last(p *piece) int64 {
	if q.req.Descending {
		return ^p.rows.times[p.from]
	}
	return p.rows.times[p.to-1]
}

// before counts the next rows with a key below limit.
func (q *reading) before(p *piece, limit int64) int {
	if q.last(p) < limit {
		return p.to - p.from
	}
	times := p.rows.times[p.from:p.to]
	if !q.req.Descending {
		n, _ := slices.BinarySearch(times, limit)
		return n
	}
	n, found := slices.BinarySearch(times, ^limit)
	if found {
		n++
	}
	return len(times) - n
}

// takeSame takes the row of a time that several pieces have.
func (q *reading) takeSame(rank int, head int64) error {
	if err := q.chunk.room(); err != nil || q.done {
		return err
	}
	same := q.chunk.same[:0]
	for _, k := range q.active {
		if p := &q.pieces[k]; q.head(p) == head {
			same = append(same, p)
		}
	}
	q.chunk.same = same
	q.chunk.takeSame()
	for i := 0; i < len(q.active); {
		n := len(q.active)
		if p := &q.pieces[q.active[i]]; p.from == p.to {
			if err := q.settle(rank, i); err != nil {
				return err
			}
			if q.done {
				return nil
			}
		}
		if len(q.active) == n {
			i++
		}
	}
	return q.enough()
}

// enough ends the series if RowsMax allows it.
func (q *reading) enough() error {
	if q.left == 0 || q.chunk.rows < q.step {
		return nil
	}
	err := q.chunk.flush()
	q.step = max(q.left, 2*q.step) // rows without values have been left out
	return err
}

// load takes up the next piece. It becomes active if it has wanted rows.
func (q *reading) load(rank int) error {
	i := q.next
	q.next++
	p := &q.pieces[i]
	if p.part == len(q.parts) {
		if err := q.memory.load(rank, p); err != nil {
			return err
		}
	} else if err := q.loadBlock(p, q.series[rank]); err != nil {
		return err
	}
	if p.from < p.to {
		q.active = append(q.active, i)
	}
	return nil
}

func (q *reading) loadBlock(p *piece, id point.SeriesID) error {
	e, err := q.cache.get(p.part, p.block)
	if err != nil {
		return err
	}
	if p.alone && e.misses {
		return nil
	}
	at, ok := slices.BinarySearch(e.series, id)
	if !ok {
		return nil
	}
	if err := q.cache.decodeTimes(e); err != nil {
		return err
	}
	from, to := 0, int(e.ends[at])
	if at > 0 {
		from = int(e.ends[at-1])
	}
	times := e.rows.times
	if times[from] < q.min {
		n, _ := slices.BinarySearch(times[from:to], q.min)
		from += n
	}
	if from < to && times[to-1] > q.max {
		n, found := slices.BinarySearch(times[from:to], q.max)
		if found {
			n++
		}
		to = from + n
	}
	if from == to {
		return nil
	}
	if err := q.cache.decodeColumns(e); err != nil {
		return err
	}
	e.pins++
	p.entry, p.rows, p.from, p.to = e, &e.rows, from, to
	return nil
}

// settle goes on when rows of active[at] have been taken: if none are left it
// leaves, unless memory has more of them.
func (q *reading) settle(rank, at int) error {
	p := &q.pieces[q.active[at]]
	if p.from < p.to {
		return nil
	}
	if p.part == len(q.parts) && q.memory.more() {
		// The next rows take the place of these.
		if err := q.chunk.flush(); err != nil || q.done {
			return err
		}
		return q.memory.load(rank, p)
	}
	q.chunk.spend(p)
	q.active = slices.Delete(q.active, at, at+1)
	if q.chunk.spentSize > q.cache.bytesMax/2 {
		return q.chunk.flush()
	}
	return nil
}
