package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
	"headgate/wal/fence"
)

// Salvaged is what can be read of a store that Open refuses, or of which it cannot
// load a bucket. Salvage makes one; it changes nothing on disk. One goroutine uses it.
type Salvaged struct {
	o Options
	// Damage is what could not be read of the store's files.
	Damage []error
	// Buckets ascend by ID.
	Buckets []*SalvagedBucket
}

// SalvagedBucket is one bucket of a salvaged store.
type SalvagedBucket struct {
	s  *Salvaged
	ID point.BucketID
	// Flushed is as Bucket.Flushed. If the damage has taken it, it is the highest
	// that a part has, which is not more.
	Flushed uint64
	// Definitions are the chunks that are left, in their order.
	Definitions [][]byte
	// Parts are those whose directory can be read. Their blocks may be missing.
	Parts []*Part
	// Orphans are parts of which there are blocks and no directory. If Damage is empty
	// they are garbage that nobody has removed yet, as far as can be told.
	Orphans []uint64
	// Damage is what is wrong with the bucket's metadata.
	Damage []error

	state  state
	tables map[uint64]string // names of sstables by part
	open   *fence.SSTable    // the one read last, of part openPart
	part   uint64
}

// CheckLogs tells of a directory that has lost Pebble's log: ErrCorrupt. Open cannot
// tell that from a store that was just created.
func CheckLogs(o Options) error {
	o.EnsureDefaults()
	if err := fence.CheckLogs(o.FS, o.Dir); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// Salvage reads a store that nobody has open.
func Salvage(o Options) (*Salvaged, error) {
	o.EnsureDefaults()
	c, err := fence.Salvage(o.FS, o.Dir, func(key []byte) bool { return len(key) == blockKeyBytes && key[0] == kindBlock })
	if err != nil {
		return nil, fmt.Errorf("disk: salvage store %s: %w", o.Dir, err)
	}
	s := &Salvaged{o: o, Damage: c.Damage}
	var codec zstdCodec
	buckets := make(map[point.BucketID]*SalvagedBucket)
	bucket := func(id point.BucketID) *SalvagedBucket {
		b := buckets[id]
		if b == nil {
			b = &SalvagedBucket{s: s, ID: id, tables: make(map[uint64]string)}
			buckets[id] = b
		}
		return b
	}
	for _, e := range c.Entries {
		switch {
		case len(e.Key) == bucketKeyBytes && e.Key[0] == kindState:
			b := bucket(keyBucket(e.Key))
			if err := b.state.decode(e.Key, e.Value); err != nil {
				b.damaged(0, "state", err)
			}
		case len(e.Key) == partKeyBytes && e.Key[0] == kindDefinition:
			b := bucket(keyBucket(e.Key))
			if b.state.nextPart != 0 && keyNumber(e.Key) < b.state.firstChunk {
				continue // replaced
			}
			chunk, err := codec.unsealChunk(e.Key, e.Value)
			if err != nil {
				b.damaged(0, fmt.Sprintf("chunk %d of the definitions", keyNumber(e.Key)), err)
				continue
			}
			b.Definitions = append(b.Definitions, chunk)
		case len(e.Key) == partKeyBytes && e.Key[0] == kindDirectory:
			b := bucket(keyBucket(e.Key))
			p, err := decodeDirectory(e.Key, e.Value)
			if err != nil {
				b.damaged(keyNumber(e.Key), "directory", err)
				continue
			}
			b.Parts = append(b.Parts, p)
		}
	}
	for _, t := range c.Tables {
		if len(t.Largest) == blockKeyBytes && slices.Equal(t.Smallest[:partKeyBytes], t.Largest[:partKeyBytes]) {
			bucket(keyBucket(t.Smallest)).tables[keyNumber(t.Smallest)] = t.Name
		}
	}
	for _, b := range buckets {
		b.settle()
		s.Buckets = append(s.Buckets, b)
	}
	slices.SortFunc(s.Buckets, func(a, b *SalvagedBucket) int { return cmp.Compare(a.ID, b.ID) })
	s.Buckets = slices.DeleteFunc(s.Buckets, func(b *SalvagedBucket) bool {
		// The blocks of a bucket that was dropped wait to be swept.
		return len(s.Damage) == 0 && b.state.nextPart == 0 && len(b.Parts)+len(b.Definitions)+len(b.Damage) == 0
	})
	return s, nil
}

func (b *SalvagedBucket) damaged(part uint64, reason string, err error) {
	b.Damage = append(b.Damage, &CorruptError{Bucket: b.ID, Part: part, Reason: reason, Err: err})
}

// settle compares what was found with what the state says.
func (b *SalvagedBucket) settle() {
	known := b.state.nextPart != 0
	b.Flushed = b.state.flushed
	if !known {
		b.damaged(0, "state is missing", nil)
		for _, p := range b.Parts {
			b.Flushed = max(b.Flushed, p.SeqMax)
		}
	}
	if n := b.state.nextChunk - b.state.firstChunk; known && uint64(len(b.Definitions)) != n {
		b.damaged(0, fmt.Sprintf("chunks of definitions: %d, want %d", len(b.Definitions), n), nil)
	}
	if known && uint64(len(b.Parts)) > b.state.parts || !known {
		// Directories of parts that were merged since and that nothing has removed.
		b.Parts = slices.DeleteFunc(slices.Clone(b.Parts), func(p *Part) bool {
			return slices.ContainsFunc(b.Parts, func(q *Part) bool {
				return q.ID > p.ID && q.Level > p.Level && q.WindowMin == p.WindowMin && q.WindowMax == p.WindowMax &&
					q.SeqMin <= p.SeqMin && p.SeqMax <= q.SeqMax
			})
		})
	}
	if known && uint64(len(b.Parts)) != b.state.parts {
		b.damaged(0, fmt.Sprintf("directories: %d, want %d", len(b.Parts), b.state.parts), nil)
	}
	for id := range b.tables {
		if !slices.ContainsFunc(b.Parts, func(p *Part) bool { return p.ID == id }) {
			b.Orphans = append(b.Orphans, id)
		}
	}
	slices.Sort(b.Orphans)
}

// table opens the sstable of a part.
func (b *SalvagedBucket) table(part uint64) (*fence.SSTable, error) {
	if b.open != nil && b.part == part {
		return b.open, nil
	}
	b.Close()
	name, ok := b.tables[part]
	if !ok {
		return nil, &CorruptError{Bucket: b.ID, Part: part, Reason: "missing"}
	}
	t, err := fence.OpenTable(b.s.o.FS, b.s.o.FS.PathJoin(b.s.o.Dir, name))
	if err != nil {
		return nil, &CorruptError{Bucket: b.ID, Part: part, Reason: "unreadable", Err: err}
	}
	b.open, b.part = t, part
	return t, nil
}

// ReadBlock appends a block to dst. Damage is a *CorruptError that names the block.
func (b *SalvagedBucket) ReadBlock(p *Part, number uint32, dst []byte) ([]byte, error) {
	meta := p.block(number)
	if meta == nil {
		return dst, errNoBlock
	}
	start := len(dst)
	t, err := b.table(p.ID)
	if err == nil {
		var key [blockKeyBytes]byte
		putBlockKey(key[:], b.ID, p.ID, number)
		dst, err = t.Get(key[:], dst)
	}
	reason := "unreadable"
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		reason, err = "missing", nil
	case err == nil && len(dst)-start == int(meta.Bytes):
		return dst, nil
	case err == nil:
		reason = "size is not what the directory says"
	}
	return dst[:start], &CorruptError{Bucket: b.ID, Part: p.ID, Block: number, InBlock: true, Reason: reason, Err: err}
}

// OrphanBlocks calls fn with the blocks that can be read of a part without directory.
// fn may not keep block.
func (b *SalvagedBucket) OrphanBlocks(part uint64, fn func(number uint32, block []byte)) error {
	t, err := b.table(part)
	if err != nil {
		return err
	}
	t.Walk(func(key, value []byte) bool {
		if len(key) == blockKeyBytes {
			fn(uint32(key[17])<<24|uint32(key[18])<<16|uint32(key[19])<<8|uint32(key[20]), value)
		}
		return true
	})
	return nil
}

// Close closes what ReadBlock has opened. The bucket can be used again.
func (b *SalvagedBucket) Close() {
	if b.open != nil {
		_ = b.open.Close()
		b.open = nil
	}
}

// Build makes a new store in dir, which must not exist, of what was salvaged of the
// buckets that keep accepts. Sstables with blocks are linked, where the file system
// can, and otherwise copied. Directories stay as they are: blocks that are missing
// are still named. Closed and synced on return.
func (s *Salvaged) Build(ctx context.Context, dir string, keep func(id point.BucketID) bool) (err error) {
	o := s.o
	o.Dir, o.ReadOnly = dir, false
	if _, err := o.FS.Stat(dir); err == nil {
		return fmt.Errorf("disk: build store: %s exists", dir)
	}
	st, err := Open(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, b := range s.Buckets {
		if !keep(b.ID) {
			continue
		}
		if err := st.adoptSalvaged(ctx, b); err != nil {
			return fmt.Errorf("disk: build store: bucket %016x: %w", uint64(b.ID), err)
		}
	}
	return nil
}

func (s *Store) adoptSalvaged(ctx context.Context, b *SalvagedBucket) error {
	defer b.Close()
	in, err := s.enterWrite()
	if err != nil {
		return err
	}
	defer s.exitWrite(in)
	of := newBucket(s, b.ID)
	next := max(b.state.nextPart, 1)
	for _, id := range b.Orphans {
		next = max(next, id+1)
	}
	for _, p := range b.Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		next = max(next, p.ID+1)
		if _, ok := b.tables[p.ID]; !ok {
			continue
		}
		b.Close()
		path := s.o.FS.PathJoin(s.o.Dir, stagingDir, fmt.Sprintf("salvaged-%016x-%d.sst", uint64(b.ID), p.ID))
		err := vfs.LinkOrCopy(s.o.FS, s.o.FS.PathJoin(b.s.o.Dir, b.tables[p.ID]), path)
		if err == nil {
			err = in.protect(func() error { return in.db.Ingest(ctx, []string{path}) })
		}
		if failure := in.failure(); failure != nil {
			return failure
		}
		if err == nil {
			continue
		}
		_ = s.o.FS.Remove(path)
		if err := b.rewrite(of, in, p); err != nil {
			return err
		}
	}
	batch, err := in.newBatch()
	if err != nil {
		return err
	}
	defer batch.Close()
	st := state{flushed: b.Flushed, nextPart: next, nextChunk: uint64(len(b.Definitions)), parts: uint64(len(b.Parts))}
	var codec zstdCodec
	for i, chunk := range b.Definitions {
		key := numberKey(kindDefinition, b.ID, uint64(i))
		value, err := codec.sealChunk(key, chunk)
		if err == nil {
			err = batch.Set(key, value, nil)
		}
		if err != nil {
			return err
		}
	}
	for _, p := range b.Parts {
		key := numberKey(kindDirectory, b.ID, p.ID)
		value, err := p.encodeDirectory(key)
		if err == nil {
			err = batch.Set(key, value, nil)
		}
		if err != nil {
			return err
		}
	}
	key := bucketKey(kindState, b.ID)
	if err := batch.Set(key, st.encode(key), nil); err != nil {
		return err
	}
	return in.apply(batch)
}

// rewrite writes what can be read of a part whose sstable Pebble does not take.
func (b *SalvagedBucket) rewrite(of *Bucket, in *instance, p *Part) error {
	file, w, err := of.stage()
	if err != nil {
		return err
	}
	var buf []byte
	var key [blockKeyBytes]byte
	n := 0
	for i := range p.Measurements {
		for _, meta := range p.Measurements[i].Blocks {
			block, rerr := b.ReadBlock(p, meta.Number, buf[:0])
			if rerr != nil {
				continue
			}
			buf = block
			putBlockKey(key[:], b.ID, p.ID, meta.Number)
			if err == nil {
				err = w.Set(key[:], block)
			}
			n++
		}
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil && n > 0 {
		err = in.protect(func() error { return in.db.Ingest(context.Background(), []string{file.path}) })
	}
	if failure := in.failure(); failure != nil {
		return failure
	}
	if err != nil || n == 0 {
		file.remove()
	}
	return err
}

// KeepPart copies the sstable of a part to a file that must not exist, with a hard
// link where the file system can.
func (b *Bucket) KeepPart(part uint64, path string) error {
	in, err := b.s.enter()
	if err != nil {
		return err
	}
	defer b.s.exit(in)
	span := (&garbage{id: b.id, from: part, to: part}).span()
	found := false
	err = in.protect(func() error {
		levels, err := in.db.SSTables(pebble.WithKeyRangeFilter(span.Start, span.End))
		if err != nil {
			return err
		}
		for _, tables := range levels {
			for i := range tables {
				name := fmt.Sprintf("%06d.sst", uint64(tables[i].BackingSSTNum))
				found = true
				return vfs.LinkOrCopy(b.s.o.FS, b.s.o.FS.PathJoin(b.s.o.Dir, name), path)
			}
		}
		return nil
	})
	if err == nil && !found {
		err = &CorruptError{Bucket: b.id, Part: part, Reason: "missing"}
	}
	return err
}
