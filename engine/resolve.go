package engine

import (
	"fmt"
	"math"
	"slices"
	"time"

	"headgate/engine/point"
	"headgate/engine/store"
)

// resolver looks up a batch's fields in the schema and takes out the points
// that the bucket does not take: those beyond retention, those whose fields
// have another type than the bucket knows, those with a string too long, those
// that have no field but "time", and those that would take the bucket over its
// limits. A point that is taken out leaves no trace: nothing that only it would
// have defined stays in the batch.
//
// The first point in line order that survives decides the type of a new field.
type resolver struct {
	drops    []drop
	stripped []byte // measurement of the first point that lost a field called "time"
	now      int64
	bound    int64 // points before it are beyond retention
	period   time.Duration
	limits   limits

	dropped []bool   // rows of the table at hand; empty while none is dropped
	rowMap  []uint32 // rows of the table at hand after filtering
}

// drop is one point taken out of the batch. Its slices are the batch's.
type drop struct {
	line        uint32
	code        dropCode
	ref         point.SeriesRef
	key         []byte // of a new series
	measurement []byte
	field       []byte
	have, want  point.FieldType
	length      int
	time        int64
	reason      string
}

type dropCode uint8

const (
	typeConflict dropCode = iota
	invalidFieldName
	stringTooLong
	seriesLimit
	measurementLimit
	fieldLimit
	tagLimit
	nameTooLong
	tagValueTooLong
	beyondRetention
	dropCodes
)

var dropCodeNames = [dropCodes]string{typeConflict: "field_type_conflict", invalidFieldName: "invalid_field_name",
	stringTooLong: "string_too_long", seriesLimit: "series_limit", measurementLimit: "measurement_limit", fieldLimit: "field_limit",
	tagLimit: "tag_limit", nameTooLong: "name_too_long", tagValueTooLong: "tag_value_too_long", beyondRetention: "beyond_retention"}

func (r *resolver) reset() {
	clear(r.drops)
	r.drops = r.drops[:0]
	r.stripped = nil
	if cap(r.dropped) > 1<<16 {
		r.dropped, r.rowMap, r.drops = nil, nil, nil
	}
}

// resolve sets the ids of everything that schema knows and takes out what the
// bucket does not take. now is nanoseconds; retention is a period in
// nanoseconds, 0 for ever.
func (r *resolver) resolve(b *point.Batch, schema *store.Schema, now, retention int64) {
	r.reset()
	r.now, r.bound, r.period = now, math.MinInt64, time.Duration(retention)
	if retention > 0 {
		r.bound = now - retention
	}
	r.limits.start(b, schema)
	for _, t := range b.Tables {
		r.resolveTable(b, t, schema.Measurement(t.Name))
	}
	if len(r.drops) > 0 || r.stripped != nil {
		compact(b)
	}
}

func (r *resolver) resolveTable(b *point.Batch, t *point.Table, m *store.Measurement) {
	r.dropped = r.dropped[:0]
	if r.bound != math.MinInt64 {
		for row, ts := range t.Times {
			if ts < r.bound {
				r.drop(b, t, row, drop{code: beyondRetention})
			}
		}
	}
	if b.TimeField {
		r.stripTime(b, t)
	}
	if b.LongString {
		r.dropLongStrings(b, t)
	}
	r.dropUnfit(b, t, m)
	if m != nil {
		t.ID = m.ID
	}
	if !r.resolveColumns(t, m) {
		r.decideFields(b, t, m)
	}
	r.filter(t)
	if m == nil && t.Rows() > 0 {
		r.limits.measurements--
	}
}

// resolveColumns sets the columns' field ids. It reports whether that was all:
// no field has two types in the batch, or another one than in the bucket, and
// the measurement has room for the new ones.
func (r *resolver) resolveColumns(t *point.Table, m *store.Measurement) bool {
	unknown := 0
	for _, c := range t.Columns {
		if m != nil {
			if f, ok := m.Field(c.Name); ok {
				if f.Type != c.Type {
					return false
				}
				c.Field = f.ID
				continue
			}
		}
		c.Field = 0
		unknown++
	}
	if unknown > r.limits.fields(m) {
		return false
	}
	if unknown < 2 {
		return true
	}
	seen := make(map[string]struct{}, unknown)
	for _, c := range t.Columns {
		if c.Field != 0 {
			continue
		}
		if _, twice := seen[string(c.Name)]; twice {
			return false
		}
		seen[string(c.Name)] = struct{}{}
	}
	return true
}

// stripTime takes the field called "time" out of every point, and drops the
// points that have no other.
func (r *resolver) stripTime(b *point.Batch, t *point.Table) {
	var rest, named []*point.Column
	for _, c := range t.Columns {
		if string(c.Name) == "time" {
			named = append(named, c)
		} else {
			rest = append(rest, c)
		}
	}
	if len(named) == 0 {
		return
	}
	other := make([]bool, t.Rows())
	for _, c := range rest {
		for i := range c.Len() {
			other[c.Row(i)] = true
		}
	}
	for _, c := range named {
		for i := range c.Len() {
			switch row := c.Row(i); {
			case r.isDropped(row):
			case other[row]:
				if r.stripped == nil {
					r.stripped = t.Name
				}
			default:
				r.drop(b, t, row, drop{code: invalidFieldName, field: c.Name})
			}
		}
	}
	t.Columns = rest
}

func (r *resolver) dropLongStrings(b *point.Batch, t *point.Table) {
	for _, c := range t.Columns {
		if c.Type != point.String {
			continue
		}
		for i := range c.Len() {
			if n := len(c.StringAt(i)); n > point.StringBytesMax && !r.isDropped(c.Row(i)) {
				r.drop(b, t, c.Row(i), drop{code: stringTooLong, field: c.Name, length: n})
			}
		}
	}
}

// drop takes a row out. d needs only what is particular to its code.
func (r *resolver) drop(b *point.Batch, t *point.Table, row int, d drop) {
	if len(r.dropped) == 0 {
		r.dropped = append(r.dropped[:0], make([]bool, t.Rows())...)
	}
	r.dropped[row] = true
	d.line, d.ref, d.time, d.measurement = t.Lines[row], t.Series[row], t.Times[row], t.Name
	if d.ref.IsNew() {
		d.key = b.NewSeries[d.ref.NewIndex()].Key
	}
	r.drops = append(r.drops, d)
}

func (r *resolver) isDropped(row int) bool { return len(r.dropped) > 0 && r.dropped[row] }

// filter removes the dropped rows from t.
func (r *resolver) filter(t *point.Table) {
	if len(r.dropped) == 0 {
		return
	}
	r.rowMap = r.rowMap[:0]
	kept := 0
	for row, gone := range r.dropped {
		r.rowMap = append(r.rowMap, uint32(kept))
		if !gone {
			t.Series[kept], t.Times[kept], t.Lines[kept] = t.Series[row], t.Times[row], t.Lines[row]
			kept++
		}
	}
	t.Series, t.Times, t.Lines = t.Series[:kept], t.Times[:kept], t.Lines[:kept]
	for i, c := range t.Columns {
		f := &point.Column{Name: c.Name, Type: c.Type, Field: c.Field}
		for v := range c.Len() {
			row := c.Row(v)
			switch {
			case r.dropped[row]:
			case c.Type == point.String:
				f.AppendString(int(r.rowMap[row]), c.StringAt(v))
			default:
				f.AppendNum(int(r.rowMap[row]), c.Nums[v])
			}
		}
		t.Columns[i] = f
	}
}

// compact removes what dropped points have left behind: columns without values,
// tables without rows, new series without points.
func compact(b *point.Batch) {
	used := make([]bool, len(b.NewSeries))
	tableMap := make([]int, len(b.Tables))
	tables := b.Tables[:0]
	for i, t := range b.Tables {
		t.Columns = slices.DeleteFunc(t.Columns, func(c *point.Column) bool { return c.Len() == 0 })
		for _, ref := range t.Series {
			if ref.IsNew() {
				used[ref.NewIndex()] = true
			}
		}
		tableMap[i] = len(tables)
		if t.Rows() > 0 {
			tables = append(tables, t)
		}
	}
	clear(b.Tables[len(tables):])
	b.Tables = tables

	seriesMap := make([]point.SeriesRef, len(b.NewSeries))
	series := b.NewSeries[:0]
	for i, s := range b.NewSeries {
		if used[i] {
			seriesMap[i] = point.NewSeriesBit | point.SeriesRef(len(series))
			s.Table = tableMap[s.Table]
			series = append(series, s)
		}
	}
	clear(b.NewSeries[len(series):])
	b.NewSeries = series
	for _, t := range b.Tables {
		for i, ref := range t.Series {
			if ref.IsNew() {
				t.Series[i] = seriesMap[ref.NewIndex()]
			}
		}
	}
}

// droppedByCode counts the dropped points by code; nil when there are none.
func (r *resolver) droppedByCode() map[string]int {
	if len(r.drops) == 0 {
		return nil
	}
	m := make(map[string]int)
	for i := range r.drops {
		m[dropCodeNames[r.drops[i].code]]++
	}
	return m
}

// partialError is the Unprocessable error of a batch, or nil. It is made before
// the batch is handed over, and completed when it is known what was written.
type partialError struct{ err *Error }

func (p partialError) error() error {
	if p.err == nil {
		return nil
	}
	return p.err
}

func (p partialError) setWritten(points int) {
	if p.err != nil {
		p.err.Partial.Written = points
	}
}

// report says what was dropped, in InfluxDB's words: the first conflict if there
// is one, else a stripped field, else what was beyond retention.
func (r *resolver) report(bucket BucketID, seriesKey func(point.SeriesID) []byte) partialError {
	if len(r.drops) == 0 && r.stripped == nil {
		return partialError{}
	}
	slices.SortStableFunc(r.drops, func(a, b drop) int { return int(a.line) - int(b.line) })
	keyOf := func(d *drop) string {
		if d.key != nil {
			return string(d.key)
		}
		return string(seriesKey(d.ref.ID()))
	}
	p := &PartialWrite{Dropped: len(r.drops)}
	for i := range r.drops[:min(len(r.drops), PointErrorsMax)] {
		d := &r.drops[i]
		pe := PointError{Line: int(d.line), Series: keyOf(d), Field: string(d.field), Code: dropCodeNames[d.code], Message: r.message(d)}
		if d.code == typeConflict {
			pe.Have, pe.Want = d.have.String(), d.want.String()
		}
		p.Points = append(p.Points, pe)
	}
	suffix := fmt.Sprintf(" for database: %s for retention policy: autogen", bucket)
	first := slices.IndexFunc(r.drops, func(d drop) bool { return d.code != beyondRetention })
	var reason string
	switch {
	case first >= 0:
		reason, suffix = r.message(&r.drops[first]), ""
	case r.stripped != nil:
		reason = fmt.Sprintf(`invalid field name: input field "time" on measurement %q is invalid. Field "time" has been stripped from point.`, r.stripped)
	default:
		reason = r.retentionReason(keyOf)
	}
	return partialError{&Error{Kind: Unprocessable, Partial: p,
		Message: fmt.Sprintf("failure writing points to database: partial write: %s dropped=%d%s", reason, len(r.drops), suffix)}}
}

// message says why one point was dropped.
func (r *resolver) message(d *drop) string {
	switch d.code {
	case typeConflict:
		return fmt.Sprintf("field type conflict: input field %q on measurement %q is type %s, already exists as type %s", d.field, d.measurement, d.want, d.have)
	case invalidFieldName:
		return fmt.Sprintf("invalid field name: input field %q on measurement %q is invalid", d.field, d.measurement)
	case stringTooLong:
		return fmt.Sprintf("input field %q on measurement %q is too long, %d > %d", d.field, d.measurement, d.length, point.StringBytesMax)
	case beyondRetention:
		return fmt.Sprintf("time %s is before %s, which the retention period %s reaches back to", rfc3339(d.time), rfc3339(r.bound), r.period)
	}
	return r.limits.message(d)
}

func (r *resolver) retentionReason(keyOf func(*drop) string) string {
	oldest, newest := &r.drops[0], &r.drops[0]
	for i := range r.drops {
		if d := &r.drops[i]; d.time < oldest.time {
			oldest = d
		} else if d.time > newest.time {
			newest = d
		}
	}
	describe := func(d *drop) string {
		return fmt.Sprintf("point %s at %s dropped because it violates a Retention Policy Lower Bound at %s", keyOf(d), rfc3339(d.time), rfc3339(r.bound))
	}
	return fmt.Sprintf("dropped %d points outside retention policy of duration %s - oldest %s, newest %s", len(r.drops), r.period, describe(oldest), describe(newest))
}

func rfc3339(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
