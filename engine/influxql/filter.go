package influxql

import (
	"math"

	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// rowFilter is a condition on rows: terms that all have to hold. Comparisons of a
// numeric field with a number are evaluated column by column, the rest row by row
// with InfluxQL's evaluator.
type rowFilter struct {
	numbers []numberTerm
	// rest is the other terms, nil for none.
	rest *rowCondition
}

// numberTerm holds for values that lie in a range or, negated, do not. Values are
// compared as the type that InfluxQL compares them as.
type numberTerm struct {
	field   int
	as      point.FieldType
	from    point.FieldType
	negated bool
	// lo and hi are inclusive; lo > hi holds for nothing. Floats, and the bits of
	// integers with their order made unsigned.
	loFloat, hiFloat float64
	lo, hi           uint64
}

// newRowFilter prepares a condition.
func (g *gatherer) newRowFilter(expr influxql.Expr) *rowFilter {
	f := new(rowFilter)
	var rest []influxql.Expr
	slow := g.slow || castsDiffer(expr)
	for _, term := range andTerms(nil, expr) {
		if n, ok := g.plan.numberTerm(term); ok && !slow {
			f.numbers = append(f.numbers, n)
		} else {
			rest = append(rest, term)
		}
	}
	if len(f.numbers) == 0 {
		rest = []influxql.Expr{expr}
	}
	if len(rest) > 0 {
		f.rest = g.newRowCondition(joinTerms(rest, influxql.AND))
	}
	return f
}

// castsDiffer reports whether a condition names a field with different casts: then
// InfluxQL's evaluator takes one of them for all.
func castsDiffer(cond influxql.Expr) bool {
	refs := influxql.ExprNames(cond)
	for i := range refs {
		for _, other := range refs[:i] {
			if other.Val == refs[i].Val {
				return true
			}
		}
	}
	return false
}

// andTerms appends the terms of a conjunction.
func andTerms(terms []influxql.Expr, e influxql.Expr) []influxql.Expr {
	switch e := e.(type) {
	case *influxql.ParenExpr:
		return andTerms(terms, e.Expr)
	case *influxql.BinaryExpr:
		if e.Op == influxql.AND {
			return andTerms(andTerms(terms, e.LHS), e.RHS)
		}
	}
	return append(terms, e)
}

// fieldComparison takes a comparison of a name with something else apart, the name
// on the left.
func fieldComparison(e influxql.Expr) (ref *influxql.VarRef, op influxql.Token, value influxql.Expr, ok bool) {
	b, ok := e.(*influxql.BinaryExpr)
	if !ok {
		return nil, 0, nil, false
	}
	op, value = b.Op, b.RHS
	if ref, ok = b.LHS.(*influxql.VarRef); !ok {
		if ref, ok = b.RHS.(*influxql.VarRef); !ok {
			return nil, 0, nil, false
		}
		value = b.LHS
		switch op {
		case influxql.LT:
			op = influxql.GT
		case influxql.LTE:
			op = influxql.GTE
		case influxql.GT:
			op = influxql.LT
		case influxql.GTE:
			op = influxql.LTE
		}
	}
	switch op {
	case influxql.EQ, influxql.NEQ, influxql.LT, influxql.LTE, influxql.GT, influxql.GTE:
		return ref, op, value, true
	}
	return nil, 0, nil, false
}

// signBit makes the order of integers that of unsigned ones.
const signBit = 1 << 63

// numberTerm makes a term of a comparison of a numeric field with a number.
func (p *scanPlan) numberTerm(e influxql.Expr) (numberTerm, bool) {
	ref, op, value, ok := fieldComparison(e)
	if !ok {
		return numberTerm{}, false
	}
	v := p.resolve(*ref)
	if v.kind != refField || v.from > point.Unsigned {
		return numberTerm{}, false
	}
	t := numberTerm{field: v.field, from: v.from, as: v.to, negated: op == influxql.NEQ}
	switch value := value.(type) {
	case *influxql.NumberLiteral:
		if v.from != v.to {
			return numberTerm{}, false // two casts: InfluxQL's and the comparison's
		}
		t.as = point.Float
		t.floatRange(op, value.Val)
		return t, true
	case *influxql.IntegerLiteral:
		switch v.to {
		case point.Float:
			t.floatRange(op, float64(value.Val))
			return t, true
		case point.Integer:
			t.unsignedRange(op, uint64(value.Val)^signBit)
			return t, true
		case point.Unsigned:
			t.unsignedRange(op, uint64(value.Val))
			return t, value.Val >= 0
		}
	}
	return numberTerm{}, false
}

func (t *numberTerm) floatRange(op influxql.Token, v float64) {
	t.loFloat, t.hiFloat = math.Inf(-1), math.Inf(1)
	switch op {
	case influxql.EQ, influxql.NEQ:
		t.loFloat, t.hiFloat = v, v
	case influxql.LTE:
		t.hiFloat = v
	case influxql.GTE:
		t.loFloat = v
	case influxql.LT:
		t.hiFloat = math.Nextafter(v, math.Inf(-1))
		if math.IsInf(v, -1) {
			t.loFloat, t.hiFloat = math.Inf(1), math.Inf(-1)
		}
	case influxql.GT:
		t.loFloat = math.Nextafter(v, math.Inf(1))
		if math.IsInf(v, 1) {
			t.loFloat, t.hiFloat = math.Inf(1), math.Inf(-1)
		}
	}
}

func (t *numberTerm) unsignedRange(op influxql.Token, v uint64) {
	t.lo, t.hi = 0, math.MaxUint64
	switch op {
	case influxql.EQ, influxql.NEQ:
		t.lo, t.hi = v, v
	case influxql.LTE:
		t.hi = v
	case influxql.GTE:
		t.lo = v
	case influxql.LT:
		if t.hi = v - 1; v == 0 {
			t.lo, t.hi = 1, 0
		}
	case influxql.GT:
		if t.lo = v + 1; v == math.MaxUint64 {
			t.lo, t.hi = 1, 0
		}
	}
}

// holds reports whether the term holds for a value of its field.
func (t *numberTerm) holds(v uint64) bool {
	if t.as == point.Float {
		var f float64
		switch t.from {
		case point.Float:
			f = math.Float64frombits(v)
		case point.Integer:
			f = float64(int64(v))
		default:
			f = float64(v)
		}
		return (f >= t.loFloat && f <= t.hiFloat) != t.negated
	}
	if t.from == point.Float {
		if t.as == point.Integer {
			v = uint64(int64(math.Float64frombits(v)))
		} else {
			v = uint64(math.Float64frombits(v))
		}
	}
	if t.as == point.Integer {
		v ^= signBit
	}
	return (v >= t.lo && v <= t.hi) != t.negated
}

// keep appends the rows whose value passes to dst: those of the column when rows
// is nil, else those of rows, which ascend. dst may be rows[:0].
func (t *numberTerm) keep(dst, rows []int32, c *point.Column) []int32 {
	if c == nil {
		return dst
	}
	n := len(c.Nums)
	switch {
	case rows == nil && c.Rows == nil && t.as == point.Float && t.from == point.Float:
		lo, hi, negated := t.loFloat, t.hiFloat, t.negated
		for i, v := range c.Nums {
			if f := math.Float64frombits(v); (f >= lo && f <= hi) != negated {
				dst = append(dst, int32(i))
			}
		}
	case rows == nil && c.Rows == nil:
		for i, v := range c.Nums {
			if t.holds(v) {
				dst = append(dst, int32(i))
			}
		}
	case rows == nil:
		for i, v := range c.Nums {
			if t.holds(v) {
				dst = append(dst, int32(c.Rows[i]))
			}
		}
	case c.Rows == nil:
		for _, row := range rows {
			if int(row) >= n {
				break
			}
			if t.holds(c.Nums[row]) {
				dst = append(dst, row)
			}
		}
	default:
		k := 0
		for _, row := range rows {
			for k < n && c.Rows[k] < uint32(row) {
				k++
			}
			if k == n {
				break
			}
			if c.Rows[k] == uint32(row) && t.holds(c.Nums[k]) {
				dst = append(dst, row)
			}
		}
	}
	return dst
}

// fieldBounds are the bounds that rows must meet for cond to hold.
func (p *scanPlan) fieldBounds(cond influxql.Expr) []point.FieldBound {
	if cond == nil {
		return nil
	}
	var bounds []point.FieldBound
	casts := castsDiffer(cond)
	for _, term := range andTerms(nil, cond) {
		ref, _, _, ok := fieldComparison(term)
		if !ok || ref.Type == influxql.Tag {
			continue
		}
		v := p.resolve(*ref)
		if v.kind != refField {
			continue
		}
		b := point.FieldBound{Field: v.name, Min: math.Inf(-1), Max: math.Inf(1)}
		if t, ok := p.numberTerm(term); ok && !t.negated && v.from == v.to && !casts {
			switch {
			case t.as == point.Float:
				b.Min, b.Max = t.loFloat, t.hiFloat
			case t.lo > t.hi:
				b.Min, b.Max = math.Inf(1), math.Inf(-1)
			case t.as == point.Integer:
				b.Min, b.Max = float64(int64(t.lo^signBit)), float64(int64(t.hi^signBit))
			default:
				b.Min, b.Max = float64(t.lo), float64(t.hi)
			}
		}
		bounds = append(bounds, b)
	}
	return bounds
}
