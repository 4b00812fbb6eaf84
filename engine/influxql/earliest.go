package influxql

import (
	"time"

	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// boundOffsets gives every SELECT that groups by time(d, offset) and has no lower
// bound one: the time of the first point. Without it fill() begins with the first
// window there can be, in the year 1677: InfluxDB takes the missing bound for the
// first point's window only where the offset has not moved it. bounded says that a
// SELECT around stmt has a bound, which reaches stmt by itself.
func (x *exec) boundOffsets(stmt *influxql.SelectStatement, bounded bool) error {
	_, t, err := influxql.ConditionExpr(stmt.Condition, x.valuer())
	if err != nil {
		return nil // planning says so, in its own words
	}
	bounded = bounded || !t.Min.IsZero()
	for _, source := range stmt.Sources {
		if sub, ok := source.(*influxql.SubQuery); ok {
			if err := x.boundOffsets(sub.Statement, bounded); err != nil {
				return err
			}
		}
	}
	interval, err := stmt.GroupByInterval()
	if bounded || err != nil || interval <= 0 {
		return nil
	}
	if offset, err := stmt.GroupByOffset(); err != nil || offset == 0 {
		return nil
	}
	first, ok, err := x.earliest(stmt.Sources)
	if err != nil || !ok {
		return err
	}
	bound := influxql.Expr(&influxql.BinaryExpr{
		Op: influxql.GTE, LHS: &influxql.VarRef{Val: "time"}, RHS: &influxql.TimeLiteral{Val: time.Unix(0, first).UTC()},
	})
	if stmt.Condition != nil {
		bound = &influxql.BinaryExpr{Op: influxql.AND, LHS: &influxql.ParenExpr{Expr: stmt.Condition}, RHS: bound}
	}
	stmt.Condition = bound
	return nil
}

// earliest is the time of the first point of sources, if they have any. It reads
// the first row of each of their series.
func (x *exec) earliest(sources influxql.Sources) (first int64, ok bool, err error) {
	first = influxql.MaxTime
	for _, source := range sources {
		switch source := source.(type) {
		case *influxql.SubQuery:
			t, has, err := x.earliest(source.Statement.Sources)
			if err != nil {
				return 0, false, err
			}
			if has {
				first, ok = min(first, t), true
			}
		case *influxql.Measurement:
			s, err := x.snapshot(source.Database, source.RetentionPolicy)
			if err != nil {
				return 0, false, err
			}
			for _, name := range s.Measurements() {
				if name != source.Name && (source.Regex == nil || !source.Regex.Val.MatchString(name)) {
					continue
				}
				r := point.ReadRequest{Measurement: name, Min: influxql.MinTime, Max: first, ByID: true, RowsMax: 1, Meter: x}
				for field := range s.Fields(name) {
					r.Fields = append(r.Fields, field)
				}
				err := s.Read(x.ctx, r, func(rows point.SeriesRows) error {
					if len(rows.Times) > 0 {
						first, ok = min(first, rows.Times[0]), true
					}
					return point.ErrSkipSeries
				})
				if err != nil {
					return 0, false, err
				}
			}
		}
	}
	return first, ok, nil
}
