package flux

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/influxdata/flux"

	"headgate/engine/point"
)

// fold is what becomes of the rows of a table.
type fold uint8

const (
	// foldNone keeps the rows.
	foldNone fold = iota
	// The selectors keep one row.
	foldFirst
	foldLast
	foldMin
	foldMax
	// The aggregates make a row without time.
	foldCount
	foldSum
	foldMean
)

func (f fold) aggregates() bool { return f >= foldCount }

// resultType is the type of the result for values of type t.
func (f fold) resultType(t point.FieldType) point.FieldType {
	switch f {
	case foldCount:
		return point.Integer
	case foldMean:
		return point.Float
	}
	return t
}

// check refuses what Flux's engine refuses.
func (f fold) check(t point.FieldType) error {
	switch {
	case t == point.Float, t == point.Integer, t == point.Unsigned, f == foldCount, f == foldFirst, f == foldLast:
		return nil
	case f.aggregates():
		return fmt.Errorf("unsupported aggregate column type %v", columnType(t))
	}
	return fmt.Errorf("invalid use of function: a selector of numbers has no implementation for type %v", columnType(t))
}

// columnType is Flux's type of a field.
func columnType(t point.FieldType) flux.ColType {
	switch t {
	case point.Float:
		return flux.TFloat
	case point.Integer:
		return flux.TInt
	case point.Unsigned:
		return flux.TUInt
	case point.Boolean:
		return flux.TBool
	}
	return flux.TString
}

// accumulator folds values, oldest first.
type accumulator struct {
	n int64
	// num is the sum, or the value that a selector has chosen, at the time at; text
	// is that value when it is a string.
	num  uint64
	at   int64
	text []byte
	// high is the upper half of the sum of integers: a mean does not overflow.
	high uint64
}

func (a *accumulator) reset() { *a = accumulator{text: a.text[:0]} }

// add folds the values from i to j of a column, whose times are times.
func (a *accumulator) add(f fold, times []int64, c *point.Column, i, j int) {
	fresh := a.n == 0
	a.n += int64(j - i)
	pick := -1
	switch f {
	case foldCount:
	case foldSum, foldMean:
		a.sum(c.Type, c.Nums[i:j])
	case foldFirst:
		if fresh {
			pick = i
		}
	case foldLast:
		pick = j - 1
	case foldMin, foldMax:
		if pick = a.extreme(f, c.Type, fresh, c.Nums[i:j]); pick >= 0 {
			pick += i
		}
	}
	switch {
	case pick < 0:
		return
	case c.Type == point.String:
		a.text = append(a.text[:0], c.StringAt(pick)...)
	default:
		a.num = c.Nums[pick]
	}
	a.at = times[pick]
}

func (a *accumulator) sum(t point.FieldType, nums []uint64) {
	switch t {
	case point.Float:
		s := math.Float64frombits(a.num)
		for _, v := range nums {
			s += math.Float64frombits(v)
		}
		a.num = math.Float64bits(s)
	case point.Integer:
		for _, v := range nums {
			var carry uint64
			a.num, carry = bits.Add64(a.num, v, 0)
			a.high += uint64(int64(v)>>63) + carry
		}
	default:
		for _, v := range nums {
			var carry uint64
			a.num, carry = bits.Add64(a.num, v, 0)
			a.high += carry
		}
	}
}

// extreme is the index of what a selector prefers to what it has, -1 for none.
func (a *accumulator) extreme(f fold, t point.FieldType, fresh bool, nums []uint64) int {
	var flip uint64
	if t == point.Float {
		if f == foldMax {
			flip = 1 << 63
		}
		return point.LeastFloat(fresh, a.num, nums, flip, false)
	}
	if f == foldMax {
		flip = math.MaxUint64
	}
	if t == point.Integer {
		flip ^= 1 << 63
	}
	return point.LeastUnsigned(fresh, a.num, nums, flip, false)
}

// mean is the mean of values of type t.
func (a *accumulator) mean(t point.FieldType) float64 {
	var sum float64
	switch {
	case t == point.Float:
		sum = math.Float64frombits(a.num)
	case t == point.Integer && a.high == uint64(int64(a.num)>>63):
		sum = float64(int64(a.num))
	case t == point.Unsigned && a.high == 0:
		sum = float64(a.num)
	case t == point.Integer:
		sum = float64(int64(a.high))*(1<<64) + float64(a.num)
	default:
		sum = float64(a.high)*(1<<64) + float64(a.num)
	}
	return sum / float64(a.n)
}

// appendTo sets the row of a column of results. It leaves out what is null: anything
// but the count of no values.
func (a *accumulator) appendTo(c *point.Column, row int, f fold, t point.FieldType) {
	switch {
	case f == foldCount:
		c.AppendNum(row, uint64(a.n))
	case a.n == 0:
	case f == foldMean:
		c.AppendNum(row, math.Float64bits(a.mean(t)))
	case t == point.String:
		c.AppendString(row, a.text)
	default:
		c.AppendNum(row, a.num)
	}
}
