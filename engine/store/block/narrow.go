package block

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Narrow integers are those most columns have: they, or their differences, fit a
// byte. A small sample decides how they are stored, one pass turns them into
// bytes, and what follows handles bytes: eight in a word. Planning them as the
// rest is planned took four fifths of the time that encoding them takes.
//
// A sample foretells, it does not promise. What it did not see is found by the
// pass, and then the values are no narrow ones and planned like any others. So the
// worst that a sample can do is to cost its time and the pass's. What was given up:
// remembering a column's plan from block to block. It would have saved the sample
// and made a block's bytes depend on the one before.

const (
	// narrowFrom is how many values are worth the sample.
	narrowFrom = 2 * narrowChunks * narrowChunk
	// A sample is narrowChunks times narrowChunk neighbours.
	narrowChunks = 8
	narrowChunk  = 64
	// shannonDoubt is how much more than the sample says the values may hold.
	shannonDoubt = 1.06
)

// narrowPlan is how a sample says that integers are best stored.
type narrowPlan struct {
	delta    bool
	base     uint64  // at most any value, or difference
	width    uint    // bits of a value that is packed
	shannon  float64 // bits of a value, as far as the sample tells; 0 to pack them
	perValue float64 // bits of a value
}

// appendNarrow appends v, whose bounds are known, if v is narrow.
func (e *Encoder) appendNarrow(dst []byte, v []uint64, ends []uint32, lo, hi int64) ([]byte, bool) {
	p, ok := e.planNarrow(v, ends, lo, hi)
	if !ok {
		return dst, false
	}
	s := &e.scratch[0]
	at := len(dst)
	groups := 0
	if p.delta {
		groups = max(1, len(ends))
		s.firsts = resize(s.firsts, groups)
	}
	e.narrow = resize(e.narrow, len(v)-groups)
	var all uint64
	if p.delta {
		all = narrowDeltas(e.narrow, s.firsts, v, ends, p.base)
	} else {
		all = narrowValues(e.narrow, v, p.base)
	}
	if all > math.MaxUint8 {
		return dst, false
	}
	// From here on e.narrow is in use; what codes the firsts leaves it alone.
	if p.delta {
		dst = e.appendFirsts(append(dst, intsDelta), s.firsts)
	} else {
		dst = append(dst, intsPlain)
	}
	r := residuals{code: resDirect, base: p.base, scale: 1}
	if p.shannon > 0 {
		res := len(dst)
		dst = r.appendTo(dst)
		dst = e.appendSymbols(dst, e.narrow, shannonDoubt*p.shannon*float64(len(e.narrow)))
		if float64(len(dst)-res) < entropyGain*float64(packedLen(len(e.narrow), p.width)) {
			return dst, true
		}
		dst = dst[:res]
	}
	least, most := byteBounds(e.narrow)
	r.code, r.base, r.width = resPacked, p.base+uint64(least), uint(bits.Len8(most-least))
	if r.width == 0 {
		r.code = resEqual
	} else if r.width > p.width {
		return dst[:at], false // a few are wider than the rest: others know what to do
	}
	lower(e.narrow, least)
	return packBytes(r.appendTo(dst), e.narrow, r.width), true
}

// appendFirsts appends the first values of groups. They are of one series each, so
// that differences are seldom of use, and a flush has too many of them to plan.
func (e *Encoder) appendFirsts(dst []byte, v []uint64) []byte {
	lo, hi := bounds(v)
	span := uint64(hi - lo)
	if e.level == Best || lo == hi || span > math.MaxUint16 {
		return e.appendBounded(dst, v, nil, lo, hi, 1, hintNone)
	}
	s := &e.scratch[1]
	s.work = resize(s.work, len(v))
	last, differ := v[0], 0
	for i, u := range v {
		s.work[i] = u - uint64(lo)
		differ += bits.Len64(zigzag(u - last))
		last = u
	}
	if differ < len(v)*bits.Len64(span)*3/4 {
		return e.appendBounded(dst, v, nil, lo, hi, 1, hintNone)
	}
	r := residuals{code: resPacked, base: uint64(lo), scale: 1, width: uint(bits.Len64(span))}
	return pack(r.appendTo(append(dst, intsPlain)), s.work, r.width)
}

// planNarrow decides from a sample whether v is narrow, and how it is stored.
func (e *Encoder) planNarrow(v []uint64, ends []uint32, lo, hi int64) (p narrowPlan, ok bool) {
	values, deltas, same := e.sampleNarrow(v, ends)
	if same > len(values)*6/10 {
		return p, false // maybe runs
	}
	span := uint64(hi - lo)
	p.perValue = float64(bits.Len64(span))
	if span <= math.MaxUint8 {
		p.base, ok = uint64(lo), true
		p.consider(values, uint64(lo), uint(bits.Len64(span)))
	}
	m := len(v) - max(1, len(ends))
	if len(deltas) < len(values)/2 {
		return p, ok
	}
	dlo, dhi := bounds(deltas)
	if width := uint64(dhi - dlo); dlo < dhi && width <= math.MaxUint8 {
		q := narrowPlan{delta: true, base: uint64(dlo) - min((math.MaxUint8-width)/2, 4+width)}
		q.consider(deltas, uint64(dlo), uint(bits.Len64(width)))
		all := (q.perValue*float64(m) + float64((len(v)-m)*bits.Len64(span))) / float64(len(v))
		if all < 0.97*p.perValue {
			p, ok = q, true
		}
	}
	if ok && p.perValue > 1 {
		x := values
		if p.delta {
			x = deltas
		}
		ok = commonDivisor(x) == 1 // scaled ones take less, or are quicker to read
	}
	return p, ok
}

// consider sets what a value takes, packed to width or coded by its entropy.
func (p *narrowPlan) consider(sample []uint64, base uint64, width uint) {
	var h [256]uint16
	for _, v := range sample {
		h[uint8(v-base)]++
	}
	held := float32(0)
	for _, c := range h {
		held += countBits[c]
	}
	n := float64(len(sample))
	p.width, p.shannon = width, math.Log2(n)-float64(held)/n
	if p.perValue = float64(width); p.shannon > 0 && p.shannon < entropyGain*p.perValue {
		p.perValue = p.shannon
	} else {
		p.shannon = 0
	}
}

// countBits is c * log2(c) of each count that a sample may have.
var countBits = func() (t [narrowChunks*narrowChunk + 1]float32) {
	for c := 2; c < len(t); c++ {
		t[c] = float32(float64(c) * math.Log2(float64(c)))
	}
	return t
}()

// sampleNarrow returns values that stand for all of v, differences between
// neighbours within groups, and how many of the values equal the one before.
func (e *Encoder) sampleNarrow(v []uint64, ends []uint32) (values, deltas []uint64, same int) {
	e.sampled, e.steps = e.sampled[:0], e.steps[:0]
	step := (len(v) - narrowChunk) / (narrowChunks - 1)
	g := 0
	for i := range narrowChunks {
		from := i * step
		c := v[from : from+narrowChunk]
		e.sampled = append(e.sampled, c...)
		same += len(c) - countRuns(c)
		if ends == nil {
			for k, u := range c[1:] {
				e.steps = append(e.steps, u-c[k])
			}
			continue
		}
		k, _ := slices.BinarySearch(ends[g:], uint32(from+1))
		g += k
		for at := from; at < from+narrowChunk; g++ {
			end := min(int(ends[g]), from+narrowChunk)
			for at++; at < end; at++ {
				e.steps = append(e.steps, v[at]-v[at-1])
			}
			if int(ends[g]) > end {
				break
			}
		}
	}
	return e.sampled, e.steps, same
}

// narrowValues fills out with the distances of v from base and returns all their
// bits: over a byte's if some do not fit.
func narrowValues(out []byte, v []uint64, base uint64) (all uint64) {
	for len(v) >= 4 && len(out) >= 4 {
		u, b := (*[4]uint64)(v), (*[4]byte)(out)
		x0, x1, x2, x3 := u[0]-base, u[1]-base, u[2]-base, u[3]-base
		b[0], b[1], b[2], b[3] = byte(x0), byte(x1), byte(x2), byte(x3)
		all |= x0 | x1 | x2 | x3
		v, out = v[4:], out[4:]
	}
	out = out[:len(v)]
	for i, u := range v {
		u -= base
		all |= u
		out[i] = byte(u)
	}
	return all
}

// narrowDeltas fills firsts with the first value of each group, out with the
// distances of the other values' differences from base, and returns all their
// bits: over a byte's if some do not fit.
func narrowDeltas(out []byte, firsts, v []uint64, ends []uint32, base uint64) (all uint64) {
	start := 0
	for g := range firsts {
		end := len(v)
		if ends != nil {
			end = int(ends[g])
		}
		in := v[start+1 : end]
		last := v[start]
		firsts[g] = last
		d := out[:len(in)]
		out = out[len(in):]
		last += base
		for len(in) >= 8 && len(d) >= 8 {
			u, b := (*[8]uint64)(in), (*[8]byte)(d)
			x0, x1, x2, x3 := u[0]-last, u[1]-u[0]-base, u[2]-u[1]-base, u[3]-u[2]-base
			b[0], b[1], b[2], b[3] = byte(x0), byte(x1), byte(x2), byte(x3)
			all |= x0 | x1 | x2 | x3
			x4, x5, x6, x7 := u[4]-u[3]-base, u[5]-u[4]-base, u[6]-u[5]-base, u[7]-u[6]-base
			b[4], b[5], b[6], b[7] = byte(x4), byte(x5), byte(x6), byte(x7)
			all |= x4 | x5 | x6 | x7
			last = u[7] + base
			in, d = in[8:], d[8:]
		}
		for i, u := range in {
			x := u - last
			all |= x
			d[i] = byte(x)
			last = u + base
		}
		start = end
	}
	return all
}

// byteBounds returns the least and the greatest byte.
func byteBounds(v []byte) (least, most byte) {
	var seen [256]bool
	for len(v) >= 8 {
		seen[v[0]], seen[v[1]], seen[v[2]], seen[v[3]] = true, true, true, true
		seen[v[4]], seen[v[5]], seen[v[6]], seen[v[7]] = true, true, true, true
		v = v[8:]
	}
	for _, b := range v {
		seen[b] = true
	}
	for !seen[least] {
		least++
	}
	for most = 255; !seen[most]; {
		most--
	}
	return least, most
}

// eachByte times a byte is that byte eight times.
const eachByte = 0x0101010101010101

// lower subtracts by, which is at most any of v, from each byte.
func lower(v []byte, by byte) {
	for ; len(v) >= 8; v = v[8:] {
		binary.LittleEndian.PutUint64(v, binary.LittleEndian.Uint64(v)-eachByte*uint64(by))
	}
	for i := range v {
		v[i] -= by
	}
}

// packBytes appends v as pack does, w bits each, at most 8, which is as many as
// any of them has. Neighbours are joined, then pairs, then fours.
func packBytes(dst, v []byte, w uint) []byte {
	at := len(dst)
	n := packedLen(len(v), w)
	dst = growBytes(dst, n+8)
	out := dst[at:]
	w &= 15
	join := func(x uint64) uint64 {
		x = x&0x00ff00ff00ff00ff | x>>8&0x00ff00ff00ff00ff<<w
		x = x&0x0000ffff0000ffff | x>>16&0x0000ffff0000ffff<<(2*w)
		return x&0x00000000ffffffff | x>>32<<(4*w)
	}
	for ; len(v) >= 8; v = v[8:] {
		binary.LittleEndian.PutUint64(out, join(binary.LittleEndian.Uint64(v)))
		out = out[w:]
	}
	var last [8]byte
	copy(last[:], v)
	binary.LittleEndian.PutUint64(out, join(binary.LittleEndian.Uint64(last[:])))
	return dst[:at+n]
}
