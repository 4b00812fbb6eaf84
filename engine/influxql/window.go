package influxql

import (
	"time"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"
)

// windows are the intervals of GROUP BY time() where they are regular: without a
// time zone, or in one whose clocks do not change in the time range of the query.
// Without an interval there is one window, the time range.
type windows struct {
	interval, offset, zone int64
	// start and end are the one window when interval is 0. end is exclusive.
	start, end int64
}

// newWindows is false when the windows are not regular.
func newWindows(opt *query.IteratorOptions) (windows, bool) {
	if opt.Interval.IsZero() {
		return windows{start: opt.StartTime, end: opt.EndTime + 1}, true
	}
	w := windows{interval: int64(opt.Interval.Duration), offset: int64(opt.Interval.Offset)}
	if opt.Location != nil {
		// Windows begin before the range and end after it.
		from := time.Unix(0, opt.StartTime).Add(-2 * opt.Interval.Duration).In(opt.Location)
		to := time.Unix(0, opt.EndTime).Add(2 * opt.Interval.Duration)
		if _, end := from.ZoneBounds(); !end.IsZero() && !end.After(to) {
			return windows{}, false
		}
		_, seconds := from.Zone()
		w.zone = int64(seconds) * int64(time.Second)
	}
	return w, true
}

// at is the window of t, as query.IteratorOptions.Window has it.
func (w *windows) at(t int64) (start, end int64) {
	if w.interval == 0 {
		return w.start, w.end
	}
	t -= w.offset
	dt := (t + w.zone) % w.interval
	if dt < 0 {
		dt += w.interval
	}
	start = influxql.MinTime
	if influxql.MinTime+dt < t {
		start = t - dt
	}
	end = influxql.MaxTime
	if left := w.interval - dt; influxql.MaxTime-left > t {
		end = t + left
	}
	return start + w.offset, end + w.offset
}
