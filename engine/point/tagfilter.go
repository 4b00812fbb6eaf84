package point

import (
	"regexp"
	"sort"
)

// TagOp is what a [TagFilter] does.
type TagOp uint8

// The comparisons are of one tag's value; a tag that a series does not have is
// the empty string.
const (
	TagAnd      TagOp = iota // all Terms pass; also when there are none
	TagOr                    // any of Terms passes
	TagEqual                 // the value is Value
	TagNotEqual              // the value is not Value
	TagMatch                 // Regexp matches the value
	TagNotMatch              // Regexp does not match the value
)

// TagFilter is a condition on the tags of a series. A nil filter passes every
// series. It is not changed once made.
type TagFilter struct {
	Op TagOp
	// Key is the tag of a comparison; Value or Regexp what it is compared with.
	Key, Value string
	Regexp     *regexp.Regexp
	// Terms are the operands of TagAnd and TagOr. None is nil.
	Terms []*TagFilter
}

// Pass reports whether a series with the tags, sorted by key, passes.
func (f *TagFilter) Pass(tags []Tag) bool {
	if f == nil {
		return true
	}
	switch f.Op {
	case TagAnd:
		for _, term := range f.Terms {
			if !term.Pass(tags) {
				return false
			}
		}
		return true
	case TagOr:
		for _, term := range f.Terms {
			if term.Pass(tags) {
				return true
			}
		}
		return false
	case TagEqual, TagNotEqual:
		return (TagValue(tags, f.Key) == f.Value) == (f.Op == TagEqual)
	case TagMatch, TagNotMatch:
		return f.Regexp.MatchString(TagValue(tags, f.Key)) == (f.Op == TagMatch)
	}
	return false
}

// TagValue is a series' value of a tag, "" when it has none. Tags are sorted by
// key.
func TagValue(tags []Tag, key string) string {
	if len(tags) > 16 {
		i := sort.Search(len(tags), func(i int) bool { return tags[i].Key >= key })
		if i < len(tags) && tags[i].Key == key {
			return tags[i].Value
		}
		return ""
	}
	for i := range tags {
		if tags[i].Key == key {
			return tags[i].Value
		}
	}
	return ""
}

// FilterSeries is [Reader.SeriesWhere] for readers without an index: it looks at
// every series. It returns series itself when the filter is nil.
func FilterSeries(series []SeriesInfo, filter *TagFilter) []SeriesInfo {
	if filter == nil {
		return series
	}
	var passed []SeriesInfo
	for i := range series {
		if filter.Pass(series[i].Tags) {
			passed = append(passed, series[i])
		}
	}
	return passed
}
