package store

import (
	"math"
	"slices"

	"headgate/engine/point"
)

// tail is the growing end of a measurement, into which small tables are merged.
// Everything in it is append-only: a view copies the slice headers and goes on
// reading its prefix while the writer appends behind it. Under Bucket.mu.
type tail struct {
	series  []point.SeriesRef
	times   []int64
	columns []*point.Column
	slot    []uint32 // 1 + index into columns, by index into measurement.fields
	min     int64
	max     int64
	first   point.SeriesRef // the least one
	last    point.SeriesRef // the greatest
	bytes   int64           // what the columns occupy
}

// A tail that has reached either limit becomes a segment. Growing it copies it,
// so it should not get much larger; a segment should not be much smaller.
const (
	tailRowsMax  = 4096
	tailBytesMax = 1 << 20
	tailBytes    = 200 // an empty one
)

// appendTail merges t into the tail. t's slices are copied.
func (p *memPoints) appendTail(t *point.Table) {
	lo, hi := slices.Min(t.Times), slices.Max(t.Times)
	if p.tail != nil && (len(p.tail.times)+t.Rows() > tailRowsMax || p.tail.bytes >= tailBytesMax) {
		last := p.tail
		p.seal()
		p.startTail(lo, hi)
		if last.bytes < tailBytesMax {
			p.tail.expect(p.m, last)
			p.t.bytes += p.tail.bytes - tailBytes
		}
	}
	if p.tail == nil {
		p.startTail(lo, hi)
	}
	a := p.tail
	before := a.bytes
	a.min, a.max = min(a.min, lo), max(a.max, hi)
	for _, ref := range t.Series {
		a.first, a.last = min(a.first, ref), max(a.last, ref)
	}
	base := len(a.times)
	a.bytes -= int64(cap(a.series)*4 + cap(a.times)*8)
	a.series = append(a.series, t.Series...)
	a.times = append(a.times, t.Times...)
	a.bytes += int64(cap(a.series)*4 + cap(a.times)*8)
	for _, c := range t.Columns {
		if c.Len() > 0 {
			a.merge(a.column(p.m, c), c, base)
		}
	}
	p.t.bytes += a.bytes - before
}

func (p *memPoints) startTail(lo, hi int64) {
	p.tail = &tail{min: lo, max: hi, first: math.MaxUint32, bytes: tailBytes}
	p.t.bytes += tailBytes
}

// expect makes room for as many rows as last got full with, in the columns that
// most of them had. Growing step by step would copy everything twice.
func (a *tail) expect(m *measurement, last *tail) {
	a.bytes -= int64(cap(a.series)*4 + cap(a.times)*8)
	a.series = make([]point.SeriesRef, 0, tailRowsMax)
	a.times = make([]int64, 0, tailRowsMax)
	a.bytes += int64(cap(a.series)*4 + cap(a.times)*8)
	for _, c := range last.columns {
		if c.Type != point.String && c.Len() > len(last.times)/2 {
			fresh := a.column(m, c)
			fresh.Nums = make([]uint64, 0, tailRowsMax)
			a.bytes += int64(cap(fresh.Nums)) * 8
		}
	}
}

// column finds or makes the tail's column for c.
func (a *tail) column(m *measurement, c *point.Column) *point.Column {
	i := int(m.byID[c.Field]) - 1
	if i >= len(a.slot) {
		before := cap(a.slot)
		a.slot = append(a.slot, make([]uint32, i+1-len(a.slot))...)
		a.bytes += int64(cap(a.slot)-before) * 4
	}
	if a.slot[i] == 0 {
		fresh := &point.Column{Type: c.Type, Field: c.Field}
		a.columns = append(a.columns, fresh)
		a.slot[i] = uint32(len(a.columns))
		a.bytes += fresh.MemoryBytes() + 8
	}
	return a.columns[a.slot[i]-1]
}

// merge appends the values of c, whose row 0 is the tail's row base, to dst.
func (a *tail) merge(dst, c *point.Column, base int) {
	a.bytes -= dst.MemoryBytes()
	n := dst.Len()
	if dst.Rows == nil && (n != base || c.Rows != nil) {
		// Rows must be listed from here on. Views keep seeing the dense prefix.
		dst.Rows = make([]uint32, n, max(8, 2*n+c.Len()))
		for i := range dst.Rows {
			dst.Rows[i] = uint32(i)
		}
	}
	if dst.Rows != nil {
		for i := range c.Len() {
			dst.Rows = append(dst.Rows, uint32(base+c.Row(i)))
		}
	}
	if c.Type == point.String {
		start := uint32(len(dst.Bytes))
		dst.Bytes = append(dst.Bytes, c.Bytes[:c.Ends[len(c.Ends)-1]]...)
		for _, end := range c.Ends {
			dst.Ends = append(dst.Ends, start+end)
		}
	} else {
		dst.Nums = append(dst.Nums, c.Nums...)
	}
	a.bytes += dst.MemoryBytes()
}

// seal makes the tail a segment, so that rows can come after it.
func (p *memPoints) seal() {
	a := p.tail
	p.tail = nil
	if a == nil {
		return
	}
	p.addSegment(newSegment(a.series, a.times, a.columns))
	p.t.bytes -= a.bytes
}

// freeze is the tail's rows so far as a segment, which shares their memory.
func (a *tail) freeze() *segment {
	s := &segment{rows: len(a.times), series: asNumbers(a.series), times: asNumbers(a.times), min: a.min, max: a.max, first: a.first, last: a.last}
	s.columns = make([]segmentColumn, 0, len(a.columns))
	for _, c := range a.columns {
		if n := c.Len(); n > 0 {
			s.columns = append(s.columns, segmentColumn{field: c.Field, typ: c.Type, n: n, rows: c.Rows, nums: asNumbers(c.Nums), ends: c.Ends, text: c.Bytes})
		}
	}
	return s
}
