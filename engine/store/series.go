package store

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"

	"headgate/engine/point"
)

// seriesIndex maps canonical series keys to ids and back. One writer; any number
// of readers, without locks.
//
// Everything is free of pointers but for a few directories, so that a million
// series are nothing to the garbage collector:
//
//	slots: 32 bits of the key's hash | 32 bits of reference
//	arena: at 8 x reference: id, measurement, key length (4 bytes each), key
//	pages: by id: dead (1 bit) | measurement | reference
//
// A lookup touches one slot and, if the bits agree, one arena entry. Slots are in
// 256 tables by the hash's top bits, which double one at a time, so that growth
// never stops the writer for long. A series that is freed is marked as dead: lookup
// passes it over, key still knows it for older views, and its memory comes back
// with the next restart.
//
// Insertions become visible to lookup all at once, when the writer raises
// visible; key finds them at once.
type seriesIndex struct {
	seed    maphash.Seed
	tables  [256]atomic.Pointer[slotTable]
	arena   seriesArena
	pages   atomic.Pointer[[]atomic.Pointer[seriesPage]]
	visible atomic.Uint32 // largest id that lookup returns

	// Owned by the writer.
	next  point.SeriesID // largest id ever given out
	count int
	bytes int64
}

// slotTable is open addressing with linear probing; at most three quarters full.
type slotTable struct {
	slots []atomic.Uint64
	used  int // owned by the writer
}

const (
	seriesPageLen   = 512
	seriesHeaderLen = 12
	slotTableMin    = 8
)

// seriesPage holds measurement<<32 | reference, by id; 0 for no series.
type seriesPage [seriesPageLen]atomic.Uint64

func (x *seriesIndex) init(seed maphash.Seed) {
	x.seed = seed
	x.pages.Store(new([]atomic.Pointer[seriesPage]))
	x.arena.init()
	x.bytes = int64(len(x.tables))*8 + x.arena.bytes
}

// lookup finds a visible series. Any goroutine.
func (x *seriesIndex) lookup(key []byte) (point.SeriesID, point.MeasurementID, bool) {
	id, m, ok := x.find(maphash.Bytes(x.seed, key), key)
	if !ok || uint32(id) > x.visible.Load() {
		return 0, 0, false
	}
	return id, m, true
}

func (x *seriesIndex) find(hash uint64, key []byte) (point.SeriesID, point.MeasurementID, bool) {
	t := x.tables[hash>>56].Load()
	if t == nil {
		return 0, 0, false
	}
	mask := uint32(len(t.slots) - 1)
	short := uint32(hash)
	for i := short & mask; ; i = (i + 1) & mask {
		s := t.slots[i].Load()
		if s == 0 {
			return 0, 0, false
		}
		if uint32(s>>32) != short {
			continue
		}
		e := x.arena.entry(uint32(s))
		n := binary.LittleEndian.Uint32(e[8:])
		if int(n) == len(key) && bytes.Equal(e[seriesHeaderLen:seriesHeaderLen+n], key) {
			if id := point.SeriesID(binary.LittleEndian.Uint32(e)); !x.dead(id) {
				return id, point.MeasurementID(binary.LittleEndian.Uint32(e[4:])), true
			}
		}
	}
}

// at returns what is known about id. Any goroutine.
func (x *seriesIndex) at(id point.SeriesID) (point.MeasurementID, uint32) {
	pages := *x.pages.Load()
	i := int(id) / seriesPageLen
	if i >= len(pages) {
		return 0, 0
	}
	p := pages[i].Load()
	if p == nil {
		return 0, 0
	}
	v := p[id%seriesPageLen].Load() &^ seriesDead
	return point.MeasurementID(v >> 32), uint32(v)
}

// seriesDead marks a page's entry; measurement ids are far smaller.
const seriesDead = 1 << 63

// dead reports whether a series that has been inserted was freed. Any goroutine.
func (x *seriesIndex) dead(id point.SeriesID) bool {
	return (*x.pages.Load())[id/seriesPageLen].Load()[id%seriesPageLen].Load()&seriesDead != 0
}

// free makes a series dead; it reports whether it was not yet. Writer only.
func (x *seriesIndex) free(id point.SeriesID) bool {
	if _, ref := x.at(id); ref == 0 || x.dead(id) {
		return false
	}
	e := &x.page(id)[id%seriesPageLen]
	e.Store(e.Load() | seriesDead)
	x.count--
	return true
}

// key returns the key of id, nil if unknown. Any goroutine; nobody changes it.
func (x *seriesIndex) key(id point.SeriesID) []byte {
	_, ref := x.at(id)
	if ref == 0 {
		return nil
	}
	e := x.arena.entry(ref)
	n := seriesHeaderLen + binary.LittleEndian.Uint32(e[8:])
	return e[seriesHeaderLen:n:n]
}

// define finds key or gives it the next id. Writer only.
func (x *seriesIndex) define(key []byte, m point.MeasurementID) (id point.SeriesID, known bool) {
	hash := maphash.Bytes(x.seed, key)
	if id, _, ok := x.find(hash, key); ok {
		return id, true
	}
	id = x.next + 1
	x.insert(hash, id, m, key)
	return id, false
}

// insert adds a series whose key and id are new. Writer only.
func (x *seriesIndex) insert(hash uint64, id point.SeriesID, m point.MeasurementID, key []byte) {
	before := x.arena.bytes
	ref, e := x.arena.alloc(seriesHeaderLen + len(key))
	x.bytes += x.arena.bytes - before
	binary.LittleEndian.PutUint32(e, uint32(id))
	binary.LittleEndian.PutUint32(e[4:], uint32(m))
	binary.LittleEndian.PutUint32(e[8:], uint32(len(key)))
	copy(e[seriesHeaderLen:], key)
	x.page(id)[id%seriesPageLen].Store(uint64(m)<<32 | uint64(ref))
	x.slot(hash, ref)
	x.next = max(x.next, id)
	x.count++
}

// page finds or makes the page of id.
func (x *seriesIndex) page(id point.SeriesID) *seriesPage {
	pages := *x.pages.Load()
	i := int(id) / seriesPageLen
	if i >= len(pages) {
		more := make([]atomic.Pointer[seriesPage], max(2*len(pages), i+1))
		for j := range pages {
			more[j].Store(pages[j].Load())
		}
		x.bytes += int64(len(more)-len(pages)) * 8
		pages = more
		x.pages.Store(&more)
	}
	p := pages[i].Load()
	if p == nil {
		p = new(seriesPage)
		x.bytes += seriesPageLen * 8
		pages[i].Store(p)
	}
	return p
}

// slot adds a reference, doubling the table when it fills up.
func (x *seriesIndex) slot(hash uint64, ref uint32) {
	p := &x.tables[hash>>56]
	t := p.Load()
	if t == nil || (t.used+1)*4 > len(t.slots)*3 {
		n := slotTableMin
		if t != nil {
			n = 2 * len(t.slots)
		}
		grown := &slotTable{slots: make([]atomic.Uint64, n)}
		x.bytes += int64(n) * 8
		if t != nil {
			x.bytes -= int64(len(t.slots)) * 8
			for i := range t.slots {
				if s := t.slots[i].Load(); s != 0 {
					grown.put(s)
				}
			}
		}
		t = grown
		t.put(uint64(uint32(hash))<<32 | uint64(ref))
		p.Store(t)
		return
	}
	t.put(uint64(uint32(hash))<<32 | uint64(ref))
}

func (t *slotTable) put(s uint64) {
	mask := uint32(len(t.slots) - 1)
	i := uint32(s>>32) & mask
	for t.slots[i].Load() != 0 {
		i = (i + 1) & mask
	}
	t.slots[i].Store(s)
	t.used++
}

// seriesArena is append-only bytes in chunks of seriesChunkBytes, addressed in
// units of 8 bytes: up to 32 GiB. The first chunk starts small and is replaced by
// larger copies, so that a bucket with few series stays small. A reader that has
// a reference finds it in the chunks that it loads afterwards.
type seriesArena struct {
	chunks atomic.Pointer[[][]byte]

	// Owned by the writer.
	at    int // in the last chunk
	bytes int64
}

const (
	arenaUnit       = 8
	chunkUnits      = seriesChunkBytes / arenaUnit
	firstChunkBytes = 512
)

func (a *seriesArena) init() {
	a.at = arenaUnit // reference 0 is none
	a.bytes = firstChunkBytes
	a.chunks.Store(&[][]byte{make([]byte, firstChunkBytes)})
}

func (a *seriesArena) entry(ref uint32) []byte {
	return (*a.chunks.Load())[ref/chunkUnits][ref%chunkUnits*arenaUnit:]
}

func (a *seriesArena) alloc(n int) (ref uint32, buf []byte) {
	n = (n + arenaUnit - 1) &^ (arenaUnit - 1)
	chunks := *a.chunks.Load()
	last := len(chunks) - 1
	if a.at+n > len(chunks[last]) {
		grown := append([][]byte(nil), chunks...)
		if size := len(chunks[last]); size < seriesChunkBytes && a.at+n <= seriesChunkBytes {
			for size < a.at+n {
				size *= 2
			}
			grown[last] = make([]byte, size)
			copy(grown[last], chunks[last])
			a.bytes += int64(size - len(chunks[last]))
		} else {
			if last+1 >= 1<<32/chunkUnits {
				panic("store: 32 GiB of series keys in one bucket")
			}
			grown = append(grown, make([]byte, seriesChunkBytes))
			a.bytes += seriesChunkBytes
			last++
			a.at = 0
		}
		a.chunks.Store(&grown)
		chunks = grown
	}
	buf = chunks[last][a.at : a.at+n]
	ref = uint32(last*chunkUnits + a.at/arenaUnit)
	a.at += n
	return ref, buf
}
