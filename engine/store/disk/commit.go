package disk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Edit is what a Commit changes.
type Edit struct {
	// Flushed is the highest sequence number of the log whose effects are in the
	// bucket with this edit. 0 leaves it as it is; it never goes back.
	Flushed uint64
	// Definitions are added after those that are there, or replace them all.
	Definitions        [][]byte
	ReplaceDefinitions bool
	// Add are parts that PartWriters of this bucket have finished. A nil one, which
	// is what an empty part finishes as, is passed over.
	Add []*Part
	// Remove are parts of the current version. One that was trimmed since counts as
	// what it has become.
	Remove []*Part
	Trim   []Trim
}

// Trim takes blocks out of a part of the current version.
type Trim struct {
	Part *Part
	// Measurements is what remains, as in Part: with the same numbers in Blocks, and
	// with Series and Fields of the blocks that remain. At least one block must go
	// and one remain. The part keeps it.
	Measurements []Measurement
}

// discard removes the files of new parts that were not ingested.
func (e *Edit) discard() {
	for _, p := range e.Add {
		if p == nil || p.file == nil {
			continue
		}
		f := p.file
		f.b.committing.Lock()
		used := f.used
		f.used = true
		f.b.committing.Unlock()
		if !used {
			f.remove()
		}
	}
}

// change is an edit that has been checked.
type change struct {
	state  state
	parts  []*Part // of the new version
	add    []*Part
	remove []*Part
	trim   []*Part // what trimmed parts have become
	paths  []string
}

// commit does the work of Commit. The caller holds committing and what enterWrite
// gives.
func (b *Bucket) commit(in *instance, e *Edit) error {
	c, err := b.check(e)
	if err != nil {
		return err
	}
	if len(c.paths) > 0 {
		for _, p := range c.add {
			p.file.used = true
		}
		err := in.protect(func() error { return in.db.Ingest(context.Background(), c.paths) })
		for _, p := range c.add {
			p.file.remove() // Pebble has a link of its own, and may have done so
		}
		if failure := in.failure(); failure != nil {
			return failure
		}
		if err != nil {
			return fmt.Errorf("ingest: %w", err)
		}
	}
	if err := b.write(in, e, c); err != nil {
		if in.failure() == nil {
			b.withdraw(c)
		}
		return err
	}

	b.mu.Lock()
	b.state = c.state
	b.advance(c.parts, c.state.flushed)
	var list []garbage
	for _, p := range c.remove {
		list = append(list, garbage{id: b.id, b: b, from: p.ID, to: p.ID, addedAt: p.addedAt, removedAt: b.number, bytes: p.Bytes})
	}
	for _, p := range c.trim {
		list = append(list, garbage{id: b.id, b: b, from: p.ID, to: p.ID, trim: true})
	}
	b.mu.Unlock()
	b.s.collect(list)
	for _, p := range c.add {
		b.s.ingested.Add(p.Bytes)
		p.file = nil
	}
	return nil
}

// withdraw makes garbage of what was ingested for a commit that did not come about.
func (b *Bucket) withdraw(c *change) {
	var list []garbage
	for _, p := range c.add {
		list = append(list, garbage{id: b.id, from: p.ID, to: p.ID, bytes: p.Bytes})
	}
	b.s.collect(list)
}

// check works out what the edit makes of the current version.
func (b *Bucket) check(e *Edit) (*change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	if !b.loaded {
		return nil, errors.New("bucket is not loaded")
	}
	c := &change{state: b.state}
	if e.Flushed != 0 {
		if e.Flushed < c.state.flushed {
			return nil, fmt.Errorf("flushed would go back from %d to %d", c.state.flushed, e.Flushed)
		}
		c.state.flushed = e.Flushed
	}
	var current []*Part
	if n := len(b.versions); n > 0 {
		current = b.versions[n-1].parts
	}
	c.parts = slices.Clone(current)
	find := func(p *Part) (int, error) {
		i := slices.IndexFunc(c.parts, func(q *Part) bool { return q.ID == p.ID })
		if i < 0 {
			return 0, fmt.Errorf("part %d is not in the current version", p.ID)
		}
		return i, nil
	}
	for _, p := range e.Remove {
		i, err := find(p)
		if err != nil {
			return nil, err
		}
		c.remove = append(c.remove, c.parts[i])
		c.parts = slices.Delete(c.parts, i, i+1)
	}
	for _, t := range e.Trim {
		i, err := find(t.Part)
		if err != nil {
			return nil, err
		}
		p, err := c.parts[i].trimmed(t.Measurements)
		if err != nil {
			return nil, fmt.Errorf("trim part %d: %w", t.Part.ID, err)
		}
		c.parts[i] = p
		c.trim = append(c.trim, p)
	}
	for _, p := range e.Add {
		if p == nil {
			continue
		}
		if p.file == nil || p.file.b != b || p.file.used || slices.Contains(c.add, p) {
			return nil, fmt.Errorf("part %d is not a new part of this bucket", p.ID)
		}
		c.add = append(c.add, p)
		c.parts = append(c.parts, p)
		c.paths = append(c.paths, p.file.path)
	}
	c.state.nextPart = b.nextPart
	c.state.parts = uint64(len(c.parts))
	if e.ReplaceDefinitions {
		c.state.firstChunk = c.state.nextChunk
	}
	c.state.nextChunk += uint64(len(e.Definitions))
	return c, nil
}

// trimmed returns what the part becomes when only these measurements remain.
func (p *Part) trimmed(remain []Measurement) (*Part, error) {
	q := &Part{
		ID: p.ID, WindowMin: p.WindowMin, WindowMax: p.WindowMax, SeqMin: p.SeqMin, SeqMax: p.SeqMax, Level: p.Level,
		Measurements: remain, blocksEver: p.blocksEver, addedAt: p.addedAt,
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	q.sum()
	for i := range remain {
		for j := range remain[i].Blocks {
			b := &remain[i].Blocks[j]
			if old := p.block(b.Number); old == nil || *old != *b {
				return nil, fmt.Errorf("block %d is not as it was", b.Number)
			}
		}
	}
	if q.blocks == p.blocks {
		return nil, errors.New("no block goes")
	}
	return q, nil
}

// write makes everything but the blocks durable, in one batch.
func (b *Bucket) write(in *instance, e *Edit, c *change) error {
	batch, err := in.newBatch()
	if err != nil {
		return err
	}
	defer batch.Close()
	set := func(key, value []byte) error {
		if int64(batch.Len())+int64(len(value)) > batchBytesMax {
			return fmt.Errorf("edit is over %d bytes of metadata", batchBytesMax)
		}
		return batch.Set(key, value, nil)
	}
	if e.ReplaceDefinitions {
		if err := batch.DeleteRange(bucketKey(kindDefinition, b.id), numberKey(kindDefinition, b.id, c.state.firstChunk), nil); err != nil {
			return err
		}
	}
	for i, chunk := range e.Definitions {
		key := numberKey(kindDefinition, b.id, c.state.nextChunk-uint64(len(e.Definitions)-i))
		value, err := b.s.chunks.sealChunk(key, chunk)
		if err != nil {
			return err
		}
		if err := set(key, value); err != nil {
			return err
		}
	}
	for _, p := range c.remove {
		if err := batch.Delete(numberKey(kindDirectory, b.id, p.ID), nil); err != nil {
			return err
		}
	}
	for _, p := range slices.Concat(c.add, c.trim) {
		key := numberKey(kindDirectory, b.id, p.ID)
		value, err := p.encodeDirectory(key)
		if err == nil {
			err = set(key, value)
		}
		if err != nil {
			return err
		}
	}
	key := bucketKey(kindState, b.id)
	if err := set(key, c.state.encode(key)); err != nil {
		return err
	}
	if err := in.apply(batch); err != nil {
		return err
	}
	b.s.progressed(0)
	return nil
}

// batchBytesMax bounds the metadata of one edit: Pebble panics at 4 GiB.
const batchBytesMax int64 = math.MaxInt32
