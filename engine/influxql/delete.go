package influxql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// DeleteRequest is a DELETE, DROP SERIES or DROP MEASUREMENT statement: the points
// of every series that Series matches with a time in [Min, Max].
type DeleteRequest struct {
	Database string
	// AllRetentionPolicies is set for DROP SERIES, which reaches into every bucket
	// of the database; the others mean the one of the default policy.
	AllRetentionPolicies bool
	// Min and Max are nanoseconds, both inclusive; [point.TimeMin] and
	// [point.TimeMax] when the statement does not bound time.
	Min, Max int64
	Series   SeriesPredicate
}

// SeriesPredicate selects series by measurement and tags. Copies share state: a
// predicate is used by one goroutine at a time.
type SeriesPredicate struct {
	sources influxql.Sources
	cond    influxql.Expr
}

// Match reports whether the predicate selects the series. tags are sorted by key;
// a tag that the series does not have is the empty string.
func (p *SeriesPredicate) Match(measurement string, tags []point.Tag) bool {
	if len(p.sources) > 0 {
		if names, err := sourceNames([]string{measurement}, p.sources); err != nil || len(names) == 0 {
			return false
		}
	}
	keep, rest := newSeriesFilter(p.cond, measurement, nil)(tags)
	return keep && rest == nil
}

// Filter prepares the predicate for the series of one measurement; nil means that
// it selects none of them.
func (p *SeriesPredicate) Filter(measurement string) func(tags []point.Tag) bool {
	if names, err := sourceNames([]string{measurement}, p.sources); err != nil || len(names) == 0 {
		return nil
	}
	filter := newSeriesFilter(p.cond, measurement, nil)
	return func(tags []point.Tag) bool {
		keep, rest := filter(tags)
		return keep && rest == nil
	}
}

// String is the predicate as InfluxQL writes it: `FROM cpu WHERE host = 'a'`.
func (p *SeriesPredicate) String() string {
	var parts []string
	if len(p.sources) > 0 {
		parts = append(parts, "FROM "+p.sources.String())
	}
	if p.cond != nil {
		parts = append(parts, "WHERE "+p.cond.String())
	}
	return strings.Join(parts, " ")
}

// ParseSeriesPredicate is the inverse of [SeriesPredicate.String].
func ParseSeriesPredicate(s string) (SeriesPredicate, error) {
	if s == "" {
		return SeriesPredicate{}, nil
	}
	stmt, err := influxql.ParseStatement("DROP SERIES " + s)
	if err != nil {
		return SeriesPredicate{}, fmt.Errorf("influxql: series predicate %q: %w", s, err)
	}
	drop, ok := stmt.(*influxql.DropSeriesStatement)
	if !ok {
		return SeriesPredicate{}, fmt.Errorf("influxql: series predicate %q is something else", s)
	}
	return SeriesPredicate{sources: drop.Sources, cond: drop.Condition}, nil
}

// deleteSeries plans a DELETE. It emits nothing.
func (x *exec) deleteSeries(stmt *influxql.DeleteSeriesStatement) error {
	cond, t, err := influxql.ConditionExpr(stmt.Condition, x.valuer())
	if err != nil {
		return err
	}
	return x.delete(DeleteRequest{
		Min: t.MinTimeNano(), Max: t.MaxTimeNano(),
		Series: SeriesPredicate{sources: stmt.Sources, cond: cond},
	})
}

// dropSeries plans a DROP SERIES.
func (x *exec) dropSeries(stmt *influxql.DropSeriesStatement) error {
	if influxql.HasTimeExpr(stmt.Condition) {
		return errors.New("DROP SERIES doesn't support time in WHERE clause")
	}
	return x.delete(DeleteRequest{
		AllRetentionPolicies: true, Min: point.TimeMin, Max: point.TimeMax,
		Series: SeriesPredicate{sources: stmt.Sources, cond: stmt.Condition},
	})
}

// dropMeasurement plans a DROP MEASUREMENT. It emits nothing.
func (x *exec) dropMeasurement(stmt *influxql.DropMeasurementStatement) error {
	return x.delete(DeleteRequest{
		Min: point.TimeMin, Max: point.TimeMax,
		Series: SeriesPredicate{sources: influxql.Sources{&influxql.Measurement{Name: stmt.Name}}},
	})
}

// delete checks a request against the buckets as they are and hands it to the
// host, which selects the series when it applies it.
func (x *exec) delete(r DeleteRequest) error {
	if x.q.Database == "" {
		return ErrDatabaseNameRequired
	}
	r.Database = x.q.Database
	policy, _, err := x.defaultPolicy(r.Database)
	if err != nil {
		return err
	}
	if err := equalityOnly(r.Series.cond); err != nil {
		return err
	}
	if r.Series.cond != nil {
		s, err := x.snapshotToDelete(r.Database, policy)
		if err != nil {
			return err
		}
		names, err := sourceNames(s.Measurements(), r.Series.sources)
		if err != nil {
			return err
		}
		q := seriesQuery{x: x, snapshot: s, cond: r.Series.cond}
		for _, name := range names {
			if _, err := q.series(name, true); err != nil {
				return err
			}
		}
	}
	err = x.host.Delete(x.ctx, r)
	if policy == "" && errors.As(err, new(ErrDatabaseNotFound)) {
		err = noDefaultPolicy(r.Database)
	}
	return err
}

// snapshotToDelete is the bucket of the default policy. The caller may see no policy
// and delete from it all the same.
func (x *exec) snapshotToDelete(database, policy string) (*snapshot, error) {
	if policy != "" {
		return x.snapshot(database, policy)
	}
	r, err := x.host.SnapshotToDelete(x.ctx, database)
	if errors.As(err, new(ErrDatabaseNotFound)) {
		return nil, noDefaultPolicy(database)
	}
	if err != nil {
		return nil, err
	}
	return newSnapshot(r), nil
}
