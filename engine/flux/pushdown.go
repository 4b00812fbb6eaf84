package flux

import (
	"regexp"

	"github.com/influxdata/flux/ast"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"

	"headgate/engine/point"
)

// rule is a rewriting of a node whose only predecessor is a source.
type rule struct {
	name string
	// kind is the node's, source its predecessor's.
	kind, source plan.ProcedureKind
	// rewrite returns what the source becomes, nil to leave both; and the node
	// that is still to be done after it, nil for none.
	rewrite func(node, source plan.Node) (*readProcedure, plan.PhysicalProcedureSpec)
}

var _ plan.Rule = rule{}

func (r rule) Name() string { return r.name }

func (r rule) Pattern() plan.Pattern { return r }

// Root implements plan.Pattern.
func (r rule) Root() plan.ProcedureKind { return r.kind }

// Match implements plan.Pattern. The source may have other successors: each gets a
// source of its own, since what they push down is different.
func (r rule) Match(node plan.Node) bool {
	return node.Kind() == r.kind && len(node.Predecessors()) == 1 && node.Predecessors()[0].Kind() == r.source
}

// Rewrite implements plan.Rule.
func (r rule) Rewrite(node plan.Node) (plan.Node, bool, error) {
	source := node.Predecessors()[0]
	read, rest := r.rewrite(node, source)
	if read == nil {
		return node, false, nil
	}
	leave(source, node)
	fresh := plan.CreatePhysicalNode("read_"+node.ID(), read)
	if rest == nil {
		node.ClearPredecessors()
		return fresh, true, nil
	}
	again := plan.CreatePhysicalNode("rest_"+node.ID(), rest)
	again.AddPredecessors(fresh)
	fresh.AddSuccessors(again)
	node.ClearPredecessors()
	return again, true, nil
}

// leave takes node out of the successors of source.
func leave(source, node plan.Node) {
	successors := append([]plan.Node(nil), source.Successors()...)
	source.ClearSuccessors()
	for _, s := range successors {
		if s != node {
			source.AddSuccessors(s)
		}
	}
}

// optionalRules are the names of the rules without which queries run as well.
var optionalRules = []string{"headgate/filter", "headgate/fold/first", "headgate/fold/last", "headgate/fold/count", "headgate/fold/sum",
	"headgate/fold/mean", "headgate/fold/min", "headgate/fold/max"}

func rules() []plan.Rule {
	all := []plan.Rule{
		rule{"headgate/range", universe.RangeKind, fromKind, pushRange},
		ownFilter{},
		rule{"headgate/filter", filterKind, readKind, pushFilter},
	}
	for kind, f := range map[plan.ProcedureKind]fold{
		universe.FirstKind: foldFirst, universe.LastKind: foldLast, universe.CountKind: foldCount, universe.SumKind: foldSum,
		universe.MeanKind: foldMean, universe.MinKind: foldMin, universe.MaxKind: foldMax,
	} {
		all = append(all, rule{"headgate/fold/" + string(kind), kind, readKind, pushFold(f)})
	}
	return all
}

// pushRange bounds a from.
func pushRange(node, source plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	r := node.ProcedureSpec().(*universe.RangeProcedureSpec)
	if r.TimeColumn != colTime || r.StartColumn != colStart || r.StopColumn != colStop {
		return nil, nil
	}
	return &readProcedure{from: source.ProcedureSpec().(*fromProcedure).from, bounds: *r.TimeBounds(nil)}, nil
}

// pushFilter takes over what of a filter is about tables.
func pushFilter(node, source plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	f := node.ProcedureSpec().(*filterProcedure)
	read := source.ProcedureSpec().(*readProcedure)
	body, ok := f.fn.Fn.Block.Body.(semantic.Expression)
	if !ok || read.fold != foldNone || f.keepEmpty {
		return nil, nil
	}
	p := filterParser{row: f.fn.Fn.Block.Parameters.List[0].Key.Name, scope: f.fn.Scope}
	var pushed []*point.TagFilter
	var rest semantic.Expression
	for _, term := range conjuncts(body, nil) {
		if t := p.parse(term); t != nil {
			pushed = append(pushed, t)
		} else if rest == nil {
			rest = term
		} else {
			rest = &semantic.LogicalExpression{Operator: ast.AndOperator, Left: rest, Right: term}
		}
	}
	if len(pushed) == 0 {
		return nil, nil
	}
	c := *read
	if c.filter != nil {
		pushed = append(pushed, c.filter)
	}
	c.filter = &point.TagFilter{Op: point.TagAnd, Terms: pushed}
	if rest == nil {
		return &c, nil
	}
	left := &filterProcedure{fn: f.fn.Copy()}
	left.fn.Fn.Block.Body = rest
	return &c, left
}

// conjuncts splits an expression at its ands.
func conjuncts(e semantic.Expression, dst []semantic.Expression) []semantic.Expression {
	if l, ok := e.(*semantic.LogicalExpression); ok && l.Operator == ast.AndOperator {
		return conjuncts(l.Right, conjuncts(l.Left, dst))
	}
	return append(dst, e)
}

// filterParser makes filters of expressions on one row.
type filterParser struct {
	row   string
	scope values.Scope
}

// parse returns e as a filter, nil if it is about anything but tags, measurement
// and field, or in a way that a filter cannot say. Flux's null, which a tag is that
// a table does not have, fails every comparison here; so does the empty string.
func (p *filterParser) parse(e semantic.Expression) *point.TagFilter {
	switch e := e.(type) {
	case *semantic.LogicalExpression:
		left, right := p.parse(e.Left), p.parse(e.Right)
		if left == nil || right == nil {
			return nil
		}
		op := point.TagAnd
		if e.Operator == ast.OrOperator {
			op = point.TagOr
		}
		return &point.TagFilter{Op: op, Terms: []*point.TagFilter{left, right}}
	case *semantic.UnaryExpression:
		if key := p.column(e.Argument); key != "" && e.Operator == ast.ExistsOperator {
			return &point.TagFilter{Op: point.TagNotEqual, Key: key}
		}
	case *semantic.BinaryExpression:
		key, value, operator := p.column(e.Left), e.Right, e.Operator
		if key == "" && (operator == ast.EqualOperator || operator == ast.NotEqualOperator) {
			key, value = p.column(e.Right), e.Left
		}
		if key == "" {
			return nil
		}
		present := &point.TagFilter{Op: point.TagNotEqual, Key: key}
		var compare *point.TagFilter
		switch operator {
		case ast.EqualOperator, ast.NotEqualOperator:
			text, ok := p.text(value)
			if !ok || text == "" {
				return nil
			}
			compare = &point.TagFilter{Op: point.TagEqual, Key: key, Value: text}
			if operator == ast.EqualOperator {
				return compare
			}
			compare.Op = point.TagNotEqual
		case ast.RegexpMatchOperator, ast.NotRegexpMatchOperator:
			re := p.regexp(value)
			if re == nil {
				return nil
			}
			compare = &point.TagFilter{Op: point.TagMatch, Key: key, Regexp: re}
			if operator == ast.NotRegexpMatchOperator {
				compare.Op = point.TagNotMatch
			}
		default:
			return nil
		}
		return &point.TagFilter{Op: point.TagAnd, Terms: []*point.TagFilter{compare, present}}
	}
	return nil
}

// column is the tag, measurement or field that e names, "" for anything else.
func (p *filterParser) column(e semantic.Expression) string {
	m, ok := e.(*semantic.MemberExpression)
	if !ok {
		return ""
	}
	if row, ok := m.Object.(*semantic.IdentifierExpression); !ok || row.Name != p.row {
		return ""
	}
	switch m.Property {
	case colTime, colValue, colStart, colStop, "":
		return ""
	}
	return m.Property
}

// text is the string that e is, whatever row it is asked for.
func (p *filterParser) text(e semantic.Expression) (string, bool) {
	if lit, ok := e.(*semantic.StringLiteral); ok {
		return lit.Value, true
	}
	if v := p.constant(e); v != nil && v.Type().Nature() == semantic.String && !v.IsNull() {
		return v.Str(), true
	}
	return "", false
}

func (p *filterParser) regexp(e semantic.Expression) *regexp.Regexp {
	if lit, ok := e.(*semantic.RegexpLiteral); ok {
		return lit.Value
	}
	if v := p.constant(e); v != nil && v.Type().Nature() == semantic.Regexp && !v.IsNull() {
		return v.Regexp()
	}
	return nil
}

// constant is the value of a variable of the script, or of a member of one.
func (p *filterParser) constant(e semantic.Expression) values.Value {
	switch e := e.(type) {
	case *semantic.IdentifierExpression:
		if e.Name == p.row || p.scope == nil {
			return nil
		}
		v, _ := p.scope.Lookup(e.Name)
		return v
	case *semantic.MemberExpression:
		if o := p.constant(e.Object); o != nil && o.Type().Nature() == semantic.Object {
			v, _ := o.Object().Get(e.Property)
			return v
		}
	}
	return nil
}

// pushFold takes over an aggregate or a selector of _value.
func pushFold(f fold) func(node, source plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	return func(node, source plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
		read := source.ProcedureSpec().(*readProcedure)
		if read.fold != foldNone || foldedColumn(node.ProcedureSpec()) != colValue {
			return nil, nil
		}
		c := *read
		c.fold = f
		return &c, nil
	}
}

// foldedColumn is the only column that a selector or an aggregate is about.
func foldedColumn(spec plan.ProcedureSpec) string {
	var columns []string
	switch s := spec.(type) {
	case *universe.FirstProcedureSpec:
		return s.Column
	case *universe.LastProcedureSpec:
		return s.Column
	case *universe.MinProcedureSpec:
		return s.Column
	case *universe.MaxProcedureSpec:
		return s.Column
	case *universe.CountProcedureSpec:
		columns = s.Columns
	case *universe.SumProcedureSpec:
		columns = s.Columns
	case *universe.MeanProcedureSpec:
		columns = s.Columns
	}
	if len(columns) == 1 {
		return columns[0]
	}
	return ""
}
