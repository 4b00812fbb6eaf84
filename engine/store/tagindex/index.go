package tagindex

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// KeyOf returns the measurement and the canonical key of a series, and 0 and nil
// for an id that no series has. Any goroutine may call it, at any time. A key
// never changes, and stays readable for as long as somebody has it.
type KeyOf func(point.SeriesID) (point.MeasurementID, []byte)

// Index is the inverted index of one bucket. Any goroutine may call any method at
// any time.
type Index struct {
	keyOf KeyOf
	seed  maphash.Seed
	bytes atomic.Int64

	// mu is held for writing by who notes new series or takes out old ones, and for
	// reading by everyone else, always before a measurement's own mutex.
	mu           sync.RWMutex
	measurements []*measurement  // by id, nil for none
	scanned      uint32          // every series up to it is in its measurement's all
	gone         *roaring.Bitmap // series above scanned that are no more; nil for none

	// removed is what Remove has been given and mu's holder has not yet taken.
	removedMu sync.Mutex
	removed   *roaring.Bitmap // nil for none
	pending   atomic.Bool     // removed is not nil
}

// New returns an empty index. keyOf is asked by CatchUp and by the questions; it
// is never asked for ids above those that CatchUp was told of.
func New(keyOf KeyOf) *Index {
	return &Index{keyOf: keyOf, seed: maphash.MakeSeed()}
}

// How much is done in one go, so that nobody waits long for a mutex: some ten
// milliseconds of either.
const (
	scanSlice  = 1 << 18
	indexSlice = 1 << 14
)

// CatchUp makes every question about m count in all series up to upTo and none
// that were removed before. Series must be defined in ascending order of their ids:
// one that appears below upTo afterwards is never found. It takes some 20 ns for each
// new series of the bucket and a microsecond for each of m with ten tags, and returns
// at once when there is nothing to do. It fails only when ctx ends.
//
// Several calls at a time share the work.
func (x *Index) CatchUp(ctx context.Context, m point.MeasurementID, upTo point.SeriesID) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if x.step(m, uint32(upTo)) {
			return nil
		}
	}
}

// step does a slice of what CatchUp has to do, or reports that nothing is left.
func (x *Index) step(id point.MeasurementID, upTo uint32) (done bool) {
	x.mu.RLock()
	if x.pending.Load() || x.scanned < upTo {
		x.mu.RUnlock()
		x.mu.Lock()
		defer x.mu.Unlock()
		x.applyRemoved()
		x.scan(upTo)
		return false
	}
	defer x.mu.RUnlock()
	m := x.measurement(id)
	if m == nil {
		return true
	}
	m.mu.RLock()
	done = !m.behind()
	m.mu.RUnlock()
	if done {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.behind() {
		before := m.bytes
		m.index(x, indexSlice)
		x.bytes.Add(m.bytes - before)
	}
	return false
}

// measurement returns nil if no series of it is known.
func (x *Index) measurement(id point.MeasurementID) *measurement {
	if int(id) < len(x.measurements) {
		return x.measurements[id]
	}
	return nil
}

// scan gives the next series, up to upTo, to their measurements.
func (x *Index) scan(upTo uint32) {
	upTo = min(upTo, x.scanned+scanSlice)
	var bytes int64
	for id := x.scanned + 1; id <= upTo; id++ {
		of, key := x.keyOf(point.SeriesID(id))
		if of == 0 || key == nil || x.gone != nil && x.gone.Contains(id) {
			continue
		}
		m := x.measurement(of)
		if m == nil {
			m = x.addMeasurement(of)
		}
		grown := m.all.add(id)
		m.bytes += grown
		bytes += grown
	}
	x.bytes.Add(bytes)
	x.scanned = max(x.scanned, upTo)
	if x.gone != nil && x.gone.Maximum() <= x.scanned {
		x.gone = nil
	}
}

func (x *Index) addMeasurement(id point.MeasurementID) *measurement {
	if n := int(id) - len(x.measurements) + 1; n > 0 {
		before := cap(x.measurements)
		x.measurements = append(x.measurements, make([]*measurement, n)...)
		x.bytes.Add(int64(cap(x.measurements)-before) * 8)
	}
	m := &measurement{bytes: measurementBytes}
	x.measurements[id] = m
	x.bytes.Add(m.bytes)
	return m
}

// Remove forgets series that are no more, by the next CatchUp. It takes as long as
// it takes to look at ids, which it does not keep; nil is empty.
func (x *Index) Remove(ids *roaring.Bitmap) {
	if ids == nil || ids.IsEmpty() {
		return
	}
	x.removedMu.Lock()
	defer x.removedMu.Unlock()
	if x.removed == nil {
		x.removed = ids.Clone()
	} else {
		x.removed.Or(ids)
	}
	x.pending.Store(true)
}

// applyRemoved takes out what Remove was given. mu is held for writing.
func (x *Index) applyRemoved() {
	x.removedMu.Lock()
	ids := x.removed
	x.removed = nil
	x.pending.Store(false)
	x.removedMu.Unlock()
	if ids == nil {
		return
	}
	if ids.Maximum() > x.scanned {
		later := ids.Clone()
		later.RemoveRange(0, uint64(x.scanned)+1)
		if x.gone != nil {
			later.Or(x.gone)
		}
		x.gone = later
	}
	for id, m := range x.measurements {
		if m == nil || !m.all.intersects(ids) {
			continue
		}
		before := m.bytes
		m.remove(ids)
		if m.all.empty() {
			x.measurements[id] = nil
			m.bytes = 0
		}
		x.bytes.Add(m.bytes - before)
	}
}

// MemoryBytes is what the index occupies, by an estimate that is rather high.
func (x *Index) MemoryBytes() int64 { return x.bytes.Load() }
