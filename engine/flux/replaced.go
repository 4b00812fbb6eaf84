package flux

import (
	"fmt"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/stdlib/experimental"
	"github.com/influxdata/flux/stdlib/universe"
)

// replaceTransformations puts ours in the place of those of Flux that do wrong: with
// tables of more than one buffer, of few rows or with nulls.
func replaceTransformations() {
	replace(universe.LimitKind, limit)
	replace(universe.TailKind, tail)
	replaceAverages()
	replaceSelectors()
	replace(universe.DistinctKind, distinct)
	replace(universe.ModeKind, mode)
	replace(universe.FillKind, fill)
	replace(universe.CumulativeSumKind, cumulativeSum)
	replace(universe.DifferenceKind, difference)
	replace(universe.ElapsedKind, elapsed)
	replace(universe.DerivativeKind, derivative)
	replace(universe.IntegralKind, integral)
	execute.ReplaceTransformation(universe.ReduceKind, reduceNulls)
	keepNulls(universe.SortKind, func(d execute.Dataset, c execute.TableBuilderCache, s *universe.SortProcedureSpec, _ execute.Administration) execute.Transformation {
		return universe.NewSortTransformation(d, c, s)
	})
	keepNulls(universe.UnionKind, func(d execute.Dataset, c execute.TableBuilderCache, s *universe.UnionProcedureSpec, a execute.Administration) execute.Transformation {
		return universe.NewUnionTransformation(d, c, s, a.Parents())
	})
	keepNulls(universe.SetKind, func(d execute.Dataset, c execute.TableBuilderCache, s *universe.SetProcedureSpec, _ execute.Administration) execute.Transformation {
		return &setStrings{universe.NewSetTransformation(d, c, s), s.Key}
	})
	keepNulls(experimental.SetKind, func(d execute.Dataset, c execute.TableBuilderCache, s *experimental.SetProcedureSpec, _ execute.Administration) execute.Transformation {
		return experimental.NewSetTransformation(d, c, s)
	})
	keepNulls(universe.ShiftKind, func(d execute.Dataset, c execute.TableBuilderCache, s *universe.ShiftProcedureSpec, _ execute.Administration) execute.Transformation {
		return universe.NewShiftTransformation(d, c, s)
	})
	for _, kind := range []plan.ProcedureKind{universe.MergeJoinKind, "experimental.join"} {
		refuseNulls(kind)
	}
}

// limit takes some of the first rows. Flux's own leaves out as many of each buffer as of
// the first one, and ends the process when that is a negative number.
func limit(s *universe.LimitProcedureSpec, rows *tableRows) (flux.Table, error) {
	if err := checkOffset("limit", s.Offset); err != nil {
		return nil, err
	}
	from := int(min(s.Offset, int64(rows.n)))
	return rows.cut(from, from+int(max(0, min(s.N, int64(rows.n-from))))), nil
}

// tail takes some of the last rows. Flux's own counts past the greatest number.
func tail(s *universe.TailProcedureSpec, rows *tableRows) (flux.Table, error) {
	if err := checkOffset("tail", s.Offset); err != nil {
		return nil, err
	}
	to := rows.n - int(min(s.Offset, int64(rows.n)))
	return rows.cut(to-int(max(0, min(s.N, int64(to)))), to), nil
}

func checkOffset(name string, offset int64) error {
	if offset < 0 {
		return &Error{Message: fmt.Sprintf("%s: offset is %d, and must not be negative", name, offset)}
	}
	return nil
}
