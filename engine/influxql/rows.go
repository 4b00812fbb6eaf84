package influxql

import (
	"math"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// values is one column of rows: value i belongs to row i.
type values struct {
	typ point.FieldType
	// nums holds every type but String, as point.Column does.
	nums []uint64
	strs []string
	// present is nil when every row has a value.
	present []bool
}

// at is value i as InfluxQL's expressions want it, nil when there is none.
func (v *values) at(i int) any {
	if v.present != nil && !v.present[i] {
		return nil
	}
	switch v.typ {
	case point.Float:
		return math.Float64frombits(v.nums[i])
	case point.Integer:
		return int64(v.nums[i])
	case point.Unsigned:
		return v.nums[i]
	case point.Boolean:
		return v.nums[i] != 0
	case point.String:
		return v.strs[i]
	}
	return nil
}

// rows are the rows of one series that a scan hands up, in time order. They are
// copies: the reader's memory is not ours after it has yielded it.
type rows struct {
	times []int64
	// main has a value in every row; empty when the plan has no main field.
	main values
	// aux answers scanPlan.aux one to one.
	aux []auxValues
}

// auxValues is a constant, such as a tag, or a column.
type auxValues struct {
	constant any
	column   *values
}

func (r *rows) len() int { return len(r.times) }

// memoryBytes is what the rows occupy, strings as if none were shared.
func (r *rows) memoryBytes() int64 {
	n := int64(cap(r.times)) * 8
	n += r.main.memoryBytes()
	for i := range r.aux {
		if c := r.aux[i].column; c != nil {
			n += c.memoryBytes()
		}
	}
	return n + 128
}

func (v *values) memoryBytes() int64 {
	n := int64(cap(v.nums))*8 + int64(cap(v.strs))*16 + int64(cap(v.present))
	for _, s := range v.strs {
		n += int64(len(s))
	}
	return n
}

// gatherer turns the rows that a reader yields into the rows that a plan wants.
// It is used for one series after the other and keeps its buffers.
type gatherer struct {
	plan *scanPlan
	// chosen are the wanted rows of the series at hand, ascending.
	chosen []int32
	any    []bool
	conds  map[influxql.Expr]*rowCondition
	// reuse is set when the rows of one series are done with before those of the
	// next are gathered, so that times and nums can serve them all.
	reuse bool
	times []int64
	nums  []uint64
}

func newGatherer(p *scanPlan) *gatherer {
	return &gatherer{plan: p, conds: make(map[influxql.Expr]*rowCondition), reuse: p.reduces()}
}

// gather copies what the plan wants of sr, the rows of a series with tags. rest is
// the condition that its rows must pass, nil for none. It returns nil when no
// row does. With reuse, the rows are only good until the next call.
func (g *gatherer) gather(sr *point.SeriesRows, tags []point.Tag, rest influxql.Expr) *rows {
	p := g.plan
	all := g.candidates(sr)
	if rest != nil && len(g.chosen) > 0 {
		g.condition(rest).keep(g, sr, tags)
		all = false
	}
	if n := len(g.chosen); p.rowsMax > 0 && n > p.rowsMax {
		if p.last {
			g.chosen = g.chosen[n-p.rowsMax:]
		} else {
			g.chosen = g.chosen[:p.rowsMax]
		}
		all = false
	}
	if len(g.chosen) == 0 {
		return nil
	}
	r := &rows{times: g.times}
	if !g.reuse || cap(r.times) < len(g.chosen) {
		r.times = make([]int64, len(g.chosen))
		if g.reuse {
			g.times, g.nums = r.times, make([]uint64, len(g.chosen))
		}
	}
	r.times = r.times[:len(g.chosen)]
	if all {
		copy(r.times, sr.Times)
	} else {
		for i, row := range g.chosen {
			r.times[i] = sr.Times[row]
		}
	}
	if p.main != nil {
		var nums []uint64
		if g.reuse {
			nums = g.nums[:len(g.chosen)]
		}
		r.main = g.column(sr.Columns[p.main.field], p.main, nums)
	}
	r.aux = make([]auxValues, len(p.aux))
	for i := range p.aux {
		switch ref := &p.aux[i]; ref.kind {
		case refTag:
			if v := tagValue(tags, ref.name); v != "" {
				r.aux[i].constant = v
			}
		case refField:
			if c := sr.Columns[ref.field]; c != nil {
				v := g.column(c, ref, nil)
				r.aux[i].column = &v
			}
		}
	}
	return r
}

// candidates fills chosen with the rows that the main field has a value in, or
// any auxiliary field when there is none. It reports whether that is all of them.
func (g *gatherer) candidates(sr *point.SeriesRows) (all bool) {
	p := g.plan
	g.chosen = g.chosen[:0]
	n := len(sr.Times)
	if p.main != nil {
		c := sr.Columns[p.main.field]
		if c == nil {
			return false
		}
		for i := range c.Len() {
			g.chosen = append(g.chosen, int32(c.Row(i)))
		}
		return len(g.chosen) == n
	}
	g.any = append(g.any[:0], make([]bool, n)...)
	for i := range p.aux {
		if p.aux[i].kind != refField {
			continue
		}
		c := sr.Columns[p.aux[i].field]
		if c == nil {
			continue
		}
		if c.Len() == n {
			for row := range n {
				g.chosen = append(g.chosen, int32(row))
			}
			return true
		}
		for i := range c.Len() {
			g.any[c.Row(i)] = true
		}
	}
	for row, ok := range g.any {
		if ok {
			g.chosen = append(g.chosen, int32(row))
		}
	}
	return len(g.chosen) == n
}

// column copies the chosen rows of c, cast to what ref wants, into nums unless it
// is nil or c holds strings.
func (g *gatherer) column(c *point.Column, ref *valueRef, nums []uint64) values {
	v := values{typ: ref.to}
	n := len(g.chosen)
	var shared string // all of the column's bytes, when most are wanted
	if c.Type == point.String {
		v.strs = make([]string, n)
		if n > c.Len()/2 {
			shared = string(c.Bytes)
		}
	} else if v.nums = nums; v.nums == nil {
		v.nums = make([]uint64, n)
	}
	if v.strs == nil && c.Type == ref.to && c.Rows == nil && int(g.chosen[n-1]) == n-1 && c.Len() >= n {
		copy(v.nums, c.Nums) // the first n rows are wanted and have a value
		return v
	}
	cast := numberCast(c.Type, ref.to)
	k := 0
	for i, row := range g.chosen {
		for k < c.Len() && c.Row(k) < int(row) {
			k++
		}
		if k == c.Len() || c.Row(k) != int(row) {
			if v.present == nil {
				v.present = make([]bool, n)
				for j := range i {
					v.present[j] = true
				}
			}
			continue
		}
		if v.present != nil {
			v.present[i] = true
		}
		switch {
		case v.strs == nil:
			num := c.Nums[k]
			if cast != nil {
				num = cast(num)
			}
			v.nums[i] = num
		case shared != "":
			v.strs[i] = shared[int(c.Ends[k])-len(c.StringAt(k)) : c.Ends[k]]
		default:
			v.strs[i] = string(c.StringAt(k))
		}
	}
	return v
}

// numberCast converts between the representations of numbers in point.Column; it
// is nil when there is nothing to do.
func numberCast(from, to point.FieldType) func(uint64) uint64 {
	switch {
	case from == to || from > point.Unsigned:
		return nil
	case to == point.Float && from == point.Integer:
		return func(v uint64) uint64 { return math.Float64bits(float64(int64(v))) }
	case to == point.Float && from == point.Unsigned:
		return func(v uint64) uint64 { return math.Float64bits(float64(v)) }
	case to == point.Integer && from == point.Float:
		return func(v uint64) uint64 { return uint64(int64(math.Float64frombits(v))) }
	case to == point.Unsigned && from == point.Float:
		return func(v uint64) uint64 { return uint64(math.Float64frombits(v)) }
	}
	return nil // integers and unsigned integers share their bits
}

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

// condition prepares expr, once.
func (g *gatherer) condition(expr influxql.Expr) *rowCondition {
	c, ok := g.conds[expr]
	if !ok {
		c = &rowCondition{expr: expr}
		for _, ref := range influxql.ExprNames(expr) {
			c.refs = append(c.refs, g.plan.resolve(ref))
		}
		c.cursors = make([]columnCursor, len(c.refs))
		c.consts = make([]any, len(c.refs))
		c.valuer = influxql.ValuerEval{Valuer: influxql.MultiValuer(query.MathValuer{}, c)}
		g.conds[expr] = c
	}
	return c
}

// keep leaves those of g's chosen rows that pass.
func (c *rowCondition) keep(g *gatherer, sr *point.SeriesRows, tags []point.Tag) {
	for i := range c.refs {
		c.cursors[i], c.consts[i] = columnCursor{}, nil
		switch ref := &c.refs[i]; ref.kind {
		case refField:
			if col := sr.Columns[ref.field]; col != nil {
				c.cursors[i] = columnCursor{column: col, to: ref.to, cast: numberCast(col.Type, ref.to)}
			}
		case refTag:
			if v := tagValue(tags, ref.name); v != "" {
				c.consts[i] = v
			}
		}
	}
	kept := g.chosen[:0]
	for _, row := range g.chosen {
		c.row = int(row)
		if c.valuer.EvalBool(c.expr) {
			kept = append(kept, row)
		}
	}
	g.chosen = kept
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
