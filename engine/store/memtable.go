package store

import (
	"fmt"
	"time"

	"headgate/engine/point"
)

// memtable is points that are in memory only: of the log, but not of the data
// store yet. The active one is the writer's; a frozen one never changes.
type memtable struct {
	b      *Bucket
	points []*memPoints // of the measurements that have any, in order of the first
	live   []uint64     // bit set of the series that have points; owned by the writer
	bytes  int64        // segments, tails, live lists; owned by the writer
	since  time.Time    // of the first Link; owned by the writer
	rows   int64        // owned by the writer, and so are values
	values int64

	// Under Bucket.mu.
	dirty []*memPoints // changed since root was made
	root  *viewRoot
}

// memPoints is a memtable's points of one measurement. Its slices are appended
// to under Bucket.mu, because Snapshot may read them to make a view.
type memPoints struct {
	m         *measurement
	t         *memtable
	fieldLive []bool // by index into measurement.fields; owned by the writer
	set       liveSet

	// Under Bucket.mu.
	dirty      bool             // in memtable.dirty
	segments   []*segment       // append-only, oldest first
	tail       *tail            // the rows after the last segment; nil for none
	live       []point.SeriesID // append-only: has points, in order of the first
	liveFields []Field          // append-only: has values
}

func newMemtable(b *Bucket) *memtable { return &memtable{b: b, root: new(viewRoot)} }

// of finds or makes the memtable's part of m. Writer only.
func (t *memtable) of(m *measurement) *memPoints {
	if m.points == nil || m.points.t != t {
		m.points = &memPoints{m: m, t: t}
		t.points = append(t.points, m.points)
		t.bytes += memPointsBytes
	}
	return m.points
}

// memPointsBytes is what an empty memPoints takes.
const memPointsBytes = 200

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
	a := b.active
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
		if len(a.points) == 0 {
			a.since = b.o.Now()
		}
		p := a.of(m)
		if !p.dirty {
			p.dirty = true
			a.dirty = append(a.dirty, p)
		}
		lo, hi := p.linkRows(t)
		values := p.linkFields(t)
		a.rows += int64(t.Rows())
		a.values += values
		b.points.Add(int64(t.Rows()))
		b.values.Add(values)
		if t.Rows() >= segmentRowsMin || t.MemoryBytes() >= segmentBytesMin {
			p.seal()
			p.takeOver(t, lo, hi)
		} else {
			p.appendTail(t, lo, hi)
			left = append(left, t)
		}
	}
	if len(a.dirty) > dirtyMax {
		a.publish()
	}
	return left
}

// linkRows notes series that have their first points and returns the range of
// the times.
func (p *memPoints) linkRows(t *point.Table) (lo, hi int64) {
	lo, hi = t.Times[0], t.Times[0]
	for _, x := range t.Times {
		lo, hi = min(lo, x), max(hi, x)
	}
	live := p.t.live
	for _, ref := range t.Series {
		w := int(ref / 64)
		if w < len(live) && live[w]&(1<<(ref%64)) != 0 {
			continue
		}
		next := p.m.b.series.next
		if ref > point.SeriesRef(next) {
			panic(fmt.Sprintf("store: link points of series %d, which is not defined", ref))
		}
		if w >= len(live) {
			before := cap(live)
			live = append(live, make([]uint64, max(w+1, min(2*len(live), int(next)/64+1))-len(live))...)
			p.t.live = live
			p.t.bytes += int64(cap(live)-before) * 8
		}
		live[w] |= 1 << (ref % 64)
		before := cap(p.live)
		p.live = append(p.live, ref.ID())
		p.t.bytes += int64(cap(p.live)-before) * 4
	}
	return lo, hi
}

// linkFields notes fields that have their first values and returns the number
// of values.
func (p *memPoints) linkFields(t *point.Table) (values int64) {
	m := p.m
	if n := len(m.fields) - len(p.fieldLive); n > 0 {
		p.fieldLive = append(p.fieldLive, make([]bool, n)...)
		p.t.bytes += int64(n)
	}
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
		if !p.fieldLive[i] {
			p.fieldLive[i] = true
			p.liveFields = append(p.liveFields, m.fields[i])
			p.t.bytes += 32
		}
	}
	return values
}

// segmentBytes is what a segment takes beside its table or columns.
const segmentBytes = 120

// takeOver makes the table's columns a segment.
func (p *memPoints) takeOver(t *point.Table, lo, hi int64) {
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
	p.addSegment(&segment{series: t.Series, times: t.Times, columns: columns, min: lo, max: hi})
	p.t.bytes += t.MemoryBytes() + segmentBytes
}

func (p *memPoints) addSegment(s *segment) {
	before := cap(p.segments)
	p.segments = append(p.segments, s)
	p.t.bytes += int64(cap(p.segments)-before) * 8
	p.m.b.segments.Add(1)
}

// publish brings root up to date. Under Bucket.mu.
func (t *memtable) publish() {
	if len(t.dirty) == 0 {
		return
	}
	top := point.MeasurementID(0)
	for _, p := range t.dirty {
		top = max(top, p.m.id)
	}
	pages := make([]*viewPage, max(len(t.root.pages), int(top)/viewPageLen+1))
	copy(pages, t.root.pages)
	fresh := make(map[*viewPage]bool, min(len(t.dirty), 8))
	for _, p := range t.dirty {
		i := int(p.m.id) / viewPageLen
		page := pages[i]
		if !fresh[page] {
			c := new(viewPage)
			if page != nil {
				*c = *page
			}
			page = c
			pages[i], fresh[c] = c, true
		}
		page[p.m.id%viewPageLen] = p.makeView()
		p.dirty = false
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	t.root = &viewRoot{pages: pages}
}
