package influxql

import (
	"cmp"
	"fmt"
	"math"
	"slices"

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
	series    *seriesRows
	ascending bool
	chunk     *rows // at hand, nil before the first
	chunks    int   // how many have been
	row       int   // in chunk
	aux       []any
}

func newRowCursor(s *seriesRows, ascending bool) rowCursor {
	c := rowCursor{series: s, ascending: ascending}
	if len(s.chunks) > 0 && len(s.chunks[0].aux) > 0 {
		c.aux = make([]any, len(s.chunks[0].aux))
	}
	return c
}

// step moves to the next row.
func (c *rowCursor) step() bool {
	if c.chunk != nil {
		if c.ascending {
			if c.row++; c.row < len(c.chunk.times) {
				return true
			}
		} else if c.row--; c.row >= 0 {
			return true
		}
	}
	if c.chunks == len(c.series.chunks) {
		return false
	}
	c.chunk = c.series.chunks[c.chunks]
	c.chunks++
	c.row = 0
	if !c.ascending {
		c.row = len(c.chunk.times) - 1
	}
	return true
}

// at is the time of the row.
func (c *rowCursor) at() int64 { return c.chunk.times[c.row] }

// auxAt is the auxiliary value i of the row.
func (c *rowCursor) auxAt(i int) any {
	a := &c.chunk.aux[i]
	if a.column != nil {
		return a.column.at(c.row)
	}
	return a.constant
}

// stringAt is the auxiliary value i of the row if it is a string.
func (c *rowCursor) stringAt(i int) (string, bool) {
	a := &c.chunk.aux[i]
	if a.column == nil {
		s, ok := a.constant.(string)
		return s, ok
	}
	if a.column.typ != point.String || a.column.present != nil && !a.column.present[c.row] {
		return "", false
	}
	return a.column.strs[c.row], true
}

// advance moves to the next row and fills aux with its values.
func (c *rowCursor) advance() bool {
	if !c.step() {
		return false
	}
	c.fill(c.aux)
	return true
}

func (c *rowCursor) fill(aux []any) {
	for i := range aux {
		aux[i] = c.auxAt(i)
	}
}

func (c *rowCursor) Stats() query.IteratorStats {
	return query.IteratorStats{SeriesN: 1, PointN: c.series.n}
}

func (c *rowCursor) Close() error { return nil }

type floatRows struct {
	rowCursor
	p query.FloatPoint
}

func (r *floatRows) Next() (*query.FloatPoint, error) {
	if !r.advance() {
		return nil, nil
	}
	setFloat(&r.p, &r.rowCursor)
	return &r.p, nil
}

type integerRows struct {
	rowCursor
	p query.IntegerPoint
}

func (r *integerRows) Next() (*query.IntegerPoint, error) {
	if !r.advance() {
		return nil, nil
	}
	setInteger(&r.p, &r.rowCursor)
	return &r.p, nil
}

type unsignedRows struct {
	rowCursor
	p query.UnsignedPoint
}

func (r *unsignedRows) Next() (*query.UnsignedPoint, error) {
	if !r.advance() {
		return nil, nil
	}
	setUnsigned(&r.p, &r.rowCursor)
	return &r.p, nil
}

type stringRows struct {
	rowCursor
	p query.StringPoint
}

func (r *stringRows) Next() (*query.StringPoint, error) {
	if !r.advance() {
		return nil, nil
	}
	setString(&r.p, &r.rowCursor)
	return &r.p, nil
}

type booleanRows struct {
	rowCursor
	p query.BooleanPoint
}

func (r *booleanRows) Next() (*query.BooleanPoint, error) {
	if !r.advance() {
		return nil, nil
	}
	setBoolean(&r.p, &r.rowCursor)
	return &r.p, nil
}

// What a point takes from the row of a cursor, but for its auxiliary values.

func setFloat(p *query.FloatPoint, c *rowCursor) {
	p.Time = c.chunk.times[c.row]
	if c.chunk.main.nums != nil {
		p.Value = math.Float64frombits(c.chunk.main.nums[c.row])
	}
}

func setInteger(p *query.IntegerPoint, c *rowCursor) {
	p.Time, p.Value = c.chunk.times[c.row], int64(c.chunk.main.nums[c.row])
}

func setUnsigned(p *query.UnsignedPoint, c *rowCursor) {
	p.Time, p.Value = c.chunk.times[c.row], c.chunk.main.nums[c.row]
}

func setString(p *query.StringPoint, c *rowCursor) {
	p.Time, p.Value = c.chunk.times[c.row], c.chunk.main.strs[c.row]
}

func setBoolean(p *query.BooleanPoint, c *rowCursor) {
	p.Time, p.Value = c.chunk.times[c.row], c.chunk.main.nums[c.row] != 0
}

// newRowsIterator iterates over the rows of one series. typ is the type of the
// main field; rows without one are handed up as floats, as InfluxDB does.
func newRowsIterator(typ point.FieldType, name string, s *seriesRows, ascending bool) query.Iterator {
	c := newRowCursor(s, ascending)
	tags := s.tags
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
	none := newRowsIterator(typ, "", new(seriesRows), true)
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

// mergeLists makes one list of those of the series of a tag set: by window, and
// inside a window in the order of the series.
func mergeLists(lists []query.Iterator, opt *query.IteratorOptions) (query.Iterator, error) {
	if len(lists) == 1 {
		return lists[0], nil
	}
	switch lists[0].(type) {
	case *pointList[query.FloatPoint]:
		return mergePoints(lists, opt, func(p *query.FloatPoint) int64 { return p.Time }), nil
	case *pointList[query.IntegerPoint]:
		return mergePoints(lists, opt, func(p *query.IntegerPoint) int64 { return p.Time }), nil
	case *pointList[query.UnsignedPoint]:
		return mergePoints(lists, opt, func(p *query.UnsignedPoint) int64 { return p.Time }), nil
	case *pointList[query.StringPoint]:
		return mergePoints(lists, opt, func(p *query.StringPoint) int64 { return p.Time }), nil
	case *pointList[query.BooleanPoint]:
		return mergePoints(lists, opt, func(p *query.BooleanPoint) int64 { return p.Time }), nil
	}
	return nil, fmt.Errorf("unsupported list type: %T", lists[0])
}

func mergePoints[P any](lists []query.Iterator, opt *query.IteratorOptions, timeOf func(*P) int64) query.Iterator {
	type placed struct {
		window int64
		p      P
	}
	var all []placed
	for _, l := range lists {
		for _, p := range l.(*pointList[P]).points {
			window, _ := opt.Window(timeOf(&p))
			all = append(all, placed{window, p})
		}
	}
	slices.SortStableFunc(all, func(x, y placed) int {
		if opt.Ascending {
			return cmp.Compare(x.window, y.window)
		}
		return cmp.Compare(y.window, x.window)
	})
	merged := &pointList[P]{points: make([]P, len(all))}
	for i := range all {
		merged.points[i] = all[i].p
	}
	return merged
}
