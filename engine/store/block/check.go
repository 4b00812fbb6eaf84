package block

import (
	"fmt"

	"headgate/engine/point"
)

// check reports what is wrong with rows.
func (r *Rows) check() error {
	n := r.Len()
	switch {
	case n == 0:
		return fmt.Errorf("there are none")
	case n > RowsMax:
		return fmt.Errorf("there are %d, over RowsMax %d", n, RowsMax)
	case len(r.Series) == 0 || len(r.Series) != len(r.Ends):
		return fmt.Errorf("%d series with %d ends", len(r.Series), len(r.Ends))
	case int(r.Ends[len(r.Ends)-1]) != n:
		return fmt.Errorf("%d rows, the last series ends at %d", n, r.Ends[len(r.Ends)-1])
	}
	start, last := uint32(0), point.SeriesID(0)
	for i, end := range r.Ends {
		if r.Series[i] <= last {
			return fmt.Errorf("series %d follows series %d", r.Series[i], last)
		}
		if end <= start || int(end) > n {
			return fmt.Errorf("series %d has rows %d to %d", r.Series[i], start, end)
		}
		for k := start + 1; k < end; k++ {
			if r.Times[k] <= r.Times[k-1] {
				return fmt.Errorf("time %d follows %d in series %d", r.Times[k], r.Times[k-1], r.Series[i])
			}
		}
		start, last = end, r.Series[i]
	}
	field := point.FieldID(0)
	for _, c := range r.Columns {
		if c.Field <= field {
			return fmt.Errorf("field %d follows field %d", c.Field, field)
		}
		field = c.Field
		if err := r.checkColumn(c); err != nil {
			return fmt.Errorf("field %d: %w", field, err)
		}
	}
	return nil
}

func (r *Rows) checkColumn(c *point.Column) error {
	n := c.Len()
	switch {
	case !c.Type.Valid():
		return fmt.Errorf("unknown type %d", c.Type)
	case n == 0:
		return fmt.Errorf("no values")
	case c.Rows == nil && n != r.Len():
		return fmt.Errorf("%d values for %d rows", n, r.Len())
	case c.Rows != nil && len(c.Rows) != n:
		return fmt.Errorf("%d values, %d row numbers", n, len(c.Rows))
	}
	for i, row := range c.Rows {
		if int(row) >= r.Len() || i > 0 && row <= c.Rows[i-1] {
			return fmt.Errorf("row numbers are out of order at value %d", i)
		}
	}
	switch c.Type {
	case point.Boolean:
		for _, v := range c.Nums {
			if v > 1 {
				return fmt.Errorf("boolean %d", v)
			}
		}
	case point.String:
		last := uint32(0)
		for _, end := range c.Ends {
			if end < last || int(end) > len(c.Bytes) {
				return fmt.Errorf("strings end at %d, then at %d, of %d bytes", last, end, len(c.Bytes))
			}
			last = end
		}
		if last > ColumnBytesMax {
			return fmt.Errorf("strings take %d bytes, over ColumnBytesMax %d", last, ColumnBytesMax)
		}
	}
	return nil
}
