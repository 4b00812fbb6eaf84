package influxql

import (
	"errors"
	"slices"

	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// seriesQuery is what SHOW SERIES, SHOW TAG KEYS and SHOW TAG VALUES ask of one
// bucket: its series by measurement, tags and time.
type seriesQuery struct {
	x        *exec
	snapshot *snapshot
	cond     influxql.Expr
	// timed is set when only series with points in [min,max] count.
	timed    bool
	min, max int64
}

// newSeriesQuery splits a condition into time bounds and the rest.
func (x *exec) newSeriesQuery(s *snapshot, cond influxql.Expr) (*seriesQuery, error) {
	rest, t, err := influxql.ConditionExpr(influxql.CloneExpr(cond), x.valuer())
	if err != nil {
		return nil, err
	}
	return &seriesQuery{
		x: x, snapshot: s, cond: rest,
		timed: !t.Min.IsZero() || !t.Max.IsZero(), min: t.MinTimeNano(), max: t.MaxTimeNano(),
	}, nil
}

// series lists the matching series of a measurement in the order of their keys.
// Comparisons of fields do not restrict them, unless strict is set; then they are
// an error.
func (q *seriesQuery) series(name string, strict bool) ([]point.SeriesInfo, error) {
	fields := q.snapshot.Fields(name)
	var all []point.SeriesInfo
	if f := tagFilterOf(q.cond, name, fields); f != nil {
		var err error
		if all, err = q.snapshot.SeriesWhere(name, f); err != nil {
			return nil, err
		}
	} else {
		all = q.snapshot.Series(name)
	}
	if q.cond != nil {
		filter := newSeriesFilter(q.cond, name, fields)
		var kept []point.SeriesInfo
		for i := range all {
			keep, rest := filter(all[i].Tags)
			if !keep {
				continue
			}
			if rest != nil && strict {
				if b, ok := rest.(*influxql.BooleanLiteral); !ok || !b.Val {
					return nil, errFieldsInCondition
				}
			}
			kept = append(kept, all[i])
		}
		all = kept
	}
	if !q.timed || len(all) == 0 {
		return all, nil
	}
	req := point.ReadRequest{Measurement: name, Min: q.min, Max: q.max, RowsMax: 1}
	for field := range fields {
		req.Fields = append(req.Fields, field)
	}
	slices.Sort(req.Fields)
	for i := range all {
		req.Series = append(req.Series, all[i].ID)
	}
	var kept []point.SeriesInfo
	next := 0
	err := q.snapshot.Read(q.x.ctx, req, func(sr point.SeriesRows) error {
		for next < len(all) && all[next].ID != sr.Series {
			next++
		}
		if next < len(all) && (len(kept) == 0 || kept[len(kept)-1].ID != sr.Series) {
			kept = append(kept, all[next])
		}
		return point.ErrSkipSeries
	})
	return kept, err
}

// errFieldsInCondition is InfluxDB's text, for SHOW SERIES as well.
var errFieldsInCondition = errors.New("fields not supported in WHERE clause during deletion")

// showSeries lists series keys.
func (x *exec) showSeries(stmt *influxql.ShowSeriesStatement) error {
	sources, err := x.sources(stmt.Sources, stmt.Database)
	if err != nil {
		return err
	}
	w := seriesKeyWriter{x: x, limit: stmt.Limit, offset: stmt.Offset}
	for _, src := range sources {
		q, err := x.newSeriesQuery(src.snapshot, stmt.Condition)
		if err != nil {
			return err
		}
		if err := equalityOnly(q.cond); err != nil {
			return err
		}
		for _, name := range src.names {
			series, err := q.series(name, true)
			if err != nil {
				return err
			}
			if done, err := w.write(name, series); done || err != nil {
				return w.close(err)
			}
		}
	}
	return w.close(nil)
}

// equalityOnly refuses conditions that an index of tags cannot answer.
func equalityOnly(cond influxql.Expr) (err error) {
	influxql.WalkFunc(cond, func(n influxql.Node) {
		if b, ok := n.(*influxql.BinaryExpr); ok {
			switch b.Op {
			case influxql.EQ, influxql.NEQ, influxql.EQREGEX, influxql.NEQREGEX, influxql.OR, influxql.AND:
			default:
				err = errors.New("invalid tag comparison operator")
			}
		}
	})
	return err
}

// seriesKeyWriter emits series keys in chunks.
type seriesKeyWriter struct {
	x             *exec
	limit, offset int
	row           *Row
	written       int
}

// write adds the keys of a measurement's series. done is set when LIMIT is
// reached.
func (w *seriesKeyWriter) write(name string, series []point.SeriesInfo) (done bool, err error) {
	skip := min(w.offset, len(series))
	w.offset -= skip
	for i, s := range series[skip:] {
		if w.limit > 0 && w.written == w.limit {
			return true, nil
		}
		if i&0xfff == 0xfff && w.x.ctx.Err() != nil {
			return true, w.x.ctx.Err()
		}
		if size := w.x.q.ChunkSize; w.row != nil && size > 0 && len(w.row.Values) == size {
			w.row.Partial = true
			if err := w.x.out.send(Result{Series: []*Row{w.row}, Partial: true}); err != nil {
				return true, err
			}
			w.row = nil
		}
		if w.row == nil {
			w.row = &Row{Columns: []string{"key"}}
		}
		w.row.Values = append(w.row.Values, []any{string(point.AppendSeriesKey(nil, name, s.Tags))})
		w.written++
	}
	return false, nil
}

func (w *seriesKeyWriter) close(err error) error {
	if err != nil {
		return err
	}
	return w.x.out.sendRows(w.row)
}

// tagSource opens the default bucket of SHOW TAG KEYS and SHOW TAG VALUES and
// names the measurements that FROM names.
func (x *exec) tagSource(database string, from influxql.Sources) (source, error) {
	db, err := x.database(database)
	if err != nil {
		return source{}, err
	}
	policy, _, err := x.defaultPolicy(db)
	if err != nil {
		return source{}, err
	}
	if policy == "" {
		return source{}, noDefaultPolicy(db)
	}
	s, err := x.snapshot(db, policy)
	if err != nil {
		return source{}, err
	}
	names, err := sourceNames(s.Measurements(), from)
	return source{s, names}, err
}

// tagKeyMatcher is the WITH KEY clause.
func tagKeyMatcher(op influxql.Token, expr influxql.Expr) func(string) bool {
	equal := op == influxql.EQ || op == influxql.EQREGEX || op == influxql.IN
	switch e := expr.(type) {
	case *influxql.StringLiteral:
		return func(key string) bool { return (key == e.Val) == equal }
	case *influxql.ListLiteral:
		return func(key string) bool { return slices.Contains(e.Vals, key) == equal }
	case *influxql.RegexLiteral:
		return func(key string) bool { return e.Val.MatchString(key) == equal }
	}
	return func(string) bool { return true }
}

// showTagKeys lists the tag keys of each measurement's matching series. LIMIT and
// OFFSET count keys of one measurement, SLIMIT and SOFFSET measurements.
func (x *exec) showTagKeys(stmt *influxql.ShowTagKeysStatement) error {
	wanted := tagKeyMatcher(stmt.TagKeyOp, stmt.TagKeyExpr)
	return x.showTags(stmt.Database, stmt.Sources, stmt.Condition, stmt.SLimit, stmt.SOffset, func(name string, series []point.SeriesInfo) *Row {
		keys := slices.DeleteFunc(tagKeysOf(series), func(key string) bool { return !wanted(key) })
		keys = page(keys, stmt.Limit, stmt.Offset)
		if len(keys) == 0 {
			return nil
		}
		return column(name, "tagKey", keys)
	})
}

// showTagValues lists, for each measurement, the values of the wanted tags in its
// matching series.
func (x *exec) showTagValues(stmt *influxql.ShowTagValuesStatement) error {
	wanted := tagKeyMatcher(stmt.Op, stmt.TagKeyExpr)
	return x.showTags(stmt.Database, stmt.Sources, stmt.Condition, 0, 0, func(name string, series []point.SeriesInfo) *Row {
		seen := make(map[point.Tag]struct{})
		var tags []point.Tag
		for i := range series {
			for _, t := range series[i].Tags {
				if _, ok := seen[t]; ok || !wanted(t.Key) {
					continue
				}
				seen[t] = struct{}{}
				tags = append(tags, t)
			}
		}
		slices.SortFunc(tags, func(a, b point.Tag) int {
			return slices.Compare([]string{a.Key, a.Value}, []string{b.Key, b.Value})
		})
		tags = page(tags, stmt.Limit, stmt.Offset)
		if len(tags) == 0 {
			return nil
		}
		row := &Row{Name: name, Columns: []string{"key", "value"}}
		for _, t := range tags {
			row.Values = append(row.Values, []any{t.Key, t.Value})
		}
		return row
	})
}

// showTags emits what answer makes of each measurement's matching series.
func (x *exec) showTags(database string, from influxql.Sources, cond influxql.Expr, limit, offset int, answer func(string, []point.SeriesInfo) *Row) error {
	src, err := x.tagSource(database, from)
	if err != nil {
		return err
	}
	q, err := x.newSeriesQuery(src.snapshot, cond)
	if err != nil {
		return err
	}
	emitted := 0
	for _, name := range src.names {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		series, err := q.series(name, false)
		if err != nil {
			return err
		}
		row := answer(name, series)
		if row == nil {
			continue
		}
		if offset > 0 {
			offset--
			continue
		}
		if limit > 0 && emitted == limit {
			break
		}
		if err := x.out.sendRows(row); err != nil {
			return err
		}
		emitted++
	}
	if emitted == 0 {
		return x.out.sendRows(nil)
	}
	return nil
}
