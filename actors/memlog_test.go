package actors

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"headgate/wal"
)

// memLog is a wal.Log in memory whose commits a test can hold back and whose
// disk a test can break. Records that are not committed are lost by crash.
type memLog struct {
	mu      sync.Mutex
	disk    *memDisk
	queue   []memAppend
	hold    bool
	failed  error
	closed  bool
	appends int
}

// memDisk is what survives a log.
type memDisk struct {
	mu      sync.Mutex
	records map[uint64]map[uint64][]byte
	broken  error
}

type memAppend struct {
	bucket, seq uint64
	record      []byte
	n           wal.Notifier
}

func newMemDisk() *memDisk { return &memDisk{records: make(map[uint64]map[uint64][]byte)} }

func (d *memDisk) open() (wal.Log, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return nil, d.broken
	}
	return &memLog{disk: d}, nil
}

func (d *memDisk) break_(err error) {
	d.mu.Lock()
	d.broken = err
	d.mu.Unlock()
}

func (d *memDisk) count(bucket uint64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.records[bucket])
}

func (l *memLog) Append(bucket, seq uint64, record []byte, n wal.Notifier) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return wal.ErrClosed
	}
	if l.failed != nil {
		return l.failed
	}
	l.appends++
	l.queue = append(l.queue, memAppend{bucket, seq, slices.Clone(record), n})
	if !l.hold {
		l.commitLocked()
	}
	return nil
}

func (l *memLog) commitLocked() {
	l.disk.mu.Lock()
	if l.disk.broken != nil {
		l.failed = errors.Join(wal.ErrFailed, l.disk.broken)
	}
	upto := make(map[uint64]memAppend)
	for _, a := range l.queue {
		if l.failed == nil {
			if l.disk.records[a.bucket] == nil {
				l.disk.records[a.bucket] = make(map[uint64][]byte)
			}
			l.disk.records[a.bucket][a.seq] = a.record
		}
		upto[a.bucket] = a
	}
	l.disk.mu.Unlock()
	l.queue = nil
	for _, a := range upto {
		a.n.Committed(a.seq, l.failed)
	}
}

// release commits what was held back, and holds nothing back any more.
func (l *memLog) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = false
	l.commitLocked()
}

func (l *memLog) holdBack() {
	l.mu.Lock()
	l.hold = true
	l.mu.Unlock()
}

func (l *memLog) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

func (l *memLog) Replay(_ context.Context, bucket, after uint64, fn func(uint64, []byte) error) error {
	l.disk.mu.Lock()
	records := maps.Clone(l.disk.records[bucket])
	l.disk.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(records)) {
		if seq > after {
			if err := fn(seq, records[seq]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *memLog) Buckets(context.Context) ([]uint64, error) {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	return slices.Sorted(maps.Keys(l.disk.records)), nil
}

func (l *memLog) Truncate(bucket, upto uint64) error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	maps.DeleteFunc(l.disk.records[bucket], func(seq uint64, _ []byte) bool { return seq <= upto })
	return nil
}

func (l *memLog) Drop(bucket uint64) error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	delete(l.disk.records, bucket)
	return nil
}

func (l *memLog) Sync(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commitLocked()
	return l.failed
}

func (l *memLog) Stats() wal.Stats { return wal.Stats{} }

func (l *memLog) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *memLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commitLocked()
	l.closed = true
	return nil
}
