package store

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// rowSource is the rows of one measurement in the order of series and time, each
// (series, time) once: the decoded blocks of a part.
type rowSource interface {
	// next returns the next rows, which are valid until it is called again; nil
	// at the end.
	next() (*block.Rows, error)
}

// rowFilter says which rows a merge leaves out.
type rowFilter struct {
	// min is the oldest time that stays.
	min int64
	// deletes are of rows of some series in a range of time.
	deletes []rowDelete
}

// rowDelete is the rows of series with a time in [min, max]. nil means every
// series.
type rowDelete struct {
	series   *roaring.Bitmap
	min, max int64
}

// timeRange is the times from min to max, both inclusive.
type timeRange struct{ min, max int64 }

// ranges appends the times that the filter takes out of a series, sorted and
// apart from each other.
func (f *rowFilter) ranges(dst []timeRange, id point.SeriesID) []timeRange {
	dst = dst[:0]
	if f == nil {
		return dst
	}
	if f.min > math.MinInt64 {
		dst = append(dst, timeRange{math.MinInt64, f.min - 1})
	}
	for _, d := range f.deletes {
		if d.min <= d.max && (d.series == nil || d.series.Contains(uint32(id))) {
			dst = append(dst, timeRange{d.min, d.max})
		}
	}
	if len(dst) < 2 {
		return dst
	}
	slices.SortFunc(dst, func(x, y timeRange) int { return cmp.Compare(x.min, y.min) })
	n := 0
	for _, r := range dst[1:] {
		if r.min <= dst[n].max {
			dst[n].max = max(dst[n].max, r.max)
		} else {
			n++
			dst[n] = r
		}
	}
	return dst[:n+1]
}

// mergeRows yields the rows of all sources, oldest source first, in the order of
// series and time, without those that filter takes out; nil takes out none. Of
// several values for one (series, time, field) it yields the newest source's.
// What it emits is cut as by sortSegments, but for a series that sources go on
// with in further blocks: it may be cut although it would have fitted.
func mergeRows(ctx context.Context, sources []rowSource, filter *rowFilter, m *merger, emit func(*block.Rows) error) error {
	defer m.release()
	m.begin(emit)
	for _, s := range sources {
		c := &mergeCursor{source: s}
		if err := c.load(m); err != nil {
			return err
		}
		m.cursors = append(m.cursors, c)
	}
	for steps := 0; ; steps++ {
		if steps%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		more, err := m.series(filter)
		if err != nil {
			return err
		}
		if !more {
			return m.flush()
		}
	}
}

// merger is the memory that merging needs: about one block. It may be used again
// and again, by one goroutine at a time.
type merger struct {
	emit    func(*block.Rows) error
	cursors []*mergeCursor // oldest source first
	active  []*mergeCursor // those that have the series under way, likewise
	dropped []timeRange    // of that series
	same    []*mergeCursor // those of active that have a row of the same time
	single  int            // how many such rows to take one by one

	rows    block.Rows
	columns []*mergeColumn // by field, ascending
	index   map[point.FieldID]*mergeColumn
	// fields is how many columns the block may get, and generation the number of
	// the block: what has that number is counted.
	fields, generation int
	strings            int // bytes in the block, or more
}

type mergeColumn struct {
	columnBuilder
	generation int
}

// mergeCursor is a position in a source.
type mergeCursor struct {
	source  rowSource
	rows    *block.Rows    // nil at the end
	columns []*mergeColumn // of rows.Columns
	// generation is that of the merger's block when it last counted the columns.
	generation int
	strings    bool // there are string columns

	at       int // in rows.Series
	pos, end int // the next rows that stay
	to       int // where the series ends
}

func (m *merger) begin(emit func(*block.Rows) error) {
	m.emit = emit
	if m.index == nil {
		m.index = make(map[point.FieldID]*mergeColumn)
	}
	m.reset()
}

// release drops the references to sources.
func (m *merger) release() {
	clear(m.cursors)
	clear(m.active[:cap(m.active)])
	clear(m.same[:cap(m.same)])
	clear(m.index)
	m.cursors, m.active, m.columns, m.emit = m.cursors[:0], m.active[:0], nil, nil
}

// reset begins a block.
func (m *merger) reset() {
	m.rows.Reset()
	m.fields, m.strings = 0, 0
	m.generation++
}

// load makes the source's next rows the cursor's.
func (c *mergeCursor) load(m *merger) error {
	rows, err := c.source.next()
	for err == nil && rows != nil && rows.Len() == 0 {
		rows, err = c.source.next()
	}
	if err != nil {
		return err
	}
	c.rows, c.at, c.pos, c.end, c.to = rows, 0, 0, 0, 0
	c.generation, c.strings, c.columns = 0, false, c.columns[:0]
	if rows == nil {
		return nil
	}
	for _, column := range rows.Columns {
		c.columns = append(c.columns, m.column(column))
		c.strings = c.strings || column.Type == point.String
	}
	return nil
}

// column finds or makes the merger's column for c.
func (m *merger) column(c *point.Column) *mergeColumn {
	if mc := m.index[c.Field]; mc != nil {
		return mc
	}
	mc := new(mergeColumn)
	mc.c.Field, mc.c.Type = c.Field, c.Type
	m.index[c.Field] = mc
	i, _ := slices.BinarySearchFunc(m.columns, c.Field, func(x *mergeColumn, f point.FieldID) int { return cmp.Compare(x.c.Field, f) })
	m.columns = slices.Insert(m.columns, i, mc)
	return mc
}

// series merges the next series; false if there is none.
func (m *merger) series(filter *rowFilter) (bool, error) {
	m.active = m.active[:0]
	var id point.SeriesID
	for _, c := range m.cursors {
		if c.rows == nil {
			continue
		}
		switch next := c.rows.Series[c.at]; {
		case len(m.active) == 0 || next < id:
			id = next
			m.active = append(m.active[:0], c)
		case next == id:
			m.active = append(m.active, c)
		}
	}
	if len(m.active) == 0 {
		return false, nil
	}
	m.dropped = filter.ranges(m.dropped, id)
	m.single = 0
	sum := 0
	for k := 0; k < len(m.active); {
		c := m.active[k]
		c.enter(m.dropped)
		ok, err := c.settle(m, id)
		if err != nil {
			return false, err
		}
		if ok {
			sum += c.to - c.pos
			k++
		} else {
			m.active = slices.Delete(m.active, k, k+1)
		}
	}
	if n, limit := m.rows.Len(), m.rowsMax(); 2*n >= limit && n+sum > limit {
		if err := m.flush(); err != nil {
			return false, err
		}
	}
	for len(m.active) > 0 {
		if err := m.step(id); err != nil {
			return false, err
		}
	}
	return true, nil
}

// enter makes the cursor's current series the one under way.
func (c *mergeCursor) enter(dropped []timeRange) {
	c.pos = 0
	if c.at > 0 {
		c.pos = int(c.rows.Ends[c.at-1])
	}
	c.to = int(c.rows.Ends[c.at])
	c.stretch(dropped)
}

// stretch finds the next rows that stay, from pos on.
func (c *mergeCursor) stretch(dropped []timeRange) {
	times := c.rows.Times
	for _, r := range dropped {
		if c.pos == c.to || r.min > times[c.to-1] {
			break
		}
		if r.max < times[c.pos] {
			continue
		}
		if r.min > times[c.pos] {
			n, _ := slices.BinarySearch(times[c.pos:c.to], r.min)
			c.end = c.pos + n
			return
		}
		n, found := slices.BinarySearch(times[c.pos:c.to], r.max)
		if found {
			n++
		}
		c.pos += n
	}
	c.end = c.to
}

// settle takes the cursor to the next row of series id that stays, which may be
// in a further block; false if there is none.
func (c *mergeCursor) settle(m *merger, id point.SeriesID) (bool, error) {
	for c.pos == c.end {
		if c.pos < c.to {
			c.stretch(m.dropped)
			continue
		}
		c.at++
		if c.at == len(c.rows.Series) {
			if err := c.load(m); err != nil || c.rows == nil {
				return false, err
			}
		}
		if c.rows.Series[c.at] != id {
			return false, nil
		}
		c.enter(m.dropped)
	}
	return true, nil
}

// step appends the next rows of series id: all that one source has before the
// others have any, or the rows of one time.
func (m *merger) step(id point.SeriesID) error {
	first, k := m.active[0], 0
	same, limit := false, int64(math.MaxInt64)
	head := first.rows.Times[first.pos]
	for i, c := range m.active[1:] {
		switch t := c.rows.Times[c.pos]; {
		case t < head:
			first, k, head, limit, same = c, i+1, t, head, false
		case t == head:
			same = true
		default:
			limit = min(limit, t)
		}
	}
	if same {
		return m.stepSame(id, head)
	}
	end := first.end
	if len(m.active) > 1 && first.rows.Times[end-1] >= limit {
		n, _ := slices.BinarySearch(first.rows.Times[first.pos:end], limit)
		end = first.pos + n
	}
	for first.pos < end {
		n, err := m.room(first, end-first.pos)
		if err != nil {
			return err
		}
		at := m.rows.Len()
		m.rows.Times = append(m.rows.Times, first.rows.Times[first.pos:first.pos+n]...)
		m.append(id, first, at, n)
	}
	return m.settled(k, id)
}

// stepCovered appends the next rows of the newest source that has the row at t, if
// all other sources have these rows too, or later ones only, and none has a value
// that the newest has not: as when points are written again. It reports whether
// it has.
func (m *merger) stepCovered(id point.SeriesID, t int64) (bool, error) {
	m.same = m.same[:0]
	var newest *mergeCursor
	for _, c := range m.active {
		if c.rows.Times[c.pos] == t {
			newest = c
			m.same = append(m.same, c)
		}
	}
	times := newest.rows.Times[newest.pos:newest.end]
	for _, c := range m.active {
		if c == newest {
			continue
		}
		other := c.rows.Times[c.pos:c.end]
		if other[0] != t {
			n, _ := slices.BinarySearch(times, other[0])
			times = times[:n]
			continue
		}
		n := 0
		for n < len(times) && n < len(other) && times[n] == other[n] {
			n++
		}
		times = times[:n]
	}
	n := len(times)
	for _, c := range m.same {
		if c != newest && !newest.covers(c, n) {
			m.single = n - 1
			return false, nil
		}
	}
	for left := n; left > 0; {
		k, err := m.room(newest, left)
		if err != nil {
			return false, err
		}
		at := m.rows.Len()
		m.rows.Times = append(m.rows.Times, newest.rows.Times[newest.pos:newest.pos+k]...)
		m.append(id, newest, at, k)
		left -= k
	}
	for _, c := range m.same {
		if c != newest {
			c.pos += n
		}
		if err := m.settled(slices.Index(m.active, c), id); err != nil {
			return false, err
		}
	}
	return true, nil
}

// covers reports whether c has a value wherever o has one in the next n rows.
func (c *mergeCursor) covers(o *mergeCursor, n int) bool {
	k := 0
	for i, column := range o.rows.Columns {
		if from, to := valueRange(column, o.pos, o.pos+n); from == to {
			continue
		}
		for k < len(c.columns) && c.columns[k] != o.columns[i] { // both ascend by field
			k++
		}
		if k == len(c.columns) {
			return false
		}
		if from, to := valueRange(c.rows.Columns[k], c.pos, c.pos+n); to-from < n {
			return false
		}
	}
	return true
}

// stepSame appends one row, which several sources have, or more of them.
func (m *merger) stepSame(id point.SeriesID, t int64) error {
	if m.single > 0 {
		m.single--
	} else if done, err := m.stepCovered(id, t); done || err != nil {
		return err
	}
	fits := false
	for !fits {
		// A block that is ended for one source is to be counted anew for all.
		before := m.generation
		strings := 0
		for _, c := range m.active {
			if c.rows.Times[c.pos] != t {
				continue
			}
			if _, err := m.room(c, 1); err != nil {
				return err
			}
			strings += c.stringBytes(1)
		}
		fits = m.generation == before
		if fits && m.strings+strings > block.StringBytesMax && m.rows.Len() > 0 {
			if err := m.flush(); err != nil {
				return err
			}
			fits = false
		}
	}
	at := m.rows.Len()
	m.rows.Times = append(m.rows.Times, t)
	for k := 0; k < len(m.active); {
		c := m.active[k]
		if c.rows.Times[c.pos] != t {
			k++
			continue
		}
		m.append(id, c, at, 1)
		n := len(m.active)
		if err := m.settled(k, id); err != nil {
			return err
		}
		if len(m.active) == n {
			k++
		}
	}
	return nil
}

// append takes n rows over from the cursor; the first becomes row at.
func (m *merger) append(id point.SeriesID, c *mergeCursor, at, n int) {
	if k := len(m.rows.Series); k == 0 || m.rows.Series[k-1] != id {
		m.rows.Series = append(m.rows.Series, id)
		m.rows.Ends = append(m.rows.Ends, 0)
	}
	m.rows.Ends[len(m.rows.Ends)-1] = uint32(m.rows.Len())
	if c.strings {
		m.strings += c.stringBytes(n)
	}
	for i, mc := range c.columns {
		mc.add(at, c.rows.Columns[i], c.pos, c.pos+n)
	}
	c.pos += n
}

// settled goes on from the rows that have been taken from active[k].
func (m *merger) settled(k int, id point.SeriesID) error {
	ok, err := m.active[k].settle(m, id)
	if !ok {
		m.active = slices.Delete(m.active, k, k+1)
	}
	return err
}

// stringBytes is what the next n rows have in strings.
func (c *mergeCursor) stringBytes(n int) int {
	if !c.strings {
		return 0
	}
	sum := 0
	for _, column := range c.rows.Columns {
		if column.Type == point.String {
			sum += stringBytes(column, c.pos, c.pos+n)
		}
	}
	return sum
}

// rowsMax is how many rows the block may have with the columns it has.
func (m *merger) rowsMax() int {
	return max(1, min(block.RowsMax, block.CellsMax/max(m.fields, 1)))
}

// room says how many of the cursor's next n rows can be appended, at least one.
// It ends the block when it is full.
func (m *merger) room(c *mergeCursor, n int) (int, error) {
	for {
		m.count(c)
		if m.rows.Len() > 0 && m.rows.Len() >= m.rowsMax() {
			if err := m.flush(); err != nil {
				return 0, err
			}
			continue
		}
		n = min(n, m.rowsMax()-m.rows.Len())
		if !c.strings {
			return n, nil
		}
		for n > 1 && m.strings+c.stringBytes(n) > block.StringBytesMax {
			n /= 2
		}
		if n > 1 || m.rows.Len() == 0 || m.strings+c.stringBytes(1) <= block.StringBytesMax {
			return n, nil
		}
		if err := m.flush(); err != nil {
			return 0, err
		}
	}
}

// count makes the cursor's columns some of the block's.
func (m *merger) count(c *mergeCursor) {
	if c.generation == m.generation {
		return
	}
	c.generation = m.generation
	for _, mc := range c.columns {
		if mc.generation != m.generation {
			mc.generation = m.generation
			mc.reset(mc.c.Field, mc.c.Type)
			m.fields++
		}
	}
}

// flush emits the block, if it has rows, and begins another.
func (m *merger) flush() error {
	n := m.rows.Len()
	if n > 0 {
		for _, mc := range m.columns {
			if mc.generation != m.generation {
				continue
			}
			if c := mc.finish(n); c != nil {
				m.rows.Columns = append(m.rows.Columns, c)
			}
		}
		if err := m.emit(&m.rows); err != nil {
			return err
		}
	}
	m.reset()
	return nil
}
