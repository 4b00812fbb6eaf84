package flux

import (
	"fmt"
	"math"
	"time"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/memory"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"
)

// windowKind is the window that takes the place of Flux's own, which it does the work
// for. Flux's own counts for ever, and takes memory for each step, when windows
// go backwards or past the end of time; and it does not count what tables without
// rows take.
const windowKind = "headgateWindow"

type windowProcedure struct{ universe.WindowProcedureSpec }

func (*windowProcedure) Kind() plan.ProcedureKind { return windowKind }

func (p *windowProcedure) Copy() plan.ProcedureSpec { c := *p; return &c }

// ownWindow puts our window in the place of Flux's.
type ownWindow struct{}

func (ownWindow) Name() string { return "headgate/ownWindow" }

func (ownWindow) Pattern() plan.Pattern { return ownWindow{} }

// Root implements plan.Pattern.
func (ownWindow) Root() plan.ProcedureKind { return universe.WindowKind }

// Match implements plan.Pattern.
func (ownWindow) Match(n plan.Node) bool { return n.Kind() == universe.WindowKind }

// Rewrite implements plan.Rule.
func (ownWindow) Rewrite(n plan.Node) (plan.Node, bool, error) {
	own := plan.CreatePhysicalNode("own_"+n.ID(), &windowProcedure{*n.ProcedureSpec().(*universe.WindowProcedureSpec)})
	plan.ReplaceNode(n, own)
	return own, true, nil
}

// windowTrigger has a window emit its tables as soon as Flux's own would.
type windowTrigger struct {
	universe.WindowTriggerPhysicalRule
}

func (windowTrigger) Name() string { return "headgate/windowTrigger" }

func (windowTrigger) Pattern() plan.Pattern { return plan.PhysPat(windowKind, plan.Any()) }

// Rewrite implements plan.Rule. The tables of a read by window may be of one table of
// the window that comes after it, which must wait for them all.
func (w windowTrigger) Rewrite(n plan.Node) (plan.Node, bool, error) {
	source := n
	for len(source.Predecessors()) == 1 {
		source = source.Predecessors()[0]
	}
	if read, ok := source.ProcedureSpec().(*readProcedure); ok && read.tablePerWindow() {
		return n, false, nil
	}
	return w.WindowTriggerPhysicalRule.Rewrite(n)
}

// The memory that is charged for a window, and for a table that has not got any rows:
// 1.9 kB were measured with eight columns.
const (
	windowBytes     = 16
	emptyTableBytes = 2 << 10
)

// windowOf is the window of a node within bounds. Flux's own loses rows before 1970, or
// before the offset in 1970: it rounds towards that. Here the offset is some times every
// earlier, so that it is before all rows.
func windowOf(s *universe.WindowProcedureSpec, bounds execute.Bounds) (execute.Window, error) {
	if !s.Window.Every.IsPositive() || !s.Window.Period.IsPositive() {
		return execute.Window{}, &Error{Message: "window: every and period must be positive"}
	}
	w, err := execute.NewWindow(s.Window.Every, s.Window.Period, s.Window.Offset)
	if err != nil || w.Every.Months() > 0 {
		return w, err
	}
	const earliest = -1 << 62 // 1823
	every, offset := w.Every.Nanoseconds(), int64(w.Offset.Duration())
	if low := max(int64(bounds.Start), earliest); low < offset && offset < -earliest && every < -earliest/4 {
		k := (offset-low-1)/every + 1
		w.Offset = values.ConvertDuration(time.Duration(offset - k*every))
	}
	return w, nil
}

// checkWindow refuses windows that Flux's engine would not come to an end of. It
// returns how many there are at most at a time.
func checkWindow(s *universe.WindowProcedureSpec, w execute.Window, bounds execute.Bounds) (int64, error) {
	every, period := s.Window.Every, s.Window.Period
	if every == infinite {
		return 1, nil
	}
	const monthsMax = 12 * 250
	room := math.MaxInt64 - max(int64(bounds.Stop), 0)
	if w.Offset.IsNegative() {
		room += int64(w.Offset.Duration()) // less than half
	}
	long, wide := int64(every.Duration()), int64(period.Duration())
	// The engine adds an offset, which is shorter than every, and once more every.
	if every.Months() > monthsMax || period.Months() > monthsMax || long > room/2 || wide > room-2*long {
		return 0, &Error{Message: fmt.Sprintf("window: a period of %v every %v is too long for a range that ends at %v", period, every, bounds.Stop)}
	}
	n := wide/long + 2
	if s.CreateEmpty && !bounds.IsEmpty() {
		span := int64(bounds.Stop) - int64(bounds.Start)
		if span < 0 {
			span = math.MaxInt64
		}
		n += span / long
	}
	return n, nil
}

func newWindow(id execute.DatasetID, mode execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
	s := &spec.(*windowProcedure).WindowProcedureSpec
	bounds := a.StreamContext().Bounds()
	if bounds == nil {
		return nil, nil, &Error{Message: "window: the tables have no range of time"}
	}
	w, err := windowOf(s, *bounds)
	if err != nil {
		return nil, nil, err
	}
	n, err := checkWindow(s, w, *bounds)
	if err != nil {
		return nil, nil, err
	}
	if n > math.MaxInt32 {
		n = math.MaxInt32
	}
	if err := a.Allocator().Account(int(n) * windowBytes); err != nil {
		return nil, nil, err
	}
	cache := &tableCache{builderCache: execute.NewTableBuilderCache(a.Allocator()), alloc: a.Allocator()}
	d := execute.NewDataset(id, mode, cache)
	return universe.NewFixedWindowTransformation(d, cache, *bounds, w, s.TimeColumn, s.StartColumn, s.StopColumn, s.CreateEmpty), d, nil
}

// tableCache charges its tables for what they take besides their rows.
type tableCache struct {
	builderCache
	alloc *memory.Allocator
}

// builderCache is what Flux's cache of tables is.
type builderCache interface {
	execute.TableBuilderCache
	execute.DataCache
}

// TableBuilder implements execute.TableBuilderCache. It panics as the allocator does,
// which the engine recovers from.
func (c *tableCache) TableBuilder(key flux.GroupKey) (execute.TableBuilder, bool) {
	b, created := c.builderCache.TableBuilder(key)
	if created {
		if err := c.alloc.Account(emptyTableBytes); err != nil {
			panic(err)
		}
	}
	return b, created
}

// ExpireTable implements execute.DataCache.
func (c *tableCache) ExpireTable(key flux.GroupKey) {
	c.builderCache.ExpireTable(key)
	_ = c.alloc.Account(-emptyTableBytes)
}
