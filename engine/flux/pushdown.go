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

// rule is a rewriting of a chain of nodes, each the only predecessor of the one before
// it, that begins at a source.
type rule struct {
	name string
	// kinds are those of the nodes, the source's last.
	kinds []plan.ProcedureKind
	// rewrite returns what the chain becomes, nil to leave it; and the node that is
	// still to be done after it, nil for none.
	rewrite func(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec)
}

var _ plan.Rule = rule{}

func (r rule) Name() string { return r.name }

func (r rule) Pattern() plan.Pattern { return r }

// Root implements plan.Pattern.
func (r rule) Root() plan.ProcedureKind { return r.kinds[0] }

// Match implements plan.Pattern. The nodes may have other successors: each gets a
// source of its own, since what they push down is different.
func (r rule) Match(node plan.Node) bool { return r.chain(node) != nil }

// chain is the chain that ends at node, nil if it is another one.
func (r rule) chain(node plan.Node) []plan.Node {
	var chain []plan.Node
	for i, kind := range r.kinds {
		if node.Kind() != kind {
			return nil
		}
		if chain = append(chain, node); i == len(r.kinds)-1 {
			break
		}
		if len(node.Predecessors()) != 1 {
			return nil
		}
		node = node.Predecessors()[0]
	}
	return chain
}

// Rewrite implements plan.Rule.
func (r rule) Rewrite(node plan.Node) (plan.Node, bool, error) {
	chain := r.chain(node)
	read, rest := r.rewrite(chain)
	if read == nil {
		return node, false, nil
	}
	for i, n := range chain[1:] {
		leave(n, chain[i])
		if len(n.Successors()) > 0 {
			break
		}
	}
	fresh := plan.CreatePhysicalNode("read_"+node.ID(), read)
	node.ClearPredecessors()
	if rest == nil {
		return fresh, true, nil
	}
	again := plan.CreatePhysicalNode("rest_"+node.ID(), rest)
	again.AddPredecessors(fresh)
	fresh.AddSuccessors(again)
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
func optionalRules() []string {
	var names []string
	for _, r := range rules() {
		if r, ok := r.(rule); ok && r.name != rangeRule {
			names = append(names, r.name)
		}
	}
	return names
}

const rangeRule = "headgate/range"

func rules() []plan.Rule {
	all := []plan.Rule{
		rule{rangeRule, []plan.ProcedureKind{universe.RangeKind, fromKind}, pushRange},
		ownFilter{}, ownWindow{}, windowTrigger{},
		rule{"headgate/filter", []plan.ProcedureKind{filterKind, readKind}, pushFilter},
		rule{"headgate/windowTime", []plan.ProcedureKind{windowKind, universe.SchemaMutationKind, readKind}, pushWindowTime},
	}
	for kind, f := range map[plan.ProcedureKind]fold{
		universe.FirstKind: foldFirst, universe.LastKind: foldLast, universe.CountKind: foldCount, universe.SumKind: foldSum,
		universe.MeanKind: foldMean, universe.MinKind: foldMin, universe.MaxKind: foldMax,
	} {
		all = append(all, rule{"headgate/fold/" + string(kind), []plan.ProcedureKind{kind, readKind}, pushFold(f)},
			rule{"headgate/foldWindows/" + string(kind), []plan.ProcedureKind{kind, windowKind, readKind}, pushFoldWindows(f)})
	}
	return all
}

// pushRange bounds a from.
func pushRange(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	r := chain[0].ProcedureSpec().(*universe.RangeProcedureSpec)
	if r.TimeColumn != colTime || r.StartColumn != colStart || r.StopColumn != colStop {
		return nil, nil
	}
	return &readProcedure{from: chain[1].ProcedureSpec().(*fromProcedure).from, bounds: *r.TimeBounds(nil)}, nil
}

// pushFilter takes over what of a filter is about tables.
func pushFilter(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	f := chain[0].ProcedureSpec().(*filterProcedure)
	read := chain[1].ProcedureSpec().(*readProcedure)
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
func pushFold(f fold) func(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	return func(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
		read := chain[1].ProcedureSpec().(*readProcedure)
		if read.fold != foldNone || foldedColumn(chain[0].ProcedureSpec()) != colValue {
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
