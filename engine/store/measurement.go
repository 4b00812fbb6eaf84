package store

import (
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// measurement is what the writer keeps for one measurement. Owned by the writer,
// id, name and order excepted.
type measurement struct {
	b    *Bucket
	id   point.MeasurementID // never changes; anyone may read it
	name string              // likewise
	def  *Measurement        // as in the writer's schema

	fields []Field  // in order of definition
	byID   []uint32 // 1 + index into fields by FieldID, 0 for none

	// series counts the series that are defined; a measurement that has had some
	// and has none left is freed with the last one.
	series int
	// points is the measurement's part of the active memtable; nil for none.
	points *memPoints

	order seriesOrder
}

// field finds a definition by id.
func (m *measurement) field(id point.FieldID) (Field, bool) {
	if int(id) < len(m.byID) && m.byID[id] != 0 {
		return m.fields[m.byID[id]-1], true
	}
	return Field{}, false
}

// seriesOrder remembers series of a measurement in key order, so that a view
// need not sort them. Shared by views; it only ever grows.
type seriesOrder struct {
	mu    sync.Mutex
	ids   []point.SeriesID // never changed, only replaced
	known *roaring.Bitmap  // the same
}
