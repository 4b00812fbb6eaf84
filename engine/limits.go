package engine

import (
	"bytes"
	"fmt"

	"headgate/engine/point"
	"headgate/engine/store"
)

// limits finds the points that would take a bucket over Options' limits. It
// looks only at what is new: what a bucket has already, it keeps taking.
//
// The store refuses what goes over a limit too: of batches that are resolved at
// the same time, each may fit while they do not fit together. A batch that it
// refuses is resolved again.
type limits struct {
	o *Options
	// measurements is how many more the bucket may have.
	measurements int
	schema       *store.Schema // which it is by
	// series is how many more the bucket may have, -1 while it is not known to be
	// nearly full, and refusals is how often it did not take so many.
	series, refusals int
	admitted         []bool // by index in Batch.NewSeries; counted in series already

	unfit map[int]drop // of NewSeries that go over a limit by themselves, by index
}

// seriesRefusalsMax is how often a batch is resolved for the room that is left
// before it is taken for none: others use it up meanwhile.
const seriesRefusalsMax = 4

// reset forgets a batch that is done with.
func (l *limits) reset() {
	l.schema, l.series, l.refusals = nil, -1, 0
	if cap(l.admitted) > 1<<16 || len(l.unfit) > 1<<10 {
		l.admitted, l.unfit = nil, nil
	}
}

// refuseSeries notes that a bucket with so many series had no room for the batch's.
func (l *limits) refuseSeries(series int64) {
	l.series = max(0, l.o.SeriesPerBucketMax-int(series))
	if l.refusals++; l.refusals > seriesRefusalsMax {
		l.series = 0
	}
}

// start looks at the series of a batch that is about to be resolved.
func (l *limits) start(b *point.Batch, schema *store.Schema) {
	l.schema = schema
	l.measurements = l.o.MeasurementsPerBucketMax - schema.Len()
	clear(l.unfit)
	lengthMax := min(l.o.NameBytesMax, l.o.TagValueBytesMax)
	for i := range b.NewSeries {
		key := b.NewSeries[i].Key
		if len(key) <= lengthMax && (len(key) < 4*l.o.TagsPerPointMax || bytes.Count(key, []byte{','}) <= l.o.TagsPerPointMax) {
			continue // as nearly always: a tag takes four bytes
		}
		if d, ok := l.checkSeries(key); !ok {
			if l.unfit == nil {
				l.unfit = make(map[int]drop)
			}
			l.unfit[i] = d
		}
	}
	if l.series >= 0 {
		l.admitted = append(l.admitted[:0], make([]bool, len(b.NewSeries))...)
	}
}

// checkSeries says what is wrong with a new series, if anything is.
func (l *limits) checkSeries(key []byte) (drop, bool) {
	measurement, tags := point.ParseSeriesKey(key)
	if n := len(measurement); n > l.o.NameBytesMax && l.schema.Measurement([]byte(measurement)) == nil {
		return drop{code: nameTooLong, length: n, reason: "measurement"}, false
	}
	if n := len(tags); n > l.o.TagsPerPointMax {
		return drop{code: tagLimit, length: n}, false
	}
	for _, t := range tags {
		if n := len(t.Key); n > l.o.NameBytesMax {
			return drop{code: nameTooLong, length: n, reason: "tag key " + abridged(t.Key)}, false
		}
		if n := len(t.Value); n > l.o.TagValueBytesMax {
			return drop{code: tagValueTooLong, length: n, reason: abridged(t.Key)}, false
		}
	}
	return drop{}, true
}

// abridged is s quoted, or its beginning if it is long.
func abridged(s string) string {
	const lengthMax = 64
	if len(s) > lengthMax {
		return fmt.Sprintf("%q...", s[:lengthMax])
	}
	return fmt.Sprintf("%q", s)
}

// fields is how many more fields m may have; m is nil for a new measurement.
func (l *limits) fields(m *store.Measurement) int {
	return max(0, l.o.FieldsPerMeasurementMax-m.Len())
}

// takesSeries reports whether the bucket has room for the i-th new series of the
// batch.
func (l *limits) takesSeries(i int) bool {
	if l.series < 0 || l.admitted[i] {
		return true
	}
	if l.series == 0 {
		return false
	}
	l.series--
	l.admitted[i] = true
	return true
}

// dropUnfit drops the points of t that would take the bucket over a limit, but for
// that of fields, which decideFields knows about. m is nil when t's measurement is new.
func (r *resolver) dropUnfit(b *point.Batch, t *point.Table, m *store.Measurement) {
	for _, c := range t.Columns {
		if len(c.Name) <= r.limits.o.NameBytesMax {
			continue
		}
		if _, known := m.Field(c.Name); known {
			continue
		}
		for i := range c.Len() {
			if row := c.Row(i); !r.isDropped(row) {
				r.drop(b, t, row, drop{code: nameTooLong, field: c.Name, length: len(c.Name), reason: "field key " + abridged(string(c.Name))})
			}
		}
	}
	full := m == nil && r.limits.measurements <= 0
	if !full && r.limits.series < 0 && len(r.limits.unfit) == 0 {
		return
	}
	for row, ref := range t.Series {
		if !ref.IsNew() || r.isDropped(row) {
			continue // only new series are over a limit, or of a new measurement
		}
		if d, ok := r.limits.unfit[ref.NewIndex()]; ok {
			r.drop(b, t, row, d)
		} else if full {
			r.drop(b, t, row, drop{code: measurementLimit})
		} else if !r.limits.takesSeries(ref.NewIndex()) {
			r.drop(b, t, row, drop{code: seriesLimit})
		}
	}
}

// message says which limit a point is over, and which option sets it.
func (l *limits) message(d *drop) string {
	switch d.code {
	case measurementLimit:
		return fmt.Sprintf("measurement %s is one more than Options.MeasurementsPerBucketMax (--max-measurements-per-bucket) allows, %d", abridged(string(d.measurement)), l.o.MeasurementsPerBucketMax)
	case fieldLimit:
		return fmt.Sprintf("input field %s on measurement %s is one more than Options.FieldsPerMeasurementMax (--max-fields-per-measurement) allows, %d", abridged(string(d.field)), abridged(string(d.measurement)), l.o.FieldsPerMeasurementMax)
	case tagLimit:
		return fmt.Sprintf("point has %d tags, over Options.TagsPerPointMax (--max-tags-per-point) %d", d.length, l.o.TagsPerPointMax)
	case nameTooLong:
		return fmt.Sprintf("%s is %d bytes long, over Options.NameBytesMax (--max-name-length) %d", d.reason, d.length, l.o.NameBytesMax)
	case tagValueTooLong:
		return fmt.Sprintf("value of tag %s is %d bytes long, over Options.TagValueBytesMax (--max-tag-value-length) %d", d.reason, d.length, l.o.TagValueBytesMax)
	}
	return fmt.Sprintf("bucket has as many series as Options.SeriesPerBucketMax (--max-series-per-bucket) allows, %d", l.o.SeriesPerBucketMax)
}
