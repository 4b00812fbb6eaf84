package store

import (
	"fmt"
	"math/bits"
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

// Link makes the batch's points visible, all at once with respect to Snapshot:
// those of batch, and those that Pack has taken out of it, if any. The ids must be
// this bucket's. Nothing of batch is kept. Batches are linked in the order in which
// they were written: the last value of a (series, time, field) wins. Writer only.
func (b *Bucket) Link(batch *point.Batch, packed *Packed) {
	b.link(batch.Tables, packed)
	b.account()
}

func (b *Bucket) link(tables []*point.Table, packed *Packed) {
	a := b.active
	b.mu.Lock()
	defer b.mu.Unlock()
	if packed != nil {
		for i := range packed.tables {
			t := &packed.tables[i]
			p := a.begin(t.measurement)
			p.linkSeen(t)
			for k := range t.segment.columns {
				p.linkField(t.segment.columns[k].field)
			}
			p.seal()
			p.addSegment(t.segment)
			b.linked(int64(t.segment.rows), t.values)
		}
	}
	for _, t := range tables {
		if t.Rows() == 0 {
			continue
		}
		p := a.begin(t.ID)
		p.linkRefs(t.Series)
		values := 0
		for _, c := range t.Columns {
			if n := c.Len(); n > 0 {
				values += n
				p.linkField(c.Field)
			}
		}
		p.appendTail(t)
		b.linked(int64(t.Rows()), int64(values))
	}
	if len(a.dirty) > dirtyMax {
		a.publish()
	}
}

// begin is the memtable's part of a measurement that is about to get points.
func (t *memtable) begin(id point.MeasurementID) *memPoints {
	m := t.b.measurement(id)
	if m == nil {
		panic(fmt.Sprintf("store: link points of measurement %d, which is not defined", id))
	}
	if len(t.points) == 0 {
		t.since = t.b.o.Now()
	}
	p := t.of(m)
	if !p.dirty {
		p.dirty = true
		t.dirty = append(t.dirty, p)
	}
	return p
}

// linked counts points.
func (b *Bucket) linked(rows, values int64) {
	b.active.rows += rows
	b.active.values += values
	b.points.Add(rows)
	b.values.Add(values)
}

// linkSeen notes series that have their first points.
func (p *memPoints) linkSeen(t *packedTable) {
	s := t.segment
	if t.seen == nil {
		refs := make([]point.SeriesRef, s.rows)
		fillNumbers(refs, &s.series)
		p.linkRefs(refs)
		return
	}
	live := p.liveUpTo(s.last)
	from := s.first / 64
	for w, seen := range t.seen {
		at := from + point.SeriesRef(w)
		for fresh := seen &^ live[at]; fresh != 0; fresh &= fresh - 1 {
			p.addLive(64*at + point.SeriesRef(bits.TrailingZeros64(fresh)))
		}
		live[at] |= seen
	}
}

// linkRefs is linkSeen for a list, which may name a series several times.
func (p *memPoints) linkRefs(refs []point.SeriesRef) {
	live := p.t.live
	for _, ref := range refs {
		w := int(ref / 64)
		if w < len(live) && live[w]&(1<<(ref%64)) != 0 {
			continue
		}
		live = p.liveUpTo(ref)
		live[w] |= 1 << (ref % 64)
		p.addLive(ref)
	}
}

// liveUpTo is memtable.live with room for a series.
func (p *memPoints) liveUpTo(last point.SeriesRef) []uint64 {
	live, w := p.t.live, int(last/64)
	if w < len(live) {
		return live
	}
	next := p.m.b.series.next
	if last > point.SeriesRef(next) {
		panic(fmt.Sprintf("store: link points of series %d, which is not defined", last))
	}
	before := cap(live)
	live = append(live, make([]uint64, max(w+1, min(2*len(live), int(next)/64+1))-len(live))...)
	p.t.live = live
	p.t.bytes += int64(cap(live)-before) * 8
	return live
}

func (p *memPoints) addLive(ref point.SeriesRef) {
	if next := p.m.b.series.next; ref > point.SeriesRef(next) {
		panic(fmt.Sprintf("store: link points of series %d, which is not defined", ref))
	}
	before := cap(p.live)
	p.live = append(p.live, ref.ID())
	p.t.bytes += int64(cap(p.live)-before) * 4
}

// linkField notes a field that has its first value.
func (p *memPoints) linkField(id point.FieldID) {
	m := p.m
	if n := len(m.fields) - len(p.fieldLive); n > 0 {
		p.fieldLive = append(p.fieldLive, make([]bool, n)...)
		p.t.bytes += int64(n)
	}
	if int(id) >= len(m.byID) || m.byID[id] == 0 {
		panic(fmt.Sprintf("store: link values of field %d of measurement %q, which is not defined", id, m.name))
	}
	if i := m.byID[id] - 1; !p.fieldLive[i] {
		p.fieldLive[i] = true
		p.liveFields = append(p.liveFields, m.fields[i])
		p.t.bytes += 32
	}
}

func (p *memPoints) addSegment(s *segment) {
	before := cap(p.segments)
	p.segments = append(p.segments, s)
	p.t.bytes += s.bytes + int64(cap(p.segments)-before)*8
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
