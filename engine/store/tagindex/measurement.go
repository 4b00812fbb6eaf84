package tagindex

import (
	"bytes"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// measurement is the index of one measurement's series. While they are few it
// has only their ids, and who asks looks through their keys.
type measurement struct {
	all   idSet // guarded by Index.mu
	bytes int64 // of everything, by estimate; changed by holders of Index.mu or mu for writing

	// mu guards the rest. Whoever has it has Index.mu, if only for reading.
	mu      sync.RWMutex
	tags    map[string]*tag // nil while the series are few
	order   []*tag          // the tags of the series indexed last
	indexed uint32          // every series up to it is in tags
	// measured is bytes when it was last measured rather than estimated.
	measured int64
}

const measurementBytes = 128

// few reports whether the measurement's series are looked through instead of
// indexed. Once indexed they stay so.
func (m *measurement) few() bool { return m.tags == nil && m.all.bits == nil }

// behind reports whether there are series that tags do not know.
func (m *measurement) behind() bool { return !m.few() && m.indexed < m.all.max() }

// index adds the next n series to tags.
func (m *measurement) index(x *Index, n int) {
	if m.tags == nil {
		m.tags = make(map[string]*tag)
	}
	m.all.after(m.indexed, func(id uint32) bool {
		if _, key := x.keyOf(point.SeriesID(id)); key != nil {
			m.add(x, id, key)
		}
		m.indexed = id
		n--
		return n > 0
	})
	// What postings grow by is known well enough until they have grown much.
	if m.bytes > 2*m.measured || !m.behind() && m.bytes > m.measured+m.measured/8 {
		m.measure()
	}
}

// add indexes one series. Its neighbours mostly have the same tag keys, and are
// believed to before anything is looked up.
func (m *measurement) add(x *Index, id uint32, key []byte) {
	i := 0
	if bytes.IndexByte(key, '\\') < 0 {
		for at := bytes.IndexByte(key, ','); at >= 0 && i < len(m.order); i++ {
			t := m.order[i]
			if !bytes.HasPrefix(key[at:], t.needle) {
				break
			}
			value := key[at+len(t.needle):]
			if at = bytes.IndexByte(value, ','); at >= 0 {
				value, key = value[:at], value
			} else {
				key = nil
			}
			m.bytes += t.add(x, id, stringOf(value))
		}
	}
	tagsOf(key, func(name, value string) bool {
		if value == "" {
			return true
		}
		t := m.tag(name)
		m.order = append(m.order[:i], t)
		i++
		m.bytes += t.add(x, id, value)
		return true
	})
}

// tag finds or makes the tag of a name.
func (m *measurement) tag(name string) *tag {
	t := m.tags[name]
	if t == nil {
		t = newTag(name)
		m.tags[t.name] = t
		m.bytes += tagBytes
	}
	return t
}

// remove takes series out.
func (m *measurement) remove(ids *roaring.Bitmap) {
	m.all.remove(ids)
	for name, t := range m.tags {
		if !t.has.intersects(ids) {
			continue
		}
		t.remove(ids)
		if t.has.empty() {
			delete(m.tags, name)
			m.order = slices.DeleteFunc(m.order, func(o *tag) bool { return o == t })
		}
	}
	m.measure()
}

// measure replaces the estimate. It looks at every posting.
func (m *measurement) measure() {
	m.bytes = measurementBytes + m.all.bytes()
	for _, t := range m.tags {
		m.bytes += t.bytes()
	}
	m.measured = m.bytes
}
