package flux

import (
	"fmt"
	"math"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/values"

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

// resultType is the type of an aggregate of values of type t.
func (f fold) resultType(t flux.ColType) flux.ColType {
	switch f {
	case foldCount:
		return flux.TInt
	case foldMean:
		return flux.TFloat
	}
	return t
}

// check refuses what Flux's engine refuses.
func (f fold) check(t flux.ColType) error {
	number := t == flux.TFloat || t == flux.TInt || t == flux.TUInt
	switch {
	case number || f == foldCount:
		return nil
	case f.aggregates():
		return fmt.Errorf("unsupported aggregate column type %v", t)
	}
	return fmt.Errorf("invalid use of function: a selector of numbers has no implementation for type %v", t)
}

// accumulator folds numbers.
type accumulator struct {
	n     int64
	float float64
	// bits is an integer's sum, or the value that a selector has chosen, at the
	// time at.
	bits uint64
	at   int64
}

// add folds the values of a chunk.
func (a *accumulator) add(f fold, t point.FieldType, times []int64, c *point.Column) {
	switch f {
	case foldCount:
	case foldSum, foldMean:
		for _, v := range c.Nums {
			a.bits += v
			a.float += number(t, v)
		}
	default:
		for i, v := range c.Nums {
			if a.n == 0 && i == 0 || a.chooses(f, t, v) {
				a.bits, a.at = v, times[c.Row(i)]
			}
		}
	}
	a.n += int64(c.Len())
}

// number is a value as a float.
func number(t point.FieldType, v uint64) float64 {
	switch t {
	case point.Float:
		return math.Float64frombits(v)
	case point.Integer:
		return float64(int64(v))
	}
	return float64(v)
}

// chooses reports whether a selector prefers v to what it has.
func (a *accumulator) chooses(f fold, t point.FieldType, v uint64) bool {
	x, y := v, a.bits
	if f == foldMax {
		x, y = y, x
	}
	switch t {
	case point.Float:
		return math.Float64frombits(x) < math.Float64frombits(y)
	case point.Integer:
		return int64(x) < int64(y)
	}
	return x < y
}

// finish makes the row of p.
func (a *accumulator) finish(p *part, f fold) {
	alloc := p.source.run.alloc
	var v values.Value
	switch t := columnType(p.typ); {
	case f == foldCount:
		v = values.NewInt(a.n)
	case f == foldMean:
		v = values.NewFloat(a.float / float64(a.n))
	case t == flux.TInt:
		v = values.NewInt(int64(a.bits))
	case t == flux.TUInt:
		v = values.NewUInt(a.bits)
	case f == foldSum:
		v = values.NewFloat(a.float)
	default:
		v = values.NewFloat(math.Float64frombits(a.bits))
	}
	if f.aggregates() {
		p.buffer(nil, arrow.Repeat(v, 1, alloc), 1)
		return
	}
	p.buffer(arrow.Repeat(values.NewTime(values.Time(a.at)), 1, alloc), arrow.Repeat(v, 1, alloc), 1)
}
