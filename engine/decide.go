package engine

import (
	"headgate/engine/point"
	"headgate/engine/store"
)

// decideFields goes through the points in line order and drops those with a
// field of a type that the bucket, or an earlier point that was not dropped,
// has decided otherwise, and those with new fields that the measurement has no
// room for. It takes time in proportion to the values of the table.
func (r *resolver) decideFields(b *point.Batch, t *point.Table, m *store.Measurement) {
	fields := newFieldTypes(t, m)
	room := r.limits.fields(m)
	start, columns := columnsByRow(t)
	for row := range t.Rows() {
		if r.isDropped(row) {
			continue
		}
		present := columns[start[row]:start[row+1]]
		if c, have := fields.conflict(t, row, present); c != nil {
			r.drop(b, t, row, drop{code: typeConflict, field: c.Name, have: have, want: c.Type})
			continue
		}
		fresh, over := 0, []byte(nil)
		for _, i := range present {
			if fields.decided[fields.of[i]] != 0 {
				continue
			}
			if fresh++; fresh > room {
				over = t.Columns[i].Name
				break
			}
		}
		if over != nil {
			r.drop(b, t, row, drop{code: fieldLimit, field: over})
			continue
		}
		room -= fresh
		for _, i := range present {
			fields.decided[fields.of[i]] = t.Columns[i].Type
		}
	}
	for _, c := range t.Columns {
		c.Field = 0
		if m != nil {
			if f, ok := m.Field(c.Name); ok && f.Type == c.Type {
				c.Field = f.ID
			}
		}
	}
}

// fieldTypes is what has been decided of the fields of a table. A field that comes
// with several types has as many columns.
type fieldTypes struct {
	of      []int32           // field of each column
	decided []point.FieldType // of each field, 0 while it is open
	// inRow is the row, plus 1, in which an open field was met last, and rowType the
	// type that it had there.
	inRow   []int
	rowType []point.FieldType
}

func newFieldTypes(t *point.Table, m *store.Measurement) *fieldTypes {
	f := &fieldTypes{of: make([]int32, len(t.Columns))}
	byName := make(map[string]int32, len(t.Columns))
	for i, c := range t.Columns {
		n, ok := byName[string(c.Name)]
		if !ok {
			n = int32(len(f.decided))
			byName[string(c.Name)] = n
			var known point.FieldType
			if m != nil {
				if field, ok := m.Field(c.Name); ok {
					known = field.Type
				}
			}
			f.decided = append(f.decided, known)
		}
		f.of[i] = n
	}
	f.inRow, f.rowType = make([]int, len(f.decided)), make([]point.FieldType, len(f.decided))
	return f
}

// conflict finds the first field of a point that contradicts what is decided,
// or an earlier field of the same point.
func (f *fieldTypes) conflict(t *point.Table, row int, present []int32) (*point.Column, point.FieldType) {
	for _, i := range present {
		c, n := t.Columns[i], f.of[i]
		switch have := f.decided[n]; {
		case have == c.Type:
		case have != 0:
			return c, have
		case f.inRow[n] == row+1:
			return c, f.rowType[n]
		default:
			f.inRow[n], f.rowType[n] = row+1, c.Type
		}
	}
	return nil, 0
}

// columnsByRow lists the columns that have a value in each row, in their order: those
// of row i are columns[start[i]:start[i+1]].
func columnsByRow(t *point.Table) (start []int, columns []int32) {
	start = make([]int, t.Rows()+1)
	for _, c := range t.Columns {
		for v := range c.Len() {
			start[c.Row(v)+1]++
		}
	}
	for row := range t.Rows() {
		start[row+1] += start[row]
	}
	columns = make([]int32, start[t.Rows()])
	end := append([]int(nil), start[:t.Rows()]...) // where each row's next goes
	for i, c := range t.Columns {
		for v := range c.Len() {
			row := c.Row(v)
			columns[end[row]] = int32(i)
			end[row]++
		}
	}
	return start, columns
}
