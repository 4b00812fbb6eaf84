package record

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Floats are one byte of encoding, then:
//
//	0 to 6      decimals: v[i] = float64(s[i]) / 10^encoding, s a sequence
//	floatXOR    first: 8 bytes; one byte { width code: low 4 bits }, one byte shift;
//	            packed: v[i] = first xor packed[i]<<shift
//
// Most floats of monitoring data are whole numbers or have a few decimals: as
// integers they take 1 to 3 bytes. What is left are measured values with full
// mantissas, where anything beyond cutting off what all have in common (such as
// the zeros of a widened float32) costs more time than the bytes are worth.
const (
	decimalsMax = 6
	floatXOR    = 0x40
)

var powersOf10 = [decimalsMax + 1]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6}

// roundingBias added and subtracted rounds a float64 below wholeMax to an integer.
const (
	roundingBias = 1<<52 + 1<<51
	wholeMax     = 1 << 51
)

// decimalsOf returns how many decimals v has, from at least atLeast on, and
// false when it has too many.
func decimalsOf(v uint64, atLeast int) (int, bool) {
	for k := atLeast; k <= decimalsMax; k++ {
		if _, ok := scaled(v, powersOf10[k]); ok {
			return k, true
		}
	}
	return 0, false
}

// scaled returns the integer s for which float64(s)/power is v to the bit.
func scaled(v uint64, power float64) (s uint64, ok bool) {
	f := math.Float64frombits(v)
	x := f * power
	r := float64(x+roundingBias) - roundingBias
	return uint64(int64(r)), math.Abs(x) < wholeMax && math.Float64bits(r/power) == v
}

// floatSamples is how many values are looked at before all are converted.
const floatSamples = 8

func (e *encoder) appendFloats(dst []byte, v []uint64) []byte {
	k := 0
	for i, step := 0, max(1, len(v)/floatSamples); i < len(v); i += step {
		var ok bool
		if k, ok = decimalsOf(v[i], k); !ok {
			return appendXOR(dst, v, e.scratch(len(v)))
		}
	}
	s := e.scratch2(len(v))
	// A sample misses rare values with more decimals: start over with theirs.
	for restarts := 0; ; restarts++ {
		i := convert(s, v, powersOf10[k])
		if i == len(v) {
			dst = append(dst, byte(k))
			return e.appendSequence(dst, s, false, false)
		}
		var ok bool
		if k, ok = decimalsOf(v[i], k+1); !ok || restarts == 2 {
			return appendXOR(dst, v, e.scratch(len(v)))
		}
	}
}

// convert fills s with scaled values and returns how many could be.
func convert(s, v []uint64, power float64) int {
	s = s[:len(v)]
	if power == 1 { // spares the division
		for i, x := range v {
			f := math.Float64frombits(x)
			n := int64(f)
			if math.Float64bits(float64(n)) != x || n > wholeMax || n < -wholeMax {
				return i
			}
			s[i] = uint64(n)
		}
		return len(v)
	}
	for i, x := range v {
		n, ok := scaled(x, power)
		if !ok {
			return i
		}
		s[i] = n
	}
	return len(v)
}

func appendXOR(dst []byte, v, u []uint64) []byte {
	first := v[0]
	var any uint64
	for i, x := range v {
		u[i] = x ^ first
		any |= u[i]
	}
	shift := uint(0)
	if any != 0 {
		shift = uint(bits.TrailingZeros64(any))
	}
	code := widthCode(any >> shift)
	if shift > 0 {
		for i := range u {
			u[i] >>= shift & 63
		}
	}
	dst = append(dst, floatXOR)
	dst = binary.LittleEndian.AppendUint64(dst, first)
	dst = append(dst, code, byte(shift))
	return pack(dst, u, 0, code)
}

// floats reads into out.
func (d *decoder) floats(out []uint64) {
	mode := d.byte()
	switch {
	case d.err != nil:
	case mode <= decimalsMax:
		d.sequence(out)
		if d.err != nil {
			return
		}
		power := powersOf10[mode]
		for i, s := range out {
			out[i] = math.Float64bits(float64(int64(s)) / power)
		}
	case mode == floatXOR:
		head := d.bytes(10)
		if d.err != nil {
			return
		}
		first, code, shift := binary.LittleEndian.Uint64(head), head[8], head[9]
		if int(code) >= len(widths) || shift > 63 {
			d.fail("unknown float encoding")
			return
		}
		src := d.bytes(packedLen(len(out), code))
		if d.err != nil {
			return
		}
		unpack(out, src, code)
		for i := range out {
			out[i] = out[i]<<(shift&63) ^ first
		}
	default:
		d.fail("unknown float encoding")
	}
}
