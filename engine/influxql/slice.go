package influxql

import (
	"errors"
	"math"

	"headgate/engine/point"
)

// sliceParts is how many times less a slice should hold than may be gathered.
const sliceParts = 4

// errSpill says that rows are too many to be read at once.
var errSpill = errors.New("influxql: too many rows for one read")

// spillBytes is how much a read may gather before it is given up for slices; 0 if
// it cannot be cut.
func (sc *scan) spillBytes() int64 {
	p := sc.plan
	if sc.x.q.slow || p.call != nil || !p.opt.Ordered {
		return 0
	}
	if sc.x.q.spillBytes > 0 {
		return sc.x.q.spillBytes
	}
	return 2 * sc.x.groupBytes()
}

// timeSlices is what is left of a tag set whose rows are too many to hold. It is
// read in slices of time, in the direction of the query: that is the order in which
// the rows are handed up. Each slice is as long as the one before, or longer or
// shorter if that held too little or too much.
type timeSlices struct {
	set *tagSet
	// min and max bound what is left, both inclusive; step is the next slice.
	min, max int64
	step     int64
}

// slice starts to read a set in slices.
func (sc *scan) slice(set *tagSet) error {
	entries := sc.entriesOf([]*tagSet{set})
	lo, hi, err := sc.extent(sc.request(entries), entries, false, true)
	if err != nil || lo > hi {
		return err
	}
	sc.slices = &timeSlices{set: set, min: lo, max: hi, step: max(1, int64((uint64(hi)-uint64(lo))/64))}
	return nil
}

// extent looks at the ends of the rows that req asks for: at the first ones, or at
// the last ones when descending, or at both. No row is before lo or after hi, as
// far as it has looked; lo > hi if there are none. It reads little of each series.
func (sc *scan) extent(req point.ReadRequest, entries []groupEntry, descending ...bool) (lo, hi int64, err error) {
	lo, hi = math.MaxInt64, math.MinInt64
	req.RowsMax = 1
	for _, req.Descending = range descending {
		err = sc.read(req, entries, func(_ *groupEntry, sr *point.SeriesRows, _ []point.Tag) error {
			lo, hi = min(lo, sr.Times[0]), max(hi, sr.Times[len(sr.Times)-1])
			return point.ErrSkipSeries
		}, func(*groupEntry) error { return nil })
		if err != nil {
			break
		}
	}
	return lo, hi, err
}

// loadSlice reads the next slice that has rows, and forgets about slices when there
// is none.
func (sc *scan) loadSlice() error {
	s, x := sc.slices, sc.x
	for s.min <= s.max {
		lo, hi := s.min, s.max
		if uint64(hi)-uint64(lo) >= uint64(s.step) {
			if sc.plan.opt.Ascending {
				hi = lo + s.step - 1
			} else {
				lo = hi - s.step + 1
			}
		}
		spill := sc.spillBytes()
		if s.step == 1 {
			spill = 0 // nothing left to cut
		}
		before, points := x.bufferBytes, x.stats.points
		found := make([]foundSet, 1)
		err := sc.loadRows([]*tagSet{s.set}, found, lo, hi, spill)
		if err != nil {
			x.bufferBytes = before
			if err != errSpill {
				return err
			}
			x.stats.points = points
			s.step = max(1, s.step/(2*sliceParts))
			continue
		}
		x.stats.batches++
		if sc.plan.opt.Ascending {
			s.min = hi + 1
		} else {
			s.max = lo - 1
		}
		want := sc.spillBytes() / sliceParts
		if got := found[0].bytes; got < want/2 && s.step < math.MaxInt64/4 {
			s.step *= 2
		} else if got > 2*want {
			s.step = max(1, s.step/2)
		}
		itr, err := sc.merge(&found[0])
		if err != nil {
			return err
		}
		if itr != nil {
			sc.loaded = append(sc.loaded, loadedSet{set: s.set, itr: itr, bytes: found[0].bytes})
			return nil
		}
	}
	sc.slices = nil
	return nil
}

// skipSlices leaves the rest of the set at hand unread.
func (sc *scan) skipSlices() { sc.slices = nil }
