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

// part is the table of one series and field while it is read.
type part struct {
	source *readSource
	field  string
	typ    point.FieldType
	key    flux.GroupKey
	cols   []flux.ColMeta
	// rows counts the values that have been added, buffers hold them; for folds
	// other than first and last acc does.
	rows    int
	buffers []*arrow.TableBuffer
	acc     accumulator
}

func newPart(s *readSource, field string) *part {
	p := &part{source: s, field: field, typ: s.types[field]}
	times := []flux.ColMeta{{Label: colStart, Type: flux.TTime}, {Label: colStop, Type: flux.TTime}}
	keyCols := append(slices.Clone(times), flux.ColMeta{Label: colField, Type: flux.TString}, flux.ColMeta{Label: colMeasurement, Type: flux.TString})
	keyValues := []values.Value{values.NewTime(s.read.bounds.Start), values.NewTime(s.read.bounds.Stop), values.NewString(field), values.NewString(s.measurement)}
	for _, t := range s.tags {
		switch t.Key {
		case colStart, colStop, colTime, colValue, colField, colMeasurement:
			continue // a tag cannot have the name of a column that is there
		}
		keyCols = append(keyCols, flux.ColMeta{Label: t.Key, Type: flux.TString})
		keyValues = append(keyValues, values.NewString(t.Value))
	}
	p.key = execute.NewGroupKey(keyCols, keyValues)
	value := flux.ColMeta{Label: colValue, Type: columnType(p.typ)}
	if s.read.fold.aggregates() {
		value.Type = s.read.fold.resultType(value.Type)
		p.cols = append(slices.Clone(keyCols), value)
		return p
	}
	p.cols = append(slices.Clone(times), flux.ColMeta{Label: colTime, Type: flux.TTime}, value)
	p.cols = append(p.cols, keyCols[2:]...)
	return p
}

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

// add takes the values of a chunk over, which is the reader's.
func (p *part) add(times []int64, c *point.Column) error {
	switch f := p.source.read.fold; f {
	case foldNone:
		p.append(times, c, 0, c.Len())
	case foldFirst:
		if p.rows == 0 {
			p.append(times, c, 0, 1)
		}
	case foldLast:
		if p.rows == 0 {
			p.append(times, c, c.Len()-1, c.Len())
		}
	default:
		if err := f.check(columnType(p.typ)); err != nil {
			return &Error{Message: err.Error(), Err: err}
		}
		p.acc.add(f, p.typ, times, c)
	}
	p.rows += c.Len()
	return nil
}

// append adds a buffer with values from low to high.
func (p *part) append(times []int64, c *point.Column, low, high int) {
	alloc, n := p.source.run.alloc, high-low
	at := arrow.NewIntBuilder(alloc)
	at.Resize(n)
	for i := low; i < high; i++ {
		at.Append(times[c.Row(i)])
	}
	p.buffer(at.NewInt64Array(), arrayOf(p.source.run, c, low, high), n)
	at.Release()
}

// buffer adds n rows, whose other columns are the group key's.
func (p *part) buffer(times, vs array.Interface, n int) {
	b := &arrow.TableBuffer{GroupKey: p.key, Columns: p.cols}
	for _, col := range p.cols {
		switch col.Label {
		case colTime:
			b.Values = append(b.Values, times)
		case colValue:
			b.Values = append(b.Values, vs)
		default:
			b.Values = append(b.Values, arrow.Repeat(p.key.LabelValue(col.Label), n, p.source.run.alloc))
		}
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

// finish is the table of what has been added, nil if nothing was.
func (p *part) finish() *table {
	if p.rows == 0 {
		return nil
	}
	if f := p.source.read.fold; f != foldNone && f != foldFirst && f != foldLast {
		p.acc.finish(p, f)
	}
	t := &table{key: p.key, cols: p.cols, buffers: p.buffers}
	p.buffers = nil
	return t
}

func (p *part) release() {
	for _, b := range p.buffers {
		b.Release()
	}
	p.buffers = nil
}
