package influxql

import (
	"math"
	"slices"

	"headgate/engine/point"
)

// aggregator computes a call over the rows of series, column by column, without
// making points: first for each series and window a partial, then for each tag
// set and window what the partials of its series come to. Both steps compute what
// the call iterators of the query package compute, in the same order, so that
// floats have the same bits; the series of a tag set come in the order of their
// ids, where InfluxDB's order depends on the number of its cores.
//
// Owned by one scan. Rows are added set by set with begin, add and end.
type aggregator struct {
	fn      aggregate
	main    valueRef
	windows windows
	// descending is the direction of the query: of the windows and of the sums.
	descending bool
	// windowsMax is how many windows of each set are wanted, 0 for all.
	windowsMax int

	sets []aggregateSet
	// set and part are the set and the partial at hand; part.n is 0 without one.
	set  int
	part partial
	str  []byte // the partial's value when it is a string
	// done is set when no later row of the series at hand counts.
	done bool
	// rows is how long the last run was: the next one is probably as long.
	rows int
	// heldBytes is what sets have grown by since it was last taken.
	heldBytes int64

	times []int64
	nums  []uint64
	at    []int32
}

// aggregate is a function that storage computes.
type aggregate uint8

const (
	aggregateNone aggregate = iota
	aggregateCount
	aggregateSum
	aggregateMean
	aggregateMin
	aggregateMax
	aggregateFirst
	aggregateLast
)

var aggregates = map[string]aggregate{
	"count": aggregateCount, "sum": aggregateSum, "mean": aggregateMean, "min": aggregateMin,
	"max": aggregateMax, "first": aggregateFirst, "last": aggregateLast,
}

// partial is a window of one series, or of one set.
type partial struct {
	start int64 // of the window
	time  int64 // of the selected value; min, max, first and last
	// num is the value, or what is known of it: the sum of a mean.
	num uint64
	n   uint32
}

const (
	partialBytes       = 32
	partialIndexBytes  = 40
	partialStringBytes = 16
)

// aggregateSet is what is known of one tag set.
type aggregateSet struct {
	parts []partial
	// strs are the values of parts when they are strings.
	strs []string
	// index finds parts by their start; nil while they are in order.
	index map[int64]int32
	// next is where the next partial probably belongs.
	next  int
	bytes int64
}

// newAggregator is nil when the plan's call has to be computed from points.
func newAggregator(p *scanPlan, sets int) *aggregator {
	if p.call == nil || p.main == nil || p.main.kind != refField || len(p.aux) > 0 || !p.sharedTags {
		return nil
	}
	a := &aggregator{fn: aggregates[p.call.Name], main: *p.main, descending: !p.opt.Ascending, windowsMax: p.windowsMax}
	var regular bool
	if a.windows, regular = newWindows(&p.opt); !regular || a.fn == aggregateNone {
		return nil
	}
	if p.rowsMax == 1 {
		a.descending = p.last // the one row that counts comes first
	}
	a.sets = make([]aggregateSet, sets)
	return a
}

// once reports whether one row of each series is enough.
func (a *aggregator) once() bool {
	return a.windows.interval == 0 && (a.fn == aggregateFirst && !a.descending || a.fn == aggregateLast && a.descending)
}

// begin starts a series of a set.
func (a *aggregator) begin(set int) {
	a.set, a.done = set, false
	a.sets[set].next = 0
}

// end finishes a series.
func (a *aggregator) end() {
	if a.part.n > 0 {
		a.combine()
	}
	a.part = partial{}
}

// add takes rows of the series into account: those in chosen, all if that is nil.
func (a *aggregator) add(times []int64, c *point.Column, chosen []int32) (values int) {
	if a.done || c == nil || c.Len() == 0 {
		return 0
	}
	times, nums, at := a.vector(times, c, chosen)
	n := len(times)
	if n == 0 {
		return 0
	}
	if !a.descending {
		for i := 0; i < n && !a.done; {
			start, end := a.windows.at(times[i])
			j := point.FirstAt(times, i+1, n, min(i+a.rows, n), end)
			a.rows = j - i
			a.fold(start, times, nums, c, at, i, j)
			i = j
		}
		return n
	}
	for j := n; j > 0 && !a.done; {
		start, _ := a.windows.at(times[j-1])
		i := point.FirstAt(times, 0, j-1, max(j-a.rows, 0), start)
		a.rows = j - i
		a.fold(start, times, nums, c, at, i, j)
		j = i
	}
	return n
}

// vector lays the chosen values of a column beside their times. nums is nil for
// strings; then at has their positions in the column, nil when they are their
// positions in times.
func (a *aggregator) vector(times []int64, c *point.Column, chosen []int32) (_ []int64, nums []uint64, at []int32) {
	n := c.Len()
	nums = c.Nums
	cast := numberCast(c.Type, a.main.to)
	if chosen == nil && c.Rows == nil {
		times = times[:n]
	} else {
		a.times, a.at = a.times[:0], a.at[:0]
		switch {
		case chosen == nil:
			for k, row := range c.Rows {
				a.times = append(a.times, times[row])
				a.at = append(a.at, int32(k))
			}
		case c.Rows == nil:
			for _, row := range chosen {
				if int(row) >= n {
					break
				}
				a.times = append(a.times, times[row])
				a.at = append(a.at, row)
			}
		default:
			k := 0
			for _, row := range chosen {
				for k < n && c.Rows[k] < uint32(row) {
					k++
				}
				if k == n {
					break
				}
				if c.Rows[k] == uint32(row) {
					a.times = append(a.times, times[row])
					a.at = append(a.at, int32(k))
				}
			}
		}
		times, at = a.times, a.at
		if c.Type != point.String && chosen != nil {
			a.nums = slices.Grow(a.nums[:0], len(at))[:len(at)]
			for i, k := range at {
				a.nums[i] = nums[k]
			}
			nums = a.nums
		}
	}
	if cast != nil {
		from := nums
		a.nums = slices.Grow(a.nums[:0], len(times))[:len(times)]
		for i := range a.nums {
			a.nums[i] = cast(from[i])
		}
		nums = a.nums
	}
	return times, nums, at
}

// fold adds a run of values of one window to the partial.
func (a *aggregator) fold(start int64, times []int64, nums []uint64, c *point.Column, at []int32, i, j int) {
	if a.part.n == 0 || a.part.start != start {
		if a.part.n > 0 {
			a.combine()
		}
		a.part = partial{start: start}
		if a.beyond(start) {
			a.done = true
			return
		}
	}
	p := &a.part
	fresh := p.n == 0
	p.n += uint32(j - i)
	switch a.fn {
	case aggregateCount:
		return
	case aggregateSum, aggregateMean:
		p.num = a.sum(p.num, nums[i:j])
		return
	}
	pick := -1
	switch a.fn {
	case aggregateMin, aggregateMax:
		pick = a.extreme(fresh, p.num, nums[i:j])
		if pick >= 0 {
			pick += i
		}
	case aggregateFirst:
		if a.descending || fresh {
			pick = i
		}
	case aggregateLast:
		if !a.descending || fresh {
			pick = j - 1
		}
	}
	if pick < 0 {
		return
	}
	p.time = times[pick]
	if nums != nil {
		p.num = nums[pick]
	} else {
		if at != nil {
			pick = int(at[pick])
		}
		a.str = append(a.str[:0], c.StringAt(pick)...)
	}
	a.done = a.once()
}

// sum adds values in the direction of the query.
func (a *aggregator) sum(sum uint64, nums []uint64) uint64 {
	if a.main.to != point.Float {
		for _, v := range nums {
			sum += v
		}
		return sum
	}
	s := math.Float64frombits(sum)
	if a.descending {
		for i := len(nums) - 1; i >= 0; i-- {
			s += math.Float64frombits(nums[i])
		}
	} else {
		for _, v := range nums {
			s += math.Float64frombits(v)
		}
	}
	return math.Float64bits(s)
}

// extreme is the index of the least or the greatest of nums, -1 when that is best
// and best counts. Of equal values the earlier one stays.
func (a *aggregator) extreme(fresh bool, best uint64, nums []uint64) int {
	if a.main.to == point.Float {
		var flip uint64
		if a.fn == aggregateMax {
			flip = 1 << 63
		}
		return point.LeastFloat(fresh, best, nums, flip, a.descending)
	}
	var flip uint64
	if a.fn == aggregateMax {
		flip = math.MaxUint64
	}
	if a.main.to == point.Integer {
		flip ^= 1 << 63
	}
	return point.LeastUnsigned(fresh, best, nums, flip, a.descending)
}
