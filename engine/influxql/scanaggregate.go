package influxql

import (
	"math"

	"headgate/engine/point"
)

// loadAggregates reads the rows that the scan's aggregator needs, and those of the
// statement's other scans that need the same rows: `mean(a), mean(b)` is one pass.
func (sc *scan) loadAggregates() error {
	x, p := sc.x, sc.plan
	peers := []*scan{sc}
	for _, other := range x.scans {
		if other != sc && sc.sameRows(other) {
			peers = append(peers, other)
		}
	}
	fields := make([]int, len(peers))
	for i, peer := range peers {
		fields[i] = p.addField(peer.plan.main.name)
	}
	entries := sc.entriesOf(sc.sets)
	x.stats.series += len(entries)
	req := sc.request(entries)
	req.Descending = sc.aggregator.descending
	if len(peers) == 1 && p.opt.Condition == nil {
		req.RowsMax = p.rowsMax
	}
	g := newGatherer(x, p)
	var series point.SeriesID
	each := func(e *groupEntry, sr *point.SeriesRows, tags []point.Tag) error {
		if series != sr.Series {
			series = sr.Series
			for _, peer := range peers {
				peer.aggregator.begin(e.set)
			}
		}
		chosen := g.filter(sr, tags, e.series.rest)
		if g.err != nil {
			return g.err
		}
		values, done := 0, true
		var grown int64
		for i, peer := range peers {
			a := peer.aggregator
			values += a.add(sr.Times, sr.Columns[fields[i]], chosen)
			done = done && a.done
			grown += a.heldBytes
			a.heldBytes = 0
		}
		if err := sc.account(values, grown); err != nil {
			return err
		}
		if done {
			return point.ErrSkipSeries
		}
		return nil
	}
	end := func(*groupEntry) error {
		series = 0
		var grown int64
		for _, peer := range peers {
			peer.aggregator.end()
			grown += peer.aggregator.heldBytes
			peer.aggregator.heldBytes = 0
		}
		return x.hold(grown)
	}
	var err error
	if p.windowsMax > 0 {
		err = sc.readWindows(req, entries, peers, each, end)
	} else {
		err = sc.read(req, entries, each, end)
	}
	if err != nil {
		return err
	}
	for _, peer := range peers {
		peer.next = len(peer.sets)
		for i, set := range peer.sets {
			s := peer.aggregator.take(i)
			if len(s.parts) > 0 {
				peer.loaded = append(peer.loaded, loadedSet{set: set, itr: peer.aggregator.iterator(s, p.name(), set.tags), bytes: s.bytes})
			}
		}
	}
	return nil
}

// sampleSeries is how many series are asked where their rows begin.
const sampleSeries = 8

// readWindows reads no further than the windows that are wanted: up to some windows
// after those where a few of the series begin, and on in steps that grow, until
// every tag set has as many as it can show. A window is never cut.
func (sc *scan) readWindows(req point.ReadRequest, entries []groupEntry, peers []*scan, each func(*groupEntry, *point.SeriesRows, []point.Tag) error, end func(*groupEntry) error) error {
	a := sc.aggregator
	some := entries[:min(sampleSeries, len(entries))]
	lo, hi, err := sc.extent(sc.request(some), some, a.descending)
	if err == nil && lo > hi && len(some) < len(entries) {
		lo, hi, err = sc.extent(req, entries, a.descending)
	}
	if err != nil || lo > hi {
		return err
	}
	step := a.windows.interval
	if span := math.MaxInt64 / 8 / step; int64(a.windowsMax) < span {
		step *= int64(a.windowsMax)
	}
	// left is what has not been read.
	for left := req; ; step = min(4*step, math.MaxInt64/8) {
		// One step, to the border of a window. The first one begins where any
		// series may begin.
		req.Min, req.Max = left.Min, left.Max
		if a.descending {
			border, _ := a.windows.at(min(hi, left.Max))
			if left.Min < 0 && border > math.MaxInt64+left.Min || border-left.Min > step {
				req.Min, _ = a.windows.at(border - step)
			}
			hi, left.Max = req.Min-1, req.Min-1
		} else {
			_, border := a.windows.at(max(lo, left.Min))
			if border < 0 && left.Max > math.MaxInt64+border || left.Max-border > step {
				req.Max, _ = a.windows.at(border + step)
				req.Max--
			}
			lo, left.Min = req.Max+1, req.Max+1
		}
		if err := sc.read(req, entries, each, end); err != nil {
			return err
		}
		if left.Min > left.Max || enoughWindows(peers) {
			return nil
		}
	}
}

// enoughWindows reports whether every tag set has all the windows that it can show.
func enoughWindows(peers []*scan) bool {
	for _, peer := range peers {
		for i := range peer.aggregator.sets {
			if len(peer.aggregator.sets[i].parts) < peer.aggregator.windowsMax {
				return false
			}
		}
	}
	return true
}

// sameRows reports whether an aggregator of other that has not read yet can read
// along.
func (sc *scan) sameRows(other *scan) bool {
	if other.aggregator == nil || other.closed || other.next > 0 || other.sel != sc.sel || other.reader != sc.reader {
		return false
	}
	p, q := &sc.plan.opt, &other.plan.opt
	return p.StartTime == q.StartTime && p.EndTime == q.EndTime && p.Ascending == q.Ascending && p.StripName == q.StripName &&
		p.Condition == q.Condition && sc.aggregator.descending == other.aggregator.descending
}
