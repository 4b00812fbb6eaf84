package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"headgate/engine/point"
	"headgate/wal/fence"
)

// instance is one opened Pebble store. A Store has one after the other: each lasts
// until it fails and Reopen opens the next.
type instance struct {
	s     *Store
	fence *fence.FS
	db    *pebble.DB
	po    *pebble.Options
	// compactions has those of Pebble's rest that fail.
	compactions *fence.Scheduler
	// users is how many calls are using db. Guarded by Store.mu.
	users  int
	failed chan struct{} // closed when the fence has failed
	// ordinal is of the last batch applied, all of which are synced. Guarded by
	// Store.batchMu.
	ordinal uint64
}

// openInstance opens Pebble, or leaves nothing behind.
func (s *Store) openInstance() (*instance, error) {
	if err := fence.CheckFiles(s.o.FS, s.o.Dir); err != nil {
		if damage := (*fence.DamageError)(nil); errors.As(err, &damage) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return nil, err
	}
	if s.o.MustExist {
		if err := fence.CheckPresent(s.o.FS, s.o.Dir); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	in := &instance{s: s, failed: make(chan struct{}), compactions: fence.NewScheduler()}
	in.fence = fence.New(s.o.FS, s.o.Dir, func(err error) { s.fail(in, err) })
	in.po = in.pebbleOptions()
	err := in.protect(func() (err error) {
		in.db, err = pebble.Open(s.o.Dir, in.po)
		return err
	})
	if err == nil && !s.o.ReadOnly {
		// The first mark vouches for what opening has done to the manifest.
		err = in.vouch()
	}
	// The fence hides a failure from Pebble, whatever it says.
	if cause := in.fence.Failed(); cause != nil {
		err = cause
	}
	if err == nil {
		return in, nil
	}
	if fence.IsDamage(err) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	in.fence.Fail(err)
	in.fence.Drain()
	if in.db != nil {
		_ = in.protect(in.db.Close)
	}
	return nil, errors.Join(err, in.fence.Unlock())
}

// indexBlockBytes holds the index of a part of a thousand blocks, which then takes one
// read instead of two.
const indexBlockBytes = 32 << 10

func (in *instance) pebbleOptions() *pebble.Options {
	o := &in.s.o
	po := &pebble.Options{
		FS:                 in.fence,
		ReadOnly:           o.ReadOnly,
		FormatMajorVersion: pebble.FormatNewest,
		Cache:              in.s.cache,
		MemTableSize:       uint64(o.MemTableBytes),
		MaxOpenFiles:       o.OpenFilesMax,
		Logger:             &fence.Logger{Slog: o.Logger.With("component", "pebble"), Fence: in.fence},
		EventListener:      in.listener(),
	}
	// Pebble collects statistics of every sstable after opening, and of one that cannot be
	// read again and again, without a pause. They serve compactions of deleted keys, which
	// is not how blocks are removed. survey looks at the sstables instead.
	po.DisableTableStats = true
	po.Experimental.CompactionScheduler = in.compactions
	// Reads never ask for a compaction: blocks do not get better by it.
	po.Experimental.ReadSamplingMultiplier = -1
	// Blocks come compressed, and metadata is a thousandth of them.
	for i := range po.Levels {
		po.Levels[i].IndexBlockSize = indexBlockBytes
		po.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	po.EnsureDefaults()
	return po
}

// listener turns Pebble's events into log lines. None may end the process, as
// the default for DataCorruption would.
func (in *instance) listener() *pebble.EventListener {
	log := in.s.o.Logger
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			switch {
			case in.fence.Failed() != nil: // a failed store only echoes
			case pebble.IsCorruptionError(err): // DataCorruption has told of it
				log.Debug("store background work failed", fence.ErrorAttr(err))
			default:
				log.Error("store background work failed", fence.ErrorAttr(err))
			}
		},
		CompactionEnd: in.compactions.Ended,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if in.fence.Failed() == nil { // what a failed store believes to have written is not there
				in.s.foundDamage(fence.TableDamage(in.s.o.FS, info.Path, info.Details))
			}
		},
		TableDeleted: func(info pebble.TableDeleteInfo) { in.s.removedFile(info.Path) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			log.Warn("store writes stalled", slog.String("reason", info.Reason))
		},
		WriteStallEnd: func() { log.Info("store writes go on") },
	}
}

func (in *instance) protect(call func() error) error {
	return in.fence.Protect(in.s.o.Logger, call)
}

// newBatch returns a batch that begins with room for a mark.
func (in *instance) newBatch() (*pebble.Batch, error) {
	b := in.db.NewBatch()
	var mark [fence.MarkBytes]byte
	return b, b.LogData(mark[:], nil)
}

// apply makes what is in b, which newBatch has made, durable, all or nothing. After
// an error it is not known which, until the store has been opened again.
func (in *instance) apply(b *pebble.Batch) error {
	s := in.s
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	in.ordinal++
	mark := fence.Mark{Ordinal: in.ordinal, Synced: in.ordinal - 1, Manifest: in.fence.Synced()}
	mark.Put(b.Repr()[fence.MarkOffset:])
	if err := in.protect(func() error { return in.db.Apply(b, pebble.Sync) }); err != nil {
		in.fence.Fail(err)
	}
	// Looked at after the sync: the fence marks the failure before it pretends.
	return in.failure()
}

// vouch applies a batch of nothing but a mark, which says that everything before was
// synced.
func (in *instance) vouch() error {
	b, err := in.newBatch()
	if err != nil {
		return err
	}
	defer b.Close()
	return in.apply(b)
}

// failure says why nothing can be written.
func (in *instance) failure() error {
	if err := in.fence.Failed(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}

// get appends the value of a key to dst.
func (in *instance) get(key, dst []byte) ([]byte, error) {
	err := in.protect(func() error {
		value, closer, err := in.db.Get(key)
		if err != nil {
			return err
		}
		dst = append(dst, value...)
		return closer.Close()
	})
	return dst, err
}

// scan calls fn with what is from lower to upper, that excluded. fn may keep
// neither key nor value.
func (in *instance) scan(lower, upper []byte, fn func(key, value []byte) error) error {
	var it *pebble.Iterator
	err := in.protect(func() (err error) {
		it, err = in.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = in.protect(it.Close) }()
	return in.walk(it, fn)
}

func (in *instance) walk(it *pebble.Iterator, fn func(key, value []byte) error) error {
	first := true
	for {
		var key, value []byte
		err := in.protect(func() (err error) {
			valid := false
			if first {
				valid = it.First()
			} else {
				valid = it.Next()
			}
			if !valid {
				return it.Error()
			}
			key = it.Key()
			value, err = it.ValueAndErr()
			return err
		})
		if err != nil || key == nil {
			return err
		}
		// fn is called outside protect: its panics are its own.
		if err := fn(key, value); err != nil {
			return err
		}
		first = false
	}
}

// readError classifies an error of reading what belongs to a bucket.
func (in *instance) readError(b point.BucketID, part uint64, err error) error {
	switch failure := in.failure(); {
	case failure != nil: // Pebble may have lost track of what is on disk
		return failure
	case errors.Is(err, pebble.ErrNotFound):
		return &CorruptError{Bucket: b, Part: part, Reason: "missing"}
	case pebble.IsCorruptionError(err):
		return &CorruptError{Bucket: b, Part: part, Reason: "unreadable", Err: err}
	}
	return fmt.Errorf("disk: read bucket %016x: %w", uint64(b), err)
}

// tables returns the names of the sstables.
func (in *instance) tables() (names []string, err error) {
	err = in.protect(func() error {
		levels, err := in.db.SSTables()
		for _, tables := range levels {
			for i := range tables {
				names = append(names, tables[i].BackingSSTNum.String()+".sst")
			}
		}
		return err
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// extent is where blocks of one part, or of several, are on disk.
type extent struct {
	from, to uint64 // part IDs, both inclusive
	bytes    int64  // of the sstable
}

// extents returns what sstables with blocks there are, by bucket. They are in
// ascending order unless something was compacted, which only the order depends on.
func (in *instance) extents() (map[point.BucketID][]extent, error) {
	found := make(map[point.BucketID][]extent)
	err := in.protect(func() error {
		levels, err := in.db.SSTables()
		if err != nil {
			return err
		}
		for _, tables := range levels {
			for i := range tables {
				t := &tables[i]
				lo, hi := t.Smallest.UserKey, t.Largest.UserKey
				if len(lo) < partKeyBytes || len(hi) < partKeyBytes || lo[0] != kindBlock || hi[0] != kindBlock {
					continue
				}
				from, to := keyBucket(lo), keyBucket(hi)
				if from == to {
					found[from] = append(found[from], extent{keyNumber(lo), keyNumber(hi), int64(t.Size)})
					continue
				}
				// No sstable of ours has blocks of two buckets; whoever made this one,
				// only its ends are known to have some.
				found[from] = append(found[from], extent{keyNumber(lo), math.MaxUint64, int64(t.Size)})
				found[to] = append(found[to], extent{0, keyNumber(hi), 0})
			}
		}
		return nil
	})
	return found, err
}
