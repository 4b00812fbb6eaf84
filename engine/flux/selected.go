package flux

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"
)

// compare orders two values of one type, neither of which is null.
func compare(a, b values.Value, typ flux.ColType) int {
	switch typ {
	case flux.TInt:
		return cmp.Compare(a.Int(), b.Int())
	case flux.TUInt:
		return cmp.Compare(a.UInt(), b.UInt())
	case flux.TFloat:
		return cmp.Compare(a.Float(), b.Float())
	case flux.TTime:
		return cmp.Compare(a.Time(), b.Time())
	case flux.TString:
		return strings.Compare(a.Str(), b.Str())
	}
	switch {
	case a.Bool() == b.Bool():
		return 0
	case b.Bool():
		return -1
	}
	return 1
}

// less is whether a comes before b; NaN before and after nothing.
func less(a, b values.Value, typ flux.ColType) bool {
	if typ == flux.TFloat {
		return a.Float() < b.Float()
	}
	return compare(a, b, typ) < 0
}

// selectRow passes on the row of the value that is left when each that better prefers to
// the one before it takes its place. Flux's own selectors put zeros, false and empty strings
// in the place of nulls that the row has in other columns.
func selectRow(name, label string, numbers bool, rows *tableRows, better func(v, before values.Value, typ flux.ColType) bool) (flux.Table, error) {
	j, err := selectedColumn(name, label, rows)
	if err != nil {
		return nil, err
	}
	typ := rows.cols[j].Type
	if numbers && (typ == flux.TString || typ == flux.TBool) {
		return nil, &Error{Message: fmt.Sprintf("invalid use of function: a selector of numbers has no implementation for type %v", typ)}
	}
	at := -1
	var best values.Value
	if err := rows.each(j, func(i int, v values.Value) error {
		if !v.IsNull() && (at < 0 || better(v, best, typ)) {
			at, best = i, v
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return rows.cut(max(at, 0), at+1), nil
}

func selectedColumn(name, label string, rows *tableRows) (int, error) {
	if label == "" {
		label = colValue
	}
	j := execute.ColIdx(label, rows.cols)
	if j < 0 {
		return j, &Error{Message: fmt.Sprintf("%s: no column %q", name, label)}
	}
	return j, nil
}

func replaceSelectors() {
	replace(universe.MinKind, func(s *universe.MinProcedureSpec, rows *tableRows) (flux.Table, error) {
		return selectRow(universe.MinKind, s.Column, true, rows, less)
	})
	replace(universe.MaxKind, func(s *universe.MaxProcedureSpec, rows *tableRows) (flux.Table, error) {
		return selectRow(universe.MaxKind, s.Column, true, rows, func(v, before values.Value, typ flux.ColType) bool {
			return less(before, v, typ)
		})
	})
	replace(universe.LastKind, func(s *universe.LastProcedureSpec, rows *tableRows) (flux.Table, error) {
		return selectRow(universe.LastKind, s.Column, false, rows, func(values.Value, values.Value, flux.ColType) bool { return true })
	})
	replace(universe.ExactQuantileSelectKind, selectQuantile)
}

// selectQuantile passes on the row of a quantile, and none of an empty table, of which
// Flux's own makes one of nulls.
func selectQuantile(s *universe.ExactQuantileSelectProcedureSpec, rows *tableRows) (flux.Table, error) {
	j, err := selectedColumn("quantile", s.Column, rows)
	if err != nil {
		return nil, err
	}
	type valueAt struct {
		v values.Value
		i int
	}
	const valueBytes = 48
	if err := rows.hold(valueBytes * rows.n); err != nil {
		return nil, err
	}
	vs := make([]valueAt, 0, rows.n)
	if err := rows.each(j, func(i int, v values.Value) error {
		if !v.IsNull() {
			vs = append(vs, valueAt{v, i})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(vs) == 0 {
		return rows.cut(0, 0), nil
	}
	slices.SortStableFunc(vs, func(a, b valueAt) int { return compare(a.v, b.v, rows.cols[j].Type) })
	at := vs[max(int(math.Ceil(s.Quantile*float64(len(vs))))-1, 0)].i
	return rows.cut(at, at+1), nil
}

// counted is a value, and how often it is there.
type counted struct {
	v values.Value
	n int
}

// count counts the values of a column, null among them, in the order in which they first
// come.
func (r *tableRows) count(j int) ([]counted, error) {
	switch r.cols[j].Type {
	case flux.TInt:
		return countBy(r, j, func(cr flux.ColReader, i int) int64 { return cr.Ints(j).Value(i) }, nil)
	case flux.TUInt:
		return countBy(r, j, func(cr flux.ColReader, i int) uint64 { return cr.UInts(j).Value(i) }, nil)
	case flux.TFloat:
		return countBy(r, j, func(cr flux.ColReader, i int) float64 { return cr.Floats(j).Value(i) }, nil)
	case flux.TTime:
		return countBy(r, j, func(cr flux.ColReader, i int) int64 { return cr.Times(j).Value(i) }, nil)
	case flux.TBool:
		return countBy(r, j, func(cr flux.ColReader, i int) bool { return cr.Bools(j).Value(i) }, nil)
	}
	return countBy(r, j, func(cr flux.ColReader, i int) string { return cr.Strings(j).ValueString(i) }, func(s string) int { return len(s) })
}

// countBy is count for one type. size is what a value takes besides, in bytes, nil for
// nothing.
func countBy[T comparable](r *tableRows, j int, valueOf func(cr flux.ColReader, i int) T, size func(T) int) ([]counted, error) {
	var all []counted
	places, null := make(map[T]int), -1
	for _, cr := range r.buffers {
		vs := columnOf(cr, j)
		for i := range cr.Len() {
			if i%rowsBetweenLooks == 0 && r.ctx.Err() != nil {
				return nil, context.Cause(r.ctx)
			}
			if vs.IsNull(i) && null >= 0 {
				all[null].n++
				continue
			}
			var v T
			if !vs.IsNull(i) {
				v = valueOf(cr, i)
				if at, ok := places[v]; ok {
					all[at].n++
					continue
				}
			}
			bytes := 128
			if size != nil {
				bytes += size(v)
			}
			if err := r.hold(bytes); err != nil {
				return nil, err
			}
			if vs.IsNull(i) {
				null = len(all)
			} else {
				places[v] = len(all)
			}
			all = append(all, counted{v: execute.ValueForRow(cr, i, j), n: 1})
		}
	}
	return all, nil
}

// valuesOf is the table of the key and a column of values that choose takes from what a
// column has. As InfluxDB has it, a column that is in the key has that value, and one
// that is not there an empty string.
func valuesOf(name, label string, rows *tableRows, choose func(vs []counted, typ flux.ColType) []values.Value) (flux.Table, error) {
	typ, chosen := flux.TString, []values.Value{values.NewString("")}
	if j := execute.ColIdx(label, rows.cols); j >= 0 {
		typ = rows.cols[j].Type
		if rows.key.HasCol(label) {
			chosen = []values.Value{rows.key.LabelValue(label)}
		} else {
			vs, err := rows.count(j)
			if err != nil {
				return nil, err
			}
			chosen = choose(vs, typ)
		}
	}
	if rows.key.HasCol(colValue) {
		return nil, &Error{Message: fmt.Sprintf("%s: column %q is in the group key", name, colValue)}
	}
	b := execute.NewColListTableBuilder(rows.key, rows.alloc)
	if err := execute.AddTableKeyCols(rows.key, b); err != nil {
		return nil, err
	}
	j, err := b.AddCol(flux.ColMeta{Label: colValue, Type: typ})
	if err != nil {
		return nil, err
	}
	for _, v := range chosen {
		if err := execute.AppendKeyValues(rows.key, b); err != nil {
			return nil, err
		}
		if err := b.AppendValue(j, v); err != nil {
			return nil, err
		}
	}
	return b.Table()
}

// distinct are the values that there are. Flux's own loses a row for a null, and panics
// where the key has one.
func distinct(s *universe.DistinctProcedureSpec, rows *tableRows) (flux.Table, error) {
	return valuesOf(universe.DistinctKind, s.Column, rows, func(vs []counted, _ flux.ColType) []values.Value {
		out := make([]values.Value, len(vs))
		for i, c := range vs {
			out[i] = c.v
		}
		return out
	})
}

// mode are the values that come most often, in order, and null when all of several come
// as often, or there are only nulls. The one value that there is is the mode, which
// Flux's own says there is none of; it also has modes for each buffer.
func mode(s *universe.ModeProcedureSpec, rows *tableRows) (flux.Table, error) {
	return valuesOf(universe.ModeKind, s.Column, rows, func(vs []counted, typ flux.ColType) []values.Value {
		if len(vs) == 0 {
			return nil
		}
		vs = slices.DeleteFunc(vs, func(c counted) bool { return c.v.IsNull() })
		most := 0
		for _, c := range vs {
			most = max(most, c.n)
		}
		var out []values.Value
		for _, c := range vs {
			if c.n == most {
				out = append(out, c.v)
			}
		}
		if len(out) == len(vs) && len(vs) != 1 {
			return []values.Value{values.NewNull(flux.SemanticType(typ))}
		}
		slices.SortFunc(out, func(a, b values.Value) int { return compare(a, b, typ) })
		return out
	})
}
