package disk

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"headgate/engine/point"
)

// Checkpoint makes dir, which must not exist, a copy of the store as it is now, with
// hard links where the file system can. It can be opened as a store. Reading goes on
// meanwhile; writing waits: Pebble copies its manifest first and its log last, and
// edits between the two would name blocks that the copy does not have.
func (s *Store) Checkpoint(dir string) error {
	s.commits.Lock()
	defer s.commits.Unlock()
	in, err := s.enter()
	if err != nil {
		return err
	}
	defer s.exit(in)
	if err := in.failure(); err != nil {
		return err
	}
	err = in.protect(func() error { return in.db.Checkpoint(dir, pebble.WithFlushedWAL()) })
	if failure := in.failure(); failure != nil {
		err = failure
	}
	if err != nil {
		return fmt.Errorf("disk: checkpoint to %s: %w", dir, err)
	}
	return nil
}

// CheckProgress says how far a Check has come.
type CheckProgress struct {
	Bucket                 point.BucketID // the one being checked
	Buckets, BucketsTotal  int
	Blocks, BlocksTotal    int64 // of the bucket
	BlockBytes, TotalBytes int64 // of the bucket
}

// Problem is something that Check has found.
type Problem struct {
	Bucket point.BucketID
	// Part and Meta are the block that is damaged. Meta is nil if it is not a block,
	// and Part if it is not in a part whose directory can be read.
	Part        *Part
	Measurement point.MeasurementID
	Meta        *BlockMeta
	// Bytes is what an orphan takes: blocks that nothing names. It harms nobody.
	Orphan bool
	Bytes  int64
	Err    error
}

func (p Problem) String() string {
	if p.Orphan {
		return fmt.Sprintf("bucket %016x: %d bytes that nothing names", uint64(p.Bucket), p.Bytes)
	}
	return p.Err.Error()
}

// Checks are what Check calls; any may be nil.
type Checks struct {
	// Block verifies the bytes of a block, which it may not keep.
	Block func(b point.BucketID, p *Part, m *Measurement, meta *BlockMeta, block []byte) error
	// Definitions verifies a chunk of definitions, in order.
	Definitions func(b point.BucketID, chunk []byte) error
	// Progress is called after each block.
	Progress func(CheckProgress)
	// Problem is called for each problem.
	Problem func(Problem)
}

// Check reads everything and reports what is missing, damaged, or not as it should
// be. An error is one of the check itself; problems are none. It may run while the
// store is used; each bucket is checked as it is at one moment.
func (s *Store) Check(ctx context.Context, c Checks) error {
	ids, err := s.Buckets()
	if err != nil {
		return err
	}
	if c.Progress == nil {
		c.Progress = func(CheckProgress) {}
	}
	if c.Problem == nil {
		c.Problem = func(Problem) {}
	}
	for i, id := range ids {
		progress := CheckProgress{Bucket: id, Buckets: i, BucketsTotal: len(ids)}
		if err := s.checkBucket(ctx, id, &c, progress); err != nil {
			return err
		}
	}
	return s.checkOrphans(ids, &c)
}

func (s *Store) checkBucket(ctx context.Context, id point.BucketID, c *Checks, progress CheckProgress) error {
	b, err := s.Bucket(id)
	if isCorrupt(err) {
		c.Problem(Problem{Bucket: id, Err: err})
		return nil
	} else if err != nil {
		return err
	}
	v := b.Acquire()
	defer v.Release()
	err = b.Definitions(func(chunk []byte) error {
		if c.Definitions == nil {
			return ctx.Err()
		}
		if err := c.Definitions(id, chunk); err != nil {
			return &CorruptError{Bucket: id, Reason: "definitions", Err: err}
		}
		return ctx.Err()
	})
	switch {
	case isCorrupt(err):
		c.Problem(Problem{Bucket: id, Err: err})
	case errors.Is(err, ErrDropped):
		return nil
	case err != nil:
		return err
	}
	for _, p := range v.parts {
		progress.BlocksTotal += int64(p.blocks)
		progress.TotalBytes += p.Bytes
	}
	var block []byte
	for _, p := range v.parts {
		for i := range p.Measurements {
			m := &p.Measurements[i]
			for j := range m.Blocks {
				if err := ctx.Err(); err != nil {
					return err
				}
				meta := &m.Blocks[j]
				block, err = v.ReadBlock(p, meta.Number, block[:0])
				if err == nil && c.Block != nil {
					if err = c.Block(id, p, m, meta, block); err != nil {
						err = &CorruptError{Bucket: id, Part: p.ID, Block: meta.Number, InBlock: true, Reason: "content", Err: err}
					}
				}
				if errors.Is(err, ErrClosed) || errors.Is(err, ErrFailed) {
					return err
				}
				if err != nil {
					c.Problem(Problem{Bucket: id, Part: p, Measurement: m.ID, Meta: meta, Err: err})
				}
				progress.Blocks++
				progress.BlockBytes += int64(meta.Bytes)
				c.Progress(progress)
			}
		}
	}
	return nil
}

// checkOrphans reports sstables with blocks of no part. Those that the sweeper knows
// of, and those that an edit under way has ingested, are none.
func (s *Store) checkOrphans(ids []point.BucketID, c *Checks) error {
	s.commits.Lock()
	defer s.commits.Unlock()
	in, err := s.enter()
	if err != nil {
		return err
	}
	defer s.exit(in)
	if err := in.failure(); err != nil {
		return err
	}
	extents, err := in.extents()
	if err != nil {
		return err
	}
	known := make(map[point.BucketID]*Bucket)
	s.mu.Lock()
	for id, b := range s.buckets {
		known[id] = b
	}
	s.mu.Unlock()
	for id, list := range extents {
		b := known[id]
		for _, e := range list {
			s.mu.Lock()
			pending := s.pending(id, e) && !s.o.ReadOnly
			s.mu.Unlock()
			if pending || b != nil && b.names(e) {
				continue
			}
			c.Problem(Problem{Bucket: id, Orphan: true, Bytes: e.bytes})
		}
	}
	return nil
}

// names reports whether a version that is held has a part of an extent, or the bucket
// cannot tell.
func (b *Bucket) names(e extent) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.loaded || b.err != nil {
		return true
	}
	for _, v := range b.versions {
		for _, p := range v.parts {
			if e.from <= p.ID && p.ID <= e.to {
				return true
			}
		}
	}
	return false
}
