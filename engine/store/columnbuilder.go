package store

import (
	"slices"

	"headgate/engine/point"
)

// columnBuilder makes a column out of ranges of other columns, row by row
// ascending. It keeps its memory from one column to the next.
type columnBuilder struct {
	c    point.Column
	rows []uint32 // of the values
	// listed: value i belongs to rows[i]; until then it belongs to row i.
	listed bool
}

// reset begins a column.
func (b *columnBuilder) reset(field point.FieldID, typ point.FieldType) {
	b.c = point.Column{Field: field, Type: typ, Nums: b.c.Nums[:0], Ends: b.c.Ends[:0], Bytes: b.c.Bytes[:0]}
	b.rows, b.listed = b.rows[:0], false
}

// list gives the values so far their rows.
func (b *columnBuilder) list() {
	b.listed = true
	b.rows = b.rows[:0]
	for i := range b.c.Len() {
		b.rows = append(b.rows, uint32(i))
	}
}

// lastRow is the row of the last value, -1 for none.
func (b *columnBuilder) lastRow() int {
	if b.listed && len(b.rows) > 0 {
		return int(b.rows[len(b.rows)-1])
	}
	return b.c.Len() - 1
}

// add appends the values that src has in rows from to to-1; the first of them
// becomes row at. A single row may be the last one again: then its value, if it
// has one, replaces the one there.
func (b *columnBuilder) add(at int, src *point.Column, from, to int) {
	i, j := valueRange(src, from, to)
	if i == j {
		return
	}
	if b.lastRow() == at {
		b.removeLast()
	}
	full := j-i == to-from
	if !b.listed && (!full || b.c.Len() != at) {
		b.list()
	}
	if b.listed {
		b.rows = slices.Grow(b.rows, j-i)
		if full {
			for k := range j - i {
				b.rows = append(b.rows, uint32(at+k))
			}
		} else if src.Rows == nil {
			for k := i; k < j; k++ {
				b.rows = append(b.rows, uint32(at+k-from))
			}
		} else {
			for _, row := range src.Rows[i:j] {
				b.rows = append(b.rows, row-uint32(from)+uint32(at))
			}
		}
	}
	if b.c.Type != point.String {
		b.c.Nums = append(b.c.Nums, src.Nums[i:j]...)
		return
	}
	start := stringStart(src, i)
	shift := uint32(len(b.c.Bytes)) - start // wraps, and back again
	for _, end := range src.Ends[i:j] {
		b.c.Ends = append(b.c.Ends, end+shift)
	}
	b.c.Bytes = append(b.c.Bytes, src.Bytes[start:src.Ends[j-1]]...)
}

func (b *columnBuilder) removeLast() {
	if b.listed {
		b.rows = b.rows[:len(b.rows)-1]
	}
	if n := len(b.c.Nums); n > 0 {
		b.c.Nums = b.c.Nums[:n-1]
	} else if n := len(b.c.Ends); n > 0 {
		b.c.Bytes = b.c.Bytes[:stringStart(&b.c, n-1)]
		b.c.Ends = b.c.Ends[:n-1]
	}
}

// finish is the column of rows rows; nil if it has no values. It is the
// builder's, and valid until reset.
func (b *columnBuilder) finish(rows int) *point.Column {
	n := b.c.Len()
	if n == 0 {
		return nil
	}
	b.c.Rows = nil
	if n < rows {
		if !b.listed {
			b.list()
		}
		b.c.Rows = b.rows
	}
	return &b.c
}

// columnCut is some rows of another column, whose values it shares.
type columnCut struct {
	c          point.Column
	rows, ends []uint32 // memory for c
}

// cut makes the column of rows from to to-1 of src; nil if it has no values there.
// It is valid until the next cut.
func (x *columnCut) cut(src *point.Column, from, to int) *point.Column {
	i, j := valueRange(src, from, to)
	if i == j {
		return nil
	}
	x.c = point.Column{Name: src.Name, Field: src.Field, Type: src.Type}
	if j-i < to-from {
		x.rows = x.rows[:0]
		if src.Rows == nil {
			for k := range j - i {
				x.rows = append(x.rows, uint32(k))
			}
		} else {
			for _, row := range src.Rows[i:j] {
				x.rows = append(x.rows, row-uint32(from))
			}
		}
		x.c.Rows = x.rows
	}
	if src.Type != point.String {
		x.c.Nums = src.Nums[i:j:j]
		return &x.c
	}
	start := stringStart(src, i)
	x.ends = x.ends[:0]
	for _, end := range src.Ends[i:j] {
		x.ends = append(x.ends, end-start)
	}
	x.c.Ends, x.c.Bytes = x.ends, src.Bytes[start:src.Ends[j-1]]
	return &x.c
}

// bytes is what the cut's own memory takes.
func (x *columnCut) bytes() int64 { return int64(cap(x.rows)+cap(x.ends)) * 4 }

// valueRange finds the values that c has in rows from to to-1.
func valueRange(c *point.Column, from, to int) (i, j int) {
	if c.Rows == nil {
		n := c.Len()
		return min(from, n), min(to, n)
	}
	i, _ = slices.BinarySearch(c.Rows, uint32(from))
	rest := c.Rows[i:]
	if n := to - from; len(rest) >= n && int(rest[n-1]) == to-1 {
		return i, i + n // a value in every row
	}
	j, _ = slices.BinarySearch(rest, uint32(to))
	return i, i + j
}

// stringStart is where string value i of c begins.
func stringStart(c *point.Column, i int) uint32 {
	if i == 0 {
		return 0
	}
	return c.Ends[i-1]
}

// stringBytes is what the strings of rows from to to-1 of c add up to.
func stringBytes(c *point.Column, from, to int) int {
	i, j := valueRange(c, from, to)
	if i == j {
		return 0
	}
	return int(c.Ends[j-1] - stringStart(c, i))
}

// bytes is what the builder's memory takes.
func (b *columnBuilder) bytes() int64 { return b.c.MemoryBytes() + int64(cap(b.rows))*4 }
