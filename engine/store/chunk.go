package store

import (
	"cmp"
	"errors"
	"slices"

	"headgate/engine/point"
)

// chunk is rows on their way to yield: ranges of decoded rows, which are put
// together when there are enough of them. A single range is not even copied.
type chunk struct {
	q         *reading
	series    point.SeriesID
	spans     []span // in the request's direction
	rows      int
	rowsMax   int
	same      []*piece       // scratch of the merge
	spent     []*cachedBlock // pinned until the spans are gone
	spentSize int64

	// What yield is given.
	columns  []*point.Column // by index into reading.fields
	answer   []*point.Column
	cuts     []columnCut
	builders []columnBuilder
	times    []int64
	has      []uint32
	bytes    int64 // of all these
}

// span is rows of a piece.
type span struct {
	rows     *columnRows
	from, to int
	// same: the row, which is the only one, is another source's of the same time
	// as the span before, when times ascend.
	same bool
}

// directRows is from how many rows on a range is yielded as it is.
const directRows = 128

func (c *chunk) init(q *reading) {
	n := len(q.fields)
	c.q = q
	c.rowsMax = max(1, min(q.view.groupRows, q.view.groupCells/n))
	if n > cap(c.builders) {
		c.columns, c.cuts, c.builders = make([]*point.Column, n), make([]columnCut, n), make([]columnBuilder, n)
	}
	c.columns, c.cuts, c.builders = c.columns[:n], c.cuts[:n], c.builders[:n]
	c.answer = slices.Grow(c.answer[:0], len(q.answers))[:len(q.answers)]
}

func (c *chunk) reset() {
	if c.size() > readingKeptBytes {
		*c = chunk{}
		return
	}
	clear(c.spans[:cap(c.spans)])
	clear(c.same[:cap(c.same)])
	clear(c.spent[:cap(c.spent)])
	clear(c.columns)
	clear(c.answer)
	for i := range c.cuts {
		c.cuts[i].c = point.Column{} // it shares the memory of a block
	}
	*c = chunk{
		spans: c.spans[:0], same: c.same[:0], spent: c.spent[:0], columns: c.columns, answer: c.answer,
		cuts: c.cuts, builders: c.builders, times: c.times[:0], has: c.has[:0],
	}
}

// take takes the next n rows of a piece.
func (c *chunk) take(p *piece, n int) error {
	for n > 0 {
		if n >= directRows && c.rows > 0 && c.q.left == 0 || c.rows >= c.rowsMax {
			if err := c.flush(); err != nil || c.q.done {
				return err
			}
		}
		k := min(n, c.rowsMax-c.rows)
		s := span{rows: p.rows, from: p.from, to: p.from + k}
		if c.q.req.Descending {
			s.from, s.to = p.to-k, p.to
			p.to -= k
		} else {
			p.from += k
		}
		c.spans = append(c.spans, s)
		c.rows += k
		n -= k
		if k >= directRows && c.q.left == 0 {
			if err := c.flush(); err != nil || c.q.done {
				return err
			}
		}
	}
	return nil
}

// room makes room for a row.
func (c *chunk) room() error {
	if c.rows >= c.rowsMax {
		return c.flush()
	}
	return nil
}

// takeSame takes the next row of each piece in same: they have the same time.
func (c *chunk) takeSame() {
	slices.SortFunc(c.same, func(x, y *piece) int { return cmp.Compare(x.order, y.order) })
	first := len(c.spans)
	for i, p := range c.same {
		s := span{rows: p.rows, from: p.from, to: p.from + 1, same: i > 0}
		if c.q.req.Descending {
			s.from, s.to = p.to-1, p.to
			p.to--
		} else {
			p.from++
		}
		c.spans = append(c.spans, s)
	}
	if c.q.req.Descending { // flush turns all of them around
		slices.Reverse(c.spans[first:])
	}
	c.rows++
	clear(c.same)
}

// spend says that a piece has no more rows to give. Its block stays until the
// rows that have been taken are gone.
func (c *chunk) spend(p *piece) {
	if p.entry != nil {
		c.spent = append(c.spent, p.entry)
		c.spentSize += p.entry.bytes
		p.entry = nil
	}
}

// drop forgets the rows and lets go of their blocks.
func (c *chunk) drop() {
	c.spans, c.rows = c.spans[:0], 0
	for _, e := range c.spent {
		c.q.cache.unpin(e)
	}
	c.spent, c.spentSize = c.spent[:0], 0
}

// flush yields the rows.
func (c *chunk) flush() error {
	q := c.q
	if len(c.spans) == 0 {
		c.drop()
		return nil
	}
	if q.req.Descending {
		slices.Reverse(c.spans)
	}
	out := point.SeriesRows{Series: c.series, Columns: c.answer}
	full := false
	if s := &c.spans[0]; len(c.spans) == 1 && c.slice(s) {
		out.Times, full = s.rows.times[s.from:s.to], true
	} else if full = c.build(); full {
		out.Times = c.times
	} else {
		out.Times = c.dropEmptyRows()
	}
	if err := c.charge(); err != nil {
		return err
	}
	n := len(out.Times)
	if n > 0 {
		for k, i := range q.answers {
			if i >= 0 {
				c.answer[k] = c.columns[i]
			}
		}
		err := q.yield(out)
		if errors.Is(err, point.ErrSkipSeries) {
			q.done = true
		} else if err != nil {
			return err
		}
	}
	if q.left > 0 {
		if q.left -= n; q.left <= 0 {
			q.left, q.done = 0, true
		}
	}
	c.drop()
	return q.ctx.Err()
}

// slice makes the columns of a span without copying values, if that leaves no row
// without any.
func (c *chunk) slice(s *span) bool {
	full := false
	for i, src := range s.rows.columns {
		c.columns[i] = nil
		if src == nil {
			continue
		}
		if cut := c.cuts[i].cut(src, s.from, s.to); cut != nil {
			cut.Name = c.q.names[i]
			c.columns[i] = cut
			full = full || cut.Rows == nil
		}
	}
	return full
}

// build makes the columns of all spans. It reports whether one of them has a
// value in every row.
func (c *chunk) build() (full bool) {
	c.times = c.times[:0]
	for i := range c.spans {
		if s := &c.spans[i]; !s.same {
			c.times = append(c.times, s.rows.times[s.from:s.to]...)
		}
	}
	n := len(c.times)
	for f := range c.columns {
		b := &c.builders[f]
		b.reset(c.q.fields[f].ID, c.q.fields[f].Type)
		at := 0
		for i := range c.spans {
			s := &c.spans[i]
			to := at + s.to - s.from
			if s.same {
				at, to = at-1, at
			}
			if src := s.rows.columns[f]; src != nil {
				b.add(at, src, s.from, s.to)
			}
			at = to
		}
		if c.columns[f] = b.finish(n); c.columns[f] != nil {
			c.columns[f].Name = c.q.names[f]
			full = full || c.columns[f].Rows == nil
		}
	}
	return full
}

// dropEmptyRows leaves out the rows that build has made without a value in any
// column. No column has one in every row.
func (c *chunk) dropEmptyRows() []int64 {
	c.has = slices.Grow(c.has[:0], len(c.times))[:len(c.times)] // later 1 + the new row
	clear(c.has)
	for _, col := range c.columns {
		if col != nil {
			for _, row := range col.Rows {
				c.has[row] = 1
			}
		}
	}
	n := uint32(0)
	for row := range c.has {
		if c.has[row] != 0 {
			c.times[n] = c.times[row]
			n++
			c.has[row] = n
		}
	}
	for _, col := range c.columns {
		if col == nil {
			continue
		}
		if len(col.Rows) == int(n) {
			col.Rows = nil
			continue
		}
		for i, row := range col.Rows {
			col.Rows[i] = c.has[row] - 1
		}
	}
	return c.times[:n]
}

// size is what the memory takes.
func (c *chunk) size() int64 {
	n := int64(cap(c.times)*8 + cap(c.has)*4 + cap(c.spans)*40)
	builders, cuts := c.builders[:cap(c.builders)], c.cuts[:cap(c.cuts)]
	for i := range builders {
		n += builders[i].bytes() + cuts[i].bytes()
	}
	return n
}

// charge brings the meter up to date with what the memory has grown to.
func (c *chunk) charge() error {
	n := c.size()
	err := c.q.hold(n - c.bytes)
	if err == nil {
		c.bytes = n
	}
	return err
}
