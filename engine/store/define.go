package store

import (
	"cmp"
	"fmt"
	"slices"

	"headgate/engine/point"
	"headgate/engine/record"
)

// Define gives ids to everything in the batch that has none: tables, columns and
// new series. What exists by now under the same name, and for a field with the
// same type, gets the id that it has. Tables without rows and columns without
// values are passed over.
//
// It is all or nothing: after an error (see there) neither the bucket nor the batch has changed. Otherwise it returns what it
// defined, nil if everything existed. Rows keep referring to NewSeries, whose
// entries have ids now; the caller rewrites them. Writer only.
func (b *Bucket) Define(batch *point.Batch) (*Pending, error) {
	s := b.schema.Load()
	if err := b.checkDefine(s, batch); err != nil {
		return nil, err
	}
	p := &Pending{b: b, seriesLo: b.series.next + 1, measurementLo: point.MeasurementID(len(b.measurements))}
	var touched []point.MeasurementID
	for _, t := range batch.Tables {
		if t.Rows() == 0 {
			continue
		}
		m := b.defineTable(&s, p, t)
		for _, c := range t.Columns {
			if c.Field == 0 && c.Len() > 0 {
				b.defineField(p, m, c)
			}
		}
		if s.Measurement(t.Name) != m.def {
			s = s.with(m.def)
			touched = append(touched, m.def.ID)
		}
	}
	for i := range batch.NewSeries {
		n := &batch.NewSeries[i]
		if n.ID != 0 || batch.Tables[n.Table].Rows() == 0 {
			continue
		}
		id, known := b.series.define(n.Key, batch.Tables[n.Table].ID)
		n.ID = id
		if !known {
			b.countSeries(id, batch.Tables[n.Table].ID)
		}
		if m := batch.Tables[n.Table].ID; !known && (len(touched) == 0 || touched[len(touched)-1] != m) {
			touched = append(touched, m)
		}
	}
	p.seriesHi = b.series.next
	p.measurementHi = point.MeasurementID(len(b.measurements) - 1)
	if p.empty() {
		return nil, nil
	}
	slices.SortFunc(p.older, func(x, y fieldRange) int { return cmp.Compare(x.measurement, y.measurement) })
	// The order matters: see Pending.
	b.publishPending(p, touched)
	b.series.visible.Store(uint32(b.series.next))
	b.schema.Store(s)
	b.account()
	return p, nil
}

// checkDefine finds every reason to refuse the batch before anything changes.
func (b *Bucket) checkDefine(s *Schema, batch *point.Batch) error {
	fresh := 0
	for _, t := range batch.Tables {
		if t.Rows() == 0 {
			continue
		}
		m := s.Measurement(t.Name)
		switch {
		case t.ID == 0 && m == nil:
			fresh++
		case t.ID != 0 && (m == nil || m.ID != t.ID):
			panic(fmt.Sprintf("store: batch says measurement %q is %d", t.Name, t.ID))
		}
		if err := checkFields(m, t, b.o.FieldsMax); err != nil {
			return err
		}
	}
	if fresh > 0 && s.Len()+fresh > b.o.MeasurementsMax {
		return ErrMeasurementLimit
	}
	if len(b.measurements)+fresh > measurementMax {
		return ErrSchemaLimit
	}
	for i := range batch.NewSeries {
		if n := len(batch.NewSeries[i].Key); n > seriesKeyLenMax {
			return fmt.Errorf("%w: %d bytes, over %d", ErrSeriesKey, n, seriesKeyLenMax)
		}
	}
	if b.series.count+len(batch.NewSeries) <= b.o.SeriesMax {
		return nil
	}
	n := b.series.count
	for i := range batch.NewSeries {
		x := &batch.NewSeries[i]
		if x.ID != 0 || batch.Tables[x.Table].Rows() == 0 {
			continue
		}
		if _, _, ok := b.series.lookup(x.Key); !ok {
			n++
		}
	}
	if n > b.o.SeriesMax {
		return ErrSeriesLimit
	}
	return nil
}

// checkFields looks for a column whose field has another type in m, which may be
// nil, or in an earlier column of t, and for more new fields than fieldsMax allows.
func checkFields(m *Measurement, t *point.Table, fieldsMax int) error {
	var first *point.Column
	var types map[string]point.FieldType // of new fields, if there are several
	fresh := 0
	for _, c := range t.Columns {
		if c.Field != 0 || c.Len() == 0 {
			continue
		}
		if f, ok := m.Field(c.Name); ok {
			if f.Type != c.Type {
				return fmt.Errorf("%w: %q of %q is %s, not %s", ErrConflict, c.Name, t.Name, f.Type, c.Type)
			}
			continue
		}
		fresh++
		if fresh == 1 {
			first = c
			continue
		}
		if types == nil {
			types = map[string]point.FieldType{string(first.Name): first.Type}
		}
		if typ, ok := types[string(c.Name)]; ok && typ != c.Type {
			return fmt.Errorf("%w: %q of %q is %s and %s in one batch", ErrConflict, c.Name, t.Name, typ, c.Type)
		}
		types[string(c.Name)] = c.Type
	}
	if fresh > 0 && m.Len()+fresh > fieldsMax {
		return ErrFieldLimit
	}
	return nil
}

// defineTable gives t its measurement.
func (b *Bucket) defineTable(s **Schema, p *Pending, t *point.Table) *measurement {
	if known := (*s).Measurement(t.Name); known != nil {
		t.ID = known.ID
		return b.measurements[known.ID]
	}
	t.ID = point.MeasurementID(len(b.measurements))
	m := b.addMeasurement(&Measurement{ID: t.ID, Name: string(t.Name), seed: (*s).seed})
	p.measurements = append(p.measurements, record.MeasurementDef{ID: t.ID, Name: m.def.Name})
	*s = (*s).with(m.def)
	return m
}

// defineField gives c its field.
func (b *Bucket) defineField(p *Pending, m *measurement, c *point.Column) {
	if known, ok := m.def.Field(c.Name); ok {
		c.Field = known.ID
		return
	}
	id := point.FieldID(max(len(m.byID), 1))
	f := Field{ID: id, Type: c.Type, Name: string(c.Name)}
	b.addField(m, f)
	m.def = m.def.withField(f)
	c.Field = id
	p.fields = append(p.fields, record.FieldDef{Measurement: m.def.ID, ID: id, Type: f.Type, Name: f.Name})
	if m.def.ID >= p.measurementLo {
		return
	}
	if n := len(p.older); n > 0 && p.older[n-1].measurement == m.def.ID {
		p.older[n-1].hi = id
		return
	}
	p.older = append(p.older, fieldRange{m.def.ID, id, id})
}
