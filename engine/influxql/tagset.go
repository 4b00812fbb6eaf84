package influxql

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// selection is the series of a measurement that a condition lets through, by tag
// set. Scans of one statement share it; nobody changes it.
type selection struct {
	series []point.SeriesInfo // sorted by key; what setSeries.index means
	all    bool               // series is all of the measurement
	sets   []*tagSet          // in ascending order
}

// selectionKey is what a selection depends on inside a statement.
type selectionKey struct {
	snapshot        *snapshot
	measurement     string
	cond            influxql.Expr
	dims            string
	slimit, soffset int
}

// What a series and a tag set of a selection occupy, about.
const (
	selectedSeriesBytes = 64
	selectedSetBytes    = 256
)

// selection finds the series that opt asks of a measurement, once per statement.
func (x *exec) selection(s *snapshot, measurement string, types map[string]point.FieldType, opt query.IteratorOptions) (*selection, error) {
	key := selectionKey{s, measurement, opt.Condition, strings.Join(opt.Dimensions, "\x00"), opt.SLimit, opt.SOffset}
	if sel, ok := x.selections[key]; ok {
		return sel, nil
	}
	sel := &selection{all: true}
	if f := tagFilterOf(opt.Condition, measurement, types); f != nil && !x.q.slow {
		series, err := s.SeriesWhere(measurement, f)
		if err != nil {
			return nil, err
		}
		sel.series, sel.all = series, false
	} else {
		sel.series = s.Series(measurement)
	}
	var err error
	if sel.sets, err = tagSets(sel.series, newSeriesFilter(opt.Condition, measurement, types), opt); err != nil {
		return nil, err
	}
	n := 0
	for _, set := range sel.sets {
		n += len(set.series)
	}
	bytes := int64(n)*selectedSeriesBytes + int64(len(sel.sets))*selectedSetBytes
	if err := x.Hold(bytes); err != nil {
		return nil, err
	}
	x.selectionBytes += bytes
	x.selections[key] = sel
	return sel, nil
}

// tagSet is the series that a query groups together: those with the same values
// of its dimensions. A dimension that a series does not have is empty.
type tagSet struct {
	// key orders tag sets as query.Tags.ID does, and so as they are handed up.
	key string
	// limitKey orders them for SLIMIT and SOFFSET.
	limitKey string
	// tags are the dimensions and their values.
	tags   query.Tags
	series []setSeries
}

// setSeries is a series in a tag set.
type setSeries struct {
	// index is the series' position in the snapshot's list.
	index int
	// rest is the condition for each row, nil for none.
	rest influxql.Expr
}

// tagSets groups the series of a measurement that pass the condition's tag part,
// in ascending order of their tags, and applies SLIMIT and SOFFSET.
func tagSets(series []point.SeriesInfo, filter seriesFilter, opt query.IteratorOptions) ([]*tagSet, error) {
	dims := slices.Clone(opt.Dimensions)
	sort.Strings(dims)
	dims = slices.Compact(dims)

	byKey := make(map[string]*tagSet)
	var key strings.Builder
	n := 0
	for i := range series {
		keep, rest := filter(series[i].Tags)
		if !keep {
			continue
		}
		if n&0x3fff == 0x3fff {
			select {
			case <-opt.InterruptCh:
				return nil, query.ErrQueryInterrupted
			default:
			}
		}
		n++
		if opt.MaxSeriesN > 0 && n > opt.MaxSeriesN {
			return nil, fmt.Errorf("max-select-series limit exceeded: (%d/%d)", n, opt.MaxSeriesN)
		}
		key.Reset()
		for _, dim := range dims {
			key.WriteString(point.TagValue(series[i].Tags, dim))
			key.WriteByte(0)
		}
		set, ok := byKey[key.String()]
		if !ok {
			set = &tagSet{key: key.String(), limitKey: limitKey(series[i].Tags, dims), tags: subsetTags(series[i].Tags, dims)}
			byKey[set.key] = set
		}
		set.series = append(set.series, setSeries{index: i, rest: rest})
	}
	sets := make([]*tagSet, 0, len(byKey))
	for _, set := range byKey {
		sets = append(sets, set)
	}
	if opt.SLimit > 0 || opt.SOffset > 0 {
		sort.Slice(sets, func(i, j int) bool { return sets[i].limitKey < sets[j].limitKey })
		sets = limitTagSets(sets, opt.SLimit, opt.SOffset)
	}
	sort.Slice(sets, func(i, j int) bool { return sets[i].key < sets[j].key })
	return sets, nil
}

// limitKey is InfluxDB's order of tag sets in its index: first by which of the
// dimensions they have, then by their values.
func limitKey(tags []point.Tag, dims []string) string {
	var keys, vals []string
	for _, dim := range dims {
		if v := point.TagValue(tags, dim); v != "" {
			keys, vals = append(keys, dim), append(vals, v)
		}
	}
	return strings.Join(append(keys, vals...), "|")
}

// limitTagSets applies SLIMIT and SOFFSET. SOFFSET without SLIMIT selects
// nothing, in InfluxDB and so here.
func limitTagSets(sets []*tagSet, limit, offset int) []*tagSet {
	if offset > len(sets) {
		return nil
	}
	return sets[offset:min(offset+limit, len(sets))]
}

// subsetTags are the values of dims in tags. dims are sorted.
func subsetTags(tags []point.Tag, dims []string) query.Tags {
	if len(dims) == 0 {
		return query.Tags{}
	}
	m := make(map[string]string, len(dims))
	for _, dim := range dims {
		m[dim] = point.TagValue(tags, dim)
	}
	return query.NewTags(m)
}
