package store

import (
	"bytes"
	"slices"
	"sort"
	"sync"
	"unsafe"

	"headgate/engine/point"
)

// View is a consistent snapshot of a bucket's visible points. It implements
// [point.Reader]. It holds references only: making one costs microseconds,
// whatever the bucket's size, and nothing is released until it is collected.
type View struct {
	b      *Bucket
	schema *Schema
	root   *viewRoot

	groupRows, groupCells int // of one group of Read; tests make it small

	mu     sync.Mutex
	series map[string][]point.SeriesInfo // by measurement; what Series returned
}

var _ point.Reader = (*View)(nil)

// viewRoot is the points of all measurements at one moment, by measurement id.
// Immutable; the next one shares the pages that have not changed.
type viewRoot struct {
	pages        []*viewPage
	measurements int // with points
}

const viewPageLen = 64

type viewPage [viewPageLen]*measurementView

// measurementView is the points of a measurement at one moment. Immutable.
type measurementView struct {
	m          *measurement // only id, name and order may be used
	segments   []*segment
	tail       *segment // nil for none
	live       []point.SeriesID
	liveFields []Field
}

// makeView is under Bucket.mu.
func (m *measurement) makeView() *measurementView {
	v := &measurementView{m: m, segments: m.segments, live: m.live, liveFields: m.liveFields}
	if m.tail != nil {
		v.tail = m.tail.freeze()
	}
	return v
}

// Snapshot returns what has been linked so far. It sees no later write.
func (b *Bucket) Snapshot() *View {
	b.mu.Lock()
	b.publish()
	root := b.root
	b.mu.Unlock()
	// Loaded after root: what has points is defined.
	return &View{b: b, root: root, schema: b.schema.Load(), groupRows: groupRowsMax, groupCells: groupCellsMax}
}

// measurement finds the points of a measurement; nil if it has none.
func (v *View) measurement(name string) *measurementView {
	m := v.schema.Measurement([]byte(name))
	if m == nil {
		return nil
	}
	i := int(m.ID) / viewPageLen
	if i >= len(v.root.pages) || v.root.pages[i] == nil {
		return nil
	}
	return v.root.pages[i][m.ID%viewPageLen]
}

// Measurements lists the measurements that have points, sorted.
func (v *View) Measurements() []string {
	names := make([]string, 0, v.root.measurements)
	for _, p := range v.root.pages {
		if p == nil {
			continue
		}
		for _, m := range p {
			if m != nil {
				names = append(names, m.m.name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Fields maps the measurement's fields that have values to their types.
func (v *View) Fields(measurement string) map[string]point.FieldType {
	m := v.measurement(measurement)
	if m == nil {
		return nil
	}
	types := make(map[string]point.FieldType, len(m.liveFields))
	for _, f := range m.liveFields {
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
func (v *View) ordered(m *measurementView) []point.SeriesID {
	o := &m.m.order
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(m.live); n > len(o.ids) {
		fresh := slices.Clone(m.live[len(o.ids):])
		v.sortByKey(fresh)
		v.b.orderBytes.Add(int64(n-len(o.ids)) * 4)
		o.ids = v.merged(o.ids, fresh)
	}
	if len(m.live) == len(o.ids) {
		return o.ids
	}
	// A later view has been here; take out what this one does not see.
	seen := make(map[point.SeriesID]bool, len(m.live))
	for _, id := range m.live {
		seen[id] = true
	}
	ids := make([]point.SeriesID, 0, len(m.live))
	for _, id := range o.ids {
		if seen[id] {
			ids = append(ids, id)
		}
	}
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
