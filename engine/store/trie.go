package store

import "math/bits"

// trie is an immutable map from names to values: with returns a new trie that
// shares all but one path with the old one. Schema snapshots are made of it, so
// that the hundred-thousandth measurement costs as little as the first.
//
// It branches 32-fold on five bits of the hash at a time; names whose whole hash
// is equal are chained.
type trie[V any] struct {
	root *trieNode[V]
	n    int
}

type trieNode[V any] struct {
	bitmap uint32
	kids   []trieKid[V] // one for each bit
}

// trieKid is a node or a leaf.
type trieKid[V any] struct {
	node *trieNode[V]
	leaf *trieLeaf[V]
}

type trieLeaf[V any] struct {
	hash  uint64
	key   string
	value V
	next  *trieLeaf[V] // same hash
}

func (n *trieNode[V]) index(bit uint32) int { return bits.OnesCount32(n.bitmap & (bit - 1)) }

func trieBit(hash uint64, shift uint) uint32 { return 1 << (hash >> shift & 31) }

// get finds the value of key, whose hash it is given.
func (t *trie[V]) get(hash uint64, key []byte) (v V, ok bool) {
	n := t.root
	for shift := uint(0); n != nil; shift += 5 {
		bit := trieBit(hash, shift)
		if n.bitmap&bit == 0 {
			return v, false
		}
		kid := n.kids[n.index(bit)]
		for l := kid.leaf; l != nil; l = l.next {
			if l.hash == hash && l.key == string(key) {
				return l.value, true
			}
		}
		n = kid.node
	}
	return v, false
}

// with returns t with key set to value.
func (t trie[V]) with(hash uint64, key string, value V) trie[V] {
	l := &trieLeaf[V]{hash: hash, key: key, value: value}
	root, added := t.root.with(l, 0)
	if added {
		t.n++
	}
	t.root = root
	return t
}

func (n *trieNode[V]) with(l *trieLeaf[V], shift uint) (*trieNode[V], bool) {
	bit := trieBit(l.hash, shift)
	if n == nil {
		return &trieNode[V]{bitmap: bit, kids: []trieKid[V]{{leaf: l}}}, true
	}
	i := n.index(bit)
	if n.bitmap&bit == 0 {
		kids := make([]trieKid[V], len(n.kids)+1)
		copy(kids, n.kids[:i])
		kids[i].leaf = l
		copy(kids[i+1:], n.kids[i:])
		return &trieNode[V]{bitmap: n.bitmap | bit, kids: kids}, true
	}
	var added bool
	kid := n.kids[i]
	switch old := kid.leaf; {
	case old == nil:
		kid.node, added = kid.node.with(l, shift+5)
	case old.hash == l.hash:
		kid.leaf, added = old.with(l)
	default:
		// Both go one level down, and further while their bits agree.
		sub := &trieNode[V]{bitmap: trieBit(old.hash, shift+5), kids: []trieKid[V]{{leaf: old}}}
		kid.leaf = nil
		kid.node, added = sub.with(l, shift+5)
	}
	kids := make([]trieKid[V], len(n.kids))
	copy(kids, n.kids)
	kids[i] = kid
	return &trieNode[V]{bitmap: n.bitmap, kids: kids}, added
}

// with returns the chain with l in it, replacing the leaf of the same key.
func (old *trieLeaf[V]) with(l *trieLeaf[V]) (*trieLeaf[V], bool) {
	if old == nil {
		return l, true
	}
	if old.key == l.key {
		l.next = old.next
		return l, false
	}
	c := *old
	var added bool
	c.next, added = old.next.with(l)
	return &c, added
}

// each calls fn for every value, in no order.
func (t *trie[V]) each(fn func(V)) { t.root.each(fn) }

func (n *trieNode[V]) each(fn func(V)) {
	if n == nil {
		return
	}
	for i := range n.kids {
		for l := n.kids[i].leaf; l != nil; l = l.next {
			fn(l.value)
		}
		n.kids[i].node.each(fn)
	}
}
