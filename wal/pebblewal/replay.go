package pebblewal

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"headgate/wal"
)

// replayCheckEvery is how many records pass between looks at ctx and the log.
const replayCheckEvery = 64

// Replay implements wal.Log.
func (l *Log) Replay(ctx context.Context, bucket, after uint64, fn func(seq uint64, record []byte) error) error {
	if bucket > wal.BucketMax || after == math.MaxUint64 {
		return nil
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.exit()
	it, err := l.iterate(ctx, makeKey(bucket, after+1), makeKey(bucket+1, 0))
	if err != nil {
		return l.readError(ctx, bucket, after+1, err)
	}
	defer it.close()

	expected, first := after+1, true
	for n := 0; it.next(); n++ {
		if n%replayCheckEvery == 0 {
			if err := l.interrupted(ctx); err != nil {
				return err
			}
		}
		_, seq, err := splitKey(it.key)
		if err != nil {
			return &wal.CorruptError{Bucket: bucket, Seq: expected, Reason: "damaged key", Err: err}
		}
		if !first && seq != expected {
			return &wal.CorruptError{Bucket: bucket, Seq: expected, Reason: "record is missing; later ones are there"}
		}
		record, reason := splitValue(it.key, it.value)
		if reason != "" {
			return &wal.CorruptError{Bucket: bucket, Seq: seq, Reason: reason}
		}
		// fn is called outside protect: its panics are its own.
		if err := fn(seq, record); err != nil {
			return err
		}
		expected, first = seq+1, false
	}
	return l.readError(ctx, bucket, expected, it.err)
}

// Buckets implements wal.Log.
func (l *Log) Buckets(ctx context.Context) ([]uint64, error) {
	if err := l.settle(ctx); err != nil {
		return nil, err
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.exit()
	it, err := l.iterate(ctx, nil, makeKey(wal.BucketMax+1, 0))
	if err != nil {
		return nil, l.readError(ctx, 0, 0, err)
	}
	defer it.close()
	var buckets []uint64
	for it.next() {
		if err := l.interrupted(ctx); err != nil {
			return nil, err
		}
		bucket, _, err := splitKey(it.key)
		if err != nil {
			return nil, &wal.CorruptError{Reason: "damaged key", Err: err}
		}
		buckets = append(buckets, bucket)
		it.seek = makeKey(bucket+1, 0)
	}
	var after uint64
	if n := len(buckets); n > 0 {
		after = buckets[n-1] + 1
	}
	return buckets, l.readError(ctx, after, 0, it.err)
}

// settle waits until what is queued is durable. What Pebble shows to readers may
// not be synced yet.
func (l *Log) settle(ctx context.Context) error {
	l.mu.Lock()
	err, busy := l.usable(), !l.queue.empty() || len(l.inflight) > 0
	l.mu.Unlock()
	if err != nil || !busy {
		return err
	}
	return l.Sync(ctx)
}

// interrupted says why a running read should stop.
func (l *Log) interrupted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.usable()
}

// readError classifies the error that an iteration ended with.
func (l *Log) readError(ctx context.Context, bucket, seq uint64, err error) error {
	if err == nil {
		return nil
	}
	if failure := l.Failed(); failure != nil {
		return failure
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !pebble.IsCorruptionError(err) && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("pebblewal: read bucket %d, record %d: %w: %w", bucket, seq, wal.ErrUnreadable, err)
	}
	// A file that is gone is not corruption to Pebble, but does not come back either.
	return &wal.CorruptError{Bucket: bucket, Seq: seq, Reason: "unreadable", Err: err}
}

// iterator is a Pebble iterator whose every step is protected.
type iterator struct {
	l          *Log
	it         *pebble.Iterator
	key, value []byte
	err        error
	seek       []byte // where to go next, instead of one step on
	started    bool
	step       func() error
}

func (l *Log) iterate(ctx context.Context, lower, upper []byte) (*iterator, error) {
	i := &iterator{l: l}
	err := l.protect(func() (err error) {
		i.it, err = l.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		return err
	})
	if err != nil {
		return nil, err
	}
	i.step = func() error {
		valid := false
		switch {
		case i.seek != nil:
			valid = i.it.SeekGE(i.seek)
			i.seek = nil
		case i.started:
			valid = i.it.Next()
		default:
			valid = i.it.First()
		}
		i.started = true
		if !valid {
			i.key, i.value = nil, nil
			return i.it.Error()
		}
		var err error
		i.key = i.it.Key()
		i.value, err = i.it.ValueAndErr()
		return err
	}
	return i, nil
}

// next moves on and reports whether there is a record.
func (i *iterator) next() bool {
	i.err = i.l.protect(i.step)
	return i.err == nil && i.key != nil
}

func (i *iterator) close() { _ = i.l.protect(i.it.Close) }
