package store

import (
	"math/bits"
	"slices"
	"unsafe"

	"headgate/engine/point"
)

// slot gathers the values of one field.
type slot struct {
	field  point.FieldID
	typ    point.FieldType
	used   bool // a segment of the block has the column
	dense  int  // refs of the block whose segment has a value in every row
	column point.Column
	nums   []uint64
	strs   []string // aliases the segments
	has    []uint64 // bit by row; not kept if every row has a value
	rows   []uint32 // for column.Rows
}

// begin makes room for n rows.
func (sl *slot) begin(n int, full bool) {
	if sl.typ == point.String {
		sl.strs = slices.Grow(sl.strs[:0], n)[:n]
		clear(sl.strs)
	} else {
		sl.nums = slices.Grow(sl.nums[:0], n)[:n]
	}
	sl.has = sl.has[:0]
	if !full {
		sl.has = slices.Grow(sl.has, (n+63)/64)[:(n+63)/64]
		clear(sl.has)
	}
}

// gather takes over the values that c has in the rows of cells. If c is not
// dense, cells ascend by row.
func (sl *slot) gather(c *segmentColumn, cells []rowCell) {
	if c.rows != nil {
		sl.gatherSparse(c, cells)
		return
	}
	switch {
	case c.typ == point.String:
		for _, cell := range cells {
			if int(cell.row) < c.n {
				sl.setString(c, int(cell.row), cell.out)
			}
		}
	case len(sl.has) == 0:
		c.nums.gather(sl.nums, cells)
	default:
		for _, cell := range cells {
			if int(cell.row) < c.n {
				sl.nums[cell.out] = c.nums.at(int(cell.row))
				sl.has[cell.out/64] |= 1 << (cell.out % 64)
			}
		}
	}
}

func (sl *slot) gatherSparse(c *segmentColumn, cells []rowCell) {
	rows := c.rows
	at := 0
	for i, cell := range cells {
		if len(rows)-at > 16*(len(cells)-i) {
			n, _ := slices.BinarySearch(rows[at:], cell.row)
			at += n
		}
		for at < len(rows) && rows[at] < cell.row {
			at++
		}
		if at == len(rows) {
			return
		}
		if rows[at] != cell.row {
			continue
		}
		if c.typ == point.String {
			sl.setString(c, at, cell.out)
			continue
		}
		sl.nums[cell.out] = c.nums.at(at)
		if len(sl.has) > 0 {
			sl.has[cell.out/64] |= 1 << (cell.out % 64)
		}
	}
}

func (sl *slot) setString(c *segmentColumn, i int, out uint32) {
	v := c.string(i)
	sl.strs[out] = unsafe.String(unsafe.SliceData(v), len(v)) // as long as the segment: until release
	if len(sl.has) > 0 {
		sl.has[out/64] |= 1 << (out % 64)
	}
}

// finish makes the column of n rows; nil if it has no values.
func (sl *slot) finish(n int) *point.Column {
	c := &sl.column
	*c = point.Column{Type: sl.typ, Field: sl.field, Ends: c.Ends[:0], Bytes: c.Bytes[:0]}
	rows := sl.rows[:0]
	if len(sl.has) > 0 {
		for w, word := range sl.has {
			for ; word != 0; word &= word - 1 {
				rows = append(rows, uint32(w*64+bits.TrailingZeros64(word)))
			}
		}
		sl.rows = rows
		if len(rows) == 0 {
			return nil
		}
	}
	if len(sl.has) == 0 || len(rows) == n {
		if sl.typ == point.String {
			for _, v := range sl.strs[:n] {
				c.Bytes = append(c.Bytes, v...)
				c.Ends = append(c.Ends, uint32(len(c.Bytes)))
			}
		} else {
			c.Nums = sl.nums[:n]
		}
		return c
	}
	c.Rows = rows
	if sl.typ == point.String {
		for _, row := range rows {
			c.Bytes = append(c.Bytes, sl.strs[row]...)
			c.Ends = append(c.Ends, uint32(len(c.Bytes)))
		}
		return c
	}
	for i, row := range rows {
		sl.nums[i] = sl.nums[row]
	}
	c.Nums = sl.nums[:len(rows)]
	return c
}
