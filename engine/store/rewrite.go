package store

import (
	"context"
	"errors"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/disk"
)

// Definitions are added to the data store chunk by chunk, and what is freed only
// gets a chunk that says so: it goes on taking room, on disk and in memory. When that
// is more than what lives, the definitions are written anew and the bucket is opened
// again.

// Past chunksMax chunks, and one more for each chunkSeriesMin series, definitions are
// written anew as well: each costs a little when the bucket is opened.
const (
	chunksMax      = 1024
	chunkSeriesMin = 1024
)

// rewriteBytesMax bounds the series index of a bucket whose definitions are written
// anew: all of them are in one edit.
const rewriteBytesMax = 1 << 30

// Wasteful reports whether opening the bucket again, after RewriteDefinitions, is
// worth it: more has been freed than there is, by flushes since it was opened. Right
// after OpenBucket it says so of what was loaded. Writer only.
func (b *Bucket) Wasteful() bool {
	return b.disk != nil && b.wasted(b.deadOnDisk.Load()-b.deadAtOpen)
}

func (b *Bucket) wasted(dead int64) bool {
	live := int64(b.series.count) + b.measurementCount.Load()
	return dead >= int64(b.o.DeadMin) && dead > live
}

// Forgetful reports whether much has been freed that only the log knows of. A Freeze
// and a Flush change that.
func (b *Bucket) Forgetful() bool { return b.deadInLog.Load() >= int64(b.o.DeadMin) }

// WastefulOnDisk reports whether RewriteDefinitions would make the definitions
// considerably smaller. For a bucket that has just been opened.
func (b *Bucket) WastefulOnDisk() bool {
	return b.wasted(b.deadAtOpen) || b.chunksAtOpen > chunksMax+b.series.count/chunkSeriesMin
}

// RewriteDefinitions writes the definitions in the data store anew, without what has
// been freed. Ids that have been given out stay so. It is for a bucket that has just
// been opened and has replayed nothing. That bucket still has what was freed in
// memory; one that is opened afterwards has not.
func (b *Bucket) RewriteDefinitions(ctx context.Context) error {
	if b.series.bytes > rewriteBytesMax {
		return errors.New("store: too many definitions to write them anew")
	}
	if err := b.begin(); err != nil {
		return err
	}
	defer b.jobs.Unlock()
	return b.commit(ctx, &disk.Edit{Definitions: b.liveChunks(), ReplaceDefinitions: true}, nil, 0)
}

// liveChunks encodes what is defined. Writer only.
func (b *Bucket) liveChunks() [][]byte {
	var out [][]byte
	var defs record.Definitions
	flush := func(limit int) {
		if n := len(defs.Measurements) + len(defs.Fields) + len(defs.Series); n > limit {
			out = append(out, record.Encode(nil, new(point.Batch), &defs))
			defs.Reset()
		}
	}
	// The highest ids are remembered by what has been freed under them.
	last := record.Free{Series: roaring.New()}
	if next := b.series.next; next > 0 && !b.defined.Contains(uint32(next)) {
		last.Series.Add(uint32(next))
	}
	s := b.schema.Load()
	if top := point.MeasurementID(len(b.measurements) - 1); top > 0 && s.measurementByID(top) == nil {
		last.Measurements = append(last.Measurements, top)
	}
	if len(last.Measurements) > 0 || !last.Series.IsEmpty() {
		out = append(out, record.EncodeFree(nil, last))
	}
	for id, m := range b.measurements {
		if m == nil || s.measurementByID(point.MeasurementID(id)) == nil {
			continue
		}
		defs.Measurements = append(defs.Measurements, record.MeasurementDef{ID: m.id, Name: m.name})
		for _, f := range m.fields {
			defs.Fields = append(defs.Fields, record.FieldDef{Measurement: m.id, ID: f.ID, Type: f.Type, Name: f.Name})
		}
		flush(definitionSeriesMax)
	}
	b.defined.Iterate(func(x uint32) bool {
		id := point.SeriesID(x)
		of, _ := b.series.at(id)
		defs.Series = append(defs.Series, record.SeriesDef{ID: id, Measurement: of, Key: b.series.key(id)})
		flush(definitionSeriesMax)
		return true
	})
	flush(0)
	return out
}

// reserve sees to it that freed ids are not given out again, also those whose
// definitions are not there any more. Writer only.
func (b *Bucket) reserve(f record.Free) {
	if !f.Series.IsEmpty() {
		if id := point.SeriesID(f.Series.Maximum()); id <= point.SeriesIDMax {
			b.series.next = max(b.series.next, id)
		}
	}
	for _, id := range f.Measurements {
		for int(id) >= len(b.measurements) && id <= measurementMax {
			b.measurements = append(b.measurements, nil)
		}
	}
}

// freed counts what has been freed by some events.
func (es events) freed() (n int64) {
	for _, e := range es {
		if e.free != nil {
			n += int64(e.free.Series.GetCardinality()) + int64(len(e.free.Measurements))
		}
	}
	return n
}
