package block

import (
	"encoding/binary"
	"math"

	"headgate/engine/point"
)

// Floats begin with one byte: floatBits for integers that order as the floats
// do, or 1+k for decimals: integers that, divided by 10^k, give the floats to the
// bit, except for listed ones.
const (
	floatBits   = 0
	decimalsMax = 15
)

var powersOf10 = [decimalsMax + 1]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// orderedBits maps the bits of floats to integers of the same order, and back.
func orderedBits(u uint64) uint64 { return u ^ uint64(int64(u)>>63)>>1 }

// Adding and subtracting roundingBias rounds a float below wholeMax to an integer.
const (
	roundingBias = 1<<52 + 1<<51
	wholeMax     = 1 << 51
)

// scaled returns the integer s for which float64(s)/power is u to the bit. A
// division is rounded correctly, so whatever has been read from a few decimals
// comes back as it was; multiplying by 10^-k would not do.
func scaled(u uint64, power float64) (s uint64, ok bool) {
	x := math.Float64frombits(u) * power
	r := float64(x+roundingBias) - roundingBias
	return uint64(int64(r)), math.Abs(x) < wholeMax && math.Float64bits(r/power) == u
}

const (
	floatSamples = 40
	// exceptionBits is about what an exception takes.
	exceptionBits = 80
)

// decimalsOf returns how many decimals most values of v have, and false if it is
// no use to treat them as decimals.
func decimalsOf(v []uint64) (int, bool) {
	var have [decimalsMax + 2]int
	n := min(len(v), floatSamples)
	for i := range n {
		u := v[i*len(v)/n]
		k := 0
		for k <= decimalsMax {
			if _, ok := scaled(u, powersOf10[k]); ok {
				break
			}
			k++
		}
		have[k]++
	}
	// Each decimal more takes 3.3 bits in every value.
	best, least, exceptions := 0, math.Inf(1), n
	for k := range decimalsMax + 1 {
		exceptions -= have[k]
		if c := float64(exceptions*exceptionBits) + 3.3*float64(k*n); c < least {
			best, least = k, c
		}
	}
	missing := 0
	for _, c := range have[best+1:] {
		missing += c
	}
	return best, missing <= n/8
}

func (e *Encoder) appendFloats(dst []byte, v []uint64, ends []uint32) []byte {
	if k, ok := decimalsOf(v); ok {
		if out, ok := e.appendDecimals(dst, v, ends, k); ok {
			return out
		}
	}
	e.wide = resize(e.wide, len(v))
	for i, u := range v {
		e.wide[i] = orderedBits(u)
	}
	return e.appendInts(append(dst, floatBits), e.wide, ends, 0, hintNone)
}

// appendDecimals appends v as decimals, unless too many are none.
func (e *Encoder) appendDecimals(dst []byte, v []uint64, ends []uint32, k int) ([]byte, bool) {
	e.wide = resize(e.wide, len(v))
	e.positions = e.positions[:0]
	power := powersOf10[k]
	out := e.wide[:len(v)]
	last := uint64(0)
	for i, u := range v {
		var s uint64
		var ok bool
		if k == 0 { // spares the division
			n := int64(math.Float64frombits(u))
			s, ok = uint64(n), math.Float64bits(float64(n)) == u && n < wholeMax && n > -wholeMax
		} else {
			s, ok = scaled(u, power)
		}
		if !ok {
			if len(e.positions) > len(v)/8 {
				return dst, false
			}
			e.positions = append(e.positions, uint64(i))
			s = last // any will do
		}
		out[i] = s
		last = s
	}
	dst = append(dst, byte(1+k))
	dst = binary.AppendUvarint(dst, uint64(len(e.positions)))
	dst = e.appendInts(dst, e.positions, nil, 1, hintAscending)
	for _, i := range e.positions {
		dst = binary.LittleEndian.AppendUint64(dst, v[i])
	}
	return e.appendInts(dst, out, ends, 0, hintNone), true
}

// floats reads len(dst) floats.
func (d *decoder) floats(r *reader, dst []uint64, ends []uint32) {
	mode := r.byte()
	switch {
	case mode == floatBits:
		d.note("bits")
		d.ints(r, dst, ends, 0)
		for i, u := range dst {
			dst[i] = orderedBits(u)
		}
		return
	case mode > 1+decimalsMax:
		r.fail("unknown coding of floats")
	}
	n := r.count(0, len(dst), "more exceptions than values")
	d.rows = resize(d.rows, n)
	d.ints(r, d.rows, nil, 1)
	exceptions := r.bytes(8 * n)
	d.noteDecimals(int(mode)-1, n)
	d.ints(r, dst, ends, 0)
	if r.err != nil {
		return
	}
	if mode == 1 {
		for i, s := range dst {
			dst[i] = math.Float64bits(float64(int64(s)))
		}
	} else {
		power := powersOf10[mode-1]
		for i, s := range dst {
			dst[i] = math.Float64bits(float64(int64(s)) / power)
		}
	}
	for i, k := range d.rows {
		if k >= uint64(len(dst)) {
			r.fail("exception is beyond the values")
			return
		}
		dst[k] = binary.LittleEndian.Uint64(exceptions[8*i:])
	}
}

// numbers reads the section of a column that is not of strings.
func (d *decoder) numbers(r *reader, t point.FieldType, dst []uint64, ends []uint32) {
	if t == point.Float {
		d.floats(r, dst, ends)
		return
	}
	d.ints(r, dst, ends, 0)
	if t != point.Boolean || r.err != nil {
		return
	}
	var all uint64
	for _, u := range dst {
		all |= u
	}
	if all > 1 {
		r.fail("boolean is neither 0 nor 1")
	}
}
