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
	lo, hi := bounds(v)
	sum := int64(0)
	for _, u := range v {
		sum += int64(u)
	}
	s := stats{min: uint64(lo), max: uint64(hi), sum: uint64(sum), constant: lo == hi, sumValid: true}
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
