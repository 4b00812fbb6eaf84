package disk

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"headgate/engine/point"
)

// garbage is blocks on disk that no new version has.
//
// Removed parts are excised: Pebble takes their sstables out of its manifest and
// deletes the files, with no compaction. Range deletions were considered: a
// tombstone shares an sstable with metadata, whose compactions would then drag the
// parts between the two along. Excising the trimmed blocks of a part would not give
// back anything, since the sstable stays as it is until its last block is excised.
// So a part with much slack is written anew in its own place.
type garbage struct {
	id       point.BucketID
	from, to uint64 // part IDs, both inclusive
	bytes    int64  // about

	// b is the bucket whose versions may still have the blocks, nil if none can.
	// Those from addedAt on have them, before removedAt.
	b                  *Bucket
	addedAt, removedAt uint64

	// trim says that blocks of the part, which is in the current version, may be
	// slack.
	trim bool
}

// collect hands garbage to the sweeper.
func (s *Store) collect(list []garbage) {
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	for i := range list {
		s.garbage = append(s.garbage, &list[i])
	}
	s.mu.Unlock()
	s.signal()
}

// pending reports whether the parts of an extent are garbage already. The caller
// holds mu.
func (s *Store) pending(id point.BucketID, e extent) bool {
	return slices.ContainsFunc(s.garbage, func(g *garbage) bool {
		return !g.trim && g.id == id && g.from <= e.from && e.to <= g.to
	})
}

// unsweptEnd returns a number above those of all parts of a bucket that are garbage, 0
// when none is. A new part with a lower one could be removed in place of the old. The
// caller holds mu.
func (s *Store) unsweptEnd(id point.BucketID) (end uint64) {
	for _, g := range s.garbage {
		if g.id == id && g.to != math.MaxUint64 {
			end = max(end, g.to+1)
		}
	}
	return end
}

// signal has the sweeper look.
func (s *Store) signal() {
	select {
	case s.sweep <- struct{}{}:
	default:
	}
}

// sweeper removes garbage that nobody reads any more. It alone removes blocks.
func (s *Store) sweeper() {
	defer close(s.swept)
	for stopping := false; ; {
		s.sweepOnce()
		if stopping {
			return
		}
		select {
		case <-s.sweep:
		case <-s.stop:
			stopping = true
		}
	}
}

// sweepOnce removes what can be removed now. What fails is tried again later.
func (s *Store) sweepOnce() {
	s.mu.Lock()
	list := slices.Clone(s.garbage)
	s.mu.Unlock()
	gone := make(map[*garbage]bool)
	for len(list) > 0 {
		g := *list[0]
		if !g.ready() {
			list = list[1:]
			continue
		}
		n := 1 // neighbours go together
		for !g.trim && n < len(list) && !list[n].trim && list[n].id == g.id && list[n].from == g.to+1 && list[n].ready() {
			g.to = list[n].to
			n++
		}
		err := s.remove(&g)
		if errors.Is(err, ErrFailed) || errors.Is(err, ErrClosed) {
			break // all of it has to wait
		}
		if err != nil {
			s.o.Logger.Error("blocks could not be removed", slog.String("dir", s.o.Dir), slog.Any("error", err))
		}
		if err == nil || g.trim { // what cannot be read cannot be written anew
			for _, done := range list[:n] {
				gone[done] = true
			}
		}
		list = list[n:]
	}
	s.mu.Lock()
	s.garbage = slices.DeleteFunc(s.garbage, func(g *garbage) bool { return gone[g] })
	s.mu.Unlock()
}

// ready reports whether nobody reads the blocks any more.
func (g *garbage) ready() bool {
	switch {
	case g.b == nil:
		return true
	case g.trim:
		oldest, newest := g.b.directories(g.from)
		return newest == nil || oldest.blocks == newest.blocks
	}
	return !g.b.blocked(g.addedAt, g.removedAt)
}

// directories returns what the oldest version that is held says of a part, and what
// the current one says; nil if that has none.
func (b *Bucket) directories(id uint64) (oldest, newest *Part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, v := range b.versions {
		for _, p := range v.parts {
			if p.ID != id {
				continue
			}
			if oldest == nil {
				oldest = p
			}
			if i == len(b.versions)-1 {
				newest = p
			}
		}
	}
	return oldest, newest
}

func (s *Store) remove(g *garbage) error {
	in, err := s.enterWrite()
	if err != nil {
		return err
	}
	defer s.exitWrite(in)
	if g.trim {
		return g.b.squeeze(in, g.from)
	}
	err = in.protect(func() error { return in.db.Excise(context.Background(), g.span()) })
	if failure := in.failure(); failure != nil {
		return failure
	}
	return err
}

func (g *garbage) span() pebble.KeyRange {
	r := pebble.KeyRange{Start: numberKey(kindBlock, g.id, g.from)}
	if g.to+1 == 0 {
		r.End = bucketEnd(kindBlock, g.id)
	} else {
		r.End = numberKey(kindBlock, g.id, g.to+1)
	}
	return r
}

// slack reports whether more than a share of what the part takes on disk is blocks
// that were trimmed.
func (p *Part) slack(max float64, onDisk int64) bool {
	const tableBytes, indexBytes = 4 << 10, 128 // of the sstable, about
	return p.blocks < int(p.blocksEver) &&
		float64(onDisk-p.Bytes-tableBytes-indexBytes*int64(p.blocks)) > max*float64(onDisk)
}

// squeeze writes the blocks of a part anew, in place, if it has too much slack.
func (b *Bucket) squeeze(in *instance, id uint64) error {
	p, newest := b.directories(id)
	if newest == nil {
		return nil // its removal will do
	}
	g := garbage{id: b.id, from: id, to: id}
	span := g.span()
	var onDisk int64
	err := in.protect(func() error {
		levels, err := in.db.SSTables(pebble.WithKeyRangeFilter(span.Start, span.End))
		for _, tables := range levels {
			for i := range tables {
				onDisk += int64(tables[i].Size)
			}
		}
		return err
	})
	if err != nil || !p.slack(b.s.o.SlackMax, onDisk) {
		return err
	}
	file, w, err := b.stage()
	if err != nil {
		return err
	}
	var block []byte
	var key [blockKeyBytes]byte
	for i := range p.Measurements {
		for j := range p.Measurements[i].Blocks {
			meta := &p.Measurements[i].Blocks[j]
			if err == nil {
				block, err = in.readBlock(b.id, id, meta, block[:0])
			}
			if err == nil {
				putBlockKey(key[:], b.id, id, meta.Number)
				err = w.Set(key[:], block)
			}
		}
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		b.s.squeezing.Lock()
		err = in.protect(func() error {
			_, err := in.db.IngestAndExcise(context.Background(), []string{file.path}, nil, nil, span)
			return err
		})
		b.s.squeezing.Unlock()
	}
	if failure := in.failure(); failure != nil {
		err = failure
	}
	if err != nil {
		file.remove()
		return err
	}
	b.s.squeezed.Add(p.Bytes)
	return nil
}
