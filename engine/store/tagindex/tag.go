package tagindex

import (
	"hash/maphash"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// tag is the values of one tag key of one measurement, and who has them.
//
// It is a hash table with linear probing, at most three quarters full:
//
//	slots: 32 bits of the value's hash | a series, or multiBit and an index in multi
//
// A slot that names a series stands for a value that this series alone has.
type tag struct {
	tagName
	slots  []uint64 // a power of two of them; 0 for none
	used   int
	multi  []posting
	single *roaring.Bitmap // the series that slots name
	has    idSet           // every series with the tag
}

// posting is a value that several series have.
type posting struct {
	value string
	ids   idSet
}

const (
	multiBit = 1 << 31
	slotsMin = 16

	tagBytes     = 700 // of a tag without values, slots included
	postingBytes = 48
)

func newTag(name string) *tag {
	return &tag{tagName: newTagName(strings.Clone(name)), slots: make([]uint64, slotsMin), single: roaring.New()}
}

// add notes that id, which is larger than any before, has the value. It returns
// by how many bytes the tag has grown, by estimate. The empty value is none.
func (t *tag) add(x *Index, id uint32, value string) int64 {
	if value == "" {
		return 0
	}
	grown := t.has.add(id)
	hash := maphash.String(x.seed, value)
	i, found := t.find(x, hash, value)
	if !found {
		t.slots[i] = hash<<32 | uint64(id)
		t.single.Add(id)
		if t.used++; t.used*4 > len(t.slots)*3 {
			grown += int64(len(t.slots)) * 8
			t.rehash(2 * len(t.slots))
		}
		return grown
	}
	ref := uint32(t.slots[i])
	if ref&multiBit != 0 {
		return grown + t.multi[ref&^multiBit].ids.add(id)
	}
	t.single.Remove(ref)
	t.slots[i] = t.slots[i]>>32<<32 | multiBit | uint64(len(t.multi))
	before := cap(t.multi)
	// Compared often, and longer than the series that had it first may be.
	t.multi = append(t.multi, posting{value: strings.Clone(value), ids: idSet{tail: []uint32{ref, id}}})
	return grown + int64(cap(t.multi)-before)*postingBytes + int64(len(value)) + 16
}

// find returns the slot of a value, or the empty one where it would go.
func (t *tag) find(x *Index, hash uint64, value string) (slot uint32, found bool) {
	short, mask := uint32(hash), uint32(len(t.slots)-1)
	for i := short & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return i, false
		}
		if uint32(s>>32) != short {
			continue
		}
		if ref := uint32(s); ref&multiBit == 0 {
			if x.value(t, ref) == value {
				return i, true
			}
		} else if t.multi[ref&^multiBit].value == value {
			return i, true
		}
	}
}

// value is what the series has for the tag, "" if it is no more.
func (x *Index) value(t *tag, id uint32) string {
	_, key := x.keyOf(point.SeriesID(id))
	return t.valueIn(key)
}

// rehash moves the slots into a table of n, those of goneRef excepted.
func (t *tag) rehash(n int) {
	slots := make([]uint64, n)
	mask := uint32(n - 1)
	t.used = 0
	for _, s := range t.slots {
		if s == 0 || uint32(s) == goneRef {
			continue
		}
		i := uint32(s>>32) & mask
		for slots[i] != 0 {
			i = (i + 1) & mask
		}
		slots[i] = s
		t.used++
	}
	t.slots = slots
}

// remove takes series out, and the values that only they had.
func (t *tag) remove(ids *roaring.Bitmap) {
	t.has.remove(ids)
	t.single.AndNot(ids)
	moved := make([]uint32, len(t.multi)) // 1 + new index, 0 for gone
	kept := t.multi[:0]
	for i := range t.multi {
		p := &t.multi[i]
		p.ids.remove(ids)
		if !p.ids.empty() {
			kept = append(kept, *p)
			moved[i] = uint32(len(kept))
		}
	}
	clear(t.multi[len(kept):])
	t.multi = append([]posting(nil), kept...)
	for i, s := range t.slots {
		ref := uint32(s)
		if s != 0 && ref&multiBit != 0 && moved[ref&^multiBit] != 0 {
			t.slots[i] = s>>32<<32 | multiBit | uint64(moved[ref&^multiBit]-1)
		} else if s != 0 && (ref&multiBit != 0 || ids.Contains(ref)) {
			t.slots[i] = s>>32<<32 | goneRef
		}
	}
	left := int(t.single.GetCardinality()) + len(t.multi)
	n := slotsMin
	for n*3 < (left+1)*4 {
		n *= 2
	}
	t.rehash(n)
}

// goneRef is in the slots of what remove takes out. No series and no index is so
// large.
const goneRef = 1<<32 - 1

// bytes is what the tag occupies, to the nearest allocation.
func (t *tag) bytes() int64 {
	single := idSet{bits: t.single}
	n := tagBytes + int64(len(t.slots)-slotsMin)*8 + int64(cap(t.multi))*postingBytes + t.has.bytes() + single.bytes()
	for i := range t.multi {
		n += int64(len(t.multi[i].value)) + 16 + t.multi[i].ids.bytes()
	}
	return n
}
