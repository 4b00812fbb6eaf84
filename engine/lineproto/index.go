package lineproto

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"headgate/engine/point"
)

// Index maps the prefixes of lines, exactly as sent, to their series. One index
// serves all parsers of a bucket; it may be used concurrently, and finding
// something in it takes no lock.
//
// It is a cache in two generations. Entries go into the younger one; when that
// has used its half of the memory it becomes the older one and the oldest
// entries are forgotten all at once. An entry found in the older generation
// moves to the younger. So a client that shuffles its tags can push others'
// prefixes out, but never make the index grow.
//
// Its hash is keyed, and what it finds it has compared byte by byte.
type Index struct {
	seed     maphash.Seed
	bytesMax int64 // of one generation

	young, old atomic.Pointer[generation]

	mu sync.Mutex // taken by writers
}

// generation is an append-only table. Nothing in it holds pointers, so that the
// collector need not look into it.
//
// An entry and its bytes are written before its slot is, with an atomic store,
// and never again, apart from entry.next. A reader that has loaded a slot may
// therefore read the entry without a lock.
type generation struct {
	epoch   uint64
	slots   []uint64 // Atomic. Upper half of the hash, then entry number + 1; 0 is empty.
	entries []entry  // entries[:n] are in use
	arena   []byte   // arena[:used] are prefixes, in the order of entries

	n, used int // Index.mu
}

type entry struct {
	hash        uint64
	off         uint32
	len         uint32
	series      point.SeriesID
	measurement point.MeasurementID
	next        uint32 // Atomic. The entry that followed this one lately, + 1; 0 is none.
	_           uint32
}

const (
	entryBytes = 32
	slotBytes  = 8
	// slotsPerEntry keeps chains short: the table is never more than half full.
	slotsPerEntry = 2
	// prefixBytesTypical sizes an arena in relation to its entries.
	prefixBytesTypical = 128
	entriesMin         = 64
	// generationBytesMax keeps offsets and entry numbers within 32 bits.
	generationBytesMax = 1 << 31
)

// IndexBytesMin is the smallest limit that NewIndex takes; smaller ones are raised.
const IndexBytesMin = 2 * entriesMin * (entryBytes + slotsPerEntry*slotBytes + prefixBytesTypical)

// NewIndex returns an empty index that keeps itself below bytesMax bytes, except
// while it grows, and then only until no parser reads the smaller table any
// more. It starts small.
func NewIndex(bytesMax int64) *Index {
	x := &Index{seed: maphash.MakeSeed(), bytesMax: min(max(bytesMax, IndexBytesMin)/2, generationBytesMax)}
	x.young.Store(newGeneration(entriesMin, entriesMin*prefixBytesTypical, 0))
	return x
}

func newGeneration(entries, arena int, epoch uint64) *generation {
	return &generation{
		epoch:   epoch,
		slots:   make([]uint64, slotsFor(entries)),
		entries: make([]entry, entries),
		arena:   make([]byte, arena),
	}
}

// slotsFor is a power of two.
func slotsFor(entries int) int { return 1 << bits.Len(uint(entries*slotsPerEntry-1)) }

func sizeOf(entries, arena int) int64 {
	return int64(slotsFor(entries)*slotBytes + entries*entryBytes + arena)
}

func (g *generation) bytes() int64 { return sizeOf(len(g.entries), len(g.arena)) }

// MemoryBytes is what the index occupies.
func (x *Index) MemoryBytes() int64 {
	n := x.young.Load().bytes()
	if old := x.old.Load(); old != nil {
		n += old.bytes()
	}
	return n
}

// find returns the number of prefix's entry, or -1.
func (g *generation) find(hash uint64, prefix []byte) int {
	mask := uint64(len(g.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := atomic.LoadUint64(&g.slots[i])
		if slot == 0 {
			return -1
		}
		if slot>>32 != hash>>32 {
			continue
		}
		n := int(uint32(slot)) - 1
		e := &g.entries[n]
		if int(e.len) == len(prefix) && bytes.Equal(g.arena[e.off:e.off+e.len], prefix) {
			return n
		}
	}
}

// room reports whether g can take a prefix of n bytes.
func (g *generation) room(n int) bool {
	return g.n < len(g.entries) && len(g.arena)-g.used >= n
}

// put adds what is not there yet. The caller holds Index.mu and has seen room.
func (g *generation) put(hash uint64, prefix []byte, series point.SeriesID, measurement point.MeasurementID) int {
	n := g.n
	g.entries[n] = entry{hash: hash, off: uint32(g.used), len: uint32(len(prefix)), series: series, measurement: measurement}
	g.used += copy(g.arena[g.used:], prefix)
	g.n++
	g.publish(hash, n)
	if n > 0 {
		atomic.CompareAndSwapUint32(&g.entries[n-1].next, 0, uint32(n+1))
	}
	return n
}

func (g *generation) publish(hash uint64, n int) {
	mask := uint64(len(g.slots) - 1)
	i := hash & mask
	for g.slots[i] != 0 { // only writers change slots, and they hold Index.mu
		i = (i + 1) & mask
	}
	atomic.StoreUint64(&g.slots[i], hash>>32<<32|uint64(n+1))
}

// after is the entry that is expected to follow entry n, or -1. Whoever stored
// the number had seen that entry published.
func (g *generation) after(n int) int {
	return int(atomic.LoadUint32(&g.entries[n].next)) - 1
}

// learn remembers that entry next followed entry n.
func (g *generation) learn(n, next int) {
	atomic.StoreUint32(&g.entries[n].next, uint32(next+1))
}

// generations returns the tables to search under epoch; either may be nil.
func (x *Index) generations(epoch uint64) (young, old *generation) {
	young, old = x.young.Load(), x.old.Load()
	if young.epoch != epoch {
		young = nil
	}
	if old != nil && old.epoch != epoch {
		old = nil
	}
	return young, old
}

// insert adds a prefix that was looked up under epoch. It does nothing for an
// epoch that has passed: what was true then need not be true now. It returns
// the younger generation and the number of the entry there, or -1.
func (x *Index) insert(epoch, hash uint64, prefix []byte, series point.SeriesID, measurement point.MeasurementID) (*generation, int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	g := x.young.Load()
	if epoch != g.epoch {
		if epoch < g.epoch {
			return nil, -1
		}
		g = newGeneration(entriesMin, entriesMin*prefixBytesTypical, epoch)
		x.old.Store(nil)
		x.young.Store(g)
	}
	if n := g.find(hash, prefix); n >= 0 {
		return g, n
	}
	for !g.room(len(prefix)) {
		if entries, arena := g.next(len(prefix)); sizeOf(entries, arena) <= x.bytesMax {
			g = g.grown(entries, arena)
			x.young.Store(g)
			break
		}
		if g.n == 0 {
			return nil, -1 // the prefix alone is more than a generation may hold
		}
		x.old.Store(g)
		g = newGeneration(entriesMin, entriesMin*prefixBytesTypical, epoch)
		x.young.Store(g)
	}
	return g, g.put(hash, prefix, series, measurement)
}

// next is the size that has room for a prefix of need bytes.
func (g *generation) next(need int) (entries, arena int) {
	entries, arena = len(g.entries), len(g.arena)
	if g.n == entries {
		entries *= 2
	}
	if arena-g.used < need {
		arena = max(2*arena, g.used+need)
	}
	return entries, arena
}

// grown returns a copy of g with more room. Entries keep their numbers.
func (g *generation) grown(entries, arena int) *generation {
	b := newGeneration(entries, arena, g.epoch)
	b.n, b.used = g.n, copy(b.arena, g.arena[:g.used])
	for i := range g.n {
		o := &g.entries[i]
		b.entries[i] = entry{hash: o.hash, off: o.off, len: o.len, series: o.series, measurement: o.measurement, next: atomic.LoadUint32(&o.next)}
		b.publish(o.hash, i)
	}
	return b
}
