package store

import (
	"cmp"
	"math"
	"slices"

	"headgate/engine/point"
)

// cellBuilder collects the values of one field of one series in the order in
// which they were written, each with its output row. The last of a row wins.
type cellBuilder struct {
	c      point.Column // Rows explicit
	sorted bool         // Rows ascend strictly
	// overflow: the strings exceed what Ends can express; some are missing.
	overflow bool
}

// newCellBuilder expects about room values.
func newCellBuilder(t point.FieldType, room int) *cellBuilder {
	cb := &cellBuilder{sorted: true}
	cb.c.Type = t
	cb.c.Rows = make([]uint32, 0, room)
	if t == point.String {
		cb.c.Ends = make([]uint32, 0, room)
	} else {
		cb.c.Nums = make([]uint64, 0, room)
	}
	return cb
}

// add appends value i of src.
func (cb *cellBuilder) add(row uint32, src *point.Column, i int) {
	c := &cb.c
	if c.Type == point.String && len(c.Bytes)+len(src.StringAt(i)) > math.MaxUint32 {
		cb.overflow = true
		return
	}
	if n := len(c.Rows); n > 0 && c.Rows[n-1] >= row {
		cb.sorted = false
	}
	c.Rows = append(c.Rows, row)
	if c.Type == point.String {
		c.Bytes = append(c.Bytes, src.StringAt(i)...)
		c.Ends = append(c.Ends, uint32(len(c.Bytes)))
		return
	}
	c.Nums = append(c.Nums, src.Nums[i])
}

// column finishes the column, which has rows rows.
func (cb *cellBuilder) column(f Field, rows int) *point.Column {
	c := &cb.c
	if !cb.sorted {
		c = cb.settled()
	}
	c.Name, c.Field = []byte(f.Name), f.ID
	if len(c.Rows) == rows {
		c.Rows = nil
	}
	return c
}

// settled sorts the values by row and keeps the last of each.
func (cb *cellBuilder) settled() *point.Column {
	c := &cb.c
	perm := make([]uint32, len(c.Rows))
	for i := range perm {
		perm[i] = uint32(i)
	}
	slices.SortFunc(perm, func(x, y uint32) int {
		if d := cmp.Compare(c.Rows[x], c.Rows[y]); d != 0 {
			return d
		}
		return cmp.Compare(x, y)
	})
	out := newCellBuilder(c.Type, len(perm))
	for k, i := range perm {
		if k+1 < len(perm) && c.Rows[perm[k+1]] == c.Rows[i] {
			continue
		}
		out.add(c.Rows[i], c, int(i))
	}
	return &out.c
}
