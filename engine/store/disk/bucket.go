package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"headgate/engine/point"
)

// Bucket is one bucket of a store. Its methods may be called from any goroutine.
type Bucket struct {
	s  *Store
	id point.BucketID

	// committing is held by Commit, and by whatever else needs what is on disk to
	// stay as it is. It is taken before mu, and after Store.commits.
	committing sync.Mutex

	mu sync.Mutex
	// All guarded by mu.
	loaded   bool
	err      error // why the bucket cannot be used: damage, or ErrDropped
	state    state // of the current version; written with committing held as well
	nextPart uint64
	// versions are those that are held, ascending by number, the current one last.
	versions []*Version
	number   uint64 // of the current version
}

func newBucket(s *Store, id point.BucketID) *Bucket {
	return &Bucket{s: s, id: id, state: state{nextPart: 1}, nextPart: 1}
}

// ID returns the bucket's id.
func (b *Bucket) ID() point.BucketID { return b.id }

// load reads state and directories, once.
func (b *Bucket) load() error {
	b.mu.Lock()
	ready, err := b.loaded, b.err
	b.mu.Unlock()
	if ready {
		return err
	}
	b.committing.Lock()
	defer b.committing.Unlock()
	b.mu.Lock()
	ready, err = b.loaded, b.err
	b.mu.Unlock()
	if ready {
		return err
	}
	in, err := b.s.enter()
	if err != nil {
		return err
	}
	defer b.s.exit(in)
	return b.read(in)
}

// read replaces what is known by what is on disk. The caller holds committing. Damage
// is remembered, any other error is not.
func (b *Bucket) read(in *instance) error {
	st, parts, err := b.readDirectories(in)
	if err != nil && !isCorrupt(err) {
		return err
	}
	b.s.mu.Lock()
	extents := slices.DeleteFunc(b.s.extents[b.id], func(e extent) bool { return b.s.pending(b.id, e) })
	delete(b.s.extents, b.id)
	unswept := b.s.unsweptEnd(b.id)
	b.s.mu.Unlock()

	b.mu.Lock()
	defer b.mu.Unlock()
	b.loaded, b.err = true, err
	if err != nil {
		b.advance(nil, 0)
		return err
	}
	b.state = st
	b.nextPart = max(b.nextPart, st.nextPart, unswept)
	b.advance(parts, st.flushed)
	b.orphans(extents)
	return nil
}

// reload is read after a failure, of a bucket that may be in use.
func (b *Bucket) reload(in *instance) error {
	b.committing.Lock()
	defer b.committing.Unlock()
	b.mu.Lock()
	skip := !b.loaded || b.err == ErrDropped
	b.mu.Unlock()
	if skip {
		return nil
	}
	if err := b.read(in); err != nil && !isCorrupt(err) {
		return err
	}
	return nil
}

func (b *Bucket) readDirectories(in *instance) (st state, parts []*Part, err error) {
	st.nextPart = 1
	key := bucketKey(kindState, b.id)
	value, err := in.get(key, nil)
	if err == nil {
		err = st.decode(key, value)
		if err != nil {
			return st, nil, &CorruptError{Bucket: b.id, Reason: "state", Err: err}
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return st, nil, in.readError(b.id, 0, err)
	}
	held := b.heldParts()
	var damage error
	err = in.scan(bucketKey(kindDirectory, b.id), bucketEnd(kindDirectory, b.id), func(key, value []byte) error {
		if len(key) != partKeyBytes {
			damage = &CorruptError{Bucket: b.id, Reason: fmt.Sprintf("key %x of a directory", key)}
			return damage
		}
		p, err := decodeDirectory(key, slices.Clone(value))
		if err != nil {
			damage = &CorruptError{Bucket: b.id, Part: keyNumber(key), Reason: "directory", Err: err}
			return damage
		}
		if h := held[p.ID]; h != nil && h.blocks == p.blocks {
			p = h // whoever knows the part by its address goes on doing so
		} else if h != nil {
			p.addedAt = h.addedAt // it was trimmed, and versions have what it was
		}
		parts = append(parts, p)
		return nil
	})
	switch {
	case damage != nil:
		return st, nil, damage
	case err != nil:
		return st, nil, in.readError(b.id, 0, err)
	case uint64(len(parts)) != st.parts:
		return st, nil, &CorruptError{Bucket: b.id, Reason: fmt.Sprintf("directories: %d, want %d", len(parts), st.parts)}
	case len(parts) > 0 && parts[len(parts)-1].ID >= st.nextPart:
		return st, nil, &CorruptError{Bucket: b.id, Part: parts[len(parts)-1].ID, Reason: "part is newer than the state"}
	}
	return st, parts, nil
}

// heldParts returns the parts of all versions; of several directories of one part
// the newest.
func (b *Bucket) heldParts() map[uint64]*Part {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := make(map[uint64]*Part)
	for _, v := range b.versions {
		for _, p := range v.parts {
			held[p.ID] = p
		}
	}
	return held
}

// orphans makes garbage of what is on disk and in no version: parts of a commit that a
// crash has cut short, parts that were removed and not swept before the end, and too
// much slack. The caller holds mu.
func (b *Bucket) orphans(extents []extent) {
	live := make(map[uint64]*Part)
	for _, v := range b.versions {
		for _, p := range v.parts {
			live[p.ID] = p
		}
	}
	var found []garbage
	for _, p := range b.versions[len(b.versions)-1].parts {
		delete(live, p.ID)
	}
	// What a commit has removed of which it was not known whether it had.
	for _, p := range live {
		found = append(found, garbage{id: b.id, b: b, from: p.ID, to: p.ID, addedAt: p.addedAt, removedAt: b.number, bytes: p.Bytes})
	}
	for _, p := range b.versions[len(b.versions)-1].parts {
		live[p.ID] = p
	}
	ids := make([]uint64, 0, len(live))
	for id := range live {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, e := range extents {
		if e.to >= b.nextPart {
			b.nextPart = max(b.nextPart, e.to+1) // never to be used again while it is there
		}
		from := e.from
		i, _ := slices.BinarySearch(ids, from)
		for ; i < len(ids) && ids[i] <= e.to; i++ {
			if from < ids[i] {
				found = append(found, garbage{id: b.id, from: from, to: ids[i] - 1})
			}
			from = ids[i] + 1
			if p := live[ids[i]]; e.from == e.to && p.slack(b.s.o.SlackMax, e.bytes) {
				found = append(found, garbage{id: b.id, b: b, from: p.ID, to: p.ID, trim: true})
			}
		}
		if from <= e.to && from != 0 {
			found = append(found, garbage{id: b.id, from: from, to: e.to, bytes: e.bytes})
		}
	}
	b.s.collect(found)
}

// Flushed returns the highest sequence number of the log whose effects are in the
// current version.
func (b *Bucket) Flushed() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.flushed
}

// MemoryBytes is about what the directories of the current version take in memory.
func (b *Bucket) MemoryBytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n int64
	if len(b.versions) > 0 {
		for _, p := range b.versions[len(b.versions)-1].parts {
			n += p.memory
		}
	}
	return n
}

// Definitions calls fn with the chunks in the order in which they were committed. fn
// may not keep chunk.
func (b *Bucket) Definitions(fn func(chunk []byte) error) error {
	in, err := b.s.enter()
	if err != nil {
		return err
	}
	defer b.s.exit(in)
	var it *pebble.Iterator
	b.committing.Lock()
	b.mu.Lock()
	err, next, end := b.err, b.state.firstChunk, b.state.nextChunk
	b.mu.Unlock()
	if err == nil {
		err = in.protect(func() (err error) {
			it, err = in.db.NewIter(&pebble.IterOptions{
				LowerBound: numberKey(kindDefinition, b.id, next),
				UpperBound: numberKey(kindDefinition, b.id, end),
			})
			return err
		})
	}
	b.committing.Unlock()
	if err != nil {
		return err
	}
	defer func() { _ = in.protect(it.Close) }()
	var stop error
	err = in.walk(it, func(key, value []byte) error {
		if len(key) != partKeyBytes || keyNumber(key) != next {
			stop = &CorruptError{Bucket: b.id, Reason: fmt.Sprintf("chunk %d of the definitions is missing", next)}
			return stop
		}
		chunk, err := b.s.chunks.unsealChunk(key, value)
		if err != nil {
			stop = &CorruptError{Bucket: b.id, Reason: fmt.Sprintf("chunk %d of the definitions", next), Err: err}
			return stop
		}
		next++
		stop = fn(chunk)
		return stop
	})
	switch {
	case stop != nil:
		return stop
	case err != nil:
		return in.readError(b.id, 0, err)
	case next != end:
		return &CorruptError{Bucket: b.id, Reason: fmt.Sprintf("chunk %d of the definitions is missing", next)}
	}
	return nil
}

// drop is DropBucket.
func (b *Bucket) drop() error {
	s := b.s
	in, err := s.enterWrite()
	if err != nil {
		return err
	}
	defer s.exitWrite(in)
	b.committing.Lock()
	defer b.committing.Unlock()
	b.mu.Lock()
	was := b.err
	b.mu.Unlock()
	if was == ErrDropped {
		return nil
	}
	var damaged []extent // where the blocks are if no directory tells
	if was != nil {
		extents, err := in.extents()
		if err != nil {
			return in.readError(b.id, 0, err)
		}
		damaged = extents[b.id]
	}
	batch, err := in.newBatch()
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, kind := range [...]byte{kindState, kindDefinition, kindDirectory} {
		if err := batch.DeleteRange(bucketKey(kind, b.id), bucketEnd(kind, b.id), nil); err != nil {
			return err
		}
	}
	if err := in.apply(batch); err != nil {
		return fmt.Errorf("disk: drop bucket %016x: %w", uint64(b.id), err)
	}
	var list []garbage
	next := newBucket(s, b.id)
	next.loaded = true
	b.mu.Lock()
	if n := len(b.versions); n > 0 {
		for _, p := range b.versions[n-1].parts {
			list = append(list, garbage{id: b.id, b: b, from: p.ID, to: p.ID, addedAt: p.addedAt, removedAt: b.number + 1, bytes: p.Bytes})
		}
	}
	for _, e := range damaged {
		list = append(list, garbage{id: b.id, from: e.from, to: e.to, bytes: e.bytes})
		b.nextPart = max(b.nextPart, e.to+1)
	}
	// Whoever gets the name next must not use the numbers of parts that are still
	// there.
	next.nextPart, next.state.nextPart = b.nextPart, b.nextPart
	b.err = ErrDropped
	b.advance(nil, b.state.flushed)
	b.mu.Unlock()
	next.advance(nil, 0)
	s.mu.Lock()
	if s.buckets[b.id] == b {
		s.buckets[b.id] = next
	}
	s.mu.Unlock()
	s.collect(list)
	return nil
}

// Commit makes an edit durable and current, all or nothing. It uses the edit's new
// parts up, whatever it returns. After an error that is ErrFailed the edit may be
// durable or not: after Reopen, Flushed and Acquire tell.
func (b *Bucket) Commit(ctx context.Context, e *Edit) error {
	defer e.discard()
	if err := ctx.Err(); err != nil {
		return err
	}
	in, err := b.s.enterWrite()
	if err != nil {
		return fmt.Errorf("disk: commit to bucket %016x: %w", uint64(b.id), err)
	}
	defer b.s.exitWrite(in)
	b.committing.Lock()
	defer b.committing.Unlock()
	if err := b.commit(in, e); err != nil {
		return fmt.Errorf("disk: commit to bucket %016x: %w", uint64(b.id), err)
	}
	return nil
}
