package store

import (
	"slices"

	"headgate/engine/point"
)

// segment is a run of rows of a measurement in the order in which they were
// written. Immutable. Its numbers are packed into whole bytes, so that most rows
// take a quarter of what they took in the batch, or less.
type segment struct {
	rows        int
	series      numbers // point.SeriesRef
	times       numbers // int64
	columns     []segmentColumn
	min, max    int64           // of times
	first, last point.SeriesRef // of series
	bytes       int64           // what all this takes
}

// segmentColumn is the values of a field in a segment, each field's in one.
type segmentColumn struct {
	field point.FieldID
	typ   point.FieldType
	n     int      // values
	rows  []uint32 // value i belongs to rows[i], or to row i if this is nil
	nums  numbers  // of all types but String
	ends  []uint32 // string i is text[ends[i-1]:ends[i]]
	text  []byte
}

// string is string i. It shares the column's memory.
func (c *segmentColumn) string(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.text[start:c.ends[i]]
}

// What a segment takes beside its rows, and a column beside its values.
const (
	segmentBytes       = 208
	segmentColumnBytes = 144
)

// newSegment packs rows. It keeps nothing of what it is given.
func newSegment(series []point.SeriesRef, times []int64, columns []*point.Column) *segment {
	s := &segment{rows: len(times), columns: make([]segmentColumn, 0, len(columns))}
	s.first, s.last = series[0], series[0]
	for _, ref := range series {
		s.first, s.last = min(s.first, ref), max(s.last, ref)
	}
	s.min, s.max = times[0], times[0]
	for _, t := range times {
		s.min, s.max = min(s.min, t), max(s.max, t)
	}
	s.series = numbers{base: uint64(s.first), scale: 1, width: widthOf(uint64(s.last - s.first))}
	scale := unitOf(times, s.min)
	s.times = numbers{base: uint64(s.min), scale: scale, width: widthOf(uint64(s.max-s.min) / scale)}
	var a arena
	a.expect(s.rows * int(s.series.width))
	a.expect(s.rows * int(s.times.width))
	for _, c := range columns {
		n := c.Len()
		if n == 0 {
			continue
		}
		sc := segmentColumn{field: c.Field, typ: c.Type, n: n}
		a.expect(4 * len(c.Rows))
		if c.Type == point.String {
			a.expect(4 * n)
			a.expect(int(c.Ends[n-1]))
		} else {
			lo, hi := point.Bounds(c.Nums)
			sc.nums = numbers{base: uint64(lo), scale: 1, width: widthOf(uint64(hi) - uint64(lo))}
			if sc.nums.width == 8 {
				sc.nums.base = 0
			}
			a.expect(n * int(sc.nums.width))
		}
		s.columns = append(s.columns, sc)
	}
	a.make()
	s.series.u = a.take(s.rows * int(s.series.width))
	setNumbers(&s.series, series)
	s.times.u = a.take(s.rows * int(s.times.width))
	setNumbers(&s.times, times)
	k := 0
	for _, c := range columns {
		if c.Len() == 0 {
			continue
		}
		sc := &s.columns[k]
		k++
		if c.Rows != nil {
			sc.rows = lanes[uint32](a.take(4 * len(c.Rows)))
			copy(sc.rows, c.Rows)
		}
		if c.Type == point.String {
			sc.ends = lanes[uint32](a.take(4 * sc.n))
			copy(sc.ends, c.Ends)
			sc.text = a.take(int(c.Ends[sc.n-1]))
			copy(sc.text, c.Bytes)
			continue
		}
		sc.nums.u = a.take(sc.n * int(sc.nums.width))
		setNumbers(&sc.nums, c.Nums)
	}
	s.bytes = a.bytes + segmentBytes + segmentColumnBytes*int64(cap(s.columns))
	return s
}

// unitOf is the largest usual unit of time whose multiples the distances of times
// from lo are, in nanoseconds.
func unitOf(times []int64, lo int64) uint64 {
next:
	for _, unit := range [...]uint64{1e9, 1e6, 1e3} {
		last := lo
		for _, t := range times {
			if t != last { // neighbours are often equal
				if uint64(t-lo)%unit != 0 {
					continue next
				}
				last = t
			}
		}
		return unit
	}
	return 1
}

// arena is one allocation for many pieces, each aligned to eight bytes.
type arena struct {
	bytes int64
	left  []byte
}

func aligned(n int) int { return (n + 7) &^ 7 }

// expect says that a piece of n bytes will be taken.
func (a *arena) expect(n int) { a.bytes += int64(aligned(n)) }

func (a *arena) make() {
	words := slices.Grow([]uint64(nil), int(a.bytes/8))
	a.bytes = int64(cap(words)) * 8 // as allocated
	a.left = bytesOf(words[:cap(words)])
}

// take is the next piece.
func (a *arena) take(n int) []byte {
	piece := a.left[:n:n]
	a.left = a.left[aligned(n):]
	return piece
}

// Packed is tables of a batch in the form in which a memtable keeps them.
type Packed struct {
	tables []packedTable
}

type packedTable struct {
	measurement point.MeasurementID
	segment     *segment
	// seen has a bit for each series that occurs, from that of first &^ 63 on; nil
	// when they are too far apart.
	seen   []uint64
	values int64
}

// Pack takes the tables that are large enough to be segments of their own out of
// batch, which is resolved, and packs them for a Link. It is for the goroutine that
// made the batch, so that nobody else has to spend time on it. The result keeps
// nothing of the batch; it is nil when there is nothing to link but batch itself.
func Pack(batch *point.Batch) *Packed {
	var p *Packed
	left := batch.Tables[:0]
	for _, t := range batch.Tables {
		if t.Rows() < segmentRowsMin && t.MemoryBytes() < segmentBytesMin || t.Rows() == 0 {
			left = append(left, t)
			continue
		}
		if p == nil {
			p = &Packed{tables: make([]packedTable, 0, len(batch.Tables))}
		}
		p.tables = append(p.tables, packTable(t))
	}
	clear(batch.Tables[len(left):])
	batch.Tables = left
	return p
}

func packTable(t *point.Table) packedTable {
	s := newSegment(t.Series, t.Times, t.Columns)
	p := packedTable{measurement: t.ID, segment: s}
	for i := range s.columns {
		p.values += int64(s.columns[i].n)
	}
	from := s.first / 64
	if words := int(s.last/64-from) + 1; words <= s.rows/2+1 {
		p.seen = make([]uint64, words)
		for _, ref := range t.Series {
			p.seen[ref/64-from] |= 1 << (ref % 64)
		}
	}
	return p
}
