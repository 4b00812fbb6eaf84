package store

import (
	"fmt"

	"headgate/engine/point"
	"headgate/engine/record"
)

// events is what has happened to a bucket's definitions since the last Freeze,
// in the log's order. A flush makes them durable in the data store, since it is
// what lets the log forget them. Only what the log has made durable is among
// them, so that a write that was never acknowledged leaves no trace.
type events []event

// event is one of three things.
type event struct {
	pending *Pending
	defs    *record.Definitions
	free    *record.Free
}

func (e *events) define(b *Bucket, d *record.Definitions) {
	if b.disk != nil && len(d.Measurements)+len(d.Fields)+len(d.Series) > 0 {
		*e = append(*e, event{defs: d})
	}
}

// Settle says that a record with the definitions of ps has become durable. It
// comes before the Link of the record's batch. Writer only.
func (b *Bucket) Settle(ps []*Pending) {
	if b.disk == nil {
		return
	}
	for _, p := range ps {
		b.events = append(b.events, event{pending: p})
	}
}

// definitionSeriesMax is how many series one chunk of definitions has at most.
const definitionSeriesMax = 1 << 16

// chunks encodes events as the data store keeps them: records without points.
func (es events) chunks() [][]byte {
	var out [][]byte
	var defs record.Definitions
	flush := func() {
		if len(defs.Measurements)+len(defs.Fields)+len(defs.Series) > 0 {
			out = append(out, record.Encode(nil, new(point.Batch), &defs))
			defs.Reset()
		}
	}
	for _, e := range es {
		switch {
		case e.pending != nil:
			e.pending.AppendTo(&defs)
		case e.defs != nil:
			defs.Measurements = append(defs.Measurements, e.defs.Measurements...)
			defs.Fields = append(defs.Fields, e.defs.Fields...)
			defs.Series = append(defs.Series, e.defs.Series...)
		default:
			flush()
			out = append(out, record.EncodeFree(nil, *e.free))
		}
		if len(defs.Series) >= definitionSeriesMax {
			flush()
		}
	}
	flush()
	return out
}

// load applies a chunk of definitions from the data store.
func (b *Bucket) load(chunk []byte) error {
	b.chunksAtOpen++
	kind, err := record.KindOf(chunk)
	if err != nil {
		return err
	}
	if kind == record.KindFree {
		f, err := record.DecodeFree(chunk)
		if err != nil {
			return err
		}
		b.free(f)
		b.deadAtOpen += events{{free: &f}}.freed()
		return nil
	}
	batch := point.GetBatch()
	defer point.PutBatch(batch)
	defs := &b.replay
	defs.Reset()
	if err := record.Decode(chunk, batch, defs); err != nil {
		return err
	}
	if len(batch.Tables) > 0 {
		return fmt.Errorf("%w: points among the definitions", ErrInconsistent)
	}
	if err := b.install(defs, new(record.Definitions)); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	return nil
}

// Free forgets series and measurements that have no points: their names can be
// defined anew, with other types. It is called when the record that says so has
// been handed to the log, or is replayed. Ids of an earlier epoch must not come
// after it. Writer only.
func (b *Bucket) Free(f record.Free) {
	b.free(f)
	b.account()
}

// SettleFree says that the record of a Free has become durable. Like Settle it comes
// in the log's order: records before it may define what it frees. Writer only.
func (b *Bucket) SettleFree(f record.Free) {
	if b.disk != nil {
		b.events = append(b.events, event{free: &f})
		b.deadInLog.Add(b.events[len(b.events)-1:].freed())
	}
}

func (b *Bucket) free(f record.Free) {
	b.freed.Add(1)
	b.reserve(f)
	b.tags.Remove(f.Series)
	f.Series.Iterate(func(x uint32) bool {
		id := point.SeriesID(x)
		of, _ := b.series.at(id)
		if b.series.free(id) {
			b.defined.Remove(x)
			b.measurements[of].series--
		}
		return true
	})
	s := b.schema.Load()
	for _, id := range f.Measurements {
		m := b.measurement(id)
		if m == nil || s.measurementByID(id) == nil {
			continue
		}
		s = s.without(m.def)
		b.measurementCount.Add(-1)
		b.fieldCount.Add(-int64(len(m.fields)))
	}
	b.schema.Store(s)
}
