package influxql

import (
	"fmt"
	"slices"

	"github.com/influxdata/influxdb/query"

	"headgate/engine/point"
)

// Raw rows of tag sets are read in groups. The first group has few series; the
// next ones as many as fit scanGroupBytes, going by the group before. A call's
// points are few, so that all its tag sets are one group.
const (
	scanGroupSeries = 256
	scanGroupGrowth = 8
	scanGroupBytes  = 32 << 20
)

// scan reads one measurement for one expression. It hands up an iterator for each
// tag set that has rows, in output order.
type scan struct {
	x      *exec
	reader *snapshot
	plan   *scanPlan
	// sets are in output order; next is the first that is not read yet.
	sets []*tagSet
	next int
	// seriesMax is how many series the next group may have.
	seriesMax int
	// loaded are the iterators of the group at hand, bytes what they hold.
	loaded []loadedSet
	// out is the type of the points.
	out point.FieldType
}

// loadedSet is a tag set that has been read.
type loadedSet struct {
	itr   query.Iterator
	bytes int64
}

// newScan plans the scan of a measurement and returns its iterator, nil when
// there is nothing to hand up.
func (x *exec) newScan(s *snapshot, measurement string, opt query.IteratorOptions) (query.Iterator, error) {
	types := s.Fields(measurement)
	if types == nil {
		return nil, nil
	}
	plan := newScanPlan(measurement, types, opt)
	if plan == nil {
		return nil, nil
	}
	sc := &scan{x: x, reader: s, plan: plan, seriesMax: scanGroupSeries, out: point.Float}
	if plan.main != nil {
		sc.out = plan.main.to
	}
	var err error
	if sc.sets, err = tagSets(s.Series(measurement), newSeriesFilter(opt.Condition, measurement, types), opt); err != nil {
		return nil, err
	}
	if len(sc.sets) == 0 {
		return nil, nil
	}
	if plan.call != nil {
		if sc.out, err = reducedType(sc.out, opt); err != nil {
			return nil, err
		}
		sc.seriesMax = int(point.SeriesIDMax)
	}
	if !opt.Ascending {
		slices.Reverse(sc.sets)
	}
	switch sc.out {
	case point.Integer:
		return mergeScan[query.IntegerPoint](sc)
	case point.Unsigned:
		return mergeScan[query.UnsignedPoint](sc)
	case point.String:
		return mergeScan[query.StringPoint](sc)
	case point.Boolean:
		return mergeScan[query.BooleanPoint](sc)
	}
	return mergeScan[query.FloatPoint](sc)
}

// mergeScan finishes a scan as InfluxDB finishes those of a shard: with the call
// once more, over the points of all series.
func mergeScan[P any](sc *scan) (query.Iterator, error) {
	return query.Iterators{&scanIterator[P]{scan: sc}}.Merge(sc.plan.opt)
}

// scanIterator hands up the tag sets of a scan one after the other. That is the
// order in which merge iterators want points: by name, then tags, then time.
type scanIterator[P any] struct {
	scan    *scan
	current nexter[P]
	bytes   int64
	closed  bool
}

func (it *scanIterator[P]) Next() (*P, error) {
	for !it.closed {
		if it.current == nil {
			set, err := it.scan.nextSet()
			if err != nil {
				return nil, err
			}
			if set.itr == nil {
				break
			}
			it.current, it.bytes = set.itr.(nexter[P]), set.bytes
		}
		p, err := it.current.Next()
		if err != nil || p != nil {
			return p, err
		}
		it.release()
	}
	return nil, nil
}

func (it *scanIterator[P]) release() {
	if it.current != nil {
		it.current.Close()
	}
	it.scan.x.bufferBytes -= it.bytes
	it.current, it.bytes = nil, 0
}

func (it *scanIterator[P]) Stats() query.IteratorStats {
	return query.IteratorStats{SeriesN: it.scan.x.stats.series, PointN: it.scan.x.stats.points}
}

func (it *scanIterator[P]) Close() error {
	if !it.closed {
		it.closed = true
		it.release()
		it.scan.close()
	}
	return nil
}

func (sc *scan) close() {
	for _, set := range sc.loaded {
		sc.x.bufferBytes -= set.bytes
	}
	sc.loaded, sc.sets, sc.next = nil, nil, 0
}

// nextSet is the next tag set that has rows; its iterator is nil at the end.
func (sc *scan) nextSet() (loadedSet, error) {
	for len(sc.loaded) == 0 {
		if sc.next == len(sc.sets) {
			return loadedSet{}, nil
		}
		if err := sc.load(); err != nil {
			return loadedSet{}, err
		}
	}
	set := sc.loaded[0]
	sc.loaded = sc.loaded[1:]
	return set, nil
}

// groupEntry is a series of the group being read.
type groupEntry struct {
	set    int // in the group
	series setSeries
}

// load reads the next group of tag sets.
func (sc *scan) load() error {
	end, n := sc.next, 0
	for end < len(sc.sets) && (end == sc.next || n+len(sc.sets[end].series) <= sc.seriesMax) {
		n += len(sc.sets[end].series)
		end++
	}
	sets := sc.sets[sc.next:end]
	sc.next = end
	sc.x.stats.batches++
	sc.x.stats.series += n

	inputs := make([][]query.Iterator, len(sets))
	bytes := make([]int64, len(sets))
	add := func(set int, itr query.Iterator, size int64) {
		inputs[set] = append(inputs[set], itr)
		bytes[set] += size
	}
	before := sc.x.bufferBytes
	var err error
	if sc.plan.main != nil && sc.plan.main.kind == refSystem {
		err = sc.loadSystem(sets, add)
	} else {
		err = sc.loadRows(sets, n, add)
	}
	if err != nil {
		sc.x.bufferBytes = before
		return err
	}
	if sc.plan.call == nil {
		fit := float64(n) * scanGroupBytes / float64(max(1, sc.x.bufferBytes-before))
		sc.seriesMax = max(1, int(min(fit, float64(sc.seriesMax)*scanGroupGrowth, float64(point.SeriesIDMax))))
	}
	for i := range sets {
		if len(inputs[i]) == 0 {
			continue
		}
		itr, err := sc.merge(inputs[i])
		if err != nil {
			return err
		}
		sc.loaded = append(sc.loaded, loadedSet{itr: itr, bytes: bytes[i]})
	}
	return nil
}

// merge combines the series of one tag set.
func (sc *scan) merge(inputs []query.Iterator) (query.Iterator, error) {
	if sc.plan.call != nil {
		// In this goroutine, unlike InfluxDB: a panic must not escape.
		return query.NewMergeIterator(inputs, sc.plan.opt), nil
	}
	return query.Iterators(inputs).Merge(sc.plan.opt)
}

// account charges rows that are held from now on against the query's limits.
func (sc *scan) account(points int, size int64) error {
	x := sc.x
	x.stats.points += points
	if limit := x.q.Limits.MaxPoints; limit > 0 && x.stats.points > limit {
		return query.ErrMaxSelectPointsLimitExceeded(x.stats.points, limit)
	}
	return x.hold(size)
}

// loadRows reads the rows of the n series in sets, in one pass of the reader.
func (sc *scan) loadRows(sets []*tagSet, n int, add func(set int, itr query.Iterator, size int64)) error {
	p := sc.plan
	series := sc.reader.Series(p.measurement)
	entries := make([]groupEntry, 0, n)
	for i, set := range sets {
		for _, s := range set.series {
			entries = append(entries, groupEntry{i, s})
		}
	}
	slices.SortFunc(entries, func(a, b groupEntry) int { return a.series.index - b.series.index })

	req := point.ReadRequest{Measurement: p.measurement, Fields: p.fields, Min: p.opt.StartTime, Max: p.opt.EndTime}
	if len(entries) < len(series) {
		req.Series = make([]point.SeriesID, len(entries))
		for i, e := range entries {
			req.Series[i] = series[e.series.index].ID
		}
	}
	// Descending queries merge their series backwards; the reader does not.
	type found struct {
		set  int
		itr  query.Iterator
		size int64
	}
	var backwards []found
	g := newGatherer(p)
	next := 0
	err := sc.reader.Read(sc.x.ctx, req, func(sr point.SeriesRows) error {
		for next < len(entries) && series[entries[next].series.index].ID != sr.Series {
			next++
		}
		if next == len(entries) {
			return fmt.Errorf("influxql: reader yielded series %d out of order", sr.Series)
		}
		e := entries[next] // stays: the series may have more chunks
		tags := series[e.series.index].Tags
		r := g.gather(&sr, tags, e.series.rest)
		if r == nil {
			return nil
		}
		itr, size, err := sc.reduce(r, p.seriesTags(sets[e.set], tags))
		if err != nil || itr == nil {
			return err
		}
		if p.opt.Ascending {
			add(e.set, itr, size)
		} else {
			backwards = append(backwards, found{e.set, itr, size})
		}
		return sc.account(r.len(), size)
	})
	if err != nil {
		return err
	}
	for _, f := range slices.Backward(backwards) {
		add(f.set, f.itr, f.size)
	}
	return nil
}

// reducedPointBytes is what a point of an aggregate occupies, about.
const reducedPointBytes = 112

// reduce makes of one series' rows what is handed up: the rows themselves, or
// what the call leaves of them, one point for each interval. bytes is what the
// iterator holds; it is nil when there is nothing left.
//
// This is where to aggregate without making points: it has the plan's call, the
// main column dense and in time order, and opt.Window for the intervals.
func (sc *scan) reduce(r *rows, tags query.Tags) (itr query.Iterator, bytes int64, err error) {
	p := sc.plan
	main := point.Float
	if p.main != nil {
		main = p.main.to
	}
	itr = newRowsIterator(main, p.name(), tags, r, p.opt.Ascending)
	if !p.reduces() {
		return itr, r.memoryBytes(), nil
	}
	if itr, err = query.NewCallIterator(itr, p.opt); err != nil {
		return nil, 0, err
	}
	itr, n, err := collect(itr)
	if err != nil || n == 0 {
		return nil, 0, err
	}
	return itr, int64(n) * reducedPointBytes, nil
}
