package influxql

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/influxdata/influxdb/query"

	"headgate/engine/point"
)

// Raw rows of tag sets are read in groups. The first group has few series; the
// next ones as many as fit groupBytes, going by the group before. A call's points
// are few, so that all its tag sets are one group. Groups are as large as memory
// allows: the blocks of a group are decoded for it.
const (
	scanGroupSeries   = 256
	scanGroupGrowth   = 8
	scanGroupBytes    = 32 << 20
	scanGroupBytesMax = 128 << 20
)

// groupBytes is what a group of tag sets should hold.
func (x *exec) groupBytes() int64 {
	if limit := x.q.Limits.MaxBufferBytes; limit > 0 {
		return max(1, min(limit/8, scanGroupBytesMax))
	}
	return scanGroupBytes
}

// firstGroup is how many series the first group has: with LIMIT it is known what
// one can have at most, but for its strings.
func (sc *scan) firstGroup() int {
	if sc.plan.rowsMax == 0 {
		return scanGroupSeries
	}
	series := 512 + int64(sc.plan.rowsMax)*int64(8+16*len(sc.plan.fields))
	return int(max(scanGroupSeries, min(sc.x.groupBytes()/series, int64(point.SeriesIDMax))))
}

// scan reads one measurement for one expression. It hands up an iterator for each
// tag set that has rows, in output order.
type scan struct {
	x      *exec
	reader *snapshot
	plan   *scanPlan
	sel    *selection
	// aggregator computes the plan's call; nil when points have to be made.
	aggregator *aggregator
	// sets are in output order; next is the first that is not read yet.
	sets []*tagSet
	next int
	// seriesMax is how many series the next group may have.
	seriesMax int
	// loaded are the iterators of the group at hand, bytes what they hold.
	loaded []loadedSet
	// out is the type of the points.
	out    point.FieldType
	closed bool
	// slices is the rest of a tag set that is read in slices of time.
	slices *timeSlices
}

// loadedSet is a tag set that has been read, or a slice of one: the next slice
// follows directly.
type loadedSet struct {
	set   *tagSet
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
	sc := &scan{x: x, reader: s, plan: plan, out: point.Float}
	sc.seriesMax = sc.firstGroup()
	if plan.main != nil {
		sc.out = plan.main.to
	}
	var err error
	if sc.sel, err = x.selection(s, measurement, types, opt); err != nil {
		return nil, err
	}
	sc.sets = sc.sel.sets
	if len(sc.sets) == 0 {
		return nil, nil
	}
	if plan.call != nil {
		if sc.out, err = reducedType(sc.out, opt); err != nil {
			return nil, err
		}
		sc.seriesMax = int(point.SeriesIDMax)
		plan.windowsMax = x.windowsMax
		if !x.q.slow {
			sc.aggregator = newAggregator(plan, len(sc.sets))
		}
	}
	if !opt.Ascending {
		sc.sets = slices.Clone(sc.sets)
		slices.Reverse(sc.sets)
	}
	x.scans = append(x.scans, sc)
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
// once more, over the points of all series. An aggregator has done that already.
func mergeScan[P any](sc *scan) (query.Iterator, error) {
	itr := &scanIterator[P]{scan: sc}
	if sc.aggregator != nil {
		return itr, nil
	}
	return query.Iterators{itr}.Merge(sc.plan.opt)
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
	it.scan.x.Release(it.bytes)
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
		sc.x.Release(set.bytes)
	}
	sc.loaded, sc.sets, sc.next, sc.slices, sc.closed = nil, nil, 0, nil, true
}

// nextSet is the next tag set that has rows; its iterator is nil at the end.
func (sc *scan) nextSet() (loadedSet, error) {
	for len(sc.loaded) == 0 {
		if sc.slices != nil {
			if err := sc.loadSlice(); err != nil {
				return loadedSet{}, err
			}
			continue
		}
		if sc.next == len(sc.sets) {
			return loadedSet{}, nil
		}
		if err := sc.load(); err != nil {
			return loadedSet{}, err
		}
	}
	set := sc.loaded[0]
	sc.loaded[0] = loadedSet{} // let go of it when it has been handed up
	sc.loaded = sc.loaded[1:]
	return set, nil
}

// groupEntry is a series of the group being read.
type groupEntry struct {
	set    int // in the group
	series setSeries
}

// entriesOf lists the series of sets in the order in which they are read: by id,
// which is the cheapest.
func (sc *scan) entriesOf(sets []*tagSet) []groupEntry {
	n := 0
	for _, set := range sets {
		n += len(set.series)
	}
	entries := make([]groupEntry, 0, n)
	for i, set := range sets {
		for _, s := range set.series {
			entries = append(entries, groupEntry{i, s})
		}
	}
	series := sc.sel.series
	slices.SortFunc(entries, func(a, b groupEntry) int {
		return cmp.Compare(series[a.series.index].ID, series[b.series.index].ID)
	})
	return entries
}

// request asks for the rows of entries.
func (sc *scan) request(entries []groupEntry) point.ReadRequest {
	p := sc.plan
	bounds := p.fieldBounds(p.opt.Condition)
	if sc.x.q.slow {
		bounds = nil
	}
	req := point.ReadRequest{
		Measurement: p.measurement, Fields: p.fields, Min: p.opt.StartTime, Max: p.opt.EndTime,
		ByID: true, Where: bounds, Meter: sc.x,
	}
	if !sc.sel.all || len(entries) < len(sc.sel.series) {
		req.Series = make([]point.SeriesID, len(entries))
		for i, e := range entries {
			req.Series[i] = sc.sel.series[e.series.index].ID
		}
	}
	return req
}

// read calls each for every chunk of the rows of entries, and end after the last
// one of a series.
func (sc *scan) read(req point.ReadRequest, entries []groupEntry, each func(e *groupEntry, sr *point.SeriesRows, tags []point.Tag) error, end func(e *groupEntry) error) error {
	series := sc.sel.series
	next, open := 0, false
	err := sc.reader.Read(sc.x.ctx, req, func(sr point.SeriesRows) error {
		if err := sc.x.ctx.Err(); err != nil {
			return err
		}
		if open && series[entries[next].series.index].ID != sr.Series {
			if err := end(&entries[next]); err != nil {
				return err
			}
			open = false
		}
		for next < len(entries) && series[entries[next].series.index].ID != sr.Series {
			next++
		}
		if next == len(entries) {
			return fmt.Errorf("influxql: reader yielded series %d out of order", sr.Series)
		}
		open = true
		return each(&entries[next], &sr, series[entries[next].series.index].Tags)
	})
	if err == nil && open {
		err = end(&entries[next])
	}
	return err
}

// load reads the next group of tag sets.
func (sc *scan) load() error {
	x := sc.x
	x.stats.batches++
	before, points := x.bufferBytes, x.stats.points
	if sc.aggregator != nil {
		if err := sc.loadAggregates(); err != nil {
			x.bufferBytes = before
			return err
		}
		return nil
	}
	p := sc.plan
	end, n := sc.next, 0
	for end < len(sc.sets) && (end == sc.next || n+len(sc.sets[end].series) <= sc.seriesMax) {
		n += len(sc.sets[end].series)
		end++
	}
	sets := sc.sets[sc.next:end]
	found := make([]foundSet, len(sets))
	var err error
	switch {
	case sc.plan.main != nil && sc.plan.main.kind == refSystem:
		err = sc.loadSystem(sets, found)
	default:
		err = sc.loadRows(sets, found, p.opt.StartTime, p.opt.EndTime, sc.spillBytes())
	}
	if err != nil {
		x.bufferBytes = before
		if err != errSpill {
			return err
		}
		x.stats.points = points
		if len(sets) > 1 {
			sc.seriesMax = max(1, min(n, sc.seriesMax)/scanGroupGrowth)
			return nil // once more
		}
		sc.next = end
		x.stats.series += n
		return sc.slice(sets[0])
	}
	sc.next = end
	x.stats.series += n
	if sc.plan.call == nil {
		fit := float64(n) * float64(x.groupBytes()) / float64(max(1, x.bufferBytes-before))
		sc.seriesMax = max(1, int(min(fit, float64(sc.seriesMax)*scanGroupGrowth, float64(point.SeriesIDMax))))
	}
	for i := range found {
		itr, err := sc.merge(&found[i])
		if err != nil {
			return err
		}
		if itr != nil {
			sc.loaded = append(sc.loaded, loadedSet{set: sets[i], itr: itr, bytes: found[i].bytes})
		}
	}
	return nil
}

// foundSet is what has been read of a tag set: rows, or what a call has left.
type foundSet struct {
	series []foundSeries
	bytes  int64
}

type foundSeries struct {
	index  int // in the selection: the order of keys
	rows   *seriesRows
	points query.Iterator
}

// merge combines the series of one tag set.
func (sc *scan) merge(f *foundSet) (query.Iterator, error) {
	p := sc.plan
	if len(f.series) == 0 {
		return nil, nil
	}
	if !p.reduces() || len(p.aux) > 0 {
		// Ties go by the order of the series. Sums without more go by that of the
		// reader, as they do in an aggregator.
		slices.SortFunc(f.series, func(a, b foundSeries) int { return a.index - b.index })
	}
	if p.reduces() {
		lists := make([]query.Iterator, len(f.series))
		for i := range f.series {
			lists[i] = f.series[i].points
		}
		return mergeLists(lists, &p.opt)
	}
	if !p.opt.Ascending {
		slices.Reverse(f.series)
	}
	if p.call == nil && p.opt.Ordered && !sc.x.q.slow {
		series := make([]*seriesRows, len(f.series))
		for i := range f.series {
			series[i] = f.series[i].rows
		}
		return newMergeIterator(sc.mainType(), p.name(), len(p.aux), series, p.opt.Ascending), nil
	}
	inputs := make([]query.Iterator, len(f.series))
	for i := range f.series {
		inputs[i] = newRowsIterator(sc.mainType(), p.name(), f.series[i].rows, p.opt.Ascending)
	}
	if sc.plan.call != nil {
		// In this goroutine, unlike InfluxDB: a panic must not escape.
		return query.NewMergeIterator(inputs, p.opt), nil
	}
	return query.Iterators(inputs).Merge(p.opt)
}

// mainType is the type of the points that rows are handed up as.
func (sc *scan) mainType() point.FieldType {
	if sc.plan.main != nil {
		return sc.plan.main.to
	}
	return point.Float
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

// loadRows reads the rows of the series in sets with a time in [lo, hi], in one
// pass of the reader. Rows of more than spill bytes are [errSpill]; 0 is no limit.
func (sc *scan) loadRows(sets []*tagSet, found []foundSet, lo, hi, spill int64) error {
	p := sc.plan
	entries := sc.entriesOf(sets)
	req := sc.request(entries)
	req.Min, req.Max = lo, hi
	req.Descending = p.last
	if p.opt.Condition == nil && (p.main == nil || len(p.fields) == 1) {
		req.RowsMax = p.rowsMax
	}
	g := newGatherer(sc.x, p)
	var series *seriesRows
	var bytes, sum int64
	each := func(e *groupEntry, sr *point.SeriesRows, tags []point.Tag) error {
		if series == nil {
			series = &seriesRows{tags: p.seriesTags(sets[e.set], tags)}
		}
		left := 0
		if p.rowsMax > 0 {
			if left = p.rowsMax - series.n; left == 0 {
				return point.ErrSkipSeries // once more
			}
		}
		r := g.gather(sr, tags, e.series.rest, left)
		if r == nil {
			return g.err
		}
		series.add(r)
		size := r.memoryBytes()
		bytes += size
		if sum += size; spill > 0 && sum > spill {
			return errSpill
		}
		if err := sc.account(r.len(), size); err != nil {
			return err
		}
		if p.rowsMax > 0 && series.n == p.rowsMax {
			return point.ErrSkipSeries
		}
		return nil
	}
	end := func(e *groupEntry) error {
		s, size := series, bytes
		series, bytes = nil, 0
		if s == nil || s.n == 0 {
			return nil
		}
		f := &found[e.set]
		if !p.reduces() {
			if p.last == p.opt.Ascending && len(s.chunks) > 1 {
				slices.Reverse(s.chunks) // read from the other end
			}
			f.series = append(f.series, foundSeries{index: e.series.index, rows: s})
			f.bytes += size
			return nil
		}
		sc.x.Release(size)
		itr, size, err := sc.reduce(s)
		if err != nil || itr == nil {
			return err
		}
		f.series = append(f.series, foundSeries{index: e.series.index, points: itr})
		f.bytes += size
		return sc.x.hold(size)
	}
	return sc.read(req, entries, each, end)
}

// reducedPointBytes is what a point of an aggregate occupies, about.
const reducedPointBytes = 112

// reduce computes the plan's call over the rows of one series, one point for each
// interval, by way of points: the aggregator does it better where it can. bytes is
// what the iterator holds; it is nil when there is nothing left.
func (sc *scan) reduce(s *seriesRows) (itr query.Iterator, bytes int64, err error) {
	p := sc.plan
	itr = newRowsIterator(sc.mainType(), p.name(), s, p.opt.Ascending)
	if itr, err = query.NewCallIterator(itr, p.opt); err != nil {
		return nil, 0, err
	}
	itr, n, err := collect(itr)
	if err != nil || n == 0 {
		return nil, 0, err
	}
	return itr, int64(n) * reducedPointBytes, nil
}
