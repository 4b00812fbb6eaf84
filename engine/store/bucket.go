package store

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/disk"
	"headgate/engine/store/tagindex"
)

// Bucket is the state of one bucket: its schema, its series, the points that are
// in memory and, through the data store, those on disk. Define, Link, Freeze and
// the other methods that say so belong to one goroutine, the writer; everything
// else may be called by any goroutine at any time.
type Bucket struct {
	epoch uint64
	o     Options
	// disk is the bucket's part of the data store; nil: there is none, and
	// everything stays in memory.
	disk *disk.Bucket

	schema   atomic.Pointer[Schema]     // written by the writer
	series   seriesIndex                // see there
	pendings atomic.Pointer[[]*Pending] // written by the writer; copied on write

	// measurements is by id, nil for none. Owned by the writer.
	measurements []*measurement
	// tags finds series by their tags. It looks by itself which series there are.
	tags *tagindex.Index
	// freed counts how often series have been freed. Atomic; written by the writer.
	freed       atomic.Int64
	defined     *roaring.Bitmap // the series that exist; owned by the writer
	schemaBytes int64           // owned by the writer
	active      *memtable       // owned by the writer; what mu guards inside is said there
	// events are the definitions that have become durable in the log since the
	// last Freeze, and what has been freed. Owned by the writer.
	events events

	// mu makes a Link, and the end of a flush, atomic with respect to Snapshot.
	mu      sync.Mutex
	queue   []*queued     // what is to be flushed, oldest first; appended by the writer, taken out by jobs
	applied []uint64      // deletes that are done; the next Flush says so. Written by jobs
	wrote   atomic.Bool   // a Flush has written memtables. Atomic; taken by TakeWrote
	version *disk.Version // the parts; nil without disk. Replaced by jobs
	closed  bool
	retired bool // there are no more jobs
	// touched says when windows got parts, of those that did lately; opened when it
	// was empty.
	touched map[window]time.Time
	opened  time.Time

	// jobs is held by whoever changes what is on disk: one at a time. A compaction
	// takes it only for its end; compacting is held for all of it, and comes first.
	jobs, compacting sync.Mutex
	scratch          jobScratch // guarded by jobs
	compactScratch   jobScratch // guarded by compacting

	retention atomic.Int64 // nanoseconds, 0 for ever

	// Written by the writer, read by anyone.
	bytes, activeBytes, activeSince                           atomic.Int64
	seriesCount, measurementCount, fieldCount, points, values atomic.Int64
	segments                                                  atomic.Int64
	// Written by jobs and views.
	orderBytes, frozenBytes atomic.Int64
	io                      ioStats

	// What has been freed, counted in series and measurements: among what the bucket was
	// opened with, by what has been flushed since, too, and since the last Freeze.
	deadAtOpen            int64
	deadOnDisk, deadInLog atomic.Int64
	chunksAtOpen          int

	replay record.Definitions // scratch; owned by the writer
}

// NewBucket returns an empty bucket that keeps everything in memory. Its ids
// mean nothing to a bucket of another epoch; the caller numbers the epochs.
// Panics if o is not valid.
func NewBucket(epoch uint64, o Options) *Bucket {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		panic(err)
	}
	seed := maphash.MakeSeed()
	b := &Bucket{epoch: epoch, o: o, measurements: make([]*measurement, 1), defined: roaring.New(), touched: make(map[window]time.Time), opened: o.Now()}
	b.schema.Store(&Schema{seed: seed})
	b.series.init(seed)
	b.tags = tagindex.New(func(id point.SeriesID) (point.MeasurementID, []byte) {
		if m, ref := b.series.at(id); ref != 0 && !b.series.dead(id) {
			return m, b.series.key(id)
		}
		return 0, nil
	})
	b.pendings.Store(new([]*Pending))
	b.active = newMemtable(b)
	b.account()
	return b
}

// OpenBucket returns a bucket with what the data store has of it. The log's
// records after Flushed are still to be replayed.
func OpenBucket(epoch uint64, d *disk.Bucket, o Options) (*Bucket, error) {
	b := NewBucket(epoch, o)
	b.disk = d
	if err := d.Definitions(b.load); err != nil {
		return nil, fmt.Errorf("load definitions: %w", err)
	}
	b.deadOnDisk.Store(b.deadAtOpen)
	b.version = d.Acquire()
	b.countParts()
	b.account()
	return b, nil
}

// Close lets go of what the bucket holds of the data store, after the jobs that
// run. Views that are open stay good; there are no new ones.
func (b *Bucket) Close() {
	b.Retire()
	b.mu.Lock()
	b.closed = true
	v := b.version
	b.version = nil
	b.mu.Unlock()
	if v != nil {
		v.Release()
	}
}

// Retire makes way for another bucket on the same data: it returns after the jobs that
// run, and there are no more. There are new views until Close.
func (b *Bucket) Retire() {
	b.mu.Lock()
	b.retired = true
	b.mu.Unlock()
	b.compacting.Lock()
	defer b.compacting.Unlock()
	b.jobs.Lock()
	defer b.jobs.Unlock()
}

// Epoch is what NewBucket was given.
func (b *Bucket) Epoch() uint64 { return b.epoch }

// Flushed is the highest sequence number of the log whose effects are in the
// data store: records up to it are not needed any more.
func (b *Bucket) Flushed() uint64 {
	if b.disk == nil {
		return 0
	}
	return b.disk.Flushed()
}

// SetRetention sets the bucket's retention period in nanoseconds, 0 for ever.
// Views made from now on show nothing that is older.
func (b *Bucket) SetRetention(ns int64) { b.retention.Store(ns) }

// cutoff is the oldest time that is within the retention period now.
func (b *Bucket) cutoff() int64 {
	r := b.retention.Load()
	if r == 0 {
		return math.MinInt64
	}
	return b.o.Now().UnixNano() - r
}

// Schema is the current schema.
func (b *Bucket) Schema() *Schema { return b.schema.Load() }

// LookupSeries finds a series by its canonical key. It does not allocate.
func (b *Bucket) LookupSeries(key []byte) (point.SeriesID, point.MeasurementID, bool) {
	return b.series.lookup(key)
}

// SeriesKey is the canonical key of a series; nil if the id is unknown. The
// caller must not change it.
func (b *Bucket) SeriesKey(id point.SeriesID) []byte { return b.series.key(id) }

// MemoryBytes is what the bucket occupies: schema, series index, points in memory
// and the directories of the parts.
func (b *Bucket) MemoryBytes() int64 {
	n := b.bytes.Load() + b.orderBytes.Load() + b.frozenBytes.Load() + b.tags.MemoryBytes()
	if b.disk != nil {
		n += b.disk.MemoryBytes()
	}
	return n
}

// MemtableBytes is what the points in memory occupy: those in the active
// memtable, and those that wait to be flushed.
func (b *Bucket) MemtableBytes() (active, frozen int64) {
	return b.activeBytes.Load(), b.frozenBytes.Load()
}

// MemtableSince is when the oldest point of the active memtable was linked, zero
// if it is empty.
func (b *Bucket) MemtableSince() time.Time {
	if ns := b.activeSince.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Stats counts what a bucket holds.
type Stats struct {
	// Series, Measurements and Fields that are defined.
	Series, Measurements, Fields int64
	// Points and Values on disk and linked, overwritten ones in part included.
	Points, Values int64
	// Segments is the number of immutable runs of rows in memory.
	Segments int64
	// Parts, Blocks and DiskBytes are what is in the data store.
	Parts, Blocks int
	DiskBytes     int64
	// Bytes is MemoryBytes.
	Bytes int64
}

// Stats returns the current counts. They are read one by one.
func (b *Bucket) Stats() Stats {
	s := Stats{
		Series:       b.seriesCount.Load(),
		Measurements: b.measurementCount.Load(),
		Fields:       b.fieldCount.Load(),
		Points:       b.points.Load() + b.io.rows.Load(),
		Values:       b.values.Load() + b.io.values.Load(),
		Segments:     b.segments.Load(),
		Bytes:        b.MemoryBytes(),
	}
	s.Parts, s.Blocks, s.DiskBytes = int(b.io.parts.Load()), int(b.io.blocks.Load()), b.io.diskBytes.Load()
	return s
}

// account publishes the writer's sums.
func (b *Bucket) account() {
	b.bytes.Store(bucketBytes + b.schemaBytes + b.series.bytes + b.active.bytes + int64(cap(b.measurements))*8)
	b.activeBytes.Store(b.active.bytes)
	since := int64(0)
	if len(b.active.points) > 0 {
		since = b.active.since.UnixNano()
	}
	b.activeSince.Store(since)
	b.seriesCount.Store(int64(b.series.count))
}

// bucketBytes is what an empty bucket occupies, its series index aside.
const bucketBytes = 1024

// measurement returns what the writer knows about id, nil if it is not defined.
func (b *Bucket) measurement(id point.MeasurementID) *measurement {
	if int(id) < len(b.measurements) {
		return b.measurements[id]
	}
	return nil
}

// addMeasurement makes the writer's side of a new measurement.
func (b *Bucket) addMeasurement(def *Measurement) *measurement {
	for int(def.ID) >= len(b.measurements) {
		b.measurements = append(b.measurements, nil)
	}
	m := &measurement{b: b, id: def.ID, name: def.Name, def: def}
	def.own = m
	b.measurements[def.ID] = m
	b.schemaBytes += measurementBytes + int64(len(def.Name))
	b.measurementCount.Add(1)
	return m
}

// addField makes f known to the writer. The schema is the caller's business.
func (b *Bucket) addField(m *measurement, f Field) {
	before := cap(m.byID) * 4
	for int(f.ID) >= len(m.byID) {
		m.byID = append(m.byID, 0)
	}
	m.fields = append(m.fields, f)
	m.byID[f.ID] = uint32(len(m.fields))
	b.schemaBytes += fieldBytes + int64(len(f.Name)+cap(m.byID)*4-before)
	b.fieldCount.Add(1)
}

// countSeries notes a new series.
func (b *Bucket) countSeries(id point.SeriesID, of point.MeasurementID) {
	b.defined.Add(uint32(id))
	b.measurements[of].series++
}
