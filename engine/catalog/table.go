package catalog

import (
	"hash/maphash"
	"iter"
	"maps"

	"headgate/engine/point"
)

// tableShards splits a table so that a change copies a small part of it: at
// 10,000 buckets about 40 entries and one directory of pointers.
const tableShards = 256

// edit identifies one transaction (or one replay). Parts of a table that carry
// its mark belong to it alone and are changed in place; all others are shared
// with views and are copied first.
type edit struct{ _ byte }

// table is a persistent map: a copy of the struct is a snapshot of its entries.
// Reading needs no lock. Only one goroutine may change a table at a time.
type table[K comparable, V any] struct {
	hash func(K) uint64
	dir  *directory[K, V]
}

type directory[K comparable, V any] struct {
	owner  *edit
	length int
	shards [tableShards]shard[K, V]
}

type shard[K comparable, V any] struct {
	owner *edit
	m     map[K]V
}

func newTable[K comparable, V any](hash func(K) uint64) table[K, V] {
	return table[K, V]{hash: hash, dir: new(directory[K, V])}
}

func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := t.dir.shards[t.hash(k)%tableShards].m[k]
	return v, ok
}

func (t *table[K, V]) has(k K) bool {
	_, ok := t.get(k)
	return ok
}

func (t *table[K, V]) len() int { return t.dir.length }

// all yields the entries in no particular order.
func (t *table[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range t.dir.shards {
			for k, v := range t.dir.shards[i].m {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// own makes the shard of k changeable under e.
func (t *table[K, V]) own(e *edit, k K) *shard[K, V] {
	if t.dir.owner != e {
		dir := *t.dir
		dir.owner = e
		t.dir = &dir
	}
	s := &t.dir.shards[t.hash(k)%tableShards]
	if s.owner != e {
		if s.m == nil {
			s.m = make(map[K]V)
		} else {
			s.m = maps.Clone(s.m)
		}
		s.owner = e
	}
	return s
}

func (t *table[K, V]) set(e *edit, k K, v V) {
	s := t.own(e, k)
	if _, ok := s.m[k]; !ok {
		t.dir.length++
	}
	s.m[k] = v
}

func (t *table[K, V]) delete(e *edit, k K) {
	if !t.has(k) {
		return
	}
	delete(t.own(e, k).m, k)
	t.dir.length--
}

// scopedName is a name within an organization.
type scopedName struct {
	org  point.ID
	name string
}

// mappingName is a database and retention policy within an organization.
type mappingName struct {
	org    point.ID
	db, rp string
}

// membership is a user within an organization.
type membership struct{ org, user point.ID }

// hashes spread the keys over shards. The seed keeps clients from choosing names
// that all fall into one shard.
type hashes struct{ seed maphash.Seed }

func (h hashes) id(id point.ID) uint64 { return uint64(id) * 0x9e3779b97f4a7c15 >> 32 }

func (h hashes) name(s string) uint64 { return maphash.String(h.seed, s) }

func (h hashes) scoped(n scopedName) uint64 { return h.id(n.org) ^ h.name(n.name) }

func (h hashes) mapping(n mappingName) uint64 { return h.id(n.org) ^ h.name(n.db) ^ 3*h.name(n.rp) }

func (h hashes) member(m membership) uint64 { return h.id(m.org) ^ 3*h.id(m.user) }

func (h hashes) token(t TokenHash) uint64 { return uint64(t[0]) | uint64(t[1])<<8 }
