package flux

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/values"

	"github.com/apache/arrow/go/arrow/array"

	"headgate/engine/point"
)

// The columns that every table of a bucket has.
const (
	colStart       = execute.DefaultStartColLabel
	colStop        = execute.DefaultStopColLabel
	colTime        = execute.DefaultTimeColLabel
	colValue       = execute.DefaultValueColLabel
	colField       = "_field"
	colMeasurement = "_measurement"
)

func newReadSource(spec plan.ProcedureSpec, id execute.DatasetID, a execute.Administration) (execute.Source, error) {
	read, r := spec.(*readProcedure), runOf(a.Context())
	if r == nil {
		return nil, errors.New("flux: a read outside of a query")
	}
	reader, err := r.snapshot(a.Context(), read.from.Bucket, read.from.BucketID)
	if err != nil {
		return nil, err
	}
	return execute.CreateSourceFromIterator(&readSource{run: r, read: read, reader: reader}, id)
}

// readSource makes the tables of a bucket: one for each series and field.
type readSource struct {
	run    *run
	read   *readProcedure
	reader point.Reader
	emit   func(flux.Table) error

	// The series at hand.
	measurement string
	tags        []point.Tag
	fields      []string
	types       map[string]point.FieldType
	parts       []*part
	// ctx is that of Do, which is on the stack meanwhile.
	ctx context.Context
}

// Do implements execute.SourceIterator.
func (s *readSource) Do(ctx context.Context, f func(flux.Table) error) error {
	s.ctx, s.emit = ctx, f
	b := s.read.bounds
	low, high := max(int64(b.Start), point.TimeMin), point.TimeMax
	if int64(b.Stop) <= high {
		high = int64(b.Stop) - 1
	}
	if int64(b.Start) >= int64(b.Stop) || low > high {
		return nil
	}
	for _, measurement := range s.reader.Measurements() {
		for _, g := range s.groups(measurement) {
			if err := s.readGroup(g, low, high); err != nil {
				if ctx.Err() == nil {
					_ = s.run.fail(err)
				}
				return err
			}
		}
	}
	return nil
}

// fieldGroup is fields of a measurement that are read for the same series.
type fieldGroup struct {
	measurement string
	fields      []string
	filter      *point.TagFilter
}

// groups splits the fields of a measurement by what the filter makes of them.
func (s *readSource) groups(measurement string) []fieldGroup {
	types := s.reader.Fields(measurement)
	var groups []fieldGroup
	for _, field := range sortedKeys(types) {
		filter, possible := narrow(s.read.filter, measurement, field)
		if !possible {
			continue
		}
		// First and last are of one field each; and a filter that depends on the
		// field is of one, too.
		if n := len(groups); n > 0 && s.read.fold != foldFirst && s.read.fold != foldLast && !mentionsField(s.read.filter) {
			groups[n-1].fields = append(groups[n-1].fields, field)
			continue
		}
		groups = append(groups, fieldGroup{measurement: measurement, fields: []string{field}, filter: filter})
	}
	return groups
}

// narrow is what is left of a filter for one measurement and field; false when it
// passes nothing.
func narrow(f *point.TagFilter, measurement, field string) (*point.TagFilter, bool) {
	if f == nil {
		return nil, true
	}
	switch f.Op {
	case point.TagAnd:
		var terms []*point.TagFilter
		for _, t := range f.Terms {
			t, possible := narrow(t, measurement, field)
			if !possible {
				return nil, false
			}
			if t != nil {
				terms = append(terms, t)
			}
		}
		if len(terms) == 0 {
			return nil, true
		}
		return &point.TagFilter{Op: point.TagAnd, Terms: terms}, true
	case point.TagOr:
		var terms []*point.TagFilter
		for _, t := range f.Terms {
			t, possible := narrow(t, measurement, field)
			if possible && t == nil {
				return nil, true
			}
			if possible {
				terms = append(terms, t)
			}
		}
		return &point.TagFilter{Op: point.TagOr, Terms: terms}, len(terms) > 0
	}
	value := field
	switch f.Key {
	case colMeasurement:
		value = measurement
	case colField:
	default:
		return f, true
	}
	return nil, f.Pass([]point.Tag{{Key: f.Key, Value: value}})
}

func mentionsField(f *point.TagFilter) bool {
	return f != nil && (f.Key == colField || slices.ContainsFunc(f.Terms, mentionsField))
}

// readGroup reads the fields of g and emits their tables.
func (s *readSource) readGroup(g fieldGroup, low, high int64) error {
	series, err := s.reader.SeriesWhere(g.measurement, g.filter)
	if err != nil || len(series) == 0 {
		return err
	}
	ids := make([]point.SeriesID, len(series))
	tags := make(map[point.SeriesID][]point.Tag, len(series))
	for i := range series {
		ids[i], tags[series[i].ID] = series[i].ID, series[i].Tags
	}
	const seriesBytes = 64
	if err := s.run.alloc.Account(len(series) * seriesBytes); err != nil {
		return err
	}
	defer func() { _ = s.run.alloc.Account(-len(series) * seriesBytes) }()
	s.measurement, s.fields, s.types = g.measurement, g.fields, s.reader.Fields(g.measurement)
	req := point.ReadRequest{Measurement: g.measurement, Series: ids, Fields: g.fields, Min: low, Max: high, Meter: meter{s.run}}
	one := s.read.fold == foldFirst || s.read.fold == foldLast
	if one {
		req.RowsMax, req.Descending = 1, s.read.fold == foldLast
	}
	var at point.SeriesID
	err = s.reader.Read(s.ctx, req, func(rows point.SeriesRows) error {
		if rows.Series != at {
			if err := s.flush(); err != nil {
				return err
			}
			at, s.tags = rows.Series, tags[rows.Series]
			s.begin()
		}
		for i, c := range rows.Columns {
			if c == nil || c.Len() == 0 {
				continue
			}
			if err := s.parts[i].add(rows.Times, c); err != nil {
				return err
			}
		}
		if one && s.parts[0].rows > 0 {
			return point.ErrSkipSeries
		}
		return nil
	})
	if err == nil {
		err = s.flush()
	}
	for _, p := range s.parts {
		p.release()
	}
	s.parts = nil
	return err
}

// begin starts the tables of a series.
func (s *readSource) begin() {
	s.parts = make([]*part, len(s.fields))
	for i, field := range s.fields {
		s.parts[i] = newPart(s, field)
	}
}

// flush emits the tables of the series at hand.
func (s *readSource) flush() error {
	parts := s.parts
	s.parts = nil
	for i, p := range parts {
		t := p.finish()
		if t == nil {
			continue
		}
		if err := s.run.under.enter(s.ctx); err != nil {
			t.Done()
			for _, p := range parts[i+1:] {
				p.release()
			}
			return err
		}
		t.onDone = s.run.under.leave
		if err := s.emit(t); err != nil {
			for _, p := range parts[i+1:] {
				p.release()
			}
			return err
		}
	}
	return nil
}

// meter charges what the reader holds to the query.
type meter struct{ run *run }

// Hold implements point.Meter.
func (m meter) Hold(bytes int64) error { return m.run.alloc.Account(int(bytes)) }

// Release implements point.Meter.
func (m meter) Release(bytes int64) { _ = m.run.alloc.Account(-int(bytes)) }

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

// table is rows in memory that have been read.
type table struct {
	key     flux.GroupKey
	cols    []flux.ColMeta
	buffers []*arrow.TableBuffer
	used    bool
	onDone  func()
}

var _ flux.Table = (*table)(nil)

func (t *table) Key() flux.GroupKey { return t.key }

func (t *table) Cols() []flux.ColMeta { return t.cols }

func (t *table) Empty() bool { return len(t.buffers) == 0 }

// Do implements flux.Table.
func (t *table) Do(f func(flux.ColReader) error) error {
	if t.used {
		return errors.New("flux: table already read")
	}
	t.used = true
	var err error
	for i, b := range t.buffers {
		if err == nil {
			err = f(b)
		}
		b.Release()
		t.buffers[i] = nil
	}
	t.done()
	return err
}

// Done implements flux.Table.
func (t *table) Done() {
	if t.used {
		return
	}
	t.used = true
	for _, b := range t.buffers {
		b.Release()
	}
	t.done()
}

func (t *table) done() {
	if t.onDone != nil {
		t.onDone()
		t.onDone = nil
	}
}

// tablesUnderWayMax is how many tables may have been read and not released.
const tablesUnderWayMax = 64

// gate bounds how many tables are under way, so that reading does not run ahead of
// what is done with them.
type gate struct{ places chan struct{} }

func newGate(n int) *gate { return &gate{places: make(chan struct{}, n)} }

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gate) leave() { <-g.places }
