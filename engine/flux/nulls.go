package flux

import (
	"errors"
	"fmt"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/stdlib/universe"

	"github.com/apache/arrow/go/arrow/array"
)

// keepNulls has Flux's transformation of a kind build its tables with ours.
func keepNulls[S plan.ProcedureSpec](kind plan.ProcedureKind, create func(d execute.Dataset, c execute.TableBuilderCache, spec S, a execute.Administration) execute.Transformation) {
	execute.ReplaceTransformation(kind, func(id execute.DatasetID, mode execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
		s, ok := spec.(S)
		if !ok {
			return nil, nil, fmt.Errorf("flux: %s has the wrong specification", kind)
		}
		cache := &nullCache{execute.NewTableBuilderCache(a.Allocator())}
		d := execute.NewDataset(id, mode, cache)
		return create(d, cache, s, a), d, nil
	})
}

// nullCache builds tables with nullBuilder.
type nullCache struct{ builderCache }

// TableBuilder implements execute.TableBuilderCache.
func (c *nullCache) TableBuilder(key flux.GroupKey) (execute.TableBuilder, bool) {
	b, created := c.builderCache.TableBuilder(key)
	return nullBuilder{b}, created
}

// nullBuilder keeps the nulls of booleans where they are. Flux's builder makes false of
// them, and has the row after each one be null.
type nullBuilder struct{ execute.TableBuilder }

// AppendBools implements execute.TableBuilder.
func (b nullBuilder) AppendBools(j int, vs *array.Boolean) error {
	for i := range vs.Len() {
		var err error
		if vs.IsNull(i) {
			err = b.AppendNil(j)
		} else {
			err = b.AppendBool(j, vs.Value(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refuseNulls refuses tables whose booleans have nulls, for Flux's transformations that
// cannot be given another builder.
func refuseNulls(kind plan.ProcedureKind) {
	create := transformations[kind]
	execute.ReplaceTransformation(kind, func(id execute.DatasetID, mode execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
		t, d, err := create(id, mode, spec, a)
		return &noNulls{t}, d, err
	})
}

type noNulls struct{ execute.Transformation }

// Process implements execute.Transformation.
func (n *noNulls) Process(id execute.DatasetID, t flux.Table) error {
	return n.Transformation.Process(id, &noNullsTable{t})
}

type noNullsTable struct{ flux.Table }

// Do implements flux.Table.
func (t *noNullsTable) Do(f func(flux.ColReader) error) error {
	return t.Table.Do(func(cr flux.ColReader) error {
		for j, c := range cr.Cols() {
			if c.Type == flux.TBool && cr.Bools(j).NullN() > 0 {
				return &Error{Message: fmt.Sprintf("join: column %q has nulls, and a join would lose those of booleans: fill or drop them first", c.Label)}
			}
		}
		return f(cr)
	})
}

// reduceNulls has reduce answer null where its result is, which Flux's own panics at: it
// makes a column of no type.
func reduceNulls(id execute.DatasetID, mode execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
	s, ok := spec.(*universe.ReduceProcedureSpec)
	if !ok {
		return nil, nil, errors.New("flux: reduce has the wrong specification")
	}
	cache := &typedCache{execute.NewTableBuilderCache(a.Allocator()), s.ReducerType.Properties()}
	d := execute.NewDataset(id, mode, cache)
	t, err := universe.NewReduceTransformation(a.Context(), s, d, cache)
	return t, d, err
}

// typedCache builds tables with typedBuilder.
type typedCache struct {
	builderCache
	types map[string]semantic.Type
}

// TableBuilder implements execute.TableBuilderCache.
func (c *typedCache) TableBuilder(key flux.GroupKey) (execute.TableBuilder, bool) {
	b, created := c.builderCache.TableBuilder(key)
	return &typedBuilder{b, c.types}, created
}

// typedBuilder gives columns of no type that which is known of them.
type typedBuilder struct {
	execute.TableBuilder
	types map[string]semantic.Type
}

// AddCol implements execute.TableBuilder.
func (b *typedBuilder) AddCol(c flux.ColMeta) (int, error) {
	if t := b.types[c.Label]; t != nil && c.Type == flux.TInvalid {
		c.Type = flux.ColumnType(t)
	}
	return b.TableBuilder.AddCol(c)
}

// setStrings is set, of columns that are of strings.
type setStrings struct {
	execute.Transformation
	key string
}

// Process implements execute.Transformation.
func (s *setStrings) Process(id execute.DatasetID, t flux.Table) error {
	if j := execute.ColIdx(s.key, t.Cols()); j >= 0 && t.Cols()[j].Type != flux.TString {
		t.Done()
		return &Error{Message: fmt.Sprintf("set: column %q is of the type %s, and must be of strings", s.key, t.Cols()[j].Type)}
	}
	return s.Transformation.Process(id, t)
}
