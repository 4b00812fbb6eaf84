package influxql

import (
	"math"
	"slices"

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

// rows are a chunk of the rows of one series that a scan hands up, in time order.
// They are copies: the reader's memory is not ours after it has yielded it.
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

// seriesRows are the rows of one series, in chunks: the first ones first, or in a
// descending query the last ones.
type seriesRows struct {
	tags   query.Tags
	chunks []*rows
	n      int
}

func (s *seriesRows) add(r *rows) {
	s.chunks = append(s.chunks, r)
	s.n += r.len()
}

// gatherer turns the rows that a reader yields into the rows that a plan wants.
// It is used for one series after the other and keeps its buffers.
type gatherer struct {
	plan *scanPlan
	// slow leaves every condition to InfluxQL's evaluator. Tests set it.
	slow    bool
	chosen  []int32
	any     []bool
	filters map[influxql.Expr]*rowFilter
	// err ends the scan: the context's error.
	err error
	x   *exec
}

func newGatherer(x *exec, p *scanPlan) *gatherer {
	return &gatherer{plan: p, x: x, slow: x.q.slow, chosen: make([]int32, 0, 64), filters: make(map[influxql.Expr]*rowFilter)}
}

// gather copies at most limit of the rows that the plan wants of sr, the rows of a
// series with tags; 0 means all. rest is the condition that its rows must pass,
// nil for none. It returns nil when no row does.
func (g *gatherer) gather(sr *point.SeriesRows, tags []point.Tag, rest influxql.Expr, limit int) *rows {
	p := g.plan
	chosen := g.choose(sr, tags, rest)
	n := len(sr.Times)
	if chosen != nil {
		n = len(chosen)
	}
	if n == 0 || g.err != nil {
		return nil
	}
	from, to := 0, n
	if limit > 0 && n > limit {
		if from, to = 0, limit; p.last {
			from, to = n-limit, n
		}
		if chosen == nil {
			chosen = g.chosen[:0]
			for row := from; row < to; row++ {
				chosen = append(chosen, int32(row))
			}
			g.chosen = chosen
		} else {
			chosen = chosen[from:to]
		}
	}
	r := &rows{times: make([]int64, to-from)}
	if chosen == nil {
		copy(r.times, sr.Times)
	}
	for i, row := range chosen {
		r.times[i] = sr.Times[row]
	}
	if p.main != nil {
		r.main = g.column(sr.Columns[p.main.field], p.main, chosen, to-from)
	}
	r.aux = make([]auxValues, len(p.aux))
	for i := range p.aux {
		switch ref := &p.aux[i]; ref.kind {
		case refTag:
			if v := point.TagValue(tags, ref.name); v != "" {
				r.aux[i].constant = v
			}
		case refField:
			if c := sr.Columns[ref.field]; c != nil {
				v := g.column(c, ref, chosen, to-from)
				r.aux[i].column = &v
			}
		}
	}
	return r
}

// filter returns the rows of sr that pass rest, nil for all of them. The result is
// good until the next call.
func (g *gatherer) filter(sr *point.SeriesRows, tags []point.Tag, rest influxql.Expr) []int32 {
	if rest == nil {
		return nil
	}
	f, ok := g.filters[rest]
	if !ok {
		f = g.newRowFilter(rest)
		g.filters[rest] = f
	}
	var chosen []int32
	for i := range f.numbers {
		chosen = f.numbers[i].keep(g.chosen[:0], chosen, sr.Columns[f.numbers[i].field])
		g.chosen = chosen[:0]
	}
	if f.rest == nil {
		return chosen
	}
	if chosen == nil {
		chosen = g.chosen[:0]
		for row := range sr.Times {
			chosen = append(chosen, int32(row))
		}
	}
	g.chosen = chosen
	return f.rest.keep(g, chosen, sr, tags)
}

// choose returns the rows of sr that pass rest and that the main field has a value
// in, or any auxiliary field when there is none; nil for all of them.
func (g *gatherer) choose(sr *point.SeriesRows, tags []point.Tag, rest influxql.Expr) []int32 {
	chosen := g.filter(sr, tags, rest)
	n := len(sr.Times)
	if g.plan.main != nil {
		c := sr.Columns[g.plan.main.field]
		if c == nil {
			return g.chosen[:0]
		}
		if c.Len() == n {
			return chosen
		}
		g.presence(n)
		for i := range c.Len() {
			g.any[c.Row(i)] = true
		}
		return g.present(chosen)
	}
	g.presence(n)
	for i := range g.plan.aux {
		if g.plan.aux[i].kind != refField {
			continue
		}
		c := sr.Columns[g.plan.aux[i].field]
		if c == nil {
			continue
		}
		if c.Len() == n {
			return chosen
		}
		for i := range c.Len() {
			g.any[c.Row(i)] = true
		}
	}
	return g.present(chosen)
}

// presence clears any for n rows.
func (g *gatherer) presence(n int) {
	g.any = slices.Grow(g.any[:0], n)[:n]
	clear(g.any)
}

// present leaves those of chosen that are set in any.
func (g *gatherer) present(chosen []int32) []int32 {
	kept := g.chosen[:0]
	if chosen == nil {
		for row, ok := range g.any {
			if ok {
				kept = append(kept, int32(row))
			}
		}
	} else {
		kept = chosen[:0]
		for _, row := range chosen {
			if g.any[row] {
				kept = append(kept, row)
			}
		}
	}
	g.chosen = kept
	return kept
}

// column copies the n chosen rows of c, the first n when chosen is nil, cast to
// what ref wants.
func (g *gatherer) column(c *point.Column, ref *valueRef, chosen []int32, n int) values {
	v := values{typ: ref.to}
	var shared string // all of the column's bytes, when most are wanted
	if c.Type == point.String {
		v.strs = make([]string, n)
		if n > c.Len()/2 {
			shared = string(c.Bytes)
		}
	} else {
		v.nums = make([]uint64, n)
	}
	cast := numberCast(c.Type, ref.to)
	if v.strs == nil && cast == nil && c.Rows == nil && chosen == nil && c.Len() >= n {
		copy(v.nums, c.Nums)
		return v
	}
	k := 0
	for i := range n {
		row := i
		if chosen != nil {
			row = int(chosen[i])
		}
		if c.Rows == nil {
			k = min(row, c.Len())
		}
		for k < c.Len() && c.Row(k) < row {
			k++
		}
		if k == c.Len() || c.Row(k) != row {
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
