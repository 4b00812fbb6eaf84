package store

import (
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
)

// Mended is a record that could not be applied as it was.
type Mended struct {
	// Before are records that must come before it: they free names that it defines
	// anew and that are taken, because the record that freed them is lost.
	Before [][]byte
	// Record is what is left of it, nil for nothing.
	Record []byte
	// Rows and Values are how many were taken out, of the series Series, at times
	// from TimeMin to TimeMax, because the definition of what they are of is lost.
	Rows, Values     int
	Series           *roaring.Bitmap
	TimeMin, TimeMax int64
	// Err is why nothing is left, if nothing is.
	Err error
}

// Mend applies a chunk of definitions or a record of the log to what the bucket
// knows, as LoadDefinition and CheckRecord do, and makes it fit where it does not,
// because others before it are lost. It returns nil for one that fits. seen is told of
// the tables that are left, as by CheckRecord. For a bucket of NewBucket, of which
// nothing else is wanted. Writer only.
func (b *Bucket) Mend(rec []byte, seen func(*point.Table)) *Mended {
	kind, err := record.KindOf(rec)
	if err == nil && kind != record.KindWrite {
		err = b.CheckRecord(rec, seen)
	}
	if err != nil {
		return &Mended{Err: err}
	}
	if kind != record.KindWrite {
		return nil
	}
	batch := point.GetBatch()
	defer point.PutBatch(batch)
	defs := new(record.Definitions)
	if err := record.Decode(rec, batch, defs); err != nil {
		return &Mended{Err: err}
	}
	m := &Mended{Series: roaring.New()}
	if free, any := b.outdated(defs); any {
		m.Before = append(m.Before, record.EncodeFree(nil, free))
		b.free(free)
	}
	lost := b.installKnown(defs)
	b.takeOut(batch, m)
	tell(batch, seen)
	if len(m.Before) == 0 && !lost && m.Values+m.Rows == 0 {
		return nil
	}
	if len(batch.Tables)+len(defs.Measurements)+len(defs.Fields)+len(defs.Series) == 0 {
		m.Err = fmt.Errorf("%w: nothing in it is defined", ErrInconsistent)
		return m
	}
	m.Record = record.Encode(nil, batch, defs)
	return m
}

// outdated returns what must have been freed before defs, whose names it gives to
// other ids.
func (b *Bucket) outdated(defs *record.Definitions) (record.Free, bool) {
	free := record.Free{Series: roaring.New()}
	s := b.schema.Load()
	for _, d := range defs.Measurements {
		if old := s.Measurement([]byte(d.Name)); old != nil && old.ID != d.ID {
			free.Measurements = append(free.Measurements, old.ID)
		}
	}
	for _, d := range defs.Series {
		if id, _, ok := b.series.lookup(d.Key); ok && id != d.ID {
			free.Series.Add(uint32(id))
		}
	}
	for _, id := range free.Measurements {
		b.defined.Iterate(func(x uint32) bool {
			if of, _ := b.series.at(point.SeriesID(x)); of == id {
				free.Series.Add(x)
			}
			return true
		})
	}
	return free, len(free.Measurements) > 0 || !free.Series.IsEmpty()
}

// installKnown installs the definitions that fit and leaves those in defs. It reports
// whether there were others.
func (b *Bucket) installKnown(defs *record.Definitions) (lost bool) {
	var fit record.Definitions
	one := new(record.Definitions)
	try := func(add func(to *record.Definitions)) {
		one.Reset()
		add(one)
		if b.install(one, new(record.Definitions)) != nil {
			lost = true
			return
		}
		add(&fit)
	}
	for _, d := range defs.Measurements {
		try(func(to *record.Definitions) { to.Measurements = append(to.Measurements, d) })
	}
	for _, d := range defs.Fields {
		try(func(to *record.Definitions) { to.Fields = append(to.Fields, d) })
	}
	// Series come by the thousand, and nearly always fit.
	if !lost && b.install(&record.Definitions{Series: defs.Series}, new(record.Definitions)) == nil {
		fit.Series = defs.Series
	} else {
		for _, d := range defs.Series {
			try(func(to *record.Definitions) { to.Series = append(to.Series, d) })
		}
	}
	*defs = fit
	return lost
}

// takeOut removes from a batch what no definition names.
func (b *Bucket) takeOut(batch *point.Batch, m *Mended) {
	kept := batch.Tables[:0]
	for _, t := range batch.Tables {
		if b.check(t) == nil {
			kept = append(kept, t)
			continue
		}
		if t = b.definedOf(t, m); t != nil {
			kept = append(kept, t)
		}
	}
	clear(batch.Tables[len(kept):])
	batch.Tables = kept
}

// definedOf returns what is defined of a table, nil for nothing.
func (b *Bucket) definedOf(t *point.Table, m *Mended) *point.Table {
	of := b.measurement(t.ID)
	lose := func(row int) {
		if m.Rows == 0 || t.Times[row] < m.TimeMin {
			m.TimeMin = t.Times[row]
		}
		if m.Rows == 0 || t.Times[row] > m.TimeMax {
			m.TimeMax = t.Times[row]
		}
		m.Rows++
		m.Series.Add(uint32(t.Series[row]))
	}
	out := &point.Table{ID: t.ID}
	var columns []*point.Column
	valued := make([]bool, t.Rows())
	seen := make(map[point.FieldID]bool)
	for _, c := range t.Columns {
		var f Field
		ok := false
		if of != nil {
			f, ok = of.field(c.Field)
		}
		if !ok || f.Type != c.Type || seen[c.Field] {
			m.Values += c.Len()
			continue
		}
		seen[c.Field] = true
		for i := range c.Len() {
			valued[c.Row(i)] = true
		}
		columns = append(columns, c)
	}
	keep := make([]uint32, t.Rows())
	for row, ref := range t.Series {
		of, _ := b.series.at(ref.ID())
		if of != t.ID || !valued[row] {
			lose(row)
			continue
		}
		out.Series = append(out.Series, ref)
		out.Times = append(out.Times, t.Times[row])
		keep[row] = uint32(len(out.Times))
	}
	if len(out.Times) == 0 {
		return nil
	}
	for _, c := range columns {
		if c = filterColumn(c, keep, len(out.Times)); c.Len() > 0 {
			out.Columns = append(out.Columns, c)
		}
	}
	return out
}
