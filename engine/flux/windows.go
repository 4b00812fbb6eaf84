package flux

import (
	"math"
	"time"

	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"
)

// windows is how a read cuts its tables, which it then folds.
type windows struct {
	window execute.Window
	// createEmpty asks for the windows without rows, too.
	createEmpty bool
	// time is the column of which the results' _time is made: with it the results
	// of a table are one table again. "" leaves one for each window.
	time string
}

// start is the first window that begins at, or contains, the time t.
func (w *windows) start(t execute.Time) execute.Bounds { return w.window.GetEarliestBounds(t) }

// next is the window after b.
func (w *windows) next(b execute.Bounds) execute.Bounds {
	return execute.Bounds{Start: b.Start.Add(w.window.Every), Stop: b.Stop.Add(w.window.Every)}
}

// calendarMin, calendarMax and monthsMax bound where windows of months are pushed
// down: far from the ends of time.
var (
	calendarMin = values.ConvertTime(time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC))
	calendarMax = values.ConvertTime(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC))
)

const monthsMax = 12 * 50

// pushableWindow is the window of a node, false when it is one that a read does not
// make. Within bounds, those that it makes lie side by side, and each time is in one.
// Flux's own do not when they overlap, or when months begin at an offset.
func pushableWindow(s *universe.WindowProcedureSpec, bounds plan.Bounds) (execute.Window, bool) {
	if s.TimeColumn != colTime || s.StartColumn != colStart || s.StopColumn != colStop {
		return execute.Window{}, false
	}
	if every := s.Window.Every; !every.IsPositive() || !every.Equal(s.Window.Period) {
		return execute.Window{}, false
	}
	w, err := windowOf(s, execute.Bounds{Start: bounds.Start, Stop: bounds.Stop})
	if err != nil || w.Offset.Months() != 0 {
		return execute.Window{}, false
	}
	if months := w.Every.Months(); months > 0 {
		return w, w.Offset.IsZero() && months <= monthsMax && bounds.Start >= calendarMin && bounds.Stop <= calendarMax
	}
	every, offset := w.Every.Nanoseconds(), int64(w.Offset.Duration())
	return w, int64(bounds.Start) >= offset && every <= math.MaxInt64/4 && int64(bounds.Stop) <= math.MaxInt64-2*every+min(offset, 0)
}

// pushFoldWindows takes over a window and the aggregate or selector of _value in it.
func pushFoldWindows(f fold) func(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	return func(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
		read, s := chain[2].ProcedureSpec().(*readProcedure), &chain[1].ProcedureSpec().(*windowProcedure).WindowProcedureSpec
		if read.fold != foldNone || foldedColumn(chain[0].ProcedureSpec()) != colValue {
			return nil, nil
		}
		w, ok := pushableWindow(s, read.bounds)
		if !ok {
			return nil, nil
		}
		c := *read
		c.fold, c.windows = f, &windows{window: w, createEmpty: s.CreateEmpty}
		return &c, nil
	}
}

// pushWindowTime takes over the end of aggregateWindow: a bound of each window becomes
// the result's time, and one window takes them all.
func pushWindowTime(chain []plan.Node) (*readProcedure, plan.PhysicalProcedureSpec) {
	all := &chain[0].ProcedureSpec().(*windowProcedure).WindowProcedureSpec
	read := chain[2].ProcedureSpec().(*readProcedure)
	if read.windows == nil || read.windows.time != "" || all.Window.Every != infinite || all.CreateEmpty ||
		all.TimeColumn != colTime || all.StartColumn != colStart || all.StopColumn != colStop {
		return nil, nil
	}
	mutations := chain[1].ProcedureSpec().(*universe.SchemaMutationProcedureSpec).Mutations
	if len(mutations) != 1 {
		return nil, nil
	}
	d, ok := mutations[0].(*universe.DuplicateOpSpec)
	if !ok || d.As != colTime {
		return nil, nil
	}
	switch {
	case d.Column == colStart || d.Column == colStop:
	case d.Column == colTime && !read.fold.aggregates():
	default:
		return nil, nil
	}
	c, w := *read, *read.windows
	w.time = d.Column
	c.windows = &w
	return &c, nil
}

// infinite is the length of the window that takes all.
var infinite = values.ConvertDuration(math.MaxInt64)
