package flux

import (
	"context"
	"fmt"
	"slices"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/memory"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/values"

	"github.com/apache/arrow/go/arrow/array"
)

// passing is what all transformations have that pass each table on once they have
// processed it.
type passing struct{ dataset *execute.PassthroughDataset }

// RetractTable implements execute.Transformation.
func (p passing) RetractTable(_ execute.DatasetID, key flux.GroupKey) error {
	return p.dataset.RetractTable(key)
}

// UpdateWatermark implements execute.Transformation.
func (p passing) UpdateWatermark(_ execute.DatasetID, mark execute.Time) error {
	return p.dataset.UpdateWatermark(mark)
}

// UpdateProcessingTime implements execute.Transformation.
func (p passing) UpdateProcessingTime(_ execute.DatasetID, t execute.Time) error {
	return p.dataset.UpdateProcessingTime(t)
}

// Finish implements execute.Transformation.
func (p passing) Finish(_ execute.DatasetID, err error) { p.dataset.Finish(err) }

// whole is a transformation that makes one table of each table, of all its rows at once.
// Those of Flux that it takes the place of go through a table buffer by buffer, and what
// they make depends on where it happens to be cut.
type whole struct {
	passing
	ctx    context.Context // of the query
	alloc  *memory.Allocator
	remake func(*tableRows) (flux.Table, error)
}

// replace puts ours in the place of Flux's transformation of a kind.
func replace[S plan.ProcedureSpec](kind plan.ProcedureKind, remake func(spec S, rows *tableRows) (flux.Table, error)) {
	execute.ReplaceTransformation(kind, func(id execute.DatasetID, _ execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
		s, ok := spec.(S)
		if !ok {
			return nil, nil, fmt.Errorf("flux: %s has the wrong specification", kind)
		}
		w := &whole{passing{execute.NewPassthroughDataset(id)}, a.Context(), a.Allocator(), func(rows *tableRows) (flux.Table, error) { return remake(s, rows) }}
		return w, w.dataset, nil
	})
}

// Process implements execute.Transformation.
func (w *whole) Process(_ execute.DatasetID, t flux.Table) error {
	rows := &tableRows{ctx: w.ctx, key: t.Key(), cols: t.Cols(), alloc: w.alloc}
	defer rows.release()
	if err := t.Do(func(cr flux.ColReader) error {
		if cr.Len() > 0 {
			cr.Retain()
			rows.buffers, rows.n = append(rows.buffers, cr), rows.n+cr.Len()
		}
		return context.Cause(w.ctx)
	}); err != nil {
		return err
	}
	out, err := w.remake(rows)
	if err != nil {
		return err
	}
	return w.dataset.Process(out)
}

// tableRows are all rows of a table, n of them.
type tableRows struct {
	ctx     context.Context // of the query
	key     flux.GroupKey
	cols    []flux.ColMeta
	buffers []flux.ColReader
	n       int
	alloc   *memory.Allocator
	// held is what has been charged for what is made of them, in bytes.
	held int
}

// hold charges the query for memory, until the rows are released.
func (r *tableRows) hold(bytes int) error {
	if err := r.alloc.Account(bytes); err != nil {
		return err
	}
	r.held += bytes
	return nil
}

func (r *tableRows) release() {
	for _, b := range r.buffers {
		b.Release()
	}
	_ = r.alloc.Account(-r.held)
}

// rowsBetweenLooks is after how many rows to see whether the query has ended: it does not
// wait for its transformations.
const rowsBetweenLooks = 1024

// each calls f with the values of a column, row by row, until the query ends.
func (r *tableRows) each(j int, f func(i int, v values.Value) error) error {
	at := 0
	for _, cr := range r.buffers {
		for i := range cr.Len() {
			if i%rowsBetweenLooks == 0 && r.ctx.Err() != nil {
				return context.Cause(r.ctx)
			}
			if err := f(at+i, execute.ValueForRow(cr, i, j)); err != nil {
				return err
			}
		}
		at += cr.Len()
	}
	return nil
}

// column is the place of a column, which must not be in the group key.
func (r *tableRows) column(name, label string) (int, error) {
	j := execute.ColIdx(label, r.cols)
	switch {
	case j < 0:
		return j, &Error{Message: fmt.Sprintf("%s: no column %q", name, label)}
	case r.key.HasCol(label):
		return j, &Error{Message: fmt.Sprintf("%s: column %q is in the group key", name, label)}
	}
	return j, nil
}

// wrongType is the error of a column that is of another type than it must be.
func (r *tableRows) wrongType(name string, j int, want string) error {
	return &Error{Message: fmt.Sprintf("%s: column %q is of the type %s, and must be of %s", name, r.cols[j].Label, r.cols[j].Type, want)}
}

// column is a column that is made, with a value for each row that is kept.
type column struct {
	meta   flux.ColMeta
	values array.Interface
}

// cut is the table of the rows from a first to before a last one. Columns are put in the
// places of those of the same name, or after all, and are released. The others are not
// copied.
func (r *tableRows) cut(from, to int, made ...column) *table {
	out := &table{key: r.key, cols: slices.Clone(r.cols)}
	at := make(map[int]array.Interface, len(made))
	for _, c := range made {
		defer c.values.Release()
		j := execute.ColIdx(c.meta.Label, out.cols)
		if j < 0 {
			j, out.cols = len(out.cols), append(out.cols, c.meta)
		}
		out.cols[j], at[j] = c.meta, c.values
	}
	start := 0
	for _, cr := range r.buffers {
		low, high := max(from-start, 0), min(to-start, cr.Len())
		if low < high {
			b := &arrow.TableBuffer{GroupKey: r.key, Columns: out.cols, Values: make([]array.Interface, len(out.cols))}
			for j := range b.Values {
				if vs := at[j]; vs != nil {
					b.Values[j] = arrow.Slice(vs, int64(start+low-from), int64(start+high-from))
				} else {
					b.Values[j] = arrow.Slice(columnOf(cr, j), int64(low), int64(high))
				}
			}
			out.buffers = append(out.buffers, b)
		}
		start += cr.Len()
	}
	return out
}

// columnOf is a column of some rows.
func columnOf(cr flux.ColReader, j int) array.Interface {
	switch typ := cr.Cols()[j].Type; typ {
	case flux.TBool:
		return cr.Bools(j)
	case flux.TInt:
		return cr.Ints(j)
	case flux.TUInt:
		return cr.UInts(j)
	case flux.TFloat:
		return cr.Floats(j)
	case flux.TString:
		return cr.Strings(j)
	case flux.TTime:
		return cr.Times(j)
	default:
		panic(fmt.Sprintf("column %q is of the type %s", cr.Cols()[j].Label, typ))
	}
}
