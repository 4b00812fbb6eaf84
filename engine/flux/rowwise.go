package flux

import (
	"fmt"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"
)

// made is a column that f makes of another one, in the rows from a first one on. It is
// called for those before, too.
func (r *tableRows) made(j, from int, meta flux.ColMeta, f func(v values.Value) (values.Value, error)) (column, error) {
	b := arrow.NewBuilder(meta.Type, arrow.NewAllocator(r.alloc))
	defer b.Release()
	err := r.each(j, func(i int, v values.Value) error {
		v, err := f(v)
		switch {
		case err != nil || i < from:
			return err
		case v == nil:
			b.AppendNull()
			return nil
		}
		return arrow.AppendValue(b, v)
	})
	if err != nil {
		return column{}, err
	}
	return column{meta, b.NewArray()}, nil
}

// remade replaces columns by what f makes of each, in the rows from a first one on. f says
// what the type is to be, and makes a function for the values of one column.
func (r *tableRows) remade(name string, from int, columns []string, f func(j int) (flux.ColType, func(v values.Value) (values.Value, error), error)) (flux.Table, error) {
	var all []column
	release := func() {
		for _, c := range all {
			c.values.Release()
		}
	}
	for _, label := range columns {
		if execute.ColIdx(label, r.cols) < 0 {
			continue
		}
		j, err := r.column(name, label)
		if err != nil {
			release()
			return nil, err
		}
		typ, make, err := f(j)
		if err == nil && make != nil {
			var c column
			if c, err = r.made(j, from, flux.ColMeta{Label: label, Type: typ}, make); err == nil {
				all = append(all, c)
			}
		}
		if err != nil {
			release()
			return nil, err
		}
	}
	return r.cut(min(from, r.n), r.n, all...), nil
}

// fill puts a value, or that of the row before, in the place of nulls. Flux's own forgets
// the row before where a buffer ends.
func fill(s *universe.FillProcedureSpec, rows *tableRows) (flux.Table, error) {
	const name = universe.FillKind
	if v := rows.key.LabelValue(s.Column); v != nil && !v.IsNull() {
		return rows.cut(0, rows.n), nil
	}
	j, err := rows.column(name, s.Column)
	if err != nil {
		return nil, err
	}
	typ := rows.cols[j].Type
	var before values.Value
	if !s.UsePrevious {
		if before = s.Value; flux.ColumnType(before.Type()) != typ {
			return nil, &Error{Message: fmt.Sprintf("fill: column %q is of the type %s, and the value is of %s", s.Column, typ, before.Type().Nature())}
		}
	}
	return rows.remade(name, 0, []string{s.Column}, func(int) (flux.ColType, func(values.Value) (values.Value, error), error) {
		return typ, func(v values.Value) (values.Value, error) {
			if v.IsNull() {
				return before, nil
			}
			if s.UsePrevious {
				before = v
			}
			return v, nil
		}, nil
	})
}

// cumulativeSum has the sum stay where there is a null. Flux's own puts zeros, false and
// empty strings in the place of nulls of other columns.
func cumulativeSum(s *universe.CumulativeSumProcedureSpec, rows *tableRows) (flux.Table, error) {
	return rows.remade(universe.CumulativeSumKind, 0, s.Columns, func(j int) (flux.ColType, func(values.Value) (values.Value, error), error) {
		var n int64
		var u uint64
		var f float64
		typ := rows.cols[j].Type
		switch typ {
		case flux.TInt, flux.TUInt, flux.TFloat:
		default:
			return typ, nil, nil // as InfluxDB has it, they stay
		}
		return typ, func(v values.Value) (values.Value, error) {
			null := v.IsNull()
			switch typ {
			case flux.TInt:
				if !null {
					n += v.Int()
				}
				return values.NewInt(n), nil
			case flux.TUInt:
				if !null {
					u += v.UInt()
				}
				return values.NewUInt(u), nil
			}
			if !null {
				f += v.Float()
			}
			return values.NewFloat(f), nil
		}, nil
	})
}

// difference is that to the last value that is not null. Flux's own makes too many of
// nulls alone.
func difference(s *universe.DifferenceProcedureSpec, rows *tableRows) (flux.Table, error) {
	const name = universe.DifferenceKind
	from := 1
	if s.KeepFirst {
		from = 0
	}
	return rows.remade(name, from, s.Columns, func(j int) (flux.ColType, func(values.Value) (values.Value, error), error) {
		var before values.Value
		typ := rows.cols[j].Type
		out := typ
		switch typ {
		case flux.TUInt:
			out = flux.TInt
		case flux.TInt, flux.TFloat:
		case flux.TTime:
			return typ, nil, &Error{Message: "difference does not support time columns. Try the elapsed function"}
		default:
			return typ, nil, rows.wrongType(name, j, "numbers")
		}
		return out, func(v values.Value) (values.Value, error) {
			if v.IsNull() {
				return nil, nil
			}
			last := before
			if before = v; last == nil {
				return nil, nil
			}
			if typ == flux.TFloat {
				d := v.Float() - last.Float()
				if s.NonNegative && d < 0 {
					return nil, nil
				}
				return values.NewFloat(d), nil
			}
			var d int64
			if typ == flux.TInt {
				d = v.Int() - last.Int()
			} else {
				d = int64(v.UInt() - last.UInt())
			}
			if s.NonNegative && d < 0 {
				return nil, nil
			}
			return values.NewInt(d), nil
		}, nil
	})
}

// elapsed is the time since the row before, in whole units. Flux's own begins again with
// each buffer, and counts in numbers that nanoseconds do not fit in.
func elapsed(s *universe.ElapsedProcedureSpec, rows *tableRows) (flux.Table, error) {
	const name = universe.ElapsedKind
	unit := int64(values.Duration(s.Unit).Duration())
	j := execute.ColIdx(s.TimeColumn, rows.cols)
	switch {
	case j < 0:
		return nil, &Error{Message: fmt.Sprintf("elapsed: no column %q", s.TimeColumn)}
	case rows.cols[j].Type != flux.TTime:
		return nil, rows.wrongType(name, j, "times")
	case execute.ColIdx(s.ColumnName, rows.cols) >= 0:
		return nil, &Error{Message: fmt.Sprintf("elapsed: there is a column %q already", s.ColumnName)}
	case unit == 0:
		return nil, &Error{Message: "elapsed: unit must not be 0"}
	}
	var before values.Value
	c, err := rows.made(j, 1, flux.ColMeta{Label: s.ColumnName, Type: flux.TInt}, func(v values.Value) (values.Value, error) {
		if v.IsNull() {
			return nil, nil
		}
		last := before
		if before = v; last == nil {
			return nil, nil
		}
		return values.NewInt(int64(v.Time()-last.Time()) / unit), nil
	})
	if err != nil {
		return nil, err
	}
	return rows.cut(min(1, rows.n), rows.n, c), nil
}

// derivative is the difference to the last value that is not null, for each unit of time
// between the two. A row that has the time of the one before it is left out; Flux's own
// keeps a column of values longer than the others then, where there is a null.
func derivative(s *universe.DerivativeProcedureSpec, rows *tableRows) (flux.Table, error) {
	const name = universe.DerivativeKind
	unit := float64(values.Duration(s.Unit).Duration())
	times, err := rows.times(name, s.TimeColumn)
	if err != nil {
		return nil, err
	}
	if unit == 0 {
		return nil, &Error{Message: "derivative: unit must not be 0"}
	}
	once := make([]int, 0, rows.n)
	for i := range times {
		if i == 0 || times[i] > times[i-1] {
			once = append(once, i)
		}
	}
	if len(once) < rows.n {
		if rows, err = rows.only(once); err != nil {
			return nil, err
		}
		defer rows.release()
		for k, i := range once {
			times[k] = times[i]
		}
	}
	return rows.remade(name, 1, s.Columns, func(j int) (flux.ColType, func(values.Value) (values.Value, error), error) {
		if typ := rows.cols[j].Type; typ != flux.TInt && typ != flux.TUInt && typ != flux.TFloat {
			return typ, nil, rows.wrongType(name, j, "numbers")
		}
		i, last := -1, -1
		var before values.Value
		return flux.TFloat, func(v values.Value) (values.Value, error) {
			if i++; v.IsNull() {
				return nil, nil
			}
			a, at := before, last
			if before, last = v, i; a == nil || s.NonNegative && less(v, a, rows.cols[j].Type) {
				return nil, nil
			}
			return values.NewFloat(minus(v, a, rows.cols[j].Type) / (float64(times[i]-times[at]) / unit)), nil
		}, nil
	})
}

// minus is v less a.
func minus(v, a values.Value, typ flux.ColType) float64 {
	switch {
	case typ == flux.TInt:
		return float64(v.Int() - a.Int())
	case typ == flux.TFloat:
		return v.Float() - a.Float()
	case v.UInt() < a.UInt():
		return -float64(a.UInt() - v.UInt())
	}
	return float64(v.UInt() - a.UInt())
}

// times are those of a column, which must be in order.
func (r *tableRows) times(name, label string) ([]int64, error) {
	j := execute.ColIdx(label, r.cols)
	switch {
	case j < 0:
		return nil, &Error{Message: fmt.Sprintf("%s: no column %q", name, label)}
	case r.cols[j].Type != flux.TTime:
		return nil, r.wrongType(name, j, "times")
	}
	if err := r.hold(8 * r.n); err != nil {
		return nil, err
	}
	times := make([]int64, 0, r.n)
	err := r.each(j, func(i int, v values.Value) error {
		switch {
		case v.IsNull():
			return &Error{Message: fmt.Sprintf("%s found null time in time column", name)}
		case i > 0 && int64(v.Time()) < times[i-1]:
			return &Error{Message: fmt.Sprintf("%s found out-of-order times in time column", name)}
		}
		times = append(times, int64(v.Time()))
		return nil
	})
	return times, err
}

// only are some of the rows. They have to be released, too.
func (r *tableRows) only(which []int) (*tableRows, error) {
	out := &tableRows{ctx: r.ctx, key: r.key, cols: r.cols, n: len(which), alloc: r.alloc}
	b := &arrow.TableBuffer{GroupKey: r.key, Columns: r.cols}
	for j := range r.cols {
		c := arrow.NewBuilder(r.cols[j].Type, arrow.NewAllocator(r.alloc))
		next := 0
		err := r.each(j, func(i int, v values.Value) error {
			if next == len(which) || i != which[next] {
				return nil
			}
			next++
			return arrow.AppendValue(c, v)
		})
		b.Values = append(b.Values, c.NewArray())
		c.Release()
		if err != nil {
			b.Release()
			return nil, err
		}
	}
	out.buffers = []flux.ColReader{b}
	return out, nil
}

// integral is the area under the values. Flux's own takes no times before 1970, and leaves
// a value at its very beginning out.
func integral(s *universe.IntegralProcedureSpec, rows *tableRows) (flux.Table, error) {
	const name = universe.IntegralKind
	unit := float64(values.Duration(s.Unit).Duration())
	times, err := rows.times(name, s.TimeColumn)
	if err != nil {
		return nil, err
	}
	if unit == 0 {
		return nil, &Error{Message: "integral: unit must not be 0"}
	}
	b := execute.NewColListTableBuilder(rows.key, rows.alloc)
	if err := execute.AddTableKeyCols(rows.key, b); err != nil {
		return nil, err
	}
	for _, label := range s.Columns {
		j, err := rows.column(name, label)
		if err != nil {
			return nil, err
		}
		vs, err := rows.numbers(name, j)
		if err != nil {
			return nil, err
		}
		sum, last := 0.0, -1
		for i, v := range vs.v {
			// The first of several rows of one time counts.
			if !vs.ok[i] || i > 0 && times[i] == times[i-1] {
				continue
			}
			if last >= 0 {
				sum += 0.5 * (v + vs.v[last]) * (float64(times[i]-times[last]) / unit)
			}
			last = i
		}
		k, err := b.AddCol(flux.ColMeta{Label: label, Type: flux.TFloat})
		if err == nil {
			err = b.AppendFloat(k, sum)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := execute.AppendKeyValues(rows.key, b); err != nil {
		return nil, err
	}
	return b.Table()
}
