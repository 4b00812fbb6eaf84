package store

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"headgate/engine/point"
	"headgate/engine/record"
)

// Bucket is the state of one bucket: its schema, its series and the points that
// are in memory. Define, Logged, Link and Replay belong to one goroutine, the
// writer; everything else may be called by any goroutine at any time.
type Bucket struct {
	epoch uint64
	o     Options

	schema   atomic.Pointer[Schema]     // written by the writer
	series   seriesIndex                // see there
	pendings atomic.Pointer[[]*Pending] // written by the writer; copied on write

	// measurements is by id, nil for none. Owned by the writer; what mu guards
	// inside is said there.
	measurements []*measurement
	live         []uint64 // bit set of the series that have points; owned by the writer
	schemaBytes  int64    // owned by the writer
	memBytes     int64    // owned by the writer: segments, tails, live lists
	orderBytes   atomic.Int64

	// mu makes a Link atomic with respect to Snapshot. It guards dirty, root and
	// the parts of the measurements that a view is made of.
	mu    sync.Mutex
	dirty []*measurement // changed since root was made
	root  *viewRoot

	// Written by the writer, read by anyone.
	bytes                                                     atomic.Int64
	seriesCount, measurementCount, fieldCount, points, values atomic.Int64
	segments                                                  atomic.Int64

	replay record.Definitions // scratch; owned by the writer
}

// NewBucket returns an empty bucket. Its ids mean nothing to a bucket of another
// epoch; the caller numbers the epochs. Panics if o is not valid.
func NewBucket(epoch uint64, o Options) *Bucket {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		panic(err)
	}
	seed := maphash.MakeSeed()
	b := &Bucket{epoch: epoch, o: o, measurements: make([]*measurement, 1), root: new(viewRoot)}
	b.schema.Store(&Schema{seed: seed})
	b.series.init(seed)
	b.pendings.Store(new([]*Pending))
	b.account()
	return b
}

// Epoch is what NewBucket was given.
func (b *Bucket) Epoch() uint64 { return b.epoch }

// Schema is the current schema.
func (b *Bucket) Schema() *Schema { return b.schema.Load() }

// LookupSeries finds a series by its canonical key. It does not allocate.
func (b *Bucket) LookupSeries(key []byte) (point.SeriesID, point.MeasurementID, bool) {
	return b.series.lookup(key)
}

// SeriesKey is the canonical key of a series; nil if the id is unknown. The
// caller must not change it.
func (b *Bucket) SeriesKey(id point.SeriesID) []byte { return b.series.key(id) }

// MemoryBytes is what the bucket occupies: schema, series index and points.
func (b *Bucket) MemoryBytes() int64 { return b.bytes.Load() + b.orderBytes.Load() }

// Stats counts what a bucket holds.
type Stats struct {
	// Series, Measurements and Fields that are defined.
	Series, Measurements, Fields int64
	// Points and Values that have been linked, overwritten ones included.
	Points, Values int64
	// Segments is the number of immutable runs of rows in memory.
	Segments int64
	// Bytes is MemoryBytes.
	Bytes int64
}

// Stats returns the current counts. They are read one by one.
func (b *Bucket) Stats() Stats {
	return Stats{
		Series:       b.seriesCount.Load(),
		Measurements: b.measurementCount.Load(),
		Fields:       b.fieldCount.Load(),
		Points:       b.points.Load(),
		Values:       b.values.Load(),
		Segments:     b.segments.Load(),
		Bytes:        b.MemoryBytes(),
	}
}

// account publishes the writer's sums.
func (b *Bucket) account() {
	b.bytes.Store(bucketBytes + b.schemaBytes + b.series.bytes + b.memBytes + int64(cap(b.live)+cap(b.measurements))*8)
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
	m.fieldLive = append(m.fieldLive, false)
	m.byID[f.ID] = uint32(len(m.fields))
	b.schemaBytes += fieldBytes + int64(len(f.Name)+cap(m.byID)*4-before)
	b.fieldCount.Add(1)
}

// Replay applies a record of the log, in the log's order, at recovery. Repeated
// definitions are fine, contradicting ones are not. After an error, which says
// what is wrong, the bucket is of no use. Writer only.
func (b *Bucket) Replay(rec []byte) error {
	batch := point.GetBatch()
	defer point.PutBatch(batch)
	defs := &b.replay
	defs.Reset()
	if err := record.Decode(rec, batch, defs); err != nil {
		return err
	}
	if err := b.install(defs); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	for _, t := range batch.Tables {
		if err := b.check(t); err != nil {
			return fmt.Errorf("%w: %w", ErrInconsistent, err)
		}
	}
	b.Link(batch)
	return nil
}

// install takes over definitions with their ids.
func (b *Bucket) install(defs *record.Definitions) error {
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
