package influxql

import (
	"regexp"

	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// seriesFilter decides about one series by its tags: keep is false when none of
// its rows can match; rest is what is left to ask each of its rows, nil for
// nothing.
type seriesFilter func(tags []point.Tag) (keep bool, rest influxql.Expr)

// systemColumns are names that InfluxQL's cardinality statements ask for as if
// they were fields. They never need a row to be read.
func isSystemColumn(name string) bool {
	switch name {
	case "_name", "_tagKey", "_tagValue", "_seriesKey", "_fieldKey":
		return true
	}
	return false
}

func keepAll([]point.Tag) (bool, influxql.Expr)  { return true, nil }
func keepNone([]point.Tag) (bool, influxql.Expr) { return false, nil }

// newSeriesFilter splits a condition into what a series' tags decide and what is
// left for its rows, as InfluxDB's index does: a comparison that names a field
// is left to the rows, a comparison of a tag with a string, a regular expression
// or another tag is decided here, a bare boolean constant counts, and anything
// else that stands where a comparison should matches nothing. A tag that a series
// does not have is the empty string.
func newSeriesFilter(cond influxql.Expr, measurement string, fields map[string]point.FieldType) seriesFilter {
	if cond == nil {
		return keepAll
	}
	switch e := cond.(type) {
	case *influxql.ParenExpr:
		return newSeriesFilter(e.Expr, measurement, fields)
	case *influxql.BooleanLiteral:
		if e.Val {
			return keepAll
		}
		return keepNone
	case *influxql.BinaryExpr:
		if e.Op != influxql.AND && e.Op != influxql.OR {
			return newComparisonFilter(e, measurement, fields)
		}
		lhs := newSeriesFilter(e.LHS, measurement, fields)
		rhs := newSeriesFilter(e.RHS, measurement, fields)
		join := newJoiner(e.Op)
		if e.Op == influxql.AND {
			return func(tags []point.Tag) (bool, influxql.Expr) {
				keep, l := lhs(tags)
				if !keep {
					return false, nil
				}
				keep, r := rhs(tags)
				if !keep {
					return false, nil
				}
				if l == nil {
					return true, r
				}
				if r == nil {
					return true, l
				}
				return true, join(l, r)
			}
		}
		return func(tags []point.Tag) (bool, influxql.Expr) {
			keepL, l := lhs(tags)
			keepR, r := rhs(tags)
			switch {
			case !keepL:
				return keepR, r
			case !keepR:
				return true, l
			case l == nil || r == nil:
				return true, nil
			}
			return true, join(l, r)
		}
	}
	return keepNone
}

// newJoiner returns a function that joins two conditions. The same pair gives
// the same expression, so that what is prepared for a condition can be kept by
// its identity.
func newJoiner(op influxql.Token) func(l, r influxql.Expr) influxql.Expr {
	type pair struct{ l, r influxql.Expr }
	joined := make(map[pair]influxql.Expr)
	return func(l, r influxql.Expr) influxql.Expr {
		e, ok := joined[pair{l, r}]
		if !ok {
			e = &influxql.BinaryExpr{Op: op, LHS: l, RHS: r}
			joined[pair{l, r}] = e
		}
		return e
	}
}

func newComparisonFilter(e *influxql.BinaryExpr, measurement string, fields map[string]point.FieldType) seriesFilter {
	perRow := func([]point.Tag) (bool, influxql.Expr) { return true, e }
	// Arithmetic on either side is for the rows.
	if _, ok := e.LHS.(*influxql.BinaryExpr); ok {
		return perRow
	}
	if _, ok := e.RHS.(*influxql.BinaryExpr); ok {
		return perRow
	}
	key, ok := e.LHS.(*influxql.VarRef)
	value := e.RHS
	if !ok {
		if key, ok = e.RHS.(*influxql.VarRef); !ok {
			return perRow
		}
		value = e.LHS
	}
	if isFieldRef(key, fields) {
		return perRow
	}
	switch value := value.(type) {
	case *influxql.VarRef:
		if isFieldRef(value, fields) {
			return perRow
		}
		// InfluxDB compares which series have the tags, not their values.
		equal := e.Op == influxql.EQ
		return func(tags []point.Tag) (bool, influxql.Expr) {
			return point.TagValue(tags, key.Val) != "" && (point.TagValue(tags, value.Val) != "") == equal, nil
		}
	case *influxql.StringLiteral:
		// Every operator but = is taken for !=, as InfluxDB does.
		equal := e.Op == influxql.EQ
		if key.Val == "_name" {
			return constantFilter((value.Val == measurement) == equal && (equal || e.Op == influxql.NEQ))
		}
		return func(tags []point.Tag) (bool, influxql.Expr) {
			return (point.TagValue(tags, key.Val) == value.Val) == equal, nil
		}
	case *influxql.RegexLiteral:
		equal := e.Op == influxql.EQREGEX
		if key.Val == "_name" {
			return constantFilter(value.Val.MatchString(measurement) == equal)
		}
		match := newRegexCache(value.Val)
		return func(tags []point.Tag) (bool, influxql.Expr) {
			return match(point.TagValue(tags, key.Val)) == equal, nil
		}
	}
	return perRow
}

func constantFilter(keep bool) seriesFilter {
	if keep {
		return keepAll
	}
	return keepNone
}

// regexCacheEntries bounds what one regular expression remembers.
const regexCacheEntries = 4096

// newRegexCache matches strings and remembers the answers: tags repeat.
func newRegexCache(re *regexp.Regexp) func(string) bool {
	seen := make(map[string]bool)
	return func(s string) bool {
		matched, ok := seen[s]
		if !ok {
			matched = re.MatchString(s)
			if len(seen) < regexCacheEntries {
				seen[s] = matched
			}
		}
		return matched
	}
}

// tagFilterOf is what a condition asks of the tags of a series, at least: every
// series that newSeriesFilter keeps passes. nil when that is nothing.
func tagFilterOf(cond influxql.Expr, measurement string, fields map[string]point.FieldType) *point.TagFilter {
	switch e := cond.(type) {
	case *influxql.ParenExpr:
		return tagFilterOf(e.Expr, measurement, fields)
	case *influxql.BooleanLiteral:
		if !e.Val {
			return &point.TagFilter{Op: point.TagOr}
		}
	case *influxql.BinaryExpr:
		switch e.Op {
		case influxql.AND, influxql.OR:
			l, r := tagFilterOf(e.LHS, measurement, fields), tagFilterOf(e.RHS, measurement, fields)
			op := point.TagAnd
			if e.Op == influxql.OR {
				if op = point.TagOr; l == nil || r == nil {
					return nil
				}
			}
			switch {
			case l == nil:
				return r
			case r == nil:
				return l
			}
			f := &point.TagFilter{Op: op}
			for _, term := range [...]*point.TagFilter{l, r} {
				if term.Op == op {
					f.Terms = append(f.Terms, term.Terms...)
				} else {
					f.Terms = append(f.Terms, term)
				}
			}
			return f
		}
		return tagComparison(e, fields)
	}
	return nil
}

// tagComparison makes a filter of a comparison of a tag with a string or a regular
// expression; nil for every other one.
func tagComparison(e *influxql.BinaryExpr, fields map[string]point.FieldType) *point.TagFilter {
	key, ok := e.LHS.(*influxql.VarRef)
	value := e.RHS
	if !ok {
		if key, ok = e.RHS.(*influxql.VarRef); !ok {
			return nil
		}
		value = e.LHS
	}
	if isFieldRef(key, fields) || key.Val == "_name" {
		return nil
	}
	switch value := value.(type) {
	case *influxql.StringLiteral:
		f := &point.TagFilter{Op: point.TagNotEqual, Key: key.Val, Value: value.Val}
		if e.Op == influxql.EQ {
			f.Op = point.TagEqual
		}
		return f
	case *influxql.RegexLiteral:
		f := &point.TagFilter{Op: point.TagNotMatch, Key: key.Val, Regexp: value.Val}
		if e.Op == influxql.EQREGEX {
			f.Op = point.TagMatch
		}
		return f
	}
	return nil
}

// isFieldRef reports whether a name in a condition is a field.
func isFieldRef(ref *influxql.VarRef, fields map[string]point.FieldType) bool {
	if ref.Val == "_name" {
		return false
	}
	if ref.Type == influxql.Unknown {
		_, ok := fields[ref.Val]
		return ok
	}
	return ref.Type != influxql.Tag
}
