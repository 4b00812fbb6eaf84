package influxql

import (
	"math"
	"slices"

	"github.com/influxdata/influxdb/query"

	"headgate/engine/point"
)

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
