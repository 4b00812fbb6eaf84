package influxql

import (
	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// rowCondition is a condition that is evaluated for each row.
type rowCondition struct {
	expr influxql.Expr
	refs []valueRef
	// cursors and row are the state of the series and row at hand.
	cursors []columnCursor
	consts  []any
	row     int
	valuer  influxql.ValuerEval
}

func (g *gatherer) newRowCondition(expr influxql.Expr) *rowCondition {
	c := &rowCondition{expr: expr}
	for _, ref := range influxql.ExprNames(expr) {
		c.refs = append(c.refs, g.plan.resolve(ref))
	}
	c.cursors = make([]columnCursor, len(c.refs))
	c.consts = make([]any, len(c.refs))
	c.valuer = influxql.ValuerEval{Valuer: influxql.MultiValuer(query.MathValuer{}, c)}
	return c
}

// keep leaves those of rows that pass.
func (c *rowCondition) keep(g *gatherer, rows []int32, sr *point.SeriesRows, tags []point.Tag) []int32 {
	for i := range c.refs {
		c.cursors[i], c.consts[i] = columnCursor{}, nil
		switch ref := &c.refs[i]; ref.kind {
		case refField:
			if col := sr.Columns[ref.field]; col != nil {
				c.cursors[i] = columnCursor{column: col, to: ref.to, cast: numberCast(col.Type, ref.to)}
			}
		case refTag:
			if v := point.TagValue(tags, ref.name); v != "" {
				c.consts[i] = v
			}
		}
	}
	kept := rows[:0]
	for i, row := range rows {
		if i&0xfff == 0xfff {
			if g.err = g.x.ctx.Err(); g.err != nil {
				return nil
			}
		}
		c.row = int(row)
		if c.valuer.EvalBool(c.expr) {
			kept = append(kept, row)
		}
	}
	return kept
}

// null stands for a missing value in conditions, as in InfluxDB: a comparison with
// it is false whatever the operator, where a bare nil would be taken for a false
// boolean.
var null any = (*float64)(nil)

// Value implements influxql.Valuer for the row at hand.
func (c *rowCondition) Value(name string) (any, bool) {
	for i := range c.refs {
		if c.refs[i].name != name {
			continue
		}
		v := c.consts[i]
		if c.cursors[i].column != nil {
			v = c.cursors[i].at(c.row)
		}
		if v == nil {
			v = null
		}
		return v, true
	}
	return nil, false
}

// columnCursor reads a column row by row, in ascending order.
type columnCursor struct {
	column *point.Column
	to     point.FieldType
	cast   func(uint64) uint64
	next   int
}

func (c *columnCursor) at(row int) any {
	col := c.column
	if col.Rows == nil {
		c.next = min(row, col.Len())
	}
	for c.next < col.Len() && col.Row(c.next) < row {
		c.next++
	}
	if c.next == col.Len() || col.Row(c.next) != row {
		return nil
	}
	if col.Type == point.String {
		return string(col.StringAt(c.next))
	}
	num := col.Nums[c.next]
	if c.cast != nil {
		num = c.cast(num)
	}
	v := values{typ: c.to, nums: []uint64{num}}
	return v.at(0)
}
