package record

import (
	"encoding/binary"
	"math/bits"

	"headgate/engine/point"
)

// A sequence is n 64-bit integers, n known to the reader:
//
//	one byte { width code: low 4 bits | delta: bit 4 | scale code: bits 5 and 6 }
//	first     zigzag varint, only with delta
//	base      zigzag varint
//	packed    n values of width bits, n-1 with delta; little-endian, rounded up to a byte
//
//	plain: v[i] = base + scale*packed[i]
//	delta: v[0] = first, v[i] = v[i-1] + base + scale*packed[i-1]
//
// All arithmetic is modulo 2^64, so that signed and unsigned values share it; an
// empty sequence takes no byte at all. Widths are those that cost no more than
// about a nanosecond a value to pack: a byte saved in the log is worth that, a
// bit is not. That is why there is no 5 or 12.
var widths = [...]uint{0, 1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64}

// Scales of times: what a client with a coarse clock leaves as common factor.
const (
	scaleNone = iota
	scaleMicro
	scaleMilli
	scaleSecond
)

var scales = [...]uint64{1, 1e3, 1e6, 1e9}

const (
	widthMask  = 0x0f
	deltaBit   = 0x10
	scaleShift = 5
)

// widthCode is the narrowest width that holds values up to span.
func widthCode(span uint64) byte {
	n := bits.Len64(span)
	switch {
	case n <= 2:
		return byte(n)
	case n <= 4:
		return 3
	}
	return byte(3 + (n+7)/8)
}

func packedLen(n int, code byte) int { return (n*int(widths[code]) + 7) / 8 }

func zigzag(v uint64) uint64   { return v<<1 ^ uint64(int64(v)>>63) }
func unzigzag(v uint64) uint64 { return v>>1 ^ -(v & 1) }

// spanOf returns the least value of v and the distance to the greatest, as
// signed integers. v is not empty.
func spanOf(v []uint64) (base, span uint64) {
	lo, hi := point.Bounds(v)
	return uint64(lo), uint64(hi) - uint64(lo)
}

// deltaSpanOf is spanOf for the differences between neighbours. v has at least
// two values.
func deltaSpanOf(v []uint64) (base, span uint64) {
	prev := v[1]
	d := int64(v[1] - v[0])
	lo, hi := d, d
	for _, x := range v[2:] {
		d = int64(x - prev)
		prev = x
		lo, hi = min(lo, d), max(hi, d)
	}
	return uint64(lo), uint64(hi) - uint64(lo)
}

// deltaCodeMin is the plain width from which a second look at the differences
// pays for values that are not likely to be ordered.
const deltaCodeMin = 6 // 24 bits

// appendSequence appends v. ordered says that v may well be sorted, a counter or
// a clock: it is worth the second look. scaled says that v may have a scale.
func (e *encoder) appendSequence(dst []byte, v []uint64, ordered, scaled bool) []byte {
	if len(v) == 0 {
		return dst
	}
	base, span := spanOf(v)
	code := widthCode(span)
	if code == 0 {
		return binary.AppendUvarint(append(dst, 0), zigzag(base))
	}
	scale := scaleNone
	if scaled {
		scale = scaleOf(v, base)
		code = widthCode(span / scales[scale])
	}
	if len(v) > 2 && code > 1 && (ordered || code >= deltaCodeMin) {
		dbase, dspan := deltaSpanOf(v)
		if dcode := widthCode(dspan / scales[scale]); dcode < code {
			dst = append(dst, dcode|deltaBit|byte(scale<<scaleShift))
			dst = binary.AppendUvarint(dst, zigzag(v[0]))
			dst = binary.AppendUvarint(dst, zigzag(dbase))
			if dcode == 0 {
				return dst
			}
			u := e.scratch(len(v) - 1)
			prev := v[0] + dbase
			for i, x := range v[1:] {
				u[i] = x - prev
				prev = x + dbase
			}
			divide(u, scale)
			return pack(dst, u, 0, dcode)
		}
	}
	dst = append(dst, code|byte(scale<<scaleShift))
	dst = binary.AppendUvarint(dst, zigzag(base))
	if scale == scaleNone {
		return pack(dst, v, base, code)
	}
	u := e.scratch(len(v))
	for i, x := range v {
		u[i] = x - base
	}
	divide(u, scale)
	return pack(dst, u, 0, code)
}

// scaleOf returns the largest scale that divides every distance from base.
// Differences of neighbours are multiples of it then, too.
func scaleOf(v []uint64, base uint64) int {
	switch {
	case divides(v, base, 1e9):
		return scaleSecond
	case divides(v, base, 1e6):
		return scaleMilli
	case divides(v, base, 1e3):
		return scaleMicro
	}
	return scaleNone
}

func divides(v []uint64, base, scale uint64) bool {
	prev := base
	for _, x := range v {
		if x != prev { // neighbours often share a timestamp
			if (x-base)%scale != 0 {
				return false
			}
			prev = x
		}
	}
	return true
}

// divide divides by constants, which is a multiplication.
func divide(u []uint64, scale int) {
	switch scale {
	case scaleMicro:
		for i, x := range u {
			u[i] = x / 1e3
		}
	case scaleMilli:
		for i, x := range u {
			u[i] = x / 1e6
		}
	case scaleSecond:
		for i, x := range u {
			u[i] = x / 1e9
		}
	}
}

// packSlack is how far whole-word stores may run past a packed sequence.
const packSlack = 8

// pack appends v[i]-base in the width of code, which holds it.
func pack(dst []byte, v []uint64, base uint64, code byte) []byte {
	n := packedLen(len(v), code)
	at := len(dst)
	dst = grow(dst, n+packSlack)
	d := dst[at : at+n+packSlack]
	switch width := widths[code]; width {
	case 0:
	case 1, 2, 4:
		packBits(d, v, base, width)
	case 8:
		for i, x := range v {
			d[i] = byte(x - base)
		}
	case 16:
		for i, x := range v {
			binary.LittleEndian.PutUint16(d[i*2:], uint16(x-base))
		}
	case 24:
		for i, x := range v {
			binary.LittleEndian.PutUint32(d[i*3:], uint32(x-base))
		}
	case 32:
		for i, x := range v {
			binary.LittleEndian.PutUint32(d[i*4:], uint32(x-base))
		}
	default:
		step := int(width / 8)
		o := 0
		for _, x := range v {
			binary.LittleEndian.PutUint64(d[o:], x-base)
			o += step
		}
	}
	return dst[:at+n]
}

func packBits(d []byte, v []uint64, base uint64, width uint) {
	perWord := int(64 / width)
	o := 0
	for len(v) > 0 {
		w := v[:min(perWord, len(v))]
		v = v[len(w):]
		var acc uint64
		var shift uint
		for _, x := range w {
			acc |= (x - base) << (shift & 63)
			shift += width
		}
		binary.LittleEndian.PutUint64(d[o:], acc)
		o += 8
	}
}

// unpack is the inverse of pack: out[i] = packed[i]. src holds exactly the
// packed bytes.
func unpack(out []uint64, src []byte, code byte) {
	switch width := widths[code]; width {
	case 0:
		clear(out)
	case 1, 2, 4:
		perByte := int(8 / width)
		mask := byte(1)<<width - 1
		for i := range out {
			out[i] = uint64(src[i/perByte] >> (uint(i%perByte) * width) & mask)
		}
	case 8:
		for i, x := range src[:len(out)] {
			out[i] = uint64(x)
		}
	case 16:
		for i := range out {
			out[i] = uint64(binary.LittleEndian.Uint16(src[i*2:]))
		}
	case 32:
		for i := range out {
			out[i] = uint64(binary.LittleEndian.Uint32(src[i*4:]))
		}
	case 64:
		for i := range out {
			out[i] = binary.LittleEndian.Uint64(src[i*8:])
		}
	default:
		step := int(width / 8)
		mask := uint64(1)<<width - 1
		i := 0
		for ; i < len(out) && i*step+8 <= len(src); i++ {
			out[i] = binary.LittleEndian.Uint64(src[i*step:]) & mask
		}
		for ; i < len(out); i++ { // the last ones have no whole word left
			var x uint64
			for k, b := range src[i*step : (i+1)*step] {
				x |= uint64(b) << (8 * k)
			}
			out[i] = x
		}
	}
}

// sequence reads into out, whose allocation has been charged.
func (d *decoder) sequence(out []uint64) {
	if len(out) == 0 || d.err != nil {
		return
	}
	mode := d.byte()
	code, scale := mode&widthMask, mode>>scaleShift
	if int(code) >= len(widths) || int(scale) >= len(scales) {
		d.fail("unknown sequence encoding")
		return
	}
	delta := mode&deltaBit != 0
	packed := out
	var first uint64
	if delta {
		first = unzigzag(d.uvarint())
		packed = out[1:]
	}
	base := unzigzag(d.uvarint())
	src := d.bytes(packedLen(len(packed), code))
	if d.err != nil {
		return
	}
	unpack(packed, src, code)
	if s := scales[scale]; s != 1 {
		for i := range packed {
			packed[i] *= s
		}
	}
	if !delta {
		for i := range packed {
			packed[i] += base
		}
		return
	}
	out[0] = first
	for i := range packed {
		first += base + packed[i]
		packed[i] = first
	}
}
