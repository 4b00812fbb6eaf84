package influxql

import (
	"fmt"

	"github.com/influxdata/influxql"
)

// nestingMax is how deep parentheses and expressions may be nested. The parser
// and all that walks its trees recurse, and Go's stack has an end that cannot be
// recovered from; some of the planning takes the cube of an expression's depth.
const nestingMax = 200

// subqueriesMax is how deep SELECTs may be nested in each other. Planning asks every
// level for the types of all below it, again and again: 150 levels take 20 seconds,
// which nothing can interrupt.
const subqueriesMax = 32

// checkText refuses texts that would cost too much to parse. Parentheses in
// strings count too: they would have to be unbalanced by hundreds.
func checkText(q *Query) error {
	limit := q.Limits.MaxTextBytes
	if limit == 0 {
		limit = TextBytesMaxDefault
	}
	if len(q.Text) > limit {
		return fmt.Errorf("query is %d bytes long, over Limits.MaxTextBytes %d", len(q.Text), limit)
	}
	depth := 0
	for i := range len(q.Text) {
		switch q.Text[i] {
		case '(':
			if depth++; depth > nestingMax {
				return errNesting
			}
		case ')':
			depth = max(0, depth-1)
		}
	}
	return nil
}

var errNesting = fmt.Errorf("expressions are nested deeper than %d", nestingMax)

// balance makes the conditions of a statement shallow: the parser turns a long
// `a OR b OR c ...` into a tree as deep as it is long, which takes seconds to plan
// from a thousand terms on. It refuses expressions that are deep all the same.
func balance(stmt influxql.Statement) error {
	if s, ok := stmt.(*influxql.SelectStatement); ok && !shallowSources(s.Sources, subqueriesMax) {
		return fmt.Errorf("subqueries are nested deeper than %d", subqueriesMax)
	}
	var err error
	influxql.WalkFunc(stmt, func(n influxql.Node) {
		if cond := conditionOf(n); cond != nil && *cond != nil {
			*cond = balanceExpr(*cond)
			if !shallow(*cond, nestingMax) {
				err = errNesting
			}
		}
		if f, ok := n.(*influxql.Field); ok && !shallow(f.Expr, nestingMax) {
			err = errNesting
		}
	})
	return err
}

// conditionOf is where a node keeps its WHERE clause, nil if it has none.
func conditionOf(n influxql.Node) *influxql.Expr {
	switch n := n.(type) {
	case *influxql.SelectStatement:
		return &n.Condition
	case *influxql.DeleteSeriesStatement:
		return &n.Condition
	case *influxql.DropSeriesStatement:
		return &n.Condition
	case *influxql.ShowMeasurementsStatement:
		return &n.Condition
	case *influxql.ShowSeriesStatement:
		return &n.Condition
	case *influxql.ShowTagKeysStatement:
		return &n.Condition
	case *influxql.ShowTagValuesStatement:
		return &n.Condition
	case *influxql.ShowSeriesCardinalityStatement:
		return &n.Condition
	case *influxql.ShowMeasurementCardinalityStatement:
		return &n.Condition
	case *influxql.ShowFieldKeyCardinalityStatement:
		return &n.Condition
	case *influxql.ShowTagKeyCardinalityStatement:
		return &n.Condition
	case *influxql.ShowTagValuesCardinalityStatement:
		return &n.Condition
	}
	return nil
}

// balanceExpr rebuilds chains of AND and of OR as balanced trees. Both are
// associative, for values and for the time ranges that planning takes from them.
func balanceExpr(e influxql.Expr) influxql.Expr {
	switch e := e.(type) {
	case *influxql.ParenExpr:
		return &influxql.ParenExpr{Expr: balanceExpr(e.Expr)}
	case *influxql.BinaryExpr:
		if e.Op != influxql.AND && e.Op != influxql.OR {
			return e
		}
		terms := chainTerms(nil, e, e.Op)
		for i := range terms {
			terms[i] = balanceExpr(terms[i])
		}
		return joinTerms(terms, e.Op)
	}
	return e
}

// chainTerms appends the terms of a chain of one operator, from left to right.
func chainTerms(terms []influxql.Expr, e influxql.Expr, op influxql.Token) []influxql.Expr {
	var right []influxql.Expr // of a chain that leans left, last term first
	for {
		b, ok := e.(*influxql.BinaryExpr)
		if !ok || b.Op != op {
			break
		}
		right = append(right, b.RHS)
		e = b.LHS
	}
	terms = append(terms, e)
	for i := len(right) - 1; i >= 0; i-- {
		if b, ok := right[i].(*influxql.BinaryExpr); ok && b.Op == op {
			terms = chainTerms(terms, b, op)
		} else {
			terms = append(terms, right[i])
		}
	}
	return terms
}

func joinTerms(terms []influxql.Expr, op influxql.Token) influxql.Expr {
	if len(terms) == 1 {
		return terms[0]
	}
	half := len(terms) / 2
	return &influxql.BinaryExpr{Op: op, LHS: joinTerms(terms[:half], op), RHS: joinTerms(terms[half:], op)}
}

// shallowSources reports whether subqueries are nested at most depth deep.
func shallowSources(sources influxql.Sources, depth int) bool {
	for _, source := range sources {
		if s, ok := source.(*influxql.SubQuery); ok && (depth == 0 || !shallowSources(s.Statement.Sources, depth-1)) {
			return false
		}
	}
	return true
}

// shallow reports whether e is nested at most depth deep.
func shallow(e influxql.Expr, depth int) bool {
	if depth == 0 {
		return false
	}
	switch e := e.(type) {
	case *influxql.BinaryExpr:
		return shallow(e.LHS, depth-1) && shallow(e.RHS, depth-1)
	case *influxql.ParenExpr:
		return shallow(e.Expr, depth-1)
	case *influxql.Call:
		for _, arg := range e.Args {
			if !shallow(arg, depth-1) {
				return false
			}
		}
	}
	return true
}
