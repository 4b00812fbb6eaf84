package store

import (
	"fmt"
	"sync"

	"headgate/engine/point"
)

// measurement is what the writer keeps for one measurement: its definitions by
// id, and its points. Owned by the writer; the parts below mu are written under
// Bucket.mu, because Snapshot may read them to make a view.
type measurement struct {
	b    *Bucket
	id   point.MeasurementID // never changes; anyone may read it
	name string              // likewise
	def  *Measurement        // as in the writer's schema

	fields []Field  // in order of definition
	byID   []uint32 // 1 + index into fields by FieldID, 0 for none

	fieldLive []bool // by index into fields: has it been linked
	order     seriesOrder

	// Under Bucket.mu.
	dirty      bool             // in Bucket.dirty
	segments   []*segment       // append-only, oldest first
	tail       *tail            // the rows after the last segment; nil for none
	live       []point.SeriesID // append-only: has points, in order of the first
	liveFields []Field          // append-only: has values
}

// field finds a definition by id.
func (m *measurement) field(id point.FieldID) (Field, bool) {
	if int(id) < len(m.byID) && m.byID[id] != 0 {
		return m.fields[m.byID[id]-1], true
	}
	return Field{}, false
}

// segment is a run of rows in the order in which they were written. Immutable.
type segment struct {
	series   []point.SeriesRef
	times    []int64
	columns  []*point.Column // each of another field
	min, max int64           // of times
}

// A table goes into the memtable as a segment of its own if it has that many
// rows or bytes; a smaller one is merged into the tail, so that a million
// one-line writes make a few hundred segments.
const (
	segmentRowsMin  = 256
	segmentBytesMin = 256 << 10
)

// dirtyMax measurements may wait for a Snapshot to publish them; from then on
// Link does, so that no Snapshot has much to do.
const dirtyMax = 32

// Link makes the batch's points visible, all at once with respect to Snapshot.
// Its ids must be this bucket's. Tables may move into the memtable, so that
// nothing of the batch may be used afterwards, except to give it to
// [point.PutBatch]. Batches are linked in the order in which they were written:
// the last value of a (series, time, field) wins. Writer only.
func (b *Bucket) Link(batch *point.Batch) {
	left := b.linkTables(batch.Tables)
	// Tables that moved are no longer the batch's to reset.
	clear(batch.Tables[len(left):])
	batch.Tables = left
	b.account()
}

// linkTables returns those tables that have been copied.
func (b *Bucket) linkTables(tables []*point.Table) (left []*point.Table) {
	left = tables[:0]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tables {
		if t.Rows() == 0 {
			left = append(left, t)
			continue
		}
		m := b.measurement(t.ID)
		if m == nil {
			panic(fmt.Sprintf("store: link points of measurement %d, which is not defined", t.ID))
		}
		if !m.dirty {
			m.dirty = true
			b.dirty = append(b.dirty, m)
		}
		lo, hi := m.linkRows(t)
		values := m.linkFields(t)
		b.points.Add(int64(t.Rows()))
		b.values.Add(values)
		if t.Rows() >= segmentRowsMin || t.MemoryBytes() >= segmentBytesMin {
			m.seal()
			m.takeOver(t, lo, hi)
		} else {
			m.appendTail(t, lo, hi)
			left = append(left, t)
		}
	}
	if len(b.dirty) > dirtyMax {
		b.publish()
	}
	return left
}

// linkRows notes series that have their first points and returns the range of
// the times.
func (m *measurement) linkRows(t *point.Table) (lo, hi int64) {
	lo, hi = t.Times[0], t.Times[0]
	for _, x := range t.Times {
		lo, hi = min(lo, x), max(hi, x)
	}
	live := m.b.live
	for _, ref := range t.Series {
		w := int(ref / 64)
		if w < len(live) && live[w]&(1<<(ref%64)) != 0 {
			continue
		}
		if ref > point.SeriesRef(m.b.series.next) {
			panic(fmt.Sprintf("store: link points of series %d, which is not defined", ref))
		}
		if w >= len(live) {
			live = append(live, make([]uint64, max(w+1, min(2*len(live), int(m.b.series.next)/64+1))-len(live))...)
			m.b.live = live
		}
		live[w] |= 1 << (ref % 64)
		before := cap(m.live)
		m.live = append(m.live, ref.ID())
		m.b.memBytes += int64(cap(m.live)-before) * 4
	}
	return lo, hi
}

// linkFields notes fields that have their first values and returns the number
// of values.
func (m *measurement) linkFields(t *point.Table) (values int64) {
	for _, c := range t.Columns {
		n := c.Len()
		if n == 0 {
			continue
		}
		values += int64(n)
		if int(c.Field) >= len(m.byID) || m.byID[c.Field] == 0 {
			panic(fmt.Sprintf("store: link values of field %d of measurement %q, which is not defined", c.Field, m.name))
		}
		i := m.byID[c.Field] - 1
		if !m.fieldLive[i] {
			m.fieldLive[i] = true
			m.liveFields = append(m.liveFields, m.fields[i])
			m.b.memBytes += 32
		}
	}
	return values
}

// segmentBytes is what a segment takes beside its table or columns.
const segmentBytes = 120

// takeOver makes the table's columns a segment.
func (m *measurement) takeOver(t *point.Table, lo, hi int64) {
	t.Name, t.Lines = nil, nil
	columns := t.Columns[:0]
	for _, c := range t.Columns {
		if c.Len() > 0 {
			c.Name = nil
			columns = append(columns, c)
		}
	}
	clear(t.Columns[len(columns):])
	t.Columns = columns
	m.addSegment(&segment{series: t.Series, times: t.Times, columns: columns, min: lo, max: hi})
	m.b.memBytes += t.MemoryBytes() + segmentBytes
}

func (m *measurement) addSegment(s *segment) {
	before := cap(m.segments)
	m.segments = append(m.segments, s)
	m.b.memBytes += int64(cap(m.segments)-before) * 8
	m.b.segments.Add(1)
}

// publish brings root up to date. Under mu.
func (b *Bucket) publish() {
	if len(b.dirty) == 0 {
		return
	}
	top := point.MeasurementID(0)
	for _, m := range b.dirty {
		top = max(top, m.id)
	}
	pages := make([]*viewPage, max(len(b.root.pages), int(top)/viewPageLen+1))
	copy(pages, b.root.pages)
	fresh := make(map[*viewPage]bool, min(len(b.dirty), 8))
	live := b.root.measurements
	for _, m := range b.dirty {
		i := int(m.id) / viewPageLen
		p := pages[i]
		if !fresh[p] {
			c := new(viewPage)
			if p != nil {
				*c = *p
			}
			p = c
			pages[i], fresh[c] = c, true
		}
		if p[m.id%viewPageLen] == nil {
			live++
		}
		p[m.id%viewPageLen] = m.makeView()
		m.dirty = false
	}
	clear(b.dirty)
	b.dirty = b.dirty[:0]
	b.root = &viewRoot{pages: pages, measurements: live}
}

// seriesOrder remembers the live series of a measurement in key order. Shared by
// views; it only ever grows.
type seriesOrder struct {
	mu  sync.Mutex
	ids []point.SeriesID // never changed, only replaced
}
