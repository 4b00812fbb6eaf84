package influxql

import (
	"fmt"
	"math"

	"github.com/influxdata/influxdb/query"

	"headgate/engine/point"
)

// nexter is what query.FloatIterator and its siblings have in common.
type nexter[P any] interface {
	query.Iterator
	Next() (*P, error)
}

// The iterators below hand out the same point again and again, as InfluxDB's
// storage engine does; who keeps one clones it.

// rowCursor walks the rows of a series in the direction of the query.
type rowCursor struct {
	rows *rows
	next int
	step int
	aux  []any
}

func newRowCursor(r *rows, ascending bool) rowCursor {
	c := rowCursor{rows: r, step: 1}
	if !ascending {
		c.next, c.step = r.len()-1, -1
	}
	if len(r.aux) > 0 {
		c.aux = make([]any, len(r.aux))
		for i := range r.aux {
			c.aux[i] = r.aux[i].constant
		}
	}
	return c
}

// advance moves to the next row and fills aux with its values.
func (c *rowCursor) advance() (row int, ok bool) {
	row = c.next
	if row < 0 || row >= c.rows.len() {
		return 0, false
	}
	c.next += c.step
	for i := range c.aux {
		if col := c.rows.aux[i].column; col != nil {
			c.aux[i] = col.at(row)
		}
	}
	return row, true
}

func (c *rowCursor) Stats() query.IteratorStats {
	return query.IteratorStats{SeriesN: 1, PointN: c.rows.len()}
}

func (c *rowCursor) Close() error { return nil }

type floatRows struct {
	rowCursor
	p query.FloatPoint
}

func (r *floatRows) Next() (*query.FloatPoint, error) {
	i, ok := r.advance()
	if !ok {
		return nil, nil
	}
	r.p.Time = r.rows.times[i]
	if r.rows.main.nums != nil {
		r.p.Value = math.Float64frombits(r.rows.main.nums[i])
	}
	return &r.p, nil
}

type integerRows struct {
	rowCursor
	p query.IntegerPoint
}

func (r *integerRows) Next() (*query.IntegerPoint, error) {
	i, ok := r.advance()
	if !ok {
		return nil, nil
	}
	r.p.Time, r.p.Value = r.rows.times[i], int64(r.rows.main.nums[i])
	return &r.p, nil
}

type unsignedRows struct {
	rowCursor
	p query.UnsignedPoint
}

func (r *unsignedRows) Next() (*query.UnsignedPoint, error) {
	i, ok := r.advance()
	if !ok {
		return nil, nil
	}
	r.p.Time, r.p.Value = r.rows.times[i], r.rows.main.nums[i]
	return &r.p, nil
}

type stringRows struct {
	rowCursor
	p query.StringPoint
}

func (r *stringRows) Next() (*query.StringPoint, error) {
	i, ok := r.advance()
	if !ok {
		return nil, nil
	}
	r.p.Time, r.p.Value = r.rows.times[i], r.rows.main.strs[i]
	return &r.p, nil
}

type booleanRows struct {
	rowCursor
	p query.BooleanPoint
}

func (r *booleanRows) Next() (*query.BooleanPoint, error) {
	i, ok := r.advance()
	if !ok {
		return nil, nil
	}
	r.p.Time, r.p.Value = r.rows.times[i], r.rows.main.nums[i] != 0
	return &r.p, nil
}

// newRowsIterator iterates over the rows of one series. typ is the type of the
// main field; rows without one are handed up as floats, as InfluxDB does.
func newRowsIterator(typ point.FieldType, name string, tags query.Tags, r *rows, ascending bool) query.Iterator {
	c := newRowCursor(r, ascending)
	switch typ {
	case point.Integer:
		return &integerRows{c, query.IntegerPoint{Name: name, Tags: tags, Aux: c.aux}}
	case point.Unsigned:
		return &unsignedRows{c, query.UnsignedPoint{Name: name, Tags: tags, Aux: c.aux}}
	case point.String:
		return &stringRows{c, query.StringPoint{Name: name, Tags: tags, Aux: c.aux}}
	case point.Boolean:
		return &booleanRows{c, query.BooleanPoint{Name: name, Tags: tags, Aux: c.aux}}
	}
	return &floatRows{c, query.FloatPoint{Name: name, Tags: tags, Aux: c.aux}}
}

// pointList hands out points that were made before.
type pointList[P any] struct {
	points []P
	next   int
}

func (l *pointList[P]) Next() (*P, error) {
	if l.next == len(l.points) {
		return nil, nil
	}
	l.next++
	return &l.points[l.next-1], nil
}

func (l *pointList[P]) Stats() query.IteratorStats {
	return query.IteratorStats{SeriesN: 1, PointN: len(l.points)}
}

func (l *pointList[P]) Close() error { return nil }

// cloner is a point that copies itself.
type cloner[P any] interface {
	*P
	Clone() *P
}

func collectPoints[P any, C cloner[P]](itr nexter[P]) (query.Iterator, int, error) {
	l := new(pointList[P])
	for {
		p, err := itr.Next()
		if err != nil {
			return nil, 0, err
		}
		if p == nil {
			return l, len(l.points), nil
		}
		l.points = append(l.points, *C(p).Clone())
	}
}

// collect drains an iterator into a list and says how long it is.
func collect(itr query.Iterator) (query.Iterator, int, error) {
	switch itr := itr.(type) {
	case query.FloatIterator:
		return collectPoints(itr)
	case query.IntegerIterator:
		return collectPoints(itr)
	case query.UnsignedIterator:
		return collectPoints(itr)
	case query.StringIterator:
		return collectPoints(itr)
	case query.BooleanIterator:
		return collectPoints(itr)
	}
	return nil, 0, fmt.Errorf("unsupported iterator type: %T", itr)
}

// reducedType is the type of the points that call makes of points of type typ. A
// function that does not take them is an error, in the query package's words.
func reducedType(typ point.FieldType, opt query.IteratorOptions) (point.FieldType, error) {
	none := newRowsIterator(typ, "", query.Tags{}, new(rows), true)
	itr, err := query.NewCallIterator(query.NewInterruptIterator(none, opt.InterruptCh), opt)
	if err != nil {
		return 0, err
	}
	switch itr.(type) {
	case query.IntegerIterator:
		return point.Integer, nil
	case query.UnsignedIterator:
		return point.Unsigned, nil
	case query.StringIterator:
		return point.String, nil
	case query.BooleanIterator:
		return point.Boolean, nil
	}
	return point.Float, nil
}
