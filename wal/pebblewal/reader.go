package pebblewal

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal"
	"headgate/wal/fence"
)

// Reader reads a log that nobody has open, for tools: it changes nothing, and of a
// log that Open refuses it reads what can be read. One goroutine uses it.
type Reader struct {
	db      *pebble.DB
	fence   *fence.FS
	o       Options
	damage  []error
	entries []fence.Entry // all there is, if db is nil
}

// OpenReader opens the log in Options.Dir for reading. It does not fail for damage:
// see Damage. A directory that is missing is an empty log.
func OpenReader(ctx context.Context, o Options) (*Reader, error) {
	o.EnsureDefaults()
	r := &Reader{o: o}
	if _, err := o.FS.Stat(o.Dir); errors.Is(err, iofs.ErrNotExist) {
		return r, nil
	}
	err := r.open()
	if err == nil {
		err = r.verify(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return r, errors.Join(ctx.Err())
	}
	if locked(err) {
		return nil, fmt.Errorf("pebblewal: read log %s: %w", o.Dir, err)
	}
	r.damage = append(r.damage, err)
	r.close()
	c, err := fence.Salvage(o.FS, o.Dir, nil)
	if err != nil {
		return nil, fmt.Errorf("pebblewal: read log %s: %w", o.Dir, err)
	}
	for _, d := range c.Damage {
		// Where both know of a file, this one knows better where in it.
		r.damage = slices.DeleteFunc(r.damage, func(e error) bool { return ofPebble(e, d) })
		if !slices.ContainsFunc(r.damage, func(e error) bool { return sameDamage(e, d) }) {
			r.damage = append(r.damage, d)
		}
	}
	r.entries = c.Entries
	return r, nil
}

// locked reports whether another process has the directory.
func locked(err error) bool { return errors.Is(err, errLocked) }

var errLocked = errors.New("the directory is open, in this or another process")

// sameDamage reports whether two errors name the same file, and of an sstable, which
// is read on behind damage, the same place.
func sameDamage(a, b error) bool {
	var x, y *fence.DamageError
	return errors.As(a, &x) && errors.As(b, &y) && x.File == y.File &&
		(x.Offset == y.Offset || !strings.HasSuffix(x.File, ".sst"))
}

// ofPebble reports whether e is an error of Pebble's, which names files by their numbers,
// about the sstable that d is about.
func ofPebble(e, d error) bool {
	var x, y *fence.DamageError
	if errors.As(e, &x) || !errors.As(d, &y) {
		return false
	}
	number, table := strings.CutSuffix(y.File, ".sst")
	return table && (strings.Contains(e.Error(), "file "+number) || strings.Contains(e.Error(), "table "+number))
}

func (r *Reader) open() error {
	if err := fence.CheckFiles(r.o.FS, r.o.Dir); err != nil {
		return err
	}
	if err := fence.CheckLogs(r.o.FS, r.o.Dir); err != nil {
		return err
	}
	lock, err := pebble.LockDirectory(r.o.Dir, r.o.FS)
	if err != nil {
		return fmt.Errorf("%w: %w", errLocked, err)
	}
	if err := lock.Close(); err != nil { // Pebble takes it again, through the fence
		return err
	}
	r.fence = fence.New(r.o.FS, r.o.Dir, func(error) {})
	err = r.fence.Protect(r.o.Logger, func() (err error) {
		r.db, err = pebble.Open(r.o.Dir, &pebble.Options{
			FS:                 r.fence,
			ReadOnly:           true,
			FormatMajorVersion: pebble.FormatNewest,
			MemTableSize:       uint64(r.o.MemTableBytes),
			Logger:             &fence.Logger{Slog: r.o.Logger.With("component", "pebble"), Fence: r.fence},
			EventListener:      &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}},
		})
		return err
	})
	if cause := r.fence.Failed(); cause != nil {
		err = cause
	}
	return err
}

// each calls fn with every key and value of a bucket, or of all.
func (r *Reader) each(ctx context.Context, lower, upper []byte, fn func(key, value []byte) error) error {
	if r.db == nil {
		for i, e := range r.entries {
			if i%replayCheckEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if string(e.Key) >= string(lower) && (upper == nil || string(e.Key) < string(upper)) {
				if err := fn(e.Key, e.Value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return r.fence.Protect(r.o.Logger, func() error {
		it, err := r.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			return err
		}
		for n, ok := 0, it.First(); ok && err == nil; n, ok = n+1, it.Next() {
			if n%replayCheckEvery == 0 && ctx.Err() != nil {
				err = ctx.Err()
				break
			}
			var value []byte
			if value, err = it.ValueAndErr(); err == nil {
				err = fn(it.Key(), value)
			}
		}
		return errors.Join(err, it.Error(), it.Close())
	})
}

// verify reads everything once, so that what is wrong is known before anything is
// handed out.
func (r *Reader) verify(ctx context.Context) error {
	return r.each(ctx, nil, nil, func(_, _ []byte) error { return nil })
}

// Damage is what is wrong with the log's files, a *fence.DamageError where the place is
// known. If there is any, the records are
// those that can be read nevertheless.
func (r *Reader) Damage() []error { return r.damage }

// Buckets returns the buckets that have records, in order.
func (r *Reader) Buckets(ctx context.Context) ([]uint64, error) {
	var ids []uint64
	err := r.each(ctx, nil, nil, func(key, _ []byte) error {
		if bucket, _, err := splitKey(key); err == nil && (len(ids) == 0 || ids[len(ids)-1] != bucket) {
			ids = append(ids, bucket)
		}
		return nil
	})
	return ids, err
}

// Records calls fn with the bucket's records above after that are there, in order.
// damage says what is wrong with a record, which is nil then; where it is fn knows. fn
// may not keep a record.
func (r *Reader) Records(ctx context.Context, bucket, after uint64, fn func(seq uint64, record []byte, damage error) error) error {
	if bucket > wal.BucketMax || after+1 == 0 {
		return nil
	}
	return r.each(ctx, makeKey(bucket, after+1), makeKey(bucket+1, 0), func(key, value []byte) error {
		_, seq, err := splitKey(key)
		if err != nil {
			return nil // nothing of ours
		}
		record, reason := splitValue(key, value)
		if reason != "" {
			return fn(seq, nil, errors.New(reason))
		}
		return fn(seq, record, nil)
	})
}

func (r *Reader) close() {
	if r.db != nil {
		_ = r.fence.Protect(r.o.Logger, r.db.Close)
		r.db = nil
	}
	if r.fence != nil {
		_ = r.fence.Unlock()
	}
}

// Close closes the log.
func (r *Reader) Close() error {
	r.close()
	r.entries = nil
	return nil
}

// Copy writes the records that the log has into a new log in dir, which must not
// exist: for each bucket a prefix of what has been appended by the end of Copy, with
// everything that was durable at its beginning, less what was truncated meanwhile.
// Writing goes on. The new log is synced and closed on return.
func (l *Log) Copy(ctx context.Context, dir string) (err error) {
	fs := vfs.Default
	if _, err := fs.Stat(dir); err == nil {
		return fmt.Errorf("pebblewal: copy log: %s exists", dir)
	}
	buckets, err := l.Buckets(ctx)
	if err != nil {
		return err
	}
	w, err := NewWriter(dir, l.o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for _, bucket := range buckets {
		err := l.Replay(ctx, bucket, 0, func(seq uint64, record []byte) error { return w.Append(bucket, seq, record) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Writer fills a new log from one goroutine, for tools.
type Writer struct {
	log   *Log
	bytes int // appended since the last sync
}

// NewWriter creates a log in dir on the disk, with the limits of o.
func NewWriter(dir string, o Options) (*Writer, error) {
	log, err := Open(Options{Dir: dir, MemTableBytes: o.MemTableBytes, GroupBytesMax: o.GroupBytesMax, RecordBytesMax: o.RecordBytesMax, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	return &Writer{log: log}, nil
}

// Committed implements wal.Notifier.
func (w *Writer) Committed(uint64, error) {}

// writerBytesMax is how much a Writer has under way.
const writerBytesMax = 8 << 20

// Append appends a copy of a record.
func (w *Writer) Append(bucket, seq uint64, record []byte) error {
	if err := w.log.Append(bucket, seq, slices.Clone(record), w); err != nil {
		return err
	}
	if w.bytes += len(record) + 64; w.bytes < writerBytesMax {
		return nil
	}
	w.bytes = 0
	return w.log.Sync(context.Background())
}

// Close makes everything durable.
func (w *Writer) Close() error {
	err := w.log.Sync(context.Background())
	return errors.Join(err, w.log.Close())
}
