package tagindex

import "github.com/RoaringBitmap/roaring/v2"

// idSet is a set of series ids that grows at its end: a bitmap and a tail of ids
// above all of the bitmap's. A small set is only a tail, and costs the four bytes
// of each id; a large one is filled a tail at a time, which is cheaper than id by id.
type idSet struct {
	bits *roaring.Bitmap // nil while the tail is enough
	tail []uint32        // ascending
}

const (
	tailMax     = 64
	bitmapBytes = 240 // of one with a single container, the ids aside
)

// add adds an id that is larger than any. It returns by how many bytes the set
// has grown, by estimate.
func (s *idSet) add(id uint32) int64 {
	if len(s.tail) < cap(s.tail) {
		s.tail = append(s.tail, id)
		return 0
	}
	if n := len(s.tail); n < tailMax {
		grown := make([]uint32, n, min(max(4*n, 2), tailMax))
		copy(grown, s.tail)
		s.tail = append(grown, id)
		return int64(cap(grown)-n) * 4
	}
	n := int64(0)
	if s.bits == nil {
		s.bits = roaring.New()
		n += bitmapBytes
	}
	if lo, hi := s.tail[0], s.tail[tailMax-1]; hi-lo == tailMax-1 {
		s.bits.AddRange(uint64(lo), uint64(hi)+1)
		n += tailMax / 8
	} else {
		s.bits.AddMany(s.tail)
		n += tailMax * 2
	}
	s.tail = append(s.tail[:0], id)
	return n
}

func (s *idSet) empty() bool { return len(s.tail) == 0 && (s.bits == nil || s.bits.IsEmpty()) }

// max is the largest id, 0 if there is none.
func (s *idSet) max() uint32 {
	if n := len(s.tail); n > 0 {
		return s.tail[n-1]
	}
	if s.bits == nil || s.bits.IsEmpty() {
		return 0
	}
	return s.bits.Maximum()
}

// clone is the set as a bitmap of its own.
func (s *idSet) clone() *roaring.Bitmap {
	b := roaring.New()
	if s.bits != nil {
		b = s.bits.Clone()
	}
	b.AddMany(s.tail)
	return b
}

// addTo adds the set to b.
func (s *idSet) addTo(b *roaring.Bitmap) {
	if s.bits != nil {
		b.Or(s.bits)
	}
	b.AddMany(s.tail)
}

// removeFrom takes the set out of b.
func (s *idSet) removeFrom(b *roaring.Bitmap) {
	if s.bits != nil {
		b.AndNot(s.bits)
	}
	for _, id := range s.tail {
		b.Remove(id)
	}
}

func (s *idSet) intersects(b *roaring.Bitmap) bool {
	if s.bits != nil && s.bits.Intersects(b) {
		return true
	}
	for _, id := range s.tail {
		if b.Contains(id) {
			return true
		}
	}
	return false
}

// remove takes ids out.
func (s *idSet) remove(ids *roaring.Bitmap) {
	if s.bits != nil {
		s.bits.AndNot(ids)
		if s.bits.IsEmpty() {
			s.bits = nil
		}
	}
	kept := s.tail[:0]
	for _, id := range s.tail {
		if !ids.Contains(id) {
			kept = append(kept, id)
		}
	}
	s.tail = kept
}

// after calls yield for the ids above id in ascending order, until it says false.
func (s *idSet) after(id uint32, yield func(uint32) bool) {
	if s.bits != nil {
		it := s.bits.Iterator()
		it.AdvanceIfNeeded(id + 1)
		for it.HasNext() {
			if !yield(it.Next()) {
				return
			}
		}
	}
	for _, next := range s.tail {
		if next > id && !yield(next) {
			return
		}
	}
}

// bytes is what the set occupies, to the nearest allocation. It walks the
// bitmap's containers.
func (s *idSet) bytes() int64 {
	n := int64(cap(s.tail)) * 4
	if s.bits != nil {
		st := s.bits.Stats()
		// Arrays grow by a quarter at a time; a container is its header and its
		// places in three slices.
		n += bitmapBytes + int64(st.Containers)*64 + int64(st.ArrayContainerBytes)*9/8 + int64(st.BitmapContainerBytes) + int64(st.RunContainerBytes)
	}
	return n
}
