package lineproto

import "headgate/engine/point"

// point.AutoPrecision: each timestamp says its own unit, by its magnitude. From
// 1973-03-03T09:46:40Z, when there had been 1e8 seconds, until timestamps end in 2262, a
// number is a time in one unit only:
//
//	                from       to                    digits
//	seconds         1e8        9223372036            9, 10
//	milliseconds    1e11       9223372036854         12, 13
//	microseconds    1e14       9223372036854775      15, 16
//	nanoseconds     1e17       9223372036854775806   18, 19
//
// 0 is the same time in every unit. All others, negative ones among them, are refused: in no
// unit are they a time that is likely to be meant.
const autoFrom = 100_000_000 // seconds

// autoUnit is the unit of a timestamp in nanoseconds, or 0 if n does not tell.
func autoUnit(n uint64) int64 {
	from, unit := uint64(autoFrom), int64(point.Second)
	for ; unit > 0; from, unit = from*1000, unit/1000 {
		if n < from {
			return 0
		}
		if n <= uint64(point.TimeMax/unit) {
			return unit
		}
	}
	return 0
}

// autoTime is quickTime for what is no timestamp in the body's unit: with point.AutoPrecision, all but
// 0. v is the number of n digits at buf[i:].
//
//go:noinline
func (p *Parser) autoTime(buf []byte, i, end int, v uint64, n int) (next int, t int64) {
	if p.unit != 0 || n == 0 || n > 19 {
		return 0, 0
	}
	unit := autoUnit(v)
	if unit == 0 {
		return 0, 0
	}
	p.stamp = stamp{word(buf, i), word(buf, i+8), word(buf, i+n-8), n, int64(v) * unit} // 9 digits at least
	return p.quickTime(buf, i-1, end)
}

// unknownUnit is the reason to refuse such a timestamp.
const unknownUnit = "bad timestamp: precision=auto cannot tell its unit; it takes 9 or 10 digits for s, 12 or 13 for ms, 15 or 16 for us, 18 or 19 for ns"
