package influxql

import (
	"errors"
	"fmt"
	"slices"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// database is the database of a statement that names one or none.
func (x *exec) database(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if x.q.Database == "" {
		return "", ErrDatabaseNameRequired
	}
	return x.q.Database, nil
}

func (x *exec) showDatabases() error {
	names, err := x.host.Databases(x.ctx)
	if err != nil {
		return err
	}
	return x.out.sendRows(column("databases", "name", names))
}

// column is a series with one string in each row.
func column(name, column string, values []string) *Row {
	row := &Row{Name: name, Columns: []string{column}}
	for _, v := range values {
		row.Values = append(row.Values, []any{v})
	}
	return row
}

func (x *exec) showRetentionPolicies(stmt *influxql.ShowRetentionPoliciesStatement) error {
	db, err := x.database(stmt.Database)
	if err != nil {
		return err
	}
	policies, err := x.host.RetentionPolicies(x.ctx, db)
	if err != nil {
		return err
	}
	row := &Row{Columns: []string{"name", "duration", "shardGroupDuration", "replicaN", "default"}}
	for _, p := range policies {
		row.Values = append(row.Values, []any{p.Name, p.Duration.String(), p.ShardGroupDuration.String(), p.ReplicaN, p.Default})
	}
	return x.out.sendRows(row)
}

// page applies OFFSET and LIMIT; a limit of 0 does not limit.
func page[T any](a []T, limit, offset int) []T {
	a = a[min(max(offset, 0), len(a)):]
	if limit > 0 {
		a = a[:min(limit, len(a))]
	}
	return a
}

// showMeasurements lists measurements, of the default retention policy or of
// those that ON names; `ON db.rp`, `ON db.*` and `ON *.*` show where each is.
func (x *exec) showMeasurements(stmt *influxql.ShowMeasurementsStatement) error {
	if influxql.HasTimeExpr(stmt.Condition) {
		return errors.New("SHOW MEASUREMENTS doesn't support time in WHERE clause")
	}
	if stmt.WildcardDatabase {
		if stmt.RetentionPolicy != "" {
			return errors.New("query 'SHOW MEASUREMENTS ON *.rp' not supported. use 'ON *.*' or specify a database")
		}
		if !stmt.WildcardRetentionPolicy {
			return errors.New("query 'SHOW MEASUREMENTS ON *' not supported. use 'ON *.*' or specify a database")
		}
	}
	buckets, err := x.measurementBuckets(stmt)
	if err != nil {
		return err
	}
	placed := stmt.WildcardDatabase || stmt.WildcardRetentionPolicy || stmt.RetentionPolicy != ""
	var values [][]any
	for _, b := range buckets {
		s, err := x.snapshot(b.database, b.policy)
		if err != nil {
			return err
		}
		names := s.Measurements()
		if stmt.Source != nil {
			if names, err = sourceNames(names, influxql.Sources{stmt.Source}); err != nil {
				return err
			}
		}
		for _, name := range names {
			ok, err := measurementMatches(s, name, stmt.Condition)
			if err != nil {
				return err
			}
			switch {
			case !ok:
			case placed:
				values = append(values, []any{name, b.database, b.policy})
			default:
				values = append(values, []any{name})
			}
		}
	}
	values = page(values, stmt.Limit, stmt.Offset)
	if len(values) == 0 {
		return x.out.sendRows(nil)
	}
	row := &Row{Name: "measurements", Columns: []string{"name"}, Values: values}
	if placed {
		row.Columns = []string{"name", "database", "retention policy"}
	}
	return x.out.sendRows(row)
}

// measurementBuckets are the buckets that SHOW MEASUREMENTS looks into, sorted; an
// unknown database or policy has none.
func (x *exec) measurementBuckets(stmt *influxql.ShowMeasurementsStatement) ([]bucketName, error) {
	var databases []string
	if stmt.WildcardDatabase {
		var err error
		if databases, err = x.host.Databases(x.ctx); err != nil {
			return nil, err
		}
		databases = slices.Sorted(slices.Values(databases))
	} else {
		db, err := x.database(stmt.Database)
		if err != nil {
			return nil, err
		}
		databases = []string{db}
	}
	var buckets []bucketName
	for _, db := range databases {
		policies, err := x.host.RetentionPolicies(x.ctx, db)
		if err != nil {
			return nil, err
		}
		n := len(buckets)
		for _, p := range policies {
			if stmt.WildcardRetentionPolicy || stmt.RetentionPolicy == p.Name || stmt.RetentionPolicy == "" && p.Default {
				buckets = append(buckets, bucketName{db, p.Name})
			}
		}
		slices.SortFunc(buckets[n:], func(a, b bucketName) int {
			return slices.Compare([]string{a.policy}, []string{b.policy})
		})
	}
	return buckets, nil
}

// sourceNames are those of names that any of sources names or matches.
func sourceNames(names []string, sources influxql.Sources) ([]string, error) {
	if len(sources) == 0 {
		return names, nil
	}
	var kept []string
	for _, name := range names {
		for _, source := range sources {
			m, ok := source.(*influxql.Measurement)
			if !ok {
				return nil, fmt.Errorf("invalid source: %s", source)
			}
			if m.Regex == nil && m.Name == name || m.Regex != nil && m.Regex.Val.MatchString(name) {
				kept = append(kept, name)
				break
			}
		}
	}
	return kept, nil
}

// measurementMatches decides about a measurement by a condition on tags: = and =~
// hold when any series has a matching value of the tag, != and !~ when the
// measurement has the tag and no value of it matches.
func measurementMatches(s *snapshot, name string, cond influxql.Expr) (bool, error) {
	switch e := cond.(type) {
	case nil:
		return true, nil
	case *influxql.ParenExpr:
		return measurementMatches(s, name, e.Expr)
	case *influxql.BinaryExpr:
		switch e.Op {
		case influxql.AND, influxql.OR:
			lhs, err := measurementMatches(s, name, e.LHS)
			if err != nil {
				return false, err
			}
			rhs, err := measurementMatches(s, name, e.RHS)
			if err != nil {
				return false, err
			}
			if e.Op == influxql.OR {
				return lhs || rhs, nil
			}
			return lhs && rhs, nil
		case influxql.EQ, influxql.NEQ, influxql.EQREGEX, influxql.NEQREGEX:
			return measurementCompares(s, name, e)
		}
		return false, errors.New("invalid tag comparison operator")
	}
	return false, fmt.Errorf("invalid condition: %s", cond)
}

func measurementCompares(s *snapshot, name string, e *influxql.BinaryExpr) (bool, error) {
	tag, ok := e.LHS.(*influxql.VarRef)
	if !ok {
		return false, fmt.Errorf("left side of '%s' must be a tag key", e.Op)
	}
	var match func(string) bool
	if influxql.IsRegexOp(e.Op) {
		re, ok := e.RHS.(*influxql.RegexLiteral)
		if !ok {
			return false, fmt.Errorf("right side of '%s' must be a regular expression", e.Op)
		}
		match = newRegexCache(re.Val)
	} else {
		str, ok := e.RHS.(*influxql.StringLiteral)
		if !ok {
			return false, fmt.Errorf("right side of '%s' must be a tag value string", e.Op)
		}
		match = func(v string) bool { return v == str.Val }
	}
	equal := e.Op == influxql.EQ || e.Op == influxql.EQREGEX
	if tag.Val == "_name" {
		return match(name) == equal, nil
	}
	if influxql.IsSystemName(tag.Val) {
		return false, nil
	}
	if _, ok := slices.BinarySearch(s.TagKeys(name), tag.Val); !ok {
		return false, nil
	}
	matched := slices.ContainsFunc(s.Series(name), func(info point.SeriesInfo) bool {
		v := point.TagValue(info.Tags, tag.Val)
		return v != "" && match(v)
	})
	return matched == equal, nil
}

// source is one bucket that a SHOW statement reads, and the measurements in it
// that it names, sorted.
type source struct {
	snapshot *snapshot
	names    []string
}

// sources resolves the FROM clause of SHOW SERIES and SHOW FIELD KEYS, in which
// each measurement may name its own database and retention policy.
func (x *exec) sources(from influxql.Sources, database string) ([]source, error) {
	if len(from) == 0 {
		from = influxql.Sources{&influxql.Measurement{SystemIterator: "_"}}
	}
	var order []bucketName
	named := make(map[bucketName]influxql.Sources)
	for _, s := range from {
		m, ok := s.(*influxql.Measurement)
		if !ok {
			return nil, fmt.Errorf("invalid source: %s", s)
		}
		if m.Database == "" {
			m.Database = database
		}
		if err := x.normalizeMeasurement(m); err != nil {
			return nil, err
		}
		b := bucketName{m.Database, m.RetentionPolicy}
		if _, ok := named[b]; !ok {
			order = append(order, b)
		}
		named[b] = append(named[b], m)
	}
	var out []source
	for _, b := range order {
		s, err := x.snapshot(b.database, b.policy)
		if err != nil {
			return nil, err
		}
		names := s.Measurements()
		if first := named[b][0].(*influxql.Measurement); first.SystemIterator == "" {
			if names, err = sourceNames(names, named[b]); err != nil {
				return nil, err
			}
		}
		out = append(out, source{s, names})
	}
	return out, nil
}

func (x *exec) showFieldKeys(stmt *influxql.ShowFieldKeysStatement) error {
	sources, err := x.sources(stmt.Sources, stmt.Database)
	if err != nil {
		return err
	}
	var series []*Row
	for _, src := range sources {
		for _, name := range src.names {
			types := src.snapshot.Fields(name)
			keys := make([]string, 0, len(types))
			for key := range types {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			keys = page(keys, stmt.Limit, stmt.Offset)
			if len(keys) == 0 {
				continue
			}
			row := &Row{Name: name, Columns: []string{"fieldKey", "fieldType"}}
			for _, key := range keys {
				row.Values = append(row.Values, []any{key, types[key].String()})
			}
			series = append(series, row)
		}
	}
	for i, row := range series {
		if err := x.out.send(Result{Series: []*Row{row}, Partial: i < len(series)-1}); err != nil {
			return err
		}
	}
	if len(series) == 0 {
		return x.out.sendRows(nil)
	}
	return nil
}

// showCardinality counts exactly, by the SELECT that stands for the statement.
func (x *exec) showCardinality(stmt influxql.Statement) error {
	rewritten, err := query.RewriteStatement(stmt)
	if err != nil {
		return err
	}
	sel, ok := rewritten.(*influxql.SelectStatement)
	if !ok {
		return query.ErrInvalidQuery
	}
	return x.selectStatement(sel)
}
