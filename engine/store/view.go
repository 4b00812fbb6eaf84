package store

import (
	"bytes"
	"math"
	"slices"
	"sort"
	"sync"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/store/disk"
)

// View is a consistent snapshot of a bucket's visible points. It implements
// [point.Reader]. It holds references only: making one costs microseconds,
// whatever the bucket's size. It keeps what it shows in memory and on disk until
// Close, after which it must not be used.
type View struct {
	b       *Bucket
	schema  *Schema
	tables  []*viewRoot   // memtables, oldest first
	version *disk.Version // the parts, all older than the memtables; nil for none
	cutoff  int64         // points before it have expired
	freed   int64         // Bucket.freed when the view was made

	groupRows, groupCells int // of one group of Read; tests make it small

	mu     sync.Mutex
	points map[point.MeasurementID]*viewPoints // made so far
	series map[string][]point.SeriesInfo       // by measurement; what Series returned
	closed bool
}

var _ point.Reader = (*View)(nil)

// viewRoot is the points of all measurements in one memtable at one moment, by
// measurement id. Immutable; the next one shares the pages that have not changed.
type viewRoot struct{ pages []*viewPage }

const viewPageLen = 64

type viewPage [viewPageLen]*measurementView

// of finds the points of a measurement, nil for none.
func (r *viewRoot) of(id point.MeasurementID) *measurementView {
	if i := int(id) / viewPageLen; i < len(r.pages) && r.pages[i] != nil {
		return r.pages[i][id%viewPageLen]
	}
	return nil
}

// each calls fn for every measurement that has points, by id.
func (r *viewRoot) each(fn func(*measurementView)) {
	for _, page := range r.pages {
		if page == nil {
			continue
		}
		for _, m := range page {
			if m != nil {
				fn(m)
			}
		}
	}
}

// measurementView is the points of a measurement in a memtable at one moment.
// Immutable.
type measurementView struct {
	p          *memPoints // only m and set may be used
	segments   []*segment
	tail       *segment // nil for none
	live       []point.SeriesID
	liveFields []Field
}

// makeView is under Bucket.mu.
func (p *memPoints) makeView() *measurementView {
	v := &measurementView{p: p, segments: p.segments, live: p.live, liveFields: p.liveFields}
	if p.tail != nil {
		v.tail = p.tail.freeze()
	}
	return v
}

// liveSet is a list of series that only grows, as a set. Shared by views.
type liveSet struct {
	mu  sync.Mutex
	n   int // how many of the list are in set
	set *roaring.Bitmap
}

// of returns the first n of the list, which has at least those. Nobody changes
// the result.
func (l *liveSet) of(list []point.SeriesID) *roaring.Bitmap {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set != nil && l.n == len(list) {
		return l.set
	}
	set, more := roaring.New(), list
	if l.set != nil && l.n < len(list) {
		set, more = l.set.Clone(), list[l.n:]
	}
	ids := make([]uint32, len(more))
	for i, id := range more {
		ids[i] = uint32(id)
	}
	set.AddMany(ids)
	if len(list) > l.n {
		l.set, l.n = set, len(list)
	}
	return set
}

// Snapshot returns what has been linked so far. It sees no later write. Close it.
// It is nil when the bucket has been closed.
func (b *Bucket) Snapshot() *View { return b.snapshot(b.cutoff()) }

// SnapshotAll is Snapshot with what has expired and is still there. A delete must
// see it: the retention period may become longer.
func (b *Bucket) SnapshotAll() *View { return b.snapshot(math.MinInt64) }

func (b *Bucket) snapshot(cutoff int64) *View {
	v := &View{b: b, cutoff: cutoff, freed: b.freed.Load(), groupRows: groupRowsMax, groupCells: groupCellsMax}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.active.publish()
	for _, q := range b.queue {
		if q.root != nil {
			v.tables = append(v.tables, q.root)
		}
	}
	v.tables = append(v.tables, b.active.root)
	if v.version = b.version; v.version != nil {
		v.version.Retain()
	}
	b.mu.Unlock()
	// Loaded after the points: what has points is defined.
	v.schema = b.schema.Load()
	return v
}

// Close lets go of what the view shows. Calls after the first do nothing.
func (v *View) Close() {
	v.mu.Lock()
	closed := v.closed
	v.closed = true
	v.mu.Unlock()
	if !closed && v.version != nil {
		v.version.Release()
	}
}

// viewPoints is what a view has of one measurement.
type viewPoints struct {
	m      *measurement // only id, name and order may be used
	def    *Measurement
	tables []*measurementView // oldest first
	parts  []partPoints       // by SeqMax; all older than the tables
	live   *roaring.Bitmap    // the series that have points
	fields []Field            // those that have values, in order of definition
}

// partPoints is what a part has of one measurement.
type partPoints struct {
	part *disk.Part
	m    *disk.Measurement
}

// segments lists what is in memory, oldest first.
func (p *viewPoints) segments() []*segment {
	n := 0
	for _, t := range p.tables {
		n += len(t.segments) + 1
	}
	all := make([]*segment, 0, n)
	for _, t := range p.tables {
		all = append(all, t.segments...)
		if t.tail != nil {
			all = append(all, t.tail)
		}
	}
	return all
}

// measurement finds the points of a measurement; nil if it has none.
func (v *View) measurement(name string) *viewPoints {
	def := v.schema.Measurement([]byte(name))
	if def == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if p, ok := v.points[def.ID]; ok {
		return p
	}
	p := v.collect(def)
	if v.points == nil {
		v.points = make(map[point.MeasurementID]*viewPoints)
	}
	v.points[def.ID] = p
	return p
}

// collect finds everything that the view has of a measurement.
func (v *View) collect(def *Measurement) *viewPoints {
	p := &viewPoints{m: def.own, def: def}
	var sets []*roaring.Bitmap
	fields := make(map[point.FieldID]bool)
	if v.version != nil {
		for _, part := range v.version.Parts() {
			if part.TimeMax < v.cutoff {
				continue
			}
			if m := measurementOf(part, def.ID); m != nil {
				p.parts = append(p.parts, partPoints{part, m})
				sets = append(sets, m.Series)
				for _, f := range m.Fields {
					fields[f] = true
				}
			}
		}
	}
	for _, r := range v.tables {
		if m := r.of(def.ID); m != nil {
			p.tables = append(p.tables, m)
			sets = append(sets, m.p.set.of(m.live))
			for _, f := range m.liveFields {
				fields[f.ID] = true
			}
		}
	}
	switch len(sets) {
	case 0:
		return nil
	case 1:
		p.live = sets[0]
	default:
		p.live = roaring.FastOr(sets...)
	}
	def.fields.each(func(f Field) {
		if fields[f.ID] {
			p.fields = append(p.fields, f)
		}
	})
	slices.SortFunc(p.fields, func(x, y Field) int { return int(x.ID) - int(y.ID) })
	return p
}

// Measurements lists the measurements that have points, sorted.
func (v *View) Measurements() []string {
	ids := roaring.New()
	if v.version != nil {
		for _, part := range v.version.Parts() {
			if part.TimeMax < v.cutoff {
				continue
			}
			for i := range part.Measurements {
				ids.Add(uint32(part.Measurements[i].ID))
			}
		}
	}
	for _, r := range v.tables {
		r.each(func(m *measurementView) { ids.Add(uint32(m.p.m.id)) })
	}
	names := make([]string, 0, ids.GetCardinality())
	ids.Iterate(func(id uint32) bool {
		if m := v.schema.measurementByID(point.MeasurementID(id)); m != nil {
			names = append(names, m.Name)
		}
		return true
	})
	slices.Sort(names)
	return names
}

// Fields maps the measurement's fields that have values to their types.
func (v *View) Fields(measurement string) map[string]point.FieldType {
	m := v.measurement(measurement)
	if m == nil {
		return nil
	}
	types := make(map[string]point.FieldType, len(m.fields))
	for _, f := range m.fields {
		types[f.Name] = f.Type
	}
	return types
}

// Series lists the measurement's series that have points, sorted by canonical
// key. The result is made once and shared: nobody may change it.
func (v *View) Series(measurement string) []point.SeriesInfo {
	m := v.measurement(measurement)
	if m == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.series[measurement]; ok {
		return s
	}
	s := v.seriesInfos(v.ordered(m))
	if v.series == nil {
		v.series = make(map[string][]point.SeriesInfo)
	}
	v.series[measurement] = s
	return s
}

// ordered returns the view's live series of m in key order. The caller must not
// change it.
func (v *View) ordered(m *viewPoints) []point.SeriesID {
	o := &m.m.order
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = roaring.New()
	}
	if fresh := roaring.AndNot(m.live, o.known); !fresh.IsEmpty() {
		ids := seriesIDs(fresh)
		v.sortByKey(ids)
		v.b.orderBytes.Add(int64(len(ids)) * 4)
		o.ids = v.merged(o.ids, ids)
		o.known.Or(fresh)
	}
	n := int(m.live.GetCardinality())
	if n == len(o.ids) {
		return o.ids
	}
	// Take out what this view does not see.
	ids := make([]point.SeriesID, 0, n)
	for _, id := range o.ids {
		if m.live.Contains(uint32(id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// seriesIDs lists a set.
func seriesIDs(set *roaring.Bitmap) []point.SeriesID {
	ids := make([]point.SeriesID, 0, set.GetCardinality())
	set.Iterate(func(x uint32) bool {
		ids = append(ids, point.SeriesID(x))
		return true
	})
	return ids
}

func (v *View) sortByKey(ids []point.SeriesID) {
	type keyed struct {
		key []byte
		id  point.SeriesID
	}
	all := make([]keyed, len(ids))
	for i, id := range ids {
		all[i] = keyed{v.b.series.key(id), id}
	}
	slices.SortFunc(all, func(x, y keyed) int { return bytes.Compare(x.key, y.key) })
	for i := range all {
		ids[i] = all[i].id
	}
}

// merged merges two lists in key order into a new one.
func (v *View) merged(x, y []point.SeriesID) []point.SeriesID {
	if len(x) == 0 {
		return y
	}
	out := make([]point.SeriesID, 0, len(x)+len(y))
	few := len(y) < len(x)/16
	for len(x) > 0 && len(y) > 0 {
		key := v.b.series.key(y[0])
		before := func(id point.SeriesID) bool { return bytes.Compare(v.b.series.key(id), key) < 0 }
		n := 0
		if few {
			n = sort.Search(len(x), func(i int) bool { return !before(x[i]) })
		} else {
			for n < len(x) && before(x[n]) {
				n++
			}
		}
		out = append(out, x[:n]...)
		out = append(out, y[0])
		x, y = x[n:], y[1:]
	}
	out = append(out, x...)
	return append(out, y...)
}

// seriesInfos parses the keys of ids. Tags point into the bucket's keys, which
// never change, unless they have to be unescaped.
func (v *View) seriesInfos(ids []point.SeriesID) []point.SeriesInfo {
	infos := make([]point.SeriesInfo, len(ids))
	var tags []point.Tag // shared backing, in pieces
	for i, id := range ids {
		infos[i].ID = id
		key := v.b.series.key(id)
		if bytes.IndexByte(key, '\\') >= 0 {
			_, infos[i].Tags = point.ParseSeriesKey(key)
			continue
		}
		n := bytes.Count(key, []byte{','})
		if n == 0 {
			continue
		}
		if cap(tags)-len(tags) < n {
			tags = make([]point.Tag, 0, max(n, min(n*(len(ids)-i), 4096)))
		}
		start := len(tags)
		tags = appendPlainTags(tags, unsafe.String(unsafe.SliceData(key), len(key)))
		infos[i].Tags = tags[start:len(tags):len(tags)]
	}
	return infos
}

// appendPlainTags splits a key without escapes.
func appendPlainTags(tags []point.Tag, key string) []point.Tag {
	at := indexByte(key, 0, ',')
	for at < len(key) {
		at++
		eq := indexByte(key, at, '=')
		end := indexByte(key, eq, ',')
		tags = append(tags, point.Tag{Key: key[at:eq], Value: key[min(eq+1, end):end]})
		at = end
	}
	return tags
}

// indexByte is the next c at or after at, or the end.
func indexByte(s string, at int, c byte) int {
	for at < len(s) && s[at] != c {
		at++
	}
	return at
}

// measurementOf is what a part has of a measurement, nil for nothing.
func measurementOf(p *disk.Part, id point.MeasurementID) *disk.Measurement {
	i, ok := slices.BinarySearchFunc(p.Measurements, id, func(m disk.Measurement, id point.MeasurementID) int { return int(m.ID) - int(id) })
	if !ok {
		return nil
	}
	return &p.Measurements[i]
}
