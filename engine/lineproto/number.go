package lineproto

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"headgate/engine/point"
)

// slackBytes is how far beyond a position the quick conversions below may read:
// a sign, 19 digits, a point, 19 digits, e, a sign, and three words.
const slackBytes = 80

var pow10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// floatPow10 are the powers of ten that a float64 holds exactly.
var floatPow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

const (
	zeros = 0x3030303030303030
	highs = 0x8080808080808080
)

// digitsIn is the number of decimal digits at the start of w, 0 to 8. x is w
// exclusive or zeros.
func digitsIn(x uint64) int {
	// A byte is a digit if it is below 10 now: adding 0x76 then leaves its high
	// bit clear. The high bits are kept out of the sum so that nothing carries.
	return bits.TrailingZeros64((((x&^highs)+0x7676767676767676)|x)&highs) >> 3
}

// eightDigits is the value of eight digits, the first in the lowest byte. x holds
// digit values, not characters.
func eightDigits(x uint64) uint64 {
	x = x*10 + x>>8
	return ((x&0x000000ff000000ff)*(100+1000000<<32) + (x>>16&0x000000ff000000ff)*(1+10000<<32)) >> 32
}

// word is the eight bytes at b[i:].
//
// This is the one place where the quick ways do without bounds checks, which would be a
// third of their instructions. Every caller holds that 0 <= i and i+8 <= len(b): positions only
// grow, each field begins with a comparison of its position with last, the end of
// the buffer less slackBytes, and slackBytes covers all that is read until the next.
func word(b []byte, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))[:])
}

// digits converts the run of decimal digits at b[i:] and returns its value and
// length. It looks at no more than 24; a run of 20 or more has no value. The
// caller sees to it that b[i+24] exists.
func digits(b []byte, i int) (v uint64, n int) {
	x := word(b, i) ^ zeros
	n = digitsIn(x)
	if n < 8 {
		return eightDigits(x << (64 - 8*uint(n))), n
	}
	v = eightDigits(x)
	x = word(b, i+8) ^ zeros
	m := digitsIn(x)
	if m < 8 {
		return v*pow10[m] + eightDigits(x<<(64-8*uint(m))), 8 + m
	}
	v = v*1e8 + eightDigits(x)
	x = word(b, i+16) ^ zeros
	m = digitsIn(x)
	if m > 3 {
		return 0, 16 + m
	}
	return v*pow10[m] + eightDigits(x<<(64-8*uint(m))), 16 + m
}

// number converts the number at b[i:] and returns its type, its bits and where
// it ends. The type is 0 if there is no number that can be converted quickly; then the
// general way says what it is. The caller sees to it that b[i+slackBytes] exists, and
// checks that the number is followed by what may follow a number.
func number(b []byte, i int) (typ point.FieldType, v uint64, end int) {
	start := i
	sign := bit(b[i] == '-') // applied without branches: signs are hard to predict
	i += int(sign)
	v, n := digits(b, i)
	i += n
	switch b[i] {
	case 'i':
		if n == 0 || n > 19 || v > math.MaxInt64+sign {
			return 0, 0, 0
		}
		return point.Integer, v ^ -sign + sign, i + 1
	case 'u':
		if n == 0 || n > 19 || sign != 0 {
			return 0, 0, 0
		}
		return point.Unsigned, v, i + 1
	}
	if n > 19 {
		return 0, 0, 0
	}
	fraction := 0
	if b[i] == '.' {
		var f uint64
		f, fraction = digits(b, i+1)
		i += 1 + fraction
		if n+fraction > 19 {
			if v != 0 || fraction > 19 { // leading zeros do not count
				return slowFloat(b, start, i)
			}
		} else {
			f += v * pow10[fraction]
		}
		v, n = f, n+fraction
	}
	if n == 0 {
		return 0, 0, 0
	}
	exponent := -fraction
	if b[i]|0x20 == 'e' {
		i++
		down := b[i] == '-'
		if down || b[i] == '+' {
			i++
		}
		e, m := digits(b, i)
		if m == 0 || m > 3 {
			return 0, 0, 0
		}
		i += m
		if down {
			e = -e
		}
		exponent += int(e)
	}
	var f float64
	switch {
	case exponent == 0:
		f = float64(v) // rounds to nearest even
	case v < 1<<53 && exponent < 0 && exponent >= -22:
		f = float64(v) / floatPow10[-exponent]
	case v < 1<<53 && exponent > 0 && exponent <= 22:
		f = float64(v) * floatPow10[exponent]
	case exponent < 0 && exponent >= -19:
		f = quotient(v, pow10[-exponent])
	default:
		return slowFloat(b, start, i)
	}
	return point.Float, math.Float64bits(f) | sign<<63, i
}

// slowFloat leaves b[start:end], which must have the form of a float, to strconv.
// More digits may follow: a run was not read to its end.
func slowFloat(b []byte, start, end int) (typ point.FieldType, v uint64, _ int) {
	if isDigit(b[end]) || b[end]|0x20 == 'e' {
		return 0, 0, 0
	}
	f, err := parseFloat(b[start:end])
	if err != nil {
		return 0, 0, 0
	}
	return point.Float, math.Float64bits(f), end
}

// quotient is m / d, correctly rounded: to nearest, ties to even. m and d are not
// zero, and the result is neither subnormal nor too large.
func quotient(m, d uint64) float64 {
	if m == 0 {
		return 0
	}
	// Shift both so that their highest bits are set; m gets one less if it would
	// not be smaller than d. Both are in
	// [2**63, 2**64), so m * 2**64 / d has 64 significant bits.
	lm, ld := bits.LeadingZeros64(m), bits.LeadingZeros64(d)
	m, d = m<<lm, d<<ld
	shift := 64 + lm - ld
	var low uint64
	if m >= d {
		m, low = m>>1, m<<63
		shift--
	}
	q, r := bits.Div64(m, low, d)
	// Keep 53 bits and round by the other 11 and the remainder.
	keep, rest := q>>11, q&(1<<11-1)
	switch half := uint64(1 << 10); {
	case rest > half, rest == half && r != 0, rest == half && keep&1 == 1:
		keep++ // to 1<<53 at most, which is exact
	}
	return math.Float64frombits(uint64(1023+11-shift)<<52) * float64(keep)
}

// parseFloat is strconv.ParseFloat for bytes.
func parseFloat(b []byte) (float64, error) {
	// The string lives no longer than the call: on success nothing keeps it, and
	// on failure strconv clones what it quotes.
	return strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
}

// bit is 1 for true.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func isDigit(c byte) bool { return c-'0' < 10 }
