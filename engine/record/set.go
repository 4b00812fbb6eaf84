package record

import (
	"encoding/binary"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// A set of series ids is the runs of neighbours in it, in ascending order:
//
//	runs     n
//	first    id, unless n is 0
//	gaps     sequence of n-1: ids between one run and the next, minus one
//	lengths  sequence of n: ids in the run, minus one
//
// Runs are as long as can be, so that one set has one encoding whatever
// containers the bitmap keeps it in. A bucket hands out ids in order, so a
// measurement or a host is often one run. Roaring's own format is not used: it
// must be believed to be read, and its bytes depend on the set's history.

// What a set is charged against the budget of the decoder. A container of a
// bitmap holds up to 65,536 ids.
const (
	runBytes         = 16  // gap and length
	containerBytes   = 192 // key, headers, and what growing their slices leaves behind
	idBytes          = 10  // 2, and what growing the array leaves behind
	containerIDs     = 1 << 16
	containerIDBytes = 64 << 10 // array and bitmap, however many ids
)

// setBuilder builds a bitmap from ascending ranges, charging for what the bitmap
// allocates before it does.
type setBuilder struct {
	set    *roaring.Bitmap // nil: only charge
	charge func(n int) bool

	key     uint32 // of the container at hand, plus one; 0: none
	charged int    // for the ids of that container
	// The container's only run, when it has not got a second one yet: a container
	// with one run takes a few bytes, as it would in the bitmap it came from.
	held        bool
	first, last uint32
}

// add adds the ids from first to last, both inclusive and above all before. It
// reports whether the budget held.
func (b *setBuilder) add(first, last uint32) bool {
	for {
		end := min(last, first|(containerIDs-1))
		if !b.addPiece(first, end) {
			return false
		}
		if end == last {
			return true
		}
		first = end + 1
	}
}

// addPiece adds ids of one container.
func (b *setBuilder) addPiece(first, last uint32) bool {
	if key := first/containerIDs + 1; key != b.key {
		b.flush()
		if !b.charge(containerBytes) {
			return false
		}
		b.key, b.charged = key, 0
		b.held, b.first, b.last = true, first, last
		return true
	}
	if b.held {
		b.held = false
		if !b.addIDs(b.first, b.last) {
			return false
		}
	}
	return b.addIDs(first, last)
}

// flush puts the run that is held into the set.
func (b *setBuilder) flush() {
	if b.held && b.set != nil {
		b.set.AddRange(uint64(b.first), uint64(b.last)+1)
	}
	b.held = false
}

func (b *setBuilder) addIDs(first, last uint32) bool {
	n := min(idBytes*int(last-first+1), containerIDBytes-b.charged)
	b.charged += n
	if !b.charge(n) {
		return false
	}
	if b.set == nil {
		return true
	}
	var ids [256]uint32
	for {
		n := min(last-first, uint32(len(ids)-1)) + 1
		for i := range ids[:n] {
			ids[i] = first + uint32(i)
		}
		b.set.AddMany(ids[:n])
		if first+n-1 == last {
			return true
		}
		first += n
	}
}

// appendSet appends the set s, of which nil is the empty one. It panics on ids
// that no bucket hands out.
func (e *encoder) appendSet(dst []byte, s *roaring.Bitmap) []byte {
	if s == nil || s.IsEmpty() {
		return append(dst, 0)
	}
	if s.Minimum() == 0 || s.Maximum() > uint32(point.SeriesIDMax) {
		panic(fmt.Sprintf("record: set of series with ids from %d to %d", s.Minimum(), s.Maximum()))
	}
	b := setBuilder{charge: func(n int) bool { e.decodedBytes += n; return true }}
	gaps := e.buf2[:0]
	var lengths []uint64
	next := uint64(s.Minimum()) // the least id that the next run may begin with
	for first, end := range s.Ranges() {
		gaps = append(gaps, uint64(first)-next)
		lengths = append(lengths, end-uint64(first)-1)
		next = end + 1
		b.add(first, uint32(end-1))
	}
	e.buf2 = gaps
	e.decodedBytes += runBytes * len(gaps)
	dst = binary.AppendUvarint(dst, uint64(len(gaps)))
	dst = binary.AppendUvarint(dst, uint64(s.Minimum()))
	dst = e.appendSequence(dst, gaps[1:], false, false) // the first is 0
	return e.appendSequence(dst, lengths, false, false)
}

// set reads a set of series ids.
func (d *decoder) set() *roaring.Bitmap {
	s := roaring.New()
	n := d.count(int(point.SeriesIDMax), "runs")
	if n == 0 || !d.charge(runBytes*n) {
		return s
	}
	next := uint64(d.id(uint64(point.SeriesIDMax)))
	wide := d.scratch(2 * n)
	gaps, lengths := wide[:n], wide[n:]
	gaps[0] = 0
	d.sequence(gaps[1:])
	d.sequence(lengths)
	b := setBuilder{set: s, charge: d.charge}
	for i, gap := range gaps {
		// Each is checked before it is added, so nothing overflows.
		const limit = uint64(point.SeriesIDMax)
		if d.err == nil && (gap > limit || lengths[i] > limit || next+gap+lengths[i] > limit) {
			d.fail("series id out of range")
		}
		if d.err != nil {
			return s
		}
		first, last := next+gap, next+gap+lengths[i]
		if !b.add(uint32(first), uint32(last)) {
			return s
		}
		next = last + 2
	}
	b.flush()
	return s
}
