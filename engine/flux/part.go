package flux

import (
	"math"
	"slices"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/values"

	"github.com/apache/arrow/go/arrow/array"

	"headgate/engine/point"
)

// part is the table of one series and field while it is read, or the tables of its
// windows.
type part struct {
	source *readSource
	field  string
	typ    point.FieldType
	key    flux.GroupKey
	cols   []flux.ColMeta
	// rows counts the values that have been added, buffers hold them, or what they
	// have been folded to.
	rows    int
	buffers []*arrow.TableBuffer

	// Folds other than first and last of a whole table: acc folds the values since
	// the last result, of which results are the ones that are in no buffer yet.
	acc     accumulator
	results results
	// window is that of acc, next the one after it, or after the last one that is
	// empty. The zero value is no window.
	window, next execute.Bounds
	// run is how many values the last window had in a row: the next one probably
	// has as many.
	run   int
	times []int64
}

// results are folded rows.
type results struct {
	rows   int
	times  []int64
	values point.Column
}

// How much results may hold, as they are not charged to the query before they are in
// a buffer.
const (
	resultRowsMax  = 1024
	resultBytesMax = 256 << 10
)

func newPart(s *readSource, field string) *part {
	p := &part{source: s, field: field, typ: s.types[field]}
	p.key = p.keyFor(execute.Bounds{Start: s.read.bounds.Start, Stop: s.read.bounds.Stop})
	keyCols, at := p.key.Cols(), flux.ColMeta{Label: colTime, Type: flux.TTime}
	f := s.read.fold
	p.results.values.Type = f.resultType(p.typ)
	value := flux.ColMeta{Label: colValue, Type: columnType(p.results.values.Type)}
	if f.aggregates() {
		p.cols = append(slices.Clone(keyCols), value)
		if w := s.read.windows; w != nil && w.time != "" {
			p.cols = append(p.cols, at)
		}
		return p
	}
	p.cols = append(slices.Clone(keyCols[:2]), at, value)
	p.cols = append(p.cols, keyCols[2:]...)
	return p
}

// keyFor is the key of the table with the times of b.
func (p *part) keyFor(b execute.Bounds) flux.GroupKey {
	cols := []flux.ColMeta{{Label: colStart, Type: flux.TTime}, {Label: colStop, Type: flux.TTime}, {Label: colField, Type: flux.TString}, {Label: colMeasurement, Type: flux.TString}}
	vs := []values.Value{values.NewTime(b.Start), values.NewTime(b.Stop), values.NewString(p.field), values.NewString(p.source.measurement)}
	for _, t := range p.source.tags {
		switch t.Key {
		case colStart, colStop, colTime, colValue, colField, colMeasurement:
			continue // a tag cannot have the name of a column that is there
		}
		cols = append(cols, flux.ColMeta{Label: t.Key, Type: flux.TString})
		vs = append(vs, values.NewString(t.Value))
	}
	return execute.NewGroupKey(cols, vs)
}

// add takes the values of a chunk over, which is the reader's.
func (p *part) add(times []int64, c *point.Column) error {
	read := p.source.read
	defer func() { p.rows += c.Len() }()
	switch f := read.fold; {
	case f == foldNone:
		p.append(times, c, 0, c.Len())
	case f == foldFirst && read.windows == nil:
		if p.rows == 0 {
			p.append(times, c, 0, 1)
		}
	case f == foldLast && read.windows == nil:
		if p.rows == 0 {
			p.append(times, c, c.Len()-1, c.Len())
		}
	default:
		if err := f.check(p.typ); err != nil {
			return &Error{Message: err.Error(), Err: err}
		}
		times = p.timesOf(times, c)
		if read.windows != nil {
			return p.addWindows(times, c)
		}
		p.acc.add(f, times, c, 0, c.Len())
	}
	return nil
}

// timesOf are the times of a column's values.
func (p *part) timesOf(times []int64, c *point.Column) []int64 {
	if c.Rows == nil {
		return times[:c.Len()]
	}
	p.times = p.times[:0]
	for _, row := range c.Rows {
		p.times = append(p.times, times[row])
	}
	return p.times
}

// addWindows folds values window by window.
func (p *part) addWindows(times []int64, c *point.Column) error {
	f, n := p.source.read.fold, c.Len()
	for i := 0; i < n; {
		if p.acc.n == 0 || times[i] >= int64(p.window.Stop) {
			if err := p.enterWindow(times[i]); err != nil {
				return err
			}
		}
		j := point.FirstAt(times, i+1, n, i+p.run, int64(p.window.Stop))
		p.run = j - i
		p.acc.add(f, times, c, i, j)
		i = j
	}
	return nil
}

// enterWindow ends the window at hand and begins the one of the time t.
func (p *part) enterWindow(t int64) error {
	if p.acc.n > 0 {
		if err := p.endWindow(p.window); err != nil {
			return err
		}
	}
	w := p.source.read.windows
	at := w.start(execute.Time(t))
	if err := p.emptyWindows(at.Start); err != nil {
		return err
	}
	p.window, p.next = at, w.next(at)
	return nil
}

// emptyWindows makes the results of the windows without values that begin before t.
func (p *part) emptyWindows(t execute.Time) error {
	read := p.source.read
	w := read.windows
	if !w.createEmpty || w.time != "" && !read.fold.aggregates() {
		return nil // a selector has nothing to say of them
	}
	if p.next == (execute.Bounds{}) {
		p.next = w.start(read.bounds.Start)
	}
	for p.next.Start < t {
		if err := p.endWindow(p.next); err != nil {
			return err
		}
		p.next = w.next(p.next)
	}
	return nil
}

// endWindow makes the result of a window, of what acc has.
func (p *part) endWindow(b execute.Bounds) error {
	read := p.source.read
	b.Start, b.Stop = max(b.Start, read.bounds.Start), min(b.Stop, read.bounds.Stop)
	if p.acc.n > 0 || read.fold.aggregates() {
		at := p.acc.at
		switch read.windows.time {
		case colStart:
			at = int64(b.Start)
		case colStop:
			at = int64(b.Stop)
		}
		p.result(at)
	} else if err := p.source.run.alloc.Account(emptyTableBytes); err != nil {
		return err // nothing else bounds how many tables without rows there are
	}
	if read.windows.time != "" {
		if r := &p.results; r.rows < resultRowsMax && len(r.values.Bytes) < resultBytesMax {
			return nil
		}
		p.bufferResults(p.key)
		return p.source.ctx.Err()
	}
	t := &table{key: p.keyFor(b), cols: p.cols}
	p.bufferResults(t.key)
	t.buffers, p.buffers = p.buffers, nil
	return p.source.pass(t)
}

// result makes a row of what acc has.
func (p *part) result(at int64) {
	r := &p.results
	p.acc.appendTo(&r.values, r.rows, p.source.read.fold, p.typ)
	r.times = append(r.times, at)
	r.rows++
	p.acc.reset()
}

// bufferResults moves the results to a buffer.
func (p *part) bufferResults(key flux.GroupKey) {
	r := &p.results
	if r.rows == 0 {
		return
	}
	run := p.source.run
	at := arrow.NewIntBuilder(run.alloc)
	defer at.Release()
	at.Resize(r.rows)
	for _, t := range r.times {
		at.Append(t)
	}
	p.buffer(key, at.NewInt64Array(), arrayWithNulls(run, &r.values, r.rows), r.rows)
	r.rows, r.times = 0, r.times[:0]
	r.values = point.Column{Type: r.values.Type, Nums: r.values.Nums[:0], Bytes: r.values.Bytes[:0], Ends: r.values.Ends[:0]}
}

// append adds a buffer with values from low to high.
func (p *part) append(times []int64, c *point.Column, low, high int) {
	alloc, n := p.source.run.alloc, high-low
	at := arrow.NewIntBuilder(alloc)
	at.Resize(n)
	for i := low; i < high; i++ {
		at.Append(times[c.Row(i)])
	}
	p.buffer(p.key, at.NewInt64Array(), arrayOf(p.source.run, c, low, high), n)
	at.Release()
}

// buffer adds n rows, whose other columns are the group key's. It takes the arrays over.
func (p *part) buffer(key flux.GroupKey, times, vs array.Interface, n int) {
	b := &arrow.TableBuffer{GroupKey: key, Columns: p.cols}
	timed := false
	for _, col := range p.cols {
		switch col.Label {
		case colTime:
			b.Values, timed = append(b.Values, times), true
		case colValue:
			b.Values = append(b.Values, vs)
		default:
			b.Values = append(b.Values, arrow.Repeat(key.LabelValue(col.Label), n, p.source.run.alloc))
		}
	}
	if !timed {
		times.Release()
	}
	p.buffers = append(p.buffers, b)
}

// arrayOf copies values of a column.
func arrayOf(r *run, c *point.Column, low, high int) array.Interface {
	n := high - low
	switch c.Type {
	case point.Float:
		b := arrow.NewFloatBuilder(r.alloc)
		defer b.Release()
		b.Resize(n)
		for _, v := range c.Nums[low:high] {
			b.Append(math.Float64frombits(v))
		}
		return b.NewFloat64Array()
	case point.Integer:
		b := arrow.NewIntBuilder(r.alloc)
		defer b.Release()
		b.Resize(n)
		for _, v := range c.Nums[low:high] {
			b.Append(int64(v))
		}
		return b.NewInt64Array()
	case point.Unsigned:
		b := arrow.NewUintBuilder(r.alloc)
		defer b.Release()
		b.Resize(n)
		for _, v := range c.Nums[low:high] {
			b.Append(v)
		}
		return b.NewUint64Array()
	case point.Boolean:
		b := arrow.NewBoolBuilder(r.alloc)
		defer b.Release()
		b.Resize(n)
		for _, v := range c.Nums[low:high] {
			b.Append(v != 0)
		}
		return b.NewBooleanArray()
	}
	b := arrow.NewStringBuilder(r.alloc)
	defer b.Release()
	b.Resize(n)
	for i := low; i < high; i++ {
		b.Append(c.StringAt(i))
	}
	return b.NewBinaryArray()
}

// arrayWithNulls copies a column of n rows.
func arrayWithNulls(r *run, c *point.Column, n int) array.Interface {
	if c.Dense(n) {
		return arrayOf(r, c, 0, n)
	}
	var b array.Builder
	var add func(i int)
	switch c.Type {
	case point.Float:
		f := arrow.NewFloatBuilder(r.alloc)
		b, add = f, func(i int) { f.Append(math.Float64frombits(c.Nums[i])) }
	case point.Integer:
		f := arrow.NewIntBuilder(r.alloc)
		b, add = f, func(i int) { f.Append(int64(c.Nums[i])) }
	case point.Unsigned:
		f := arrow.NewUintBuilder(r.alloc)
		b, add = f, func(i int) { f.Append(c.Nums[i]) }
	case point.Boolean:
		f := arrow.NewBoolBuilder(r.alloc)
		b, add = f, func(i int) { f.Append(c.Nums[i] != 0) }
	default:
		f := arrow.NewStringBuilder(r.alloc)
		b, add = f, func(i int) { f.Append(c.StringAt(i)) }
	}
	defer b.Release()
	b.Resize(n)
	i := 0
	for row := range n {
		if i < c.Len() && c.Row(i) == row {
			add(i)
			i++
		} else {
			b.AppendNull()
		}
	}
	return b.NewArray()
}

// finish is the table of what has been added, nil if nothing was, or if it has been
// passed on already.
func (p *part) finish() (*table, error) {
	if p.rows == 0 {
		return nil, nil
	}
	read := p.source.read
	switch {
	case read.windows != nil:
		err := p.endWindow(p.window)
		if err == nil {
			err = p.emptyWindows(read.bounds.Stop)
		}
		if err != nil || read.windows.time == "" {
			return nil, err
		}
	case read.fold != foldNone && read.fold != foldFirst && read.fold != foldLast:
		p.result(p.acc.at)
	}
	p.bufferResults(p.key)
	t := &table{key: p.key, cols: p.cols, buffers: p.buffers}
	p.buffers = nil
	return t, nil
}

func (p *part) release() {
	for _, b := range p.buffers {
		b.Release()
	}
	p.buffers = nil
}
