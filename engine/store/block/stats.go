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

// boundsAndSum is bounds with the sum, which wraps.
func boundsAndSum(v []uint64) (lo, hi int64, sum uint64) {
	lo, hi = int64(v[0]), int64(v[0])
	lo2, hi2 := lo, hi
	for ; len(v) >= 8; v = v[8:] {
		u := (*[8]uint64)(v)
		lo, hi = min(lo, int64(u[0])), max(hi, int64(u[0]))
		lo2, hi2 = min(lo2, int64(u[1])), max(hi2, int64(u[1]))
		lo, hi = min(lo, int64(u[2])), max(hi, int64(u[2]))
		lo2, hi2 = min(lo2, int64(u[3])), max(hi2, int64(u[3]))
		sum += u[0] + u[1] + (u[2] + u[3])
		lo, hi = min(lo, int64(u[4])), max(hi, int64(u[4]))
		lo2, hi2 = min(lo2, int64(u[5])), max(hi2, int64(u[5]))
		lo, hi = min(lo, int64(u[6])), max(hi, int64(u[6]))
		lo2, hi2 = min(lo2, int64(u[7])), max(hi2, int64(u[7]))
		sum += u[4] + u[5] + (u[6] + u[7])
	}
	for _, u := range v {
		lo, hi = min(lo, int64(u)), max(hi, int64(u))
		sum += u
	}
	return min(lo, lo2), max(hi, hi2), sum
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
