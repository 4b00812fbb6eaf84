package store

import (
	"slices"
	"sort"

	"headgate/engine/point"
	"headgate/engine/record"
)

// Pending is definitions that have been handed out but are in no record of the
// log yet. Immutable.
//
// The log must never hold a record that uses an id which no record up to it
// defines, and the batch that caused a definition may be overtaken by another
// that uses it, or never arrive. So every batch carries the pending definitions
// that it depends on; the first record to be logged with them settles them.
//
// Why that suffices: a Pending is published before any of its ids is, so who has
// an id finds the Pending or comes after Logged; and Logged runs, like the
// append, on the one goroutine that gives records their order.
type Pending struct {
	b *Bucket
	// Ids are handed out in ascending order, so each kind is a range.
	seriesLo, seriesHi           point.SeriesID      // both inclusive; none if Hi < Lo
	measurementLo, measurementHi point.MeasurementID // likewise
	measurements                 []record.MeasurementDef
	fields                       []record.FieldDef
	// older is the fields of measurements that were known before, as ranges
	// sorted by measurement: a batch need not use the measurement's own pending
	// definition to depend on those.
	older []fieldRange
	// needs is the pendings that define measurements of these series and fields.
	needs []*Pending
}

type fieldRange struct {
	measurement point.MeasurementID
	lo, hi      point.FieldID
}

// AppendTo appends the definitions to d, measurements before what is in them.
func (p *Pending) AppendTo(d *record.Definitions) {
	d.Measurements = append(d.Measurements, p.measurements...)
	d.Fields = append(d.Fields, p.fields...)
	for id := p.seriesLo; id <= p.seriesHi; id++ {
		m, _ := p.b.series.at(id)
		d.Series = append(d.Series, record.SeriesDef{ID: id, Measurement: m, Key: p.b.series.key(id)})
	}
}

func (p *Pending) empty() bool {
	return p.seriesHi < p.seriesLo && len(p.measurements) == 0 && len(p.fields) == 0
}

func (p *Pending) definesMeasurement(id point.MeasurementID) bool {
	return p.measurementLo <= id && id <= p.measurementHi
}

// usesFields reports whether t uses a field of older.
func (p *Pending) usesFields(t *point.Table) bool {
	i := sort.Search(len(p.older), func(i int) bool { return p.older[i].measurement >= t.ID })
	if i == len(p.older) || p.older[i].measurement != t.ID {
		return false
	}
	r := p.older[i]
	return slices.ContainsFunc(t.Columns, func(c *point.Column) bool { return r.lo <= c.Field && c.Field <= r.hi })
}

// PendingFor returns the pending definitions that the resolved batch depends on,
// oldest first, for the batch's record to carry. Any goroutine; nil and one
// atomic load when nothing is pending.
func (b *Bucket) PendingFor(batch *point.Batch) []*Pending {
	live := *b.pendings.Load()
	if len(live) == 0 {
		return nil
	}
	marked := make([]bool, len(live))
	for _, t := range batch.Tables {
		if t.Rows() == 0 {
			continue
		}
		if i := findMeasurement(live, t.ID); i >= 0 {
			marked[i] = true
		}
		for i, p := range live {
			if !marked[i] && len(p.older) > 0 && p.usesFields(t) {
				marked[i] = true
			}
		}
	}
	markSeries(live, marked, batch)
	n := 0
	for i := len(live) - 1; i >= 0; i-- {
		if !marked[i] {
			continue
		}
		n++
		for _, q := range live[i].needs { // all older than live[i]
			if j := slices.Index(live[:i], q); j >= 0 {
				marked[j] = true
			}
		}
	}
	if n == 0 {
		return nil
	}
	used := make([]*Pending, 0, n)
	for i, p := range live {
		if marked[i] {
			used = append(used, p)
		}
	}
	return used
}

// findMeasurement returns the index of the pending that defines id, or -1.
func findMeasurement(live []*Pending, id point.MeasurementID) int {
	// An empty range is {next+1, next}: in order like the others.
	i := sort.Search(len(live), func(i int) bool { return live[i].measurementHi >= id })
	if i < len(live) && live[i].definesMeasurement(id) {
		return i
	}
	return -1
}

// markSeries marks the pendings that define series of the batch's rows.
func markSeries(live []*Pending, marked []bool, batch *point.Batch) {
	lowest := point.SeriesRef(live[0].seriesLo) // what is below has been logged
	last := -1
	for _, t := range batch.Tables {
		for _, ref := range t.Series {
			if ref < lowest {
				continue
			}
			if ref.IsNew() {
				ref = point.SeriesRef(batch.NewSeries[ref.NewIndex()].ID)
			}
			id := ref.ID()
			if last >= 0 && live[last].seriesLo <= id && id <= live[last].seriesHi {
				continue
			}
			i := sort.Search(len(live), func(i int) bool { return live[i].seriesHi >= id })
			if i < len(live) && live[i].seriesLo <= id {
				last = i
				marked[i] = true
			}
		}
	}
}

// Logged says that a record with the definitions of ps has been handed to the
// log. Writer only.
func (b *Bucket) Logged(ps []*Pending) {
	if len(ps) == 0 {
		return
	}
	live := *b.pendings.Load()
	left := make([]*Pending, 0, len(live))
	for _, p := range live {
		if !slices.Contains(ps, p) {
			left = append(left, p)
		}
	}
	b.pendings.Store(&left)
}

// publishPending makes p live. Its ids must not be visible yet. measurements is
// what its fields and series belong to.
func (b *Bucket) publishPending(p *Pending, measurements []point.MeasurementID) {
	live := *b.pendings.Load()
	for _, id := range measurements {
		if i := findMeasurement(live, id); i >= 0 && !slices.Contains(p.needs, live[i]) {
			p.needs = append(p.needs, live[i])
		}
	}
	more := make([]*Pending, len(live), len(live)+1)
	copy(more, live)
	more = append(more, p)
	b.pendings.Store(&more)
}
