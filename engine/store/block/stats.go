package block

import (
	"encoding/binary"
	"math"
	"math/bits"

	"headgate/engine/point"
)

// stats is what a header says about the numbers of a column. min and max are of
// the type's order; NaNs do not count unless there is nothing else.
type stats struct {
	min, max, sum uint64
	constant      bool // all have the same bits
	sumValid      bool
}

func statsOf(t point.FieldType, v []uint64) stats {
	switch t {
	case point.Float:
		return floatStats(v)
	case point.Integer:
		return integerStats(v)
	}
	s := stats{min: v[0], max: v[0], sumValid: true}
	var carry uint64
	for _, u := range v {
		s.min, s.max = min(s.min, u), max(s.max, u)
		var c uint64
		s.sum, c = bits.Add64(s.sum, u, 0)
		carry |= c
	}
	s.constant = s.min == s.max
	if carry != 0 {
		s.sum, s.sumValid = 0, false
	}
	return s
}

// sumSafe is an absolute value of which RowsMax do not overflow.
const sumSafe = math.MaxInt64 / RowsMax

func integerStats(v []uint64) stats {
	lo, hi, sum := boundsAndSum(v)
	s := stats{min: uint64(lo), max: uint64(hi), sum: sum, constant: lo == hi, sumValid: true}
	if lo >= -sumSafe && hi <= sumSafe {
		return s
	}
	// In 128 bits, and see whether it fits.
	var low, high uint64
	for _, u := range v {
		var c uint64
		low, c = bits.Add64(low, u, 0)
		high, _ = bits.Add64(high, uint64(int64(u)>>63), c)
	}
	if high != uint64(int64(low)>>63) {
		s.sum, s.sumValid = 0, false
	}
	return s
}

// boundsAndSum is bounds with the sum, which wraps. It takes four values at a
// time, none of which waits for another.
func boundsAndSum(v []uint64) (lo, hi int64, sum uint64) {
	lo0, hi0 := int64(v[0]), int64(v[0])
	lo1, hi1, lo2, hi2, lo3, hi3 := lo0, hi0, lo0, hi0, lo0, hi0
	var sum1 uint64
	for ; len(v) >= 4; v = v[4:] {
		a, b, c, d := int64(v[0]), int64(v[1]), int64(v[2]), int64(v[3])
		sum += uint64(a) + uint64(b)
		sum1 += uint64(c) + uint64(d)
		lo0, hi0 = min(lo0, a), max(hi0, a)
		lo1, hi1 = min(lo1, b), max(hi1, b)
		lo2, hi2 = min(lo2, c), max(hi2, c)
		lo3, hi3 = min(lo3, d), max(hi3, d)
	}
	for _, u := range v {
		sum += u
		lo0, hi0 = min(lo0, int64(u)), max(hi0, int64(u))
	}
	return min(lo0, lo1, lo2, lo3), max(hi0, hi1, hi2, hi3), sum + sum1
}

func floatStats(v []uint64) stats {
	s := stats{min: v[0], max: v[0], constant: true}
	lo, hi := math.Inf(1), math.Inf(-1)
	numbers := false
	for _, u := range v {
		if u != v[0] {
			s.constant = false
		}
		f := math.Float64frombits(u)
		if f == f {
			numbers = true
		}
		if f < lo {
			lo = f
		}
		if f > hi {
			hi = f
		}
	}
	switch {
	case s.constant:
	case numbers:
		s.min, s.max = math.Float64bits(lo), math.Float64bits(hi)
	default:
		s.min = math.Float64bits(math.NaN())
		s.max = s.min
	}
	return s
}

func (s *stats) appendTo(h []byte, t point.FieldType) []byte {
	if t == point.Float {
		h = appendFloat(h, s.min)
		if !s.constant {
			h = appendFloat(h, s.max)
		}
		return h
	}
	h = appendVarint(h, s.min)
	if s.constant {
		return h
	}
	h = binary.AppendUvarint(h, s.max-s.min)
	if s.sumValid {
		h = appendVarint(h, s.sum)
	}
	return h
}

// appendFloat appends the bits of a float, the last byte first: few digits make
// few bytes.
func appendFloat(h []byte, u uint64) []byte {
	return binary.AppendUvarint(h, bits.ReverseBytes64(u))
}

func (r *reader) stats(t point.FieldType, flags byte, n int) stats {
	s := stats{constant: flags&columnConstant != 0, sumValid: flags&columnSum != 0}
	if t == point.Float {
		s.min = bits.ReverseBytes64(r.uvarint())
		s.max = s.min
		if !s.constant {
			s.max = bits.ReverseBytes64(r.uvarint())
		}
		return s
	}
	s.min = r.varint()
	s.max = s.min
	if s.constant {
		if s.sumValid {
			s.sum = s.min * uint64(n)
		}
		return s
	}
	s.max += r.uvarint()
	if s.sumValid {
		s.sum = r.varint()
	}
	return s
}
