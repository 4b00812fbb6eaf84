package influxql

import (
	"github.com/influxdata/influxdb/query"

	"headgate/engine/point"
)

// rowMerger walks the rows of the series of one tag set in the order of time. It is
// the query package's sorted merge for series whose points differ in nothing else:
// the same heap, so that rows of the same time come in the same order, over columns
// instead of iterators.
type rowMerger struct {
	ascending bool
	heap      []mergeItem
	started   bool
	n, series int
}

// mergeItem is a series in the heap. time is that of its row.
type mergeItem struct {
	time int64
	*rowCursor
}

func newRowMerger(series []*seriesRows, ascending bool) *rowMerger {
	m := &rowMerger{ascending: ascending, series: len(series)}
	cursors := make([]rowCursor, len(series))
	m.heap = make([]mergeItem, 0, len(series))
	for i, s := range series {
		m.n += s.n
		// Without room for aux: rows are read through auxAt.
		cursors[i] = rowCursor{series: s, ascending: ascending}
		if cursors[i].step() {
			m.heap = append(m.heap, mergeItem{cursors[i].at(), &cursors[i]})
		}
	}
	return m
}

// next is the next row's cursor, nil at the end. It is good until the next call.
func (m *rowMerger) next() *rowCursor {
	if len(m.heap) == 1 {
		if m.started && !m.heap[0].step() {
			m.heap = nil
			return nil
		}
		m.started = true
		return m.heap[0].rowCursor
	}
	if !m.started {
		for i := len(m.heap)/2 - 1; i >= 0; i-- {
			m.down(i, len(m.heap))
		}
		m.started = true
	} else if n := len(m.heap); n > 0 {
		// The row handed out last is at the end, where pop has put it.
		last := &m.heap[n-1]
		if last.step() {
			last.time = last.at()
			m.up(n - 1)
		} else {
			m.heap = m.heap[:n-1]
		}
	}
	n := len(m.heap)
	if n == 0 {
		return nil
	}
	m.heap[0], m.heap[n-1] = m.heap[n-1], m.heap[0]
	m.down(0, n-1)
	return m.heap[n-1].rowCursor
}

// less is query's order of points: by time, then by the leading auxiliary values
// that are strings.
func (m *rowMerger) less(x, y *mergeItem) bool {
	if x.time != y.time {
		return (x.time < y.time) == m.ascending
	}
	return m.lessAux(x.rowCursor, y.rowCursor)
}

func (m *rowMerger) lessAux(x, y *rowCursor) bool {
	for i := range x.chunk.aux {
		vx, ok := x.stringAt(i)
		if !ok {
			return false
		}
		vy, ok := y.stringAt(i)
		if !ok {
			return false
		}
		if vx != vy {
			return (vx < vy) == m.ascending
		}
	}
	return false
}

func (m *rowMerger) up(j int) {
	for {
		i := (j - 1) / 2
		if i == j || !m.less(&m.heap[j], &m.heap[i]) {
			return
		}
		m.heap[i], m.heap[j] = m.heap[j], m.heap[i]
		j = i
	}
}

func (m *rowMerger) down(i, n int) {
	for {
		j := 2*i + 1
		if j >= n {
			return
		}
		if right := j + 1; right < n && m.less(&m.heap[right], &m.heap[j]) {
			j = right
		}
		if !m.less(&m.heap[j], &m.heap[i]) {
			return
		}
		m.heap[i], m.heap[j] = m.heap[j], m.heap[i]
		i = j
	}
}

// mergeIterator hands out the rows of a merger.
type mergeIterator[P any] struct {
	rows *rowMerger
	p    P
	tags *query.Tags // of p
	aux  []any       // of p
	set  func(*P, *rowCursor)
}

func (it *mergeIterator[P]) Next() (*P, error) {
	c := it.rows.next()
	if c == nil {
		return nil, nil
	}
	it.set(&it.p, c)
	c.fill(it.aux)
	*it.tags = c.series.tags
	return &it.p, nil
}

func (it *mergeIterator[P]) Stats() query.IteratorStats {
	return query.IteratorStats{SeriesN: it.rows.series, PointN: it.rows.n}
}

func (it *mergeIterator[P]) Close() error { return nil }

// newMergeIterator iterates over the rows of the series of one tag set, by time.
func newMergeIterator(typ point.FieldType, name string, aux int, series []*seriesRows, ascending bool) query.Iterator {
	m := newRowMerger(series, ascending)
	values := make([]any, aux)
	if aux == 0 {
		values = nil
	}
	switch typ {
	case point.Integer:
		it := &mergeIterator[query.IntegerPoint]{rows: m, aux: values, set: setInteger, p: query.IntegerPoint{Name: name, Aux: values}}
		it.tags = &it.p.Tags
		return it
	case point.Unsigned:
		it := &mergeIterator[query.UnsignedPoint]{rows: m, aux: values, set: setUnsigned, p: query.UnsignedPoint{Name: name, Aux: values}}
		it.tags = &it.p.Tags
		return it
	case point.String:
		it := &mergeIterator[query.StringPoint]{rows: m, aux: values, set: setString, p: query.StringPoint{Name: name, Aux: values}}
		it.tags = &it.p.Tags
		return it
	case point.Boolean:
		it := &mergeIterator[query.BooleanPoint]{rows: m, aux: values, set: setBoolean, p: query.BooleanPoint{Name: name, Aux: values}}
		it.tags = &it.p.Tags
		return it
	}
	it := &mergeIterator[query.FloatPoint]{rows: m, aux: values, set: setFloat, p: query.FloatPoint{Name: name, Aux: values}}
	it.tags = &it.p.Tags
	return it
}
