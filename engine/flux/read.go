package flux

import (
	"context"
	"errors"
	"slices"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"

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
func (s *readSource) Do(ctx context.Context, f func(flux.Table) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = s.run.fail(s.run.panicked("reading a bucket", v))
		}
	}()
	s.ctx, s.emit = ctx, func(t flux.Table) error {
		err := f(t)
		if err != nil { // of what comes after, not of the bucket
			err = s.run.classify(err)
		}
		return err
	}
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
		// First and last are of one field each; so are windows that pass their tables
		// on one by one, and a filter that depends on the field.
		if n := len(groups); n > 0 && !s.read.oneRow() && !s.read.tablePerWindow() && !mentionsField(s.read.filter) {
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
	one := s.read.oneRow()
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

// flush passes the tables of the series at hand on.
func (s *readSource) flush() error {
	parts := s.parts
	s.parts = nil
	for i, p := range parts {
		t, err := p.finish()
		if err == nil && t != nil {
			err = s.pass(t)
		}
		if err != nil {
			for _, p := range parts[i:] {
				p.release()
			}
			return err
		}
	}
	return nil
}

// pass hands a table over to what comes after the read.
func (s *readSource) pass(t *table) error {
	if err := s.run.under.enter(s.ctx); err != nil {
		t.Done()
		return err
	}
	t.onDone = s.run.under.leave
	return s.emit(t)
}

// meter charges what the reader holds to the query.
type meter struct{ run *run }

// Hold implements point.Meter.
func (m meter) Hold(bytes int64) error { return m.run.alloc.Account(int(bytes)) }

// Release implements point.Meter.
func (m meter) Release(bytes int64) { _ = m.run.alloc.Account(-int(bytes)) }
