package flux

import (
	"fmt"
	"math"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/stdlib/universe"

	"github.com/apache/arrow/go/arrow/array"
)

// numbers are the values of a column, with null where ok is false.
type numbers struct {
	v  []float64
	ok []bool
}

func newNumbers(n int) numbers { return numbers{make([]float64, n), make([]bool, n)} }

func (s numbers) set(i int, v float64, ok bool) { s.v[i], s.ok[i] = v, ok }

// mean is that of the values from a first to before a last one, null when all are.
func (s numbers) mean(from, to int) (float64, bool) {
	sum, n := 0.0, 0
	for i := from; i < to; i++ {
		if s.ok[i] {
			sum += s.v[i]
			n++
		}
	}
	return sum / float64(n), n > 0
}

// averaging is what a transformation makes of the values of a column, of which there is
// one at least: as many values, which are those of its last rows.
type averaging func(in numbers, n int) numbers

// average replaces columns by what f makes of them, over n rows at a time.
func average(name string, n int64, columns []string, rows *tableRows, f averaging) (flux.Table, error) {
	if n <= 0 {
		return nil, &Error{Message: fmt.Sprintf("%s: n is %d, and must be positive", name, n)}
	}
	if len(columns) == 0 {
		return nil, &Error{Message: name + ": no columns"}
	}
	rowsOut := 0
	var made []column
	for _, label := range columns {
		j, err := rows.column(name, label)
		if err != nil {
			return nil, err
		}
		in, err := rows.numbers(name, j)
		if err != nil {
			return nil, err
		}
		var out numbers
		if rows.n > 0 {
			// No more than there are rows make a difference.
			out = f(in, int(min(n, int64(rows.n)+1)))
		}
		rowsOut = len(out.v)
		b := arrow.NewFloatBuilder(rows.alloc)
		b.AppendValues(out.v, out.ok)
		made = append(made, column{flux.ColMeta{Label: label, Type: flux.TFloat}, b.NewFloat64Array()})
		b.Release()
	}
	return rows.cut(rows.n-rowsOut, rows.n, made...), nil
}

// numbers reads a column of numbers.
func (r *tableRows) numbers(name string, j int) (numbers, error) {
	c := r.cols[j]
	if c.Type != flux.TInt && c.Type != flux.TUInt && c.Type != flux.TFloat {
		return numbers{}, r.wrongType(name, j, "numbers")
	}
	// Some four columns of them are under way at a time.
	const numberBytes = 4 * (8 + 1)
	if err := r.hold(numberBytes * r.n); err != nil {
		return numbers{}, err
	}
	out := newNumbers(r.n)
	i := 0
	for _, cr := range r.buffers {
		vs := columnOf(cr, j)
		for k := range vs.Len() {
			if vs.IsValid(k) {
				switch vs := vs.(type) {
				case *array.Int64:
					out.v[i] = float64(vs.Value(k))
				case *array.Uint64:
					out.v[i] = float64(vs.Value(k))
				case *array.Float64:
					out.v[i] = vs.Value(k)
				}
				out.ok[i] = true
			}
			i++
		}
	}
	return out, nil
}

var valueColumn = []string{colValue}

func replaceAverages() {
	replace(universe.MovingAverageKind, func(s *universe.MovingAverageProcedureSpec, rows *tableRows) (flux.Table, error) {
		return average(universe.MovingAverageKind, s.N, valueColumn, rows, movingAverage)
	})
	replace(universe.ExponentialMovingAverageKind, func(s *universe.ExponentialMovingAverageProcedureSpec, rows *tableRows) (flux.Table, error) {
		return average(universe.ExponentialMovingAverageKind, s.N, valueColumn, rows, exponentialMovingAverage)
	})
	replace(universe.TripleExponentialDerivativeKind, func(s *universe.TripleExponentialDerivativeProcedureSpec, rows *tableRows) (flux.Table, error) {
		return average(universe.TripleExponentialDerivativeKind, s.N, valueColumn, rows, tripleExponentialDerivative)
	})
	replace(universe.RelativeStrengthIndexKind, func(s *universe.RelativeStrengthIndexProcedureSpec, rows *tableRows) (flux.Table, error) {
		return average(universe.RelativeStrengthIndexKind, s.N, s.Columns, rows, relativeStrengthIndex)
	})
	replace(universe.ChandeMomentumOscillatorKind, func(s *universe.ChandeMomentumOscillatorProcedureSpec, rows *tableRows) (flux.Table, error) {
		return average(universe.ChandeMomentumOscillatorKind, s.N, s.Columns, rows, chandeMomentumOscillator)
	})
	replace(kaufmansAMAKind, func(s *universe.KamaProcedureSpec, rows *tableRows) (flux.Table, error) {
		return average(kaufmansAMAKind, s.N, []string{s.Column}, rows, kaufmansAMA)
	})
}

const kaufmansAMAKind = "kaufmansAMA"

// movingAverage is the mean of each n rows, or that of all when they are fewer. Nulls do
// not count.
func movingAverage(in numbers, n int) numbers {
	if len(in.v) < n {
		return meanOfAll(in)
	}
	out := newNumbers(len(in.v) - n + 1)
	sum, valid := 0.0, 0
	for i, v := range in.v {
		if in.ok[i] {
			sum += v
			valid++
		}
		first := i - n + 1
		if first < 0 {
			continue
		}
		if valid > 0 {
			out.set(first, sum/float64(valid), true)
		}
		if in.ok[first] {
			sum -= in.v[first]
			if valid--; valid == 0 {
				sum = 0 // and nothing of what was rounded
			}
		}
	}
	return out
}

func meanOfAll(in numbers) numbers {
	out := newNumbers(1)
	v, ok := in.mean(0, len(in.v))
	out.set(0, v, ok)
	return out
}

// exponentialMovingAverage begins with the mean of n rows, or is that of all when they are
// fewer. A null leaves it as it was.
func exponentialMovingAverage(in numbers, n int) numbers {
	if len(in.v) < n {
		return meanOfAll(in)
	}
	return smooth(in, n)
}

// smooth is exponentialMovingAverage of n rows at least, and nothing of fewer.
func smooth(in numbers, n int) numbers {
	if len(in.v) < n {
		return numbers{}
	}
	out := newNumbers(len(in.v) - n + 1)
	k := 2 / float64(n+1)
	v, ok := in.mean(0, n)
	out.set(0, v, ok)
	for i := n; i < len(in.v); i++ {
		switch {
		case in.ok[i] && ok:
			v = in.v[i]*k + v*(1-k)
		case in.ok[i]:
			v, ok = in.v[i], true
		}
		out.set(i-n+1, v, ok)
	}
	return out
}

// tripleExponentialDerivative is by how many per cent each row of the average of the
// average of the average has grown; one null where there are no two such rows.
func tripleExponentialDerivative(in numbers, n int) numbers {
	average := smooth(smooth(smooth(in, n), n), n)
	if len(average.v) < 2 {
		return newNumbers(1)
	}
	out := newNumbers(len(average.v) - 1)
	for i := range out.v {
		out.set(i, (average.v[i+1]/average.v[i]-1)*100, average.ok[i] && average.ok[i+1])
	}
	return out
}

// relativeStrengthIndex compares how far values went up with how far they went down. As
// InfluxDB has it, the first one came from 0; the averages of both are those of the first
// n rows, and smoothed from there on; rows up to n give one, of all of them. A null
// leaves it as it was.
func relativeStrengthIndex(in numbers, n int) numbers {
	out := newNumbers(max(len(in.v)-n, 1))
	var up, down, last float64
	count := 0.0
	for i, v := range in.v {
		if in.ok[i] {
			gain, loss := max(v-last, 0), max(last-v, 0)
			if last = v; count == 0 || i < n {
				up, down = (up*count+gain)/(count+1), (down*count+loss)/(count+1)
			} else {
				k := 1 / float64(n)
				up, down = gain*k+up*(1-k), loss*k+down*(1-k)
			}
			count++
		}
		if at := i - len(in.v) + len(out.v); at >= 0 {
			out.set(at, 100-100/(1+up/down), count > 0)
		}
	}
	return out
}

// momentum calls f for each row after the first n with how far values went up in the
// last n steps, and down. A null is where the value before was.
func momentum(in numbers, n int, f func(i int, v, before, up, down float64)) {
	var ups, downs int
	var up, down, v float64
	seen := false
	steps := make([]float64, len(in.v))
	for i := range in.v {
		before := v
		if in.ok[i] {
			if v = in.v[i]; seen {
				steps[i] = v - before
			}
			seen = true
		}
		switch step := steps[i]; {
		case step > 0:
			up += step
			ups++
		case step < 0:
			down -= step
			downs++
		}
		if i < n {
			continue
		}
		f(i, v, before, up, down)
		switch step := steps[i-n+1]; {
		case step > 0:
			if ups--; ups == 0 {
				up = 0 // and nothing of what was rounded
			} else {
				up -= step
			}
		case step < 0:
			if downs--; downs == 0 {
				down = 0
			} else {
				down += step
			}
		}
	}
}

// chandeMomentumOscillator is NaN where values do not change.
func chandeMomentumOscillator(in numbers, n int) numbers {
	out := newNumbers(max(len(in.v)-n, 0))
	momentum(in, n, func(i int, _, _, up, down float64) { out.set(i-n, 100*(up-down)/(up+down), true) })
	return out
}

// kaufmansAMA begins with the value before the first row that it has, and follows values
// the faster the straighter they go.
func kaufmansAMA(in numbers, n int) numbers {
	const fastest, slowest = 2.0 / (2 + 1), 2.0 / (30 + 1)
	out := newNumbers(max(len(in.v)-n, 0))
	var average float64
	momentum(in, n, func(i int, v, before, up, down float64) {
		if i == n {
			average = before
		}
		efficiency := 0.0 // where values do not change
		if up+down > 0 {
			efficiency = math.Abs(up-down) / (up + down)
		}
		average += math.Pow(efficiency*(fastest-slowest)+slowest, 2) * (v - average)
		out.set(i-n, average, true)
	})
	return out
}
