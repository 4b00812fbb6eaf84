package block

import (
	"math"
	"math/bits"
	"slices"
)

// Deciding how to store integers: from their bounds and from samples of them.

// bounds returns the least and the greatest value, as signed ones. It takes two
// values at a time, which need not wait for each other.
func bounds(v []uint64) (lo, hi int64) {
	lo, hi = int64(v[0]), int64(v[0])
	lo2, hi2 := lo, hi
	for ; len(v) >= 4; v = v[4:] {
		u := (*[4]uint64)(v)
		lo, hi = min(lo, int64(u[0])), max(hi, int64(u[0]))
		lo2, hi2 = min(lo2, int64(u[1])), max(hi2, int64(u[1]))
		lo, hi = min(lo, int64(u[2])), max(hi, int64(u[2]))
		lo2, hi2 = min(lo2, int64(u[3])), max(hi2, int64(u[3]))
	}
	for _, u := range v {
		lo, hi = min(lo, int64(u)), max(hi, int64(u))
	}
	return min(lo, lo2), max(hi, hi2)
}

// countRuns returns how many runs of equal values there are.
func countRuns(v []uint64) int {
	same := 0
	last := v[0]
	for _, u := range v[1:] {
		d := u ^ last
		same += int((d - 1) &^ d >> 63) // 1 if d is 0; a branch would be foretold badly
		last = u
	}
	return len(v) - same
}

// mayRun reports whether a sample of v has runs.
func (e *Encoder) mayRun(v []uint64) bool {
	if len(v) < sampleFrom {
		return true
	}
	s := e.sample(v)
	return countRuns(s) <= len(s)/3
}

// planSample plans for a sample of v, whose bounds are known, and returns the bits
// that a value takes.
func (e *Encoder) planSample(v []uint64, lo, hi int64, depth int) (residuals, float64) {
	if lo != hi && len(v) >= sampleFrom {
		v = e.sample(v)
		lo, hi = bounds(v)
	}
	p := e.plan(v, lo, hi, depth)
	return p, p.cost / float64(len(v))
}

// sampleChunks is how many chunks make a sample, at most what sampleFrom has.
func (e *Encoder) sampleChunks() int {
	if e.level == Best {
		return 16
	}
	return 8
}

// sample returns values that stand for all of v.
func (e *Encoder) sample(v []uint64) []uint64 {
	e.sampled = e.sampled[:0]
	const n = chunkLen / 2
	chunks := e.sampleChunks()
	step := (len(v) - n) / (chunks - 1)
	for i := range chunks {
		e.sampled = append(e.sampled, v[i*step:i*step+n]...)
	}
	return e.sampled
}

// median is the median of a sample of v, one of its values.
func median(v []uint64) uint64 {
	var few [31]uint64
	n := min(len(v), len(few))
	for i := range n {
		few[i] = v[i*len(v)/n]
	}
	slices.SortFunc(few[:n], func(a, b uint64) int {
		if int64(a) < int64(b) {
			return -1
		}
		return 1
	})
	return few[n/2]
}

// slopeOf guesses the step of a clock that times which jitter go by: the mean
// difference, rounded as far as the jitter hides the rounding.
func slopeOf(v []uint64, ends []uint32, lo, hi int64) uint64 {
	from, to := 0, len(v) // the longest group
	for g, start := 0, 0; g < len(ends); g++ {
		end := int(ends[g])
		if g == 0 || end-start > to-from {
			from, to = start, end
		}
		start = end
	}
	n := to - from - 1
	if n < 1 {
		return 0
	}
	mean := float64(int64(v[to-1]-v[from])) / float64(n)
	for _, unit := range [...]float64{60e9, 1e9, 1e6, 1e3} {
		r := math.Round(mean/unit) * unit
		if r != 0 && math.Abs(r-mean)*float64(n) < float64(hi)-float64(lo) {
			return uint64(int64(r))
		}
	}
	return uint64(int64(mean))
}

// plan decides how to store x, whose bounds are known, as residuals. Its cost is
// an estimate.
func (e *Encoder) plan(x []uint64, lo, hi int64, depth int) residuals {
	p := residuals{code: resEqual, base: uint64(lo), scale: 1, cost: 16}
	if lo == hi {
		return p
	}
	span := uint64(hi - lo)
	s := &e.scratch[depth]
	y, first := x, uint64(0)
	if span < 1<<62 {
		if p.scale = commonDivisor(x); p.scale > 1 {
			s.scaled = resize(s.scaled, len(x))
			y, first = s.scaled, x[0]
			by := newExact(p.scale)
			for i, u := range x {
				y[i] = by.signed(u - first)
			}
			lo, hi = int64(by.signed(uint64(lo)-first)), int64(by.signed(uint64(hi)-first))
			span = uint64(hi - lo)
		}
	}
	center := median(y)

	// How many values have how many bits, above the least value and around the
	// center, and how many bits each chunk needs. Neighbours are counted apart:
	// counting the same length twice in a row would wait for the first count.
	var above, around [2][128]uint32
	chunkAbove, chunkAround := 0, 0
	seen, stride := 0, 1
	if len(y) >= sampleFrom {
		stride = len(y) / chunkLen / e.sampleChunks()
	}
	for at := 0; at < len(y); at += stride * chunkLen {
		c := y[at:min(at+chunkLen, len(y))]
		seen += len(c)
		var orAbove, orAround uint64
		for i := 1; i < len(c); i += 2 {
			u, z := c[i-1]-uint64(lo), zigzag(c[i-1]-center)
			orAbove |= u
			orAround |= z
			above[0][bits.Len64(u)&127]++
			around[0][bits.Len64(z)&127]++
			u, z = c[i]-uint64(lo), zigzag(c[i]-center)
			orAbove |= u
			orAround |= z
			above[1][bits.Len64(u)&127]++
			around[1][bits.Len64(z)&127]++
		}
		if len(c)%2 == 1 {
			u, z := c[len(c)-1]-uint64(lo), zigzag(c[len(c)-1]-center)
			orAbove |= u
			orAround |= z
			above[0][bits.Len64(u)&127]++
			around[0][bits.Len64(z)&127]++
		}
		chunkAbove += 8 + len(c)*bits.Len64(orAbove)
		chunkAround += 8 + len(c)*bits.Len64(orAround)
	}
	for l := range 65 {
		above[0][l] += above[1][l]
		around[0][l] += around[1][l]
	}
	if stride > 1 {
		// The longest one need not have been seen.
		above[0][bits.Len64(span)]++
		around[0][max(bits.Len64(zigzag(uint64(lo)-center)), bits.Len64(zigzag(uint64(hi)-center)))]++
	}
	ratio := float64(len(y)) / float64(seen)
	p.code = resPacked
	p.width, p.cost = bestWidth(&above[0], seen, depth)
	base := uint64(lo)
	if w, c := bestWidth(&around[0], seen, depth); c < p.cost {
		p.width, p.cost, p.zigzag, base = w, c, true, center
	}
	if c := float64(chunkAbove); c < 0.97*p.cost {
		p.code, p.cost, p.zigzag, base = resChunked, c, false, uint64(lo)
	}
	if c := float64(chunkAround); c < 0.97*p.cost {
		p.code, p.cost, p.zigzag, base = resChunked, c, true, center
	}
	p.cost *= ratio
	p.packed = packing{p.code, p.zigzag, first + base*p.scale, p.cost + 40}
	if e.level == Best && len(y) >= entropyFrom {
		p.planEntropy(y, uint64(lo), center, span, &base)
	}
	p.base = first + base*p.scale
	p.cost += 40
	return p
}

// bestWidth returns the width with which n values, count[l] of them l bits long,
// take the fewest bits, and how many those are. Longer values are patched, but
// not at depth.
func bestWidth(count *[128]uint32, n, depth int) (width uint, cost float64) {
	longest := 64
	for count[longest] == 0 {
		longest--
	}
	width, cost = uint(longest), float64(n*longest)
	if depth > 0 {
		return width, cost
	}
	longer := 0
	for w := longest - 1; w >= 0; w-- {
		longer += int(count[w+1])
		if longer > n/8 {
			break
		}
		if longer == 0 {
			continue
		}
		patch := bits.Len(uint(n/longer)) + 2 + longest - w
		if c := float64(n*w + longer*patch + 80); c < cost*0.97 {
			width, cost = uint(w), c
		}
	}
	return width, cost
}

// planEntropy changes p and base if entropy coding takes clearly less.
func (p *residuals) planEntropy(y []uint64, lo, center, span uint64, base *uint64) {
	most := p.cost * entropyGain
	try := func(h *histogram, code byte, zigzag bool, b uint64, extra int) {
		shannon, distinct := h.entropy(len(y))
		if c := shannon*1.01 + float64(5*distinct+extra+48); c < most {
			most = c
			p.code, p.cost, p.shannon, p.zigzag, *base = code, c, shannon, zigzag, b
		}
	}
	if span < 256 {
		var h histogram
		for _, v := range y {
			h[uint8(v-lo)]++
		}
		try(&h, resDirect, false, lo, 0)
		return
	}
	var above, around histogram
	extraAbove, extraAround := 0, 0
	for _, v := range y {
		s, w := bucketOf(v - lo)
		above[s]++
		extraAbove += int(w)
		s, w = bucketOf(zigzag(v - center))
		around[s]++
		extraAround += int(w)
	}
	try(&above, resBucketed, false, lo, extraAbove)
	try(&around, resBucketed, true, center, extraAround)
}
