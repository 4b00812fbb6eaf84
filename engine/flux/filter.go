package flux

import (
	"context"
	"fmt"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/compiler"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/interpreter"
	"github.com/influxdata/flux/memory"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"
)

// filterKind is the filter that takes the place of Flux's own. That one filters a
// table in a goroutine of its own while it already prepares for the next table,
// whose columns may be others: a race, and wrong answers. And it does not compile a
// regular expression on a column that a table does not have; here it is null.
const filterKind = "headgateFilter"

// filterProcedure keeps the rows for which fn is true.
type filterProcedure struct {
	plan.DefaultCost
	fn        interpreter.ResolvedFunction
	keepEmpty bool
}

func (*filterProcedure) Kind() plan.ProcedureKind { return filterKind }

func (p *filterProcedure) Copy() plan.ProcedureSpec {
	return &filterProcedure{fn: p.fn.Copy(), keepEmpty: p.keepEmpty}
}

// TriggerSpec implements plan.TriggerAwareProcedureSpec.
func (*filterProcedure) TriggerSpec() plan.TriggerSpec { return plan.NarrowTransformationTriggerSpec{} }

// ownFilter puts our filter in the place of Flux's.
type ownFilter struct{}

func (ownFilter) Name() string { return "headgate/ownFilter" }

func (ownFilter) Pattern() plan.Pattern { return ownFilter{} }

// Root implements plan.Pattern.
func (ownFilter) Root() plan.ProcedureKind { return universe.FilterKind }

// Match implements plan.Pattern.
func (ownFilter) Match(n plan.Node) bool { return n.Kind() == universe.FilterKind }

// Rewrite implements plan.Rule.
func (ownFilter) Rewrite(n plan.Node) (plan.Node, bool, error) {
	f := n.ProcedureSpec().(*universe.FilterProcedureSpec)
	own := plan.CreatePhysicalNode("own_"+n.ID(), &filterProcedure{fn: f.Fn, keepEmpty: f.KeepEmptyTables})
	plan.ReplaceNode(n, own)
	return own, true, nil
}

// filter is the transformation. It is used from one goroutine at a time.
type filter struct {
	passing
	ctx   context.Context
	alloc *memory.Allocator
	fn    *execute.RowPredicateFn
	// columns are those that the function names.
	columns   []string
	keepEmpty bool
}

func newFilter(id execute.DatasetID, _ execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
	p := spec.(*filterProcedure)
	fn, err := execute.NewRowPredicateFn(p.fn.Fn, compiler.ToScope(p.fn.Scope))
	if err != nil {
		return nil, nil, err
	}
	f := &filter{passing: passing{execute.NewPassthroughDataset(id)}, ctx: a.Context(), alloc: a.Allocator(), fn: fn, keepEmpty: p.keepEmpty}
	row, named := p.fn.Fn.Block.Parameters.List[0].Key.Name, make(map[string]bool)
	semantic.Walk(semantic.CreateVisitor(func(n semantic.Node) {
		if m, ok := n.(*semantic.MemberExpression); ok {
			if id, ok := m.Object.(*semantic.IdentifierExpression); ok && id.Name == row {
				named[m.Property] = true
			}
		}
	}), p.fn.Fn)
	f.columns = sortedKeys(named)
	return f, f.dataset, nil
}

// Process implements execute.Transformation.
func (f *filter) Process(_ execute.DatasetID, t flux.Table) error {
	cols, record := t.Cols(), values.NewObject()
	prepared := append([]flux.ColMeta(nil), cols...)
	var varying []int
	for _, name := range f.columns {
		switch i := execute.ColIdx(name, cols); {
		case i < 0:
			prepared = append(prepared, flux.ColMeta{Label: name, Type: flux.TString})
			record.Set(name, values.NewNull(semantic.String))
		case t.Key().HasCol(name):
			record.Set(name, t.Key().LabelValue(name))
		default:
			varying = append(varying, i)
		}
	}
	if err := f.fn.Prepare(prepared); err != nil {
		t.Done()
		return err
	}
	b := execute.NewColListTableBuilder(t.Key(), f.alloc)
	if err := execute.AddTableCols(t, b); err != nil {
		t.Done()
		return err
	}
	if len(varying) == 0 {
		pass, err := f.fn.Eval(f.ctx, record)
		if err == nil && pass {
			b.Release()
			return f.dataset.Process(t)
		}
		t.Done()
		if err != nil {
			return fmt.Errorf("failed to evaluate filter function: %w", err)
		}
	} else if err := t.Do(func(rows flux.ColReader) error { return f.rows(rows, record, varying, b) }); err != nil {
		return err
	}
	if b.NRows() == 0 && !f.keepEmpty {
		b.Release()
		return nil
	}
	out, err := b.Table()
	if err != nil {
		return err
	}
	return f.dataset.Process(out)
}

// rows adds those of rows that pass to b.
func (f *filter) rows(rows flux.ColReader, record values.Object, varying []int, b *execute.ColListTableBuilder) error {
	cols := rows.Cols()
	for i := range rows.Len() {
		for _, j := range varying {
			record.Set(cols[j].Label, execute.ValueForRow(rows, i, j))
		}
		pass, err := f.fn.Eval(f.ctx, record)
		if err != nil {
			return fmt.Errorf("failed to evaluate filter function: %w", err)
		}
		if !pass {
			continue
		}
		if err := execute.AppendRecord(i, rows, b); err != nil {
			return err
		}
	}
	return nil
}
