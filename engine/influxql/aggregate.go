package influxql

import (
	"math"
	"slices"

	"github.com/influxdata/influxdb/query"

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
			j := firstAt(times, i+1, n, min(i+a.rows, n), end)
			a.rows = j - i
			a.fold(start, times, nums, c, at, i, j)
			i = j
		}
		return n
	}
	for j := n; j > 0 && !a.done; {
		start, _ := a.windows.at(times[j-1])
		i := firstAt(times, 0, j-1, max(j-a.rows, 0), start)
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
		return leastFloat(fresh, best, nums, flip, a.descending)
	}
	var flip uint64
	if a.fn == aggregateMax {
		flip = math.MaxUint64
	}
	if a.main.to == point.Integer {
		flip ^= 1 << 63
	}
	return leastUnsigned(fresh, best, nums, flip, a.descending)
}

// leastFloat finds the least of the floats whose bits are nums xor flip.
func leastFloat(fresh bool, best uint64, nums []uint64, flip uint64, descending bool) int {
	at := -1
	least := math.Float64frombits(best ^ flip)
	if descending {
		i := len(nums) - 1
		if fresh {
			at, least, i = i, math.Float64frombits(nums[i]^flip), i-1
		}
		for ; i >= 0; i-- {
			if v := math.Float64frombits(nums[i] ^ flip); v <= least {
				at, least = i, v
			}
		}
		return at
	}
	i := 0
	if fresh {
		at, least, i = 0, math.Float64frombits(nums[0]^flip), 1
	}
	for ; i < len(nums); i++ {
		if v := math.Float64frombits(nums[i] ^ flip); v < least {
			at, least = i, v
		}
	}
	return at
}

// leastUnsigned finds the least of nums xor flip.
func leastUnsigned(fresh bool, best uint64, nums []uint64, flip uint64, descending bool) int {
	at := -1
	least := best ^ flip
	if descending {
		i := len(nums) - 1
		if fresh {
			at, least, i = i, nums[i]^flip, i-1
		}
		for ; i >= 0; i-- {
			if v := nums[i] ^ flip; v <= least {
				at, least = i, v
			}
		}
		return at
	}
	i := 0
	if fresh {
		at, least, i = 0, nums[0]^flip, 1
	}
	for ; i < len(nums); i++ {
		if v := nums[i] ^ flip; v < least {
			at, least = i, v
		}
	}
	return at
}

// before reports whether window x is handed up before window y.
func (a *aggregator) before(x, y int64) bool {
	if a.descending {
		return x > y
	}
	return x < y
}

// beyond reports whether enough windows come before the one at start. The further
// windows of the series come later still.
func (a *aggregator) beyond(start int64) bool {
	parts := a.sets[a.set].parts
	return a.windowsMax > 0 && len(parts) >= a.windowsMax && a.before(parts[a.windowsMax-1].start, start)
}

// insertMax is how many partials are moved to put one where it belongs.
const insertMax = 64

// combine adds the partial of a series to its set.
func (a *aggregator) combine() {
	set := &a.sets[a.set]
	i, found := a.find(set, a.part.start)
	set.next = i + 1
	if found {
		a.merge(set, i)
		return
	}
	p := a.part
	switch a.fn {
	case aggregateCount:
		p.num = uint64(p.n)
	case aggregateMean:
		p.num = math.Float64bits(a.weighed(&p))
	}
	grown := int64(partialBytes)
	if i < len(set.parts) && a.windowsMax == 0 && len(set.parts)-i > insertMax {
		set.index = make(map[int64]int32, 2*len(set.parts))
		for k := range set.parts {
			set.index[set.parts[k].start] = int32(k)
		}
		grown += int64(len(set.parts)) * partialIndexBytes
		i = len(set.parts)
	}
	if set.index != nil {
		set.index[p.start] = int32(i)
		grown += partialIndexBytes
	}
	set.parts = slices.Insert(set.parts, i, p)
	if a.main.to == point.String && a.fn != aggregateCount {
		set.strs = slices.Insert(set.strs, i, string(a.str))
		grown += int64(partialStringBytes + len(a.str))
	}
	if a.windowsMax > 0 && len(set.parts) > a.windowsMax {
		set.parts = set.parts[:a.windowsMax]
		if set.strs != nil {
			set.strs = set.strs[:a.windowsMax]
		}
	}
	set.bytes += grown
	a.heldBytes += grown
}

// find is where the window at start is among the set's parts or has to be put.
func (a *aggregator) find(set *aggregateSet, start int64) (i int, found bool) {
	if i = set.next; i < len(set.parts) && set.parts[i].start == start {
		return i, true
	}
	if set.index != nil {
		if i, ok := set.index[start]; ok {
			return int(i), true
		}
		return len(set.parts), false
	}
	if n := len(set.parts); n == 0 || a.before(set.parts[n-1].start, start) {
		return n, false
	}
	return slices.BinarySearchFunc(set.parts, start, func(p partial, start int64) int {
		switch {
		case p.start == start:
			return 0
		case a.before(p.start, start):
			return -1
		}
		return 1
	})
}

// weighed is what a series' partial mean adds to the sum of its set's. The query
// package makes a mean of it first.
func (a *aggregator) weighed(p *partial) float64 {
	var sum float64
	switch a.main.to {
	case point.Float:
		sum = math.Float64frombits(p.num)
	case point.Integer:
		sum = float64(int64(p.num))
	default:
		sum = float64(p.num)
	}
	mean := sum / float64(p.n)
	if p.n < 2 {
		return mean
	}
	return mean * float64(p.n)
}

// merge adds the partial at hand to part i of set.
func (a *aggregator) merge(set *aggregateSet, i int) {
	p, to := &a.part, &set.parts[i]
	to.n += p.n
	switch a.fn {
	case aggregateCount:
		to.num += uint64(p.n)
		return
	case aggregateSum:
		if a.main.to == point.Float {
			to.num = math.Float64bits(math.Float64frombits(to.num) + math.Float64frombits(p.num))
		} else {
			to.num += p.num
		}
		return
	case aggregateMean:
		to.num = math.Float64bits(math.Float64frombits(to.num) + a.weighed(p))
		return
	}
	c := a.compare(set, i)
	var take bool
	switch a.fn {
	case aggregateMin:
		take = c == less || c == equal && p.time < to.time
	case aggregateMax:
		take = c == greater || c == equal && p.time < to.time
	case aggregateFirst:
		// At the same time the greater value is the first one, and true the last.
		wins := greater
		if a.main.to == point.Boolean {
			wins = less
		}
		take = p.time < to.time || p.time == to.time && c == wins
	case aggregateLast:
		take = p.time > to.time || p.time == to.time && c == greater
	}
	if take {
		to.time, to.num = p.time, p.num
		if set.strs != nil {
			set.strs[i] = string(a.str)
		}
	}
}

type comparison int8

const (
	unordered comparison = iota // one is not a number
	less
	equal
	greater
)

// compare compares the partial at hand with part i of set.
func (a *aggregator) compare(set *aggregateSet, i int) comparison {
	switch a.main.to {
	case point.Float:
		return compareOf(math.Float64frombits(a.part.num), math.Float64frombits(set.parts[i].num))
	case point.Integer:
		return compareOf(int64(a.part.num), int64(set.parts[i].num))
	case point.String:
		return compareOf(string(a.str), set.strs[i])
	}
	return compareOf(a.part.num, set.parts[i].num)
}

func compareOf[T float64 | int64 | uint64 | string](x, y T) comparison {
	switch {
	case x < y:
		return less
	case x == y:
		return equal
	case x > y:
		return greater
	}
	return unordered
}

// take hands over what is known of a set, in order; the aggregator forgets it.
func (a *aggregator) take(i int) aggregateSet {
	set := a.sets[i]
	a.sets[i] = aggregateSet{}
	if set.index == nil {
		return set
	}
	order := make([]int32, len(set.parts))
	for k := range order {
		order[k] = int32(k)
	}
	slices.SortFunc(order, func(x, y int32) int {
		if a.before(set.parts[x].start, set.parts[y].start) {
			return -1
		}
		return 1
	})
	sorted := aggregateSet{parts: make([]partial, len(order)), bytes: set.bytes}
	for i, k := range order {
		sorted.parts[i] = set.parts[k]
	}
	if set.strs != nil {
		sorted.strs = make([]string, len(order))
		for i, k := range order {
			sorted.strs[i] = set.strs[k]
		}
	}
	return sorted
}

// aggregateIterator hands out the windows of a set.
type aggregateIterator[P any] struct {
	set  aggregateSet
	next int
	p    P
	fill func(p *P, part *partial, str string)
}

func (it *aggregateIterator[P]) Next() (*P, error) {
	if it.next == len(it.set.parts) {
		return nil, nil
	}
	var str string
	if it.set.strs != nil {
		str = it.set.strs[it.next]
	}
	it.fill(&it.p, &it.set.parts[it.next], str)
	it.next++
	return &it.p, nil
}

func (it *aggregateIterator[P]) Stats() query.IteratorStats {
	return query.IteratorStats{SeriesN: 1, PointN: len(it.set.parts)}
}

func (it *aggregateIterator[P]) Close() error { return nil }

// iterator makes points of a set's windows.
func (a *aggregator) iterator(set aggregateSet, name string, tags query.Tags) query.Iterator {
	timeOf := func(p *partial) int64 { return p.start }
	switch a.fn {
	case aggregateMin, aggregateMax, aggregateFirst, aggregateLast:
		timeOf = func(p *partial) int64 { return p.time }
	case aggregateCount:
		return &aggregateIterator[query.IntegerPoint]{set: set, p: query.IntegerPoint{Name: name, Tags: tags},
			fill: func(p *query.IntegerPoint, part *partial, _ string) {
				p.Time, p.Value, p.Aggregated = part.start, int64(part.num), part.n
			}}
	case aggregateMean:
		return &aggregateIterator[query.FloatPoint]{set: set, p: query.FloatPoint{Name: name, Tags: tags},
			fill: func(p *query.FloatPoint, part *partial, _ string) {
				p.Time, p.Value, p.Aggregated = part.start, math.Float64frombits(part.num)/float64(part.n), part.n
			}}
	}
	switch a.main.to {
	case point.Integer:
		return &aggregateIterator[query.IntegerPoint]{set: set, p: query.IntegerPoint{Name: name, Tags: tags},
			fill: func(p *query.IntegerPoint, part *partial, _ string) {
				p.Time, p.Value, p.Aggregated = timeOf(part), int64(part.num), part.n
			}}
	case point.Unsigned:
		return &aggregateIterator[query.UnsignedPoint]{set: set, p: query.UnsignedPoint{Name: name, Tags: tags},
			fill: func(p *query.UnsignedPoint, part *partial, _ string) {
				p.Time, p.Value, p.Aggregated = timeOf(part), part.num, part.n
			}}
	case point.String:
		return &aggregateIterator[query.StringPoint]{set: set, p: query.StringPoint{Name: name, Tags: tags},
			fill: func(p *query.StringPoint, part *partial, str string) {
				p.Time, p.Value, p.Aggregated = timeOf(part), str, part.n
			}}
	case point.Boolean:
		return &aggregateIterator[query.BooleanPoint]{set: set, p: query.BooleanPoint{Name: name, Tags: tags},
			fill: func(p *query.BooleanPoint, part *partial, _ string) {
				p.Time, p.Value, p.Aggregated = timeOf(part), part.num != 0, part.n
			}}
	}
	return &aggregateIterator[query.FloatPoint]{set: set, p: query.FloatPoint{Name: name, Tags: tags},
		fill: func(p *query.FloatPoint, part *partial, _ string) {
			p.Time, p.Value, p.Aggregated = timeOf(part), math.Float64frombits(part.num), part.n
		}}
}
