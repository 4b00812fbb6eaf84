package store

import (
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// LoadDefinition applies a chunk of definitions of the data store to a bucket of
// NewBucket, which then knows what they say: for tools. After an error the bucket is
// as it was, unless the chunk decodes and contradicts itself halfway. Writer only.
func (b *Bucket) LoadDefinition(chunk []byte) error { return b.load(chunk) }

// CheckRecord says what is wrong with a record of the log that comes after what the
// bucket knows, and takes over what it defines. Unlike Replay it keeps no points: seen,
// if not nil, is told of each table of a sound record, and does not keep it. Writer only.
func (b *Bucket) CheckRecord(rec []byte, seen func(*point.Table)) error {
	kind, err := record.KindOf(rec)
	if err != nil {
		return err
	}
	switch kind {
	case record.KindDelete:
		_, err := record.DecodeDelete(rec)
		return err
	case record.KindFree:
		return b.load(rec)
	}
	batch := point.GetBatch()
	defer point.PutBatch(batch)
	defs := &b.replay
	defs.Reset()
	if err := record.Decode(rec, batch, defs); err != nil {
		return err
	}
	if err := b.install(defs, new(record.Definitions)); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	for _, t := range batch.Tables {
		if err := b.check(t); err != nil {
			return fmt.Errorf("%w: %w", ErrInconsistent, err)
		}
	}
	tell(batch, seen)
	return nil
}

// tell tells seen, if there is one, of a batch.
func tell(batch *point.Batch, seen func(*point.Table)) {
	if seen == nil {
		return
	}
	for _, t := range batch.Tables {
		seen(t)
	}
}

// DefinedName is the name of a measurement that was defined, be it freed by now; ""
// if it never was. Writer only.
func (b *Bucket) DefinedName(id point.MeasurementID) string {
	if m := b.measurement(id); m != nil {
		return m.name
	}
	return ""
}

// DefinedField is the name of a field of a measurement, likewise. Writer only.
func (b *Bucket) DefinedField(of point.MeasurementID, id point.FieldID) string {
	if m := b.measurement(of); m != nil {
		if f, ok := m.field(id); ok {
			return f.Name
		}
	}
	return ""
}

// MeasurementInfo describes a measurement to a person.
type MeasurementInfo struct {
	ID     point.MeasurementID
	Name   string
	Fields []Field // in order of definition
	Series int
}

// Measurements lists the measurements that the bucket has, by id. Writer only.
func (b *Bucket) Measurements() []MeasurementInfo {
	var all []MeasurementInfo
	s := b.schema.Load()
	for id, m := range b.measurements {
		if m != nil && s.measurementByID(point.MeasurementID(id)) != nil {
			all = append(all, MeasurementInfo{m.id, m.name, slices.Clone(m.fields), m.series})
		}
	}
	return all
}

// EachSeries calls fn with every series that is defined, by id, until it returns
// false. fn does not change key. Writer only.
func (b *Bucket) EachSeries(fn func(id point.SeriesID, of point.MeasurementID, key []byte) bool) {
	b.defined.Iterate(func(x uint32) bool {
		of, _ := b.series.at(point.SeriesID(x))
		return fn(point.SeriesID(x), of, b.series.key(point.SeriesID(x)))
	})
}

// Undefined is what a block has and no definition names.
type Undefined struct {
	Measurement point.MeasurementID // 0 if it is defined
	Series      []point.SeriesID
	Fields      []point.FieldID
}

func (u *Undefined) empty() bool {
	return u.Measurement == 0 && len(u.Series)+len(u.Fields) == 0
}

func (u *Undefined) Error() string {
	switch {
	case u.Measurement != 0:
		return fmt.Sprintf("measurement %d is not defined", u.Measurement)
	case len(u.Series) == 1:
		return fmt.Sprintf("series %d is not defined", u.Series[0])
	case len(u.Series) > 0:
		return fmt.Sprintf("%d series are not defined, the first is %d", len(u.Series), u.Series[0])
	case len(u.Fields) == 1:
		return fmt.Sprintf("field %d is not defined so", u.Fields[0])
	default:
		return fmt.Sprintf("%d fields are not defined so, the first is %d", len(u.Fields), u.Fields[0])
	}
}

// undefinedIn finds what of series and columns the definitions do not have.
func (b *Bucket) undefinedIn(id point.MeasurementID, series []point.SeriesID, columns []block.ColumnInfo) *Undefined {
	m := b.measurement(id)
	if m == nil {
		return &Undefined{Measurement: id}
	}
	u := new(Undefined)
	for _, s := range series {
		if of, ref := b.series.at(s); ref == 0 || of != id {
			u.Series = append(u.Series, s)
		}
	}
	for i := range columns {
		if f, ok := m.field(columns[i].Field); !ok || f.Type != columns[i].Type {
			u.Fields = append(u.Fields, columns[i].Field)
		}
	}
	if u.empty() {
		return nil
	}
	return u
}

// PartCheck compares a part's blocks, in their order, with its directory and with
// the bucket's definitions. One goroutine uses it.
type PartCheck struct {
	b *Bucket
	p *disk.Part

	m          *disk.Measurement // whose blocks come now
	seen       *roaring.Bitmap   // their series
	unread     bool              // one of them could not be read
	lastSeries point.SeriesID
	lastTime   int64
	block      block.Block
	times      []int64
}

// CheckPart begins a check. b is the writer's.
func (b *Bucket) CheckPart(p *disk.Part) *PartCheck { return &PartCheck{b: b, p: p} }

// Block verifies one block: every checksum, its values, and all that directory and
// definitions say of it. nil data is a block that cannot be read. An *Undefined is
// of a block that is sound otherwise; any other error is damage.
func (c *PartCheck) Block(m *disk.Measurement, meta *disk.BlockMeta, data []byte) error {
	if c.m != m {
		c.m, c.seen, c.unread, c.lastSeries = m, roaring.New(), false, 0
	}
	if data == nil {
		c.unread = true
		return nil
	}
	err := c.verify(m, meta, data)
	if err != nil {
		c.unread = true
		return err
	}
	for _, s := range c.block.Series() {
		c.seen.Add(uint32(s))
	}
	if u := c.b.undefinedIn(m.ID, c.block.Series(), c.block.Columns()); u != nil {
		return u
	}
	return nil
}

func (c *PartCheck) verify(m *disk.Measurement, meta *disk.BlockMeta, data []byte) error {
	b := &c.block
	if err := b.Reset(data); err != nil {
		return err
	}
	if err := b.Verify(); err != nil {
		return err
	}
	series := b.Series()
	first, last := series[0], series[len(series)-1]
	lo, hi := b.TimeRange()
	values := 0
	for _, info := range b.Columns() {
		values += info.Values
		if _, ok := slices.BinarySearch(m.Fields, info.Field); !ok {
			return fmt.Errorf("field %d is not in the directory", info.Field)
		}
	}
	switch {
	case b.Measurement() != m.ID:
		return fmt.Errorf("measurement is %d, the directory says %d", b.Measurement(), m.ID)
	case b.Rows() != int(meta.Rows) || values != int(meta.Values):
		return fmt.Errorf("row count %d and value count %d, the directory says %d and %d", b.Rows(), values, meta.Rows, meta.Values)
	case first != meta.SeriesMin || last != meta.SeriesMax:
		return fmt.Errorf("series %d to %d, the directory says %d to %d", first, last, meta.SeriesMin, meta.SeriesMax)
	case lo != meta.TimeMin || hi != meta.TimeMax:
		return fmt.Errorf("times %d to %d, the directory says %d to %d", lo, hi, meta.TimeMin, meta.TimeMax)
	}
	for _, s := range series {
		if !m.Series.Contains(uint32(s)) {
			return fmt.Errorf("series %d is not in the directory", s)
		}
	}
	var err error
	if c.times, err = b.Times(c.times); err != nil {
		return err
	}
	if first < c.lastSeries || first == c.lastSeries && c.times[0] <= c.lastTime {
		return fmt.Errorf("series %d at %d comes after series %d at %d of the block before", first, c.times[0], c.lastSeries, c.lastTime)
	}
	c.lastSeries, c.lastTime = last, c.times[len(c.times)-1]
	return nil
}

// EndMeasurement is called after the last block of a measurement. It says what of the
// directory none of the blocks has.
func (c *PartCheck) EndMeasurement() error {
	if c.m == nil || c.unread {
		return nil
	}
	if extra := roaring.AndNot(c.m.Series, c.seen); extra.GetCardinality() == 1 {
		return fmt.Errorf("the directory has series %d, which no block has", extra.Minimum())
	} else if !extra.IsEmpty() {
		return fmt.Errorf("the directory has %d series that no block has, the first is %d", extra.GetCardinality(), extra.Minimum())
	}
	return nil
}

// BlockSeries returns the series that a damaged block has: exactly, if its header
// and list of series can be read, and otherwise those that the directory allows.
func BlockSeries(m *disk.Measurement, meta *disk.BlockMeta, data []byte) (ids []point.SeriesID, exact bool) {
	if b, err := block.Parse(data); err == nil && b.Measurement() == m.ID {
		return slices.Clone(b.Series()), true
	}
	it := m.Series.Iterator()
	it.AdvanceIfNeeded(uint32(meta.SeriesMin))
	for it.HasNext() {
		id := point.SeriesID(it.Next())
		if id > meta.SeriesMax {
			break
		}
		ids = append(ids, id)
	}
	return ids, false
}
