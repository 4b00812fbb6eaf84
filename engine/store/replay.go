package store

import (
	"fmt"
	"hash/maphash"

	"headgate/engine/point"
	"headgate/engine/record"
)

// Replay applies a record of the log, in the log's order, at recovery. Repeated
// definitions are fine, contradicting ones are not. After an error, which says
// what is wrong, the bucket is of no use. Writer only.
//
// A record that deletes points is only queued, with the memtable that it applies
// to: the bucket must not be read before a Flush has applied it.
func (b *Bucket) Replay(seq uint64, rec []byte) error {
	kind, err := record.KindOf(rec)
	if err != nil {
		return err
	}
	switch kind {
	case record.KindDelete:
		d, err := record.DecodeDelete(rec)
		if err != nil {
			return err
		}
		b.QueueDelete(seq, d)
		return nil
	case record.KindFree:
		f, err := record.DecodeFree(rec)
		if err != nil {
			return err
		}
		b.Free(f)
		b.SettleFree(f)
		return nil
	}
	batch := point.GetBatch()
	defer point.PutBatch(batch)
	defs := &b.replay
	defs.Reset()
	if err := record.Decode(rec, batch, defs); err != nil {
		return err
	}
	fresh := new(record.Definitions)
	if err := b.install(defs, fresh); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	for _, t := range batch.Tables {
		if err := b.check(t); err != nil {
			return fmt.Errorf("%w: %w", ErrInconsistent, err)
		}
	}
	b.events.define(b, fresh)
	b.Link(batch, Pack(batch))
	return nil
}

// install takes over definitions with their ids. What was new is added to fresh.
func (b *Bucket) install(defs, fresh *record.Definitions) error {
	s := b.schema.Load()
	for _, d := range defs.Measurements {
		known := b.measurement(d.ID)
		named := s.Measurement([]byte(d.Name))
		switch {
		case d.ID > measurementMax:
			return fmt.Errorf("measurement %q has id %d, over %d", d.Name, d.ID, measurementMax)
		case known != nil && known.def.Name != d.Name:
			return fmt.Errorf("measurement %d is %q and %q", d.ID, known.def.Name, d.Name)
		case known == nil && named != nil:
			return fmt.Errorf("measurement %q has ids %d and %d", d.Name, named.ID, d.ID)
		case known == nil:
			m := b.addMeasurement(&Measurement{ID: d.ID, Name: d.Name, seed: s.seed})
			s = s.with(m.def)
			fresh.Measurements = append(fresh.Measurements, d)
		}
	}
	for _, d := range defs.Fields {
		m := b.measurement(d.Measurement)
		if m == nil {
			return fmt.Errorf("field %q of measurement %d, which is not defined", d.Name, d.Measurement)
		}
		known, ok := m.field(d.ID)
		named, taken := m.def.Field([]byte(d.Name))
		switch {
		case d.ID > fieldMax:
			return fmt.Errorf("field %q of measurement %q has id %d, over %d", d.Name, m.def.Name, d.ID, fieldMax)
		case ok && (known.Name != d.Name || known.Type != d.Type):
			return fmt.Errorf("field %d of measurement %q is %q (%s) and %q (%s)", d.ID, m.def.Name, known.Name, known.Type, d.Name, d.Type)
		case !ok && taken:
			return fmt.Errorf("field %q of measurement %q has ids %d and %d", d.Name, m.def.Name, named.ID, d.ID)
		case !ok:
			f := Field{ID: d.ID, Type: d.Type, Name: d.Name}
			b.addField(m, f)
			m.def = m.def.withField(f)
			s = s.with(m.def)
			fresh.Fields = append(fresh.Fields, d)
		}
	}
	for _, d := range defs.Series {
		if b.measurement(d.Measurement) == nil {
			return fmt.Errorf("series %q of measurement %d, which is not defined", d.Key, d.Measurement)
		}
		if len(d.Key) > seriesKeyLenMax {
			return fmt.Errorf("series %d has a key of %d bytes, over %d", d.ID, len(d.Key), seriesKeyLenMax)
		}
		hash := maphash.Bytes(b.series.seed, d.Key)
		id, m, ok := b.series.find(hash, d.Key)
		switch {
		case ok && (id != d.ID || m != d.Measurement):
			return fmt.Errorf("series %q has ids %d (measurement %d) and %d (measurement %d)", d.Key, id, m, d.ID, d.Measurement)
		case !ok && b.series.key(d.ID) != nil:
			return fmt.Errorf("series %d is %q and %q", d.ID, b.series.key(d.ID), d.Key)
		case !ok:
			b.series.insert(hash, d.ID, d.Measurement, d.Key)
			b.countSeries(d.ID, d.Measurement)
			fresh.Series = append(fresh.Series, record.SeriesDef{ID: d.ID, Measurement: d.Measurement, Key: b.series.key(d.ID)})
		}
	}
	b.series.visible.Store(uint32(b.series.next))
	b.schema.Store(s)
	return nil
}

// check reports the first thing in t that is not defined.
func (b *Bucket) check(t *point.Table) error {
	m := b.measurement(t.ID)
	if m == nil {
		return fmt.Errorf("points of measurement %d, which is not defined", t.ID)
	}
	seen := make(map[point.FieldID]bool, len(t.Columns))
	for _, c := range t.Columns {
		f, ok := m.field(c.Field)
		if !ok || f.Type != c.Type {
			return fmt.Errorf("values of field %d (%s) of measurement %q, which is not defined so", c.Field, c.Type, m.def.Name)
		}
		if seen[c.Field] {
			return fmt.Errorf("two columns of field %d of measurement %q", c.Field, m.def.Name)
		}
		seen[c.Field] = true
	}
	var last point.SeriesRef
	for _, ref := range t.Series {
		if ref == last {
			continue
		}
		last = ref
		if of, _ := b.series.at(ref.ID()); of != t.ID {
			return fmt.Errorf("points of series %d, which measurement %q does not have", ref, m.def.Name)
		}
	}
	return nil
}
