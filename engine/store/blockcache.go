package store

import (
	"fmt"
	"math"
	"slices"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// blockCache is the decoded blocks of one Read. Blocks hold rows of many series,
// and series are read in the order of their keys, so that a block may be wanted
// again and again. When all of them have been read, or when it is the one that has
// not been used for longest, its memory is used for the next block.
type blockCache struct {
	q       *reading
	entries map[blockKey]*cachedBlock
	// used is a ring of all entries, the one after it has not been used for longest.
	used     cachedBlock
	free     []*cachedBlock // empty ones
	bytes    int64
	bytesMax int64
	index    map[point.FieldID]int // into reading.fields

	block   block.Block
	buf     []byte
	current *cachedBlock // whose block it is
}

type blockKey struct{ part, block int }

// cachedBlock is a block, as far as it has been decoded.
type cachedBlock struct {
	key    blockKey
	series []point.SeriesID
	ends   []uint32
	rows   columnRows
	// misses: no row meets the request's bounds.
	misses                  bool
	timesReady, columnReady bool
	columns                 []point.Column // of rows
	pins                    int            // pieces that use it
	uses                    int            // wanted series that have not been read
	bytes                   int64
	newer, older            *cachedBlock
}

// cellBytes is about what a cell of a decoded block takes.
const cellBytes = 8

func (c *blockCache) init(q *reading) {
	c.q = q
	c.bytesMax = int64(q.view.groupCells) * cellBytes
	if c.entries == nil {
		c.entries = make(map[blockKey]*cachedBlock)
		c.index = make(map[point.FieldID]int)
		c.used.newer, c.used.older = &c.used, &c.used
	}
	for i, f := range q.fields {
		c.index[f.ID] = i
	}
}

// reset empties the cache. What is kept is nobody's charge.
func (c *blockCache) reset() {
	if c.entries == nil {
		return
	}
	for e := c.used.newer; e != &c.used; {
		next := e.newer
		c.forget(e)
		c.free = append(c.free, e)
		e = next
	}
	n, bytes := 0, int64(0)
	for n < len(c.free) && bytes+c.free[n].bytes <= readingKeptBytes {
		e := c.free[n]
		bytes += e.bytes
		e.bytes, e.pins = 0, 0
		n++
	}
	clear(c.free[n:])
	clear(c.entries)
	clear(c.index)
	c.q, c.free, c.bytes = nil, c.free[:n], 0
	if cap(c.buf) > readingKeptBytes {
		c.buf = nil
	}
	c.block = block.Block{}
}

// get finds or reads a block.
func (c *blockCache) get(part, number int) (*cachedBlock, error) {
	key := blockKey{part, number}
	if e := c.entries[key]; e != nil {
		e.unlink()
		e.link(&c.used)
		return e, nil
	}
	if err := c.q.ctx.Err(); err != nil {
		return nil, err
	}
	e := c.take()
	e.key = key
	if err := c.parse(e); err != nil {
		return nil, err
	}
	e.series = append(e.series[:0], c.block.Series()...)
	e.ends = append(e.ends[:0], c.block.Ends()...)
	e.misses = c.misses()
	e.uses = c.wanted(e.series)
	c.entries[key] = e
	e.link(&c.used)
	return e, c.charge(e)
}

// wanted counts the series that are wanted.
func (c *blockCache) wanted(series []point.SeriesID) int {
	if c.q.all {
		return len(series)
	}
	n := 0
	for _, id := range series {
		if c.q.ranks.of(point.SeriesRef(id)) != 0 {
			n++
		}
	}
	return n
}

// unpin says that a piece of the block is done with, and with it one of the series.
func (c *blockCache) unpin(e *cachedBlock) {
	e.pins--
	if e.uses--; e.uses <= 0 && e.pins == 0 {
		c.forget(e)
		c.free = append(c.free, e)
	}
}

// take returns an empty entry: one that is free, the one that has not been used
// for longest when the limit is reached, or a new one.
func (c *blockCache) take() *cachedBlock {
	fields := len(c.q.fields)
	if n := len(c.free); n > 0 {
		e := c.free[n-1]
		c.free = c.free[:n-1]
		if d := fields - cap(e.columns); d > 0 {
			e.columns = append(e.columns[:cap(e.columns)], make([]point.Column, d)...)
			e.rows.columns = append(e.rows.columns[:cap(e.rows.columns)], make([]*point.Column, d)...)
		}
		e.columns, e.rows.columns = e.columns[:fields], e.rows.columns[:fields]
		return e
	}
	if c.bytes >= c.bytesMax {
		for e := c.used.newer; e != &c.used; e = e.newer {
			if e.pins == 0 {
				c.forget(e)
				return e
			}
		}
	}
	return &cachedBlock{rows: columnRows{columns: make([]*point.Column, fields)}, columns: make([]point.Column, fields)}
}

// forget takes an entry out. Its memory stays charged.
func (c *blockCache) forget(e *cachedBlock) {
	e.unlink()
	delete(c.entries, e.key)
	if c.current == e {
		c.current = nil
	}
	e.timesReady, e.columnReady = false, false
	clear(e.rows.columns)
	e.uses = 0
}

func (e *cachedBlock) unlink() {
	e.newer.older, e.older.newer = e.older, e.newer
}

// link makes e the latest of the ring.
func (e *cachedBlock) link(root *cachedBlock) {
	e.newer, e.older = root, root.older
	e.newer.older, e.older.newer = e, e
}

// parse reads the entry's block, if it is not at hand.
func (c *blockCache) parse(e *cachedBlock) error {
	if c.current == e {
		return nil
	}
	c.current = nil
	p := c.q.parts[e.key.part]
	number := p.m.Blocks[e.key.block].Number
	var err error
	if c.buf, err = c.q.view.version.ReadBlock(p.part, number, c.buf[:0]); err != nil {
		return err
	}
	if err := c.block.Reset(c.buf); err != nil {
		return c.blame(e, err)
	}
	c.current = e
	return nil
}

// blame says which block an error is about.
func (c *blockCache) blame(e *cachedBlock, err error) error {
	p := c.q.parts[e.key.part]
	return fmt.Errorf("part %d, block %d: %w", p.part.ID, p.m.Blocks[e.key.block].Number, err)
}

func (c *blockCache) decodeTimes(e *cachedBlock) error {
	if e.timesReady {
		return nil
	}
	err := c.parse(e)
	if err != nil {
		return err
	}
	if e.rows.times, err = c.block.Times(e.rows.times[:0]); err != nil {
		return c.blame(e, err)
	}
	if n := len(e.ends); n == 0 || int(e.ends[n-1]) != len(e.rows.times) {
		return c.blame(e, block.ErrCorrupt)
	}
	e.timesReady = true
	return c.charge(e)
}

func (c *blockCache) decodeColumns(e *cachedBlock) error {
	if e.columnReady {
		return nil
	}
	if err := c.parse(e); err != nil {
		return err
	}
	infos := c.block.Columns()
	for i := range infos {
		f, ok := c.index[infos[i].Field]
		if !ok {
			continue
		}
		if infos[i].Type != c.q.fields[f].Type {
			return c.blame(e, fmt.Errorf("field %d is %s, not %s", infos[i].Field, infos[i].Type, c.q.fields[f].Type))
		}
		if err := c.block.Column(i, &e.columns[f]); err != nil {
			return c.blame(e, err)
		}
		e.rows.columns[f] = &e.columns[f]
	}
	e.columnReady = true
	return c.charge(e)
}

// misses reports whether the statistics of the block at hand rule out that a row
// meets all bounds. A NaN meets every bound and is in no statistics, but no point
// has one.
func (c *blockCache) misses() bool {
	infos := c.block.Columns()
	for _, b := range c.q.bounds {
		i := slices.IndexFunc(infos, func(info block.ColumnInfo) bool { return info.Field == c.q.fields[b.field].ID })
		if i < 0 {
			return true
		}
		lo, hi := math.Inf(-1), math.Inf(1)
		switch info := &infos[i]; info.Type {
		case point.Float:
			lo, hi = math.Float64frombits(info.Min), math.Float64frombits(info.Max)
		case point.Integer:
			lo, hi = float64(int64(info.Min)), float64(int64(info.Max))
		case point.Unsigned:
			lo, hi = float64(info.Min), float64(info.Max)
		}
		if hi < b.min || lo > b.max {
			return true
		}
	}
	return false
}

// charge brings the count of what an entry takes up to date, which is the
// cache's from then on. When the meter has no more, what is not needed goes.
func (c *blockCache) charge(e *cachedBlock) error {
	n := int64(cap(e.series)+cap(e.ends))*4 + int64(cap(e.rows.times))*8 + 256
	columns := e.columns[:cap(e.columns)]
	for i := range columns {
		n += columns[i].MemoryBytes()
	}
	grown := n - e.bytes
	err := c.q.hold(grown)
	if err != nil && c.empty(e) {
		err = c.q.hold(grown)
	}
	if err != nil {
		return err
	}
	e.bytes = n
	c.bytes += grown
	return nil
}

// empty gives back the memory of all entries that are not in use; false if there
// are none.
func (c *blockCache) empty(but *cachedBlock) bool {
	freed := int64(0)
	for _, e := range c.free {
		freed += e.bytes
	}
	c.free = nil
	for e := c.used.newer; e != &c.used; {
		next := e.newer
		if e.pins == 0 && e != but {
			c.forget(e)
			freed += e.bytes
		}
		e = next
	}
	c.bytes -= freed
	_ = c.q.hold(-freed) // giving back does not fail
	return freed > 0
}
