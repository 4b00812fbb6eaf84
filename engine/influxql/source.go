package influxql

import (
	"context"
	"regexp"
	"slices"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// MapShards implements query.ShardMapper: it opens the buckets that a statement
// reads. t is at least as wide as what will be asked for.
func (x *exec) MapShards(sources influxql.Sources, t influxql.TimeRange, _ query.SelectOptions) (query.ShardGroup, error) {
	g := &shardGroup{x: x, min: t.MinTimeNano(), max: t.MaxTimeNano()}
	if err := g.open(sources); err != nil {
		return nil, err
	}
	return g, nil
}

// shardGroup is the buckets of a statement as the query package wants them. All
// measurements given to its methods have been normalized.
type shardGroup struct {
	x *exec
	// min and max bound what may be read, both inclusive.
	min, max int64
}

func (g *shardGroup) open(sources influxql.Sources) error {
	for _, s := range sources {
		switch s := s.(type) {
		case *influxql.Measurement:
			if _, err := g.x.snapshot(s.Database, s.RetentionPolicy); err != nil {
				return err
			}
		case *influxql.SubQuery:
			if err := g.open(s.Statement.Sources); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve finds the snapshot of a source and the measurements that it names.
func (g *shardGroup) resolve(m *influxql.Measurement) (*snapshot, []string, error) {
	s, err := g.x.snapshot(m.Database, m.RetentionPolicy)
	if err != nil {
		return nil, nil, err
	}
	if m.Regex == nil {
		return s, []string{m.Name}, nil
	}
	return s, matchNames(s.Measurements(), m.Regex.Val), nil
}

func matchNames(names []string, re *regexp.Regexp) []string {
	var matched []string
	for _, name := range names {
		if re.MatchString(name) {
			matched = append(matched, name)
		}
	}
	return matched
}

// FieldDimensions implements influxql.FieldMapper: the fields and tag keys that
// the wildcards of a statement stand for. Of a field that measurements have with
// different types, the type that InfluxDB prefers wins.
func (g *shardGroup) FieldDimensions(m *influxql.Measurement) (map[string]influxql.DataType, map[string]struct{}, error) {
	s, names, err := g.resolve(m)
	if err != nil {
		return nil, nil, err
	}
	fields := make(map[string]influxql.DataType)
	dimensions := make(map[string]struct{})
	for _, name := range names {
		types := s.Fields(name)
		if types == nil {
			continue
		}
		for field, typ := range types {
			if t := dataTypes[typ]; fields[field].LessThan(t) {
				fields[field] = t
			}
		}
		for _, key := range s.TagKeys(name) {
			dimensions[key] = struct{}{}
		}
	}
	return fields, dimensions, nil
}

// MapType implements influxql.TypeMapper.
func (g *shardGroup) MapType(m *influxql.Measurement, name string) influxql.DataType {
	s, measurements, err := g.resolve(m)
	if err != nil {
		return influxql.Unknown
	}
	var typ influxql.DataType
	for _, measurement := range measurements {
		if t := s.mapType(measurement, name); typ.LessThan(t) {
			typ = t
		}
	}
	return typ
}

func (s *snapshot) mapType(measurement, name string) influxql.DataType {
	types := s.Fields(measurement)
	if types == nil {
		return influxql.Unknown
	}
	if typ, ok := types[name]; ok {
		return dataTypes[typ]
	}
	// Like InfluxDB, which leaves _fieldKey untyped: count(distinct()) is an
	// integer whatever it counts.
	if isSystemColumn(name) && name != "_fieldKey" {
		return influxql.String
	}
	if _, ok := slices.BinarySearch(s.TagKeys(measurement), name); ok {
		return influxql.Tag
	}
	return influxql.Unknown
}

// TagKeys lists the tag keys of a measurement's series, sorted.
func (s *snapshot) TagKeys(measurement string) []string {
	keys, ok := s.tagKeys[measurement]
	if !ok {
		keys = tagKeysOf(s.Series(measurement))
		s.tagKeys[measurement] = keys
	}
	return keys
}

// tagKeysOf lists the tag keys of series, sorted.
func tagKeysOf(series []point.SeriesInfo) []string {
	seen := make(map[string]struct{})
	var keys, last []string
	for i := range series {
		tags := series[i].Tags
		// Neighbours mostly have the same keys.
		same := len(tags) == len(last)
		for j := 0; same && j < len(tags); j++ {
			same = tags[j].Key == last[j]
		}
		if same {
			continue
		}
		last = last[:0]
		for _, t := range tags {
			last = append(last, t.Key)
			if _, ok := seen[t.Key]; !ok {
				seen[t.Key] = struct{}{}
				keys = append(keys, t.Key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// clamp narrows opt to the time range that was mapped.
func (g *shardGroup) clamp(opt query.IteratorOptions) query.IteratorOptions {
	opt.StartTime = max(opt.StartTime, g.min)
	opt.EndTime = min(opt.EndTime, g.max)
	return opt
}

// CreateIterator implements query.IteratorCreator. It plans; rows are read when
// the iterator is asked for its first point.
func (g *shardGroup) CreateIterator(_ context.Context, m *influxql.Measurement, opt query.IteratorOptions) (query.Iterator, error) {
	s, names, err := g.resolve(m)
	if err != nil {
		return nil, err
	}
	opt = g.clamp(opt)
	if m.Regex == nil {
		return g.x.newScan(s, m.Name, opt)
	}
	inputs := make([]query.Iterator, 0, len(names))
	for _, name := range names {
		itr, err := g.x.newScan(s, name, opt)
		if err != nil {
			query.Iterators(inputs).Close()
			return nil, err
		}
		if itr != nil {
			inputs = append(inputs, itr)
		}
	}
	return query.Iterators(inputs).Merge(opt)
}

// IteratorCost implements query.IteratorCreator: what EXPLAIN shows. Values are
// counted as cached, for they are in memory; a measurement counts as one shard.
func (g *shardGroup) IteratorCost(m *influxql.Measurement, opt query.IteratorOptions) (query.IteratorCost, error) {
	s, names, err := g.resolve(m)
	if err != nil {
		return query.IteratorCost{}, err
	}
	opt = g.clamp(opt)
	var cost query.IteratorCost
	for _, name := range names {
		c, err := g.x.scanCost(s, name, opt)
		if err != nil {
			return query.IteratorCost{}, err
		}
		cost = cost.Combine(c)
	}
	return cost, nil
}

// Close implements io.Closer. Iterators outlive the group; snapshots live as long
// as the statement.
func (g *shardGroup) Close() error { return nil }
