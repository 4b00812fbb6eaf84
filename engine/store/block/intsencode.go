package block

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Level says how hard an Encoder tries.
type Level uint8

const (
	// Fast is for flushes: few ways are tried, and entropy coding only where a small
	// sample decides (narrow.go).
	Fast Level = iota
	// Best is for compactions: everything that pays is tried, entropy coding too.
	Best
)

const (
	// sampleFrom is from how many values on a sample decides.
	sampleFrom = 16 * chunkLen
	// entropyFrom is how many values make entropy coding worth a table.
	entropyFrom = 64
	// entropyGain is how much smaller entropy-coded residuals have to be than
	// packed ones, which are several times as quick to read.
	entropyGain = 0.92
	// runsGain is how much smaller anything else has to be than runs, which are the
	// quickest of all to read.
	runsGain = 0.8
	// dictBitsMin is how many bits a value must take for a dictionary to be tried.
	// TSBS cpu takes two, and looking for distinct values was 8 % of all the CPU of
	// ingesting it.
	dictBitsMin = 3
	// dictMax is how many distinct numbers a dictionary holds at most.
	dictMax = 256
)

// intScratch is what encoding integers of one depth takes.
type intScratch struct {
	delta, firsts, linear, work, scaled []uint64
	a, b                                []uint64
	trial                               []byte
}

// intHint says what is known about integers in advance.
type intHint uint8

const (
	hintNone      intHint = iota
	hintTimes             // may lie on straight lines
	hintAscending         // differences are the thing
	hintPlain             // differences are no use
)

// appendInts appends v, whose groups end at ends (nil is one group).
func (e *Encoder) appendInts(dst []byte, v []uint64, ends []uint32, depth int, hint intHint) []byte {
	if len(v) == 0 {
		return dst
	}
	lo, hi := bounds(v)
	return e.appendBounded(dst, v, ends, lo, hi, depth, hint)
}

// appendBounded is appendInts for values whose bounds are known.
func (e *Encoder) appendBounded(dst []byte, v []uint64, ends []uint32, lo, hi int64, depth int, hint intHint) []byte {
	if lo == hi {
		return appendVarint(append(dst, intsConstant), uint64(lo))
	}
	if depth == 0 && hint == hintNone && len(v) >= narrowFrom {
		if out, ok := e.appendNarrow(dst, v, ends, lo, hi); ok {
			return e.tryDict(out, len(dst), v, ends)
		}
	}
	return e.appendPlanned(dst, v, ends, lo, hi, depth, hint)
}

// appendPlanned appends v, which is not constant, in the way that a plan of all
// that there are promises to take the least.
func (e *Encoder) appendPlanned(dst []byte, v []uint64, ends []uint32, lo, hi int64, depth int, hint intHint) []byte {
	s := &e.scratch[depth]
	at := len(dst)
	code, x, slope := byte(intsPlain), v, uint64(0)
	xlo, xhi := lo, hi
	p, perValue := residuals{}, math.Inf(1)
	groups := max(1, len(ends))
	m := len(v) - groups
	if hint != hintAscending || m == 0 || depth == depthMax {
		p, perValue = e.planSample(v, lo, hi, depth)
	}
	if hint != hintPlain && m > 0 && depth < depthMax {
		dlo, dhi := s.deltas(v, ends)
		firsts := float64(groups*bits.Len64(uint64(hi-lo))) + 64
		q, c := e.planSample(s.delta, dlo, dhi, depth)
		if c = (c*float64(m) + firsts) / float64(len(v)); c < perValue {
			code, x, p, perValue = intsDelta, s.delta, q, c
			xlo, xhi = dlo, dhi
		}
		if hint == hintTimes && dlo != dhi {
			if slope = slopeOf(v, ends, dlo, dhi); slope != 0 {
				llo, lhi := s.lines(v, ends, slope)
				q, c := e.planSample(s.linear, llo, lhi, depth)
				if c = (c*float64(m) + firsts) / float64(len(v)); c < perValue*0.97 {
					code, x, p, perValue = intsLinear, s.linear, q, c
					xlo, xhi = llo, lhi
				}
			}
		}
	}
	runs := len(v)
	if depth == 0 && e.mayRun(v) {
		runs = countRuns(v)
	}
	if runs <= len(v)/4 && e.level == Fast {
		// A run takes a value and a length.
		if float64(runs*(bits.Len64(uint64(hi-lo))+bits.Len(uint(len(v)/runs))+2)) < perValue*float64(len(v)) {
			return e.appendRuns(dst, v, runs)
		}
	}
	if len(x) >= sampleFrom {
		p = e.plan(x, xlo, xhi, depth)
	}
	dst = append(dst, code)
	if code == intsLinear {
		dst = appendVarint(dst, slope)
	}
	if code != intsPlain {
		dst = e.appendInts(dst, s.firsts, nil, depth+1, hintNone)
	}
	resAt := len(dst)
	dst = e.appendResiduals(dst, x, p, depth)
	if p.shannon > 0 && float64(8*(len(dst)-resAt)) > p.packed.cost {
		// The entropy coder did worse than its estimate.
		p.setPacked()
		dst = e.appendResiduals(dst[:resAt], x, p, depth)
	}
	if depth > 0 || e.level == Fast {
		return dst
	}
	if runs <= len(v)/3 {
		s.trial = e.appendRuns(s.trial[:0], v, runs)
		if runsGain*float64(len(s.trial)) <= float64(len(dst)-at) {
			dst = append(dst[:at], s.trial...)
		}
	}
	return e.tryDict(dst, at, v, ends)
}

// tryDict replaces what stands for v in dst, from at on, with a dictionary where
// that takes clearly less.
func (e *Encoder) tryDict(dst []byte, at int, v []uint64, ends []uint32) []byte {
	if e.level == Fast || len(dst)-at <= len(v)*dictBitsMin/8 || !e.distinct(v) {
		return dst
	}
	s := &e.scratch[0]
	s.trial = e.appendDict(s.trial[:0], v, ends)
	if float64(len(s.trial)) < entropyGain*float64(len(dst)-at) {
		dst = append(dst[:at], s.trial...)
	}
	return dst
}

// deltas fills firsts and delta from v, and returns the bounds of delta, which is
// not empty.
func (s *intScratch) deltas(v []uint64, ends []uint32) (lo, hi int64) {
	lo, hi = math.MaxInt64, math.MinInt64
	groups := max(1, len(ends))
	s.firsts, s.delta = resize(s.firsts, groups), resize(s.delta, len(v)-groups)
	out := s.delta
	start := 0
	for g := range groups {
		end := len(v)
		if ends != nil {
			end = int(ends[g])
		}
		in := v[start:end]
		s.firsts[g] = in[0]
		d := out[:len(in)-1]
		last := in[0]
		for i, u := range in[1:] {
			x := u - last
			d[i] = x
			lo, hi = min(lo, int64(x)), max(hi, int64(x))
			last = u
		}
		out = out[len(d):]
		start = end
	}
	return lo, hi
}

// lines fills linear with the distances of v from a line of the given slope that
// begins at each group's first value.
func (s *intScratch) lines(v []uint64, ends []uint32, slope uint64) (lo, hi int64) {
	lo, hi = math.MaxInt64, math.MinInt64
	groups := max(1, len(ends))
	s.linear = resize(s.linear, len(v)-groups)
	out := s.linear
	start := 0
	for g := range groups {
		end := len(v)
		if ends != nil {
			end = int(ends[g])
		}
		acc := v[start]
		for i, u := range v[start+1 : end] {
			acc += slope
			x := u - acc
			out[i] = x
			lo, hi = min(lo, int64(x)), max(hi, int64(x))
		}
		out = out[end-start-1:]
		start = end
	}
	return lo, hi
}

// appendResiduals appends x as p says. A residual that is wider than p expects,
// since p comes from a sample, is patched.
func (e *Encoder) appendResiduals(dst []byte, x []uint64, p residuals, depth int) []byte {
	if p.code == resEqual {
		return p.appendTo(dst)
	}
	s := &e.scratch[depth]
	s.work = resize(s.work, len(x))
	u := s.work
	var all uint64
	by := newExact(p.scale)
	switch {
	case p.zigzag && p.scale == 1:
		for i, v := range x {
			u[i] = zigzag(v - p.base)
			all |= u[i]
		}
	case p.zigzag:
		for i, v := range x {
			u[i] = zigzag(by.signed(v - p.base))
			all |= u[i]
		}
	case p.scale == 1:
		for i, v := range x {
			u[i] = v - p.base
			all |= u[i]
		}
	default:
		for i, v := range x {
			u[i] = by.signed(v - p.base)
			all |= u[i]
		}
	}
	switch p.code {
	case resPacked:
		p.patched = uint(bits.Len64(all)) > p.width
		dst = p.appendTo(dst)
		dst = pack(dst, u, p.width)
		if p.patched {
			dst = e.appendPatches(dst, u, p.width, depth)
		}
	case resChunked:
		dst = p.appendTo(dst)
		at := len(dst)
		dst = growBytes(dst, (len(u)+chunkLen-1)/chunkLen)
		for len(u) > 0 {
			c := u[:min(chunkLen, len(u))]
			u = u[len(c):]
			var or uint64
			for _, v := range c {
				or |= v
			}
			w := uint(bits.Len64(or))
			dst[at] = byte(w)
			at++
			dst = pack(dst, c, w)
		}
	case resDirect:
		dst = p.appendTo(dst)
		e.sym = resize(e.sym, len(u))
		for i, v := range u {
			e.sym[i] = byte(v)
		}
		dst = e.appendSymbols(dst, e.sym, p.shannon)
	case resBucketed:
		dst = p.appendTo(dst)
		e.sym = resize(e.sym, len(u))
		for i, v := range u {
			e.sym[i], _ = bucketOf(v)
		}
		dst = e.appendSymbols(dst, e.sym, p.shannon)
		e.extra = appendExtras(e.extra[:0], u)
		dst = binary.AppendUvarint(dst, uint64(len(e.extra)))
		dst = append(dst, e.extra...)
	}
	return dst
}

func (e *Encoder) appendPatches(dst []byte, u []uint64, width uint, depth int) []byte {
	s := &e.scratch[depth]
	s.a, s.b = resize(s.a, len(u)), resize(s.b, len(u))
	at, high := s.a[:len(u)], s.b[:len(u)]
	k := 0
	for i, v := range u { // without a branch that nobody can foretell
		at[k], high[k] = uint64(i), v>>width
		if v>>width != 0 {
			k++
		}
	}
	s.a, s.b = at[:k], high[:k]
	dst = binary.AppendUvarint(dst, uint64(len(s.a)))
	dst = e.appendInts(dst, s.a, nil, depth+1, hintAscending)
	return e.appendInts(dst, s.b, nil, depth+1, hintPlain)
}

func (e *Encoder) appendRuns(dst []byte, v []uint64, runs int) []byte {
	s := &e.scratch[0]
	s.a, s.b = resize(s.a, runs), resize(s.b, runs)
	k, start := 0, 0
	for i := 1; i <= len(v); i++ {
		if i == len(v) || v[i] != v[start] {
			s.a[k], s.b[k] = v[start], uint64(i-start)
			k++
			start = i
		}
	}
	dst = append(dst, intsRuns)
	dst = binary.AppendUvarint(dst, uint64(runs))
	dst = e.appendInts(dst, s.a, nil, 1, hintNone)
	return e.appendInts(dst, s.b, nil, 1, hintNone)
}

// distinct fills dict with the distinct values of v, sorted, unless there are too
// many for a dictionary to pay.
func (e *Encoder) distinct(v []uint64) bool {
	if len(v) < entropyFrom {
		return false
	}
	e.dict = e.dict[:0]
	add := func(u uint64, most int) bool {
		i, found := slices.BinarySearch(e.dict, u)
		if !found {
			if len(e.dict) == most {
				return false
			}
			e.dict = slices.Insert(e.dict, i, u)
		}
		return true
	}
	// Most columns are turned down by a sample.
	for i := range 64 {
		if !add(v[i*len(v)/64], 40) {
			return false
		}
	}
	last := v[0]
	for _, u := range v {
		if u != last && !add(u, min(dictMax, len(v)/8)) {
			return false
		}
		last = u
	}
	// Values without gaps are as good as indexes.
	return len(e.dict) > 1 && e.dict[len(e.dict)-1]-e.dict[0] >= uint64(2*len(e.dict))
}

func (e *Encoder) appendDict(dst []byte, v []uint64, ends []uint32) []byte {
	s := &e.scratch[0]
	s.a = resize(s.a, len(v))
	k := 0
	for i, u := range v {
		if e.dict[k] != u {
			k, _ = slices.BinarySearch(e.dict, u)
		}
		s.a[i] = uint64(k)
	}
	dst = append(dst, intsDict)
	dst = binary.AppendUvarint(dst, uint64(len(e.dict)))
	dst = e.appendInts(dst, e.dict, nil, 1, hintAscending)
	return e.appendInts(dst, s.a, ends, 1, hintNone)
}
