package waltest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"headgate/wal"
)

// model is what a log may hold. Its buckets are numbered from 1.
type model struct {
	t       testing.TB
	seed    uint64
	small   bool // no record is above 1 KiB
	buckets []*bucket
}

// bucket is one bucket of a model, and its notifier.
type bucket struct {
	m  *model
	id uint64

	mu   sync.Mutex
	cond sync.Cond
	// appended is the last record that may be in the log, acked the last one that
	// must be, failed the last one that was answered with err.
	appended, acked, failed uint64
	err                     error
	calls                   int
	// removing is the last record that may be gone, removed the last that must be.
	removing, removed uint64
}

// span is a moment of a bucket.
type span struct{ appended, acked, removing, removed uint64 }

func newModel(t testing.TB, seed uint64, buckets int) *model {
	m := &model{t: t, seed: seed}
	for i := range buckets {
		b := &bucket{m: m, id: uint64(i + 1)}
		b.cond.L = &b.mu
		m.buckets = append(m.buckets, b)
	}
	return m
}

// record returns the record with the given number. Most are small, some are
// empty, a few are large.
func (b *bucket) record(seq uint64) []byte {
	r := rand.New(rand.NewPCG(b.m.seed^b.id<<32, seq))
	var n int
	switch k := r.IntN(20); {
	case k == 0:
		n = 0
	case k < 16:
		n = 1 + r.IntN(300)
	case k < 19:
		n = 1 + r.IntN(10<<10)
	default:
		n = 30<<10 + r.IntN(40<<10) // several blocks of any log
	}
	if b.m.small {
		n %= 1 << 10
	}
	record := make([]byte, (n+7)/8*8)
	for i := 0; i < len(record); i += 8 {
		binary.LittleEndian.PutUint64(record[i:], r.Uint64())
	}
	return record[:n]
}

// append appends the next record. It reports whether the log took it.
func (b *bucket) append(log wal.Log) bool {
	b.mu.Lock()
	b.appended++
	seq := b.appended
	b.mu.Unlock()
	err := log.Append(b.id, seq, b.record(seq), b)
	if err == nil {
		return true
	}
	if !errors.Is(err, wal.ErrClosed) && !errors.Is(err, wal.ErrFailed) {
		b.m.t.Errorf("Append: %v", err)
	}
	b.mu.Lock()
	b.appended--
	b.mu.Unlock()
	return false
}

// Committed implements wal.Notifier.
func (b *bucket) Committed(upto uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.cond.Broadcast()
	b.calls++
	switch {
	case b.err != nil:
		b.m.t.Errorf("bucket %d: Committed(%d, %v) after Committed(%d, %v)", b.id, upto, err, b.failed, b.err)
	case upto <= b.acked:
		b.m.t.Errorf("bucket %d: Committed(%d, %v) after Committed(%d, nil)", b.id, upto, err, b.acked)
	case upto > b.appended:
		b.m.t.Errorf("bucket %d: Committed(%d, %v) but only %d appended", b.id, upto, err, b.appended)
	case err == nil:
		b.acked = upto
	case !errors.Is(err, wal.ErrFailed):
		b.m.t.Errorf("bucket %d: Committed(%d, %v), want ErrFailed", b.id, upto, err)
		fallthrough
	default:
		b.failed, b.err = upto, err
	}
}

// wait waits until every appended record is answered. It reports whether all were
// acknowledged.
func (m *model) wait() bool {
	ok := true
	for _, b := range m.buckets {
		b.mu.Lock()
		for max(b.acked, b.failed) < b.appended {
			b.cond.Wait()
		}
		ok = ok && b.err == nil
		b.mu.Unlock()
	}
	return ok
}

// waitInFlight waits until fewer than n records are unanswered.
func (b *bucket) waitInFlight(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.appended-max(b.acked, b.failed) >= n {
		b.cond.Wait()
	}
}

// answered fails the test if a record is unanswered. The log must be closed.
func (m *model) answered() {
	m.t.Helper()
	for _, b := range m.buckets {
		b.mu.Lock()
		if got := max(b.acked, b.failed); got != b.appended {
			m.t.Errorf("bucket %d: %d records of %d answered by a log that is closed", b.id, got, b.appended)
		}
		b.mu.Unlock()
	}
}

// truncate removes records of a bucket.
func (b *bucket) truncate(log wal.Log, upto uint64) error {
	b.mu.Lock()
	b.removing = max(b.removing, upto)
	b.mu.Unlock()
	if err := log.Truncate(b.id, upto); err != nil {
		return err
	}
	b.mu.Lock()
	b.removed = max(b.removed, upto)
	b.mu.Unlock()
	return nil
}

func (b *bucket) span() span {
	b.mu.Lock()
	defer b.mu.Unlock()
	return span{b.appended, b.acked, b.removing, b.removed}
}

func (m *model) spans() []span {
	var spans []span
	for _, b := range m.buckets {
		spans = append(spans, b.span())
	}
	return spans
}

// between returns what a disk may hold whose state lies between two moments:
// what the later one has begun and what the earlier one has finished.
func between(earlier, later []span) []span {
	spans := slices.Clone(later)
	for i := range spans {
		spans[i].acked, spans[i].removed = earlier[i].acked, earlier[i].removed
	}
	return spans
}

// check reads everything back and compares. It returns the last record of each
// bucket, 0 for none.
func (m *model) check(log wal.Log, spans []span) ([]uint64, error) {
	ctx := context.Background()
	lasts := make([]uint64, len(m.buckets))
	var present []uint64
	for i, b := range m.buckets {
		s := spans[i]
		var first uint64
		err := log.Replay(ctx, b.id, 0, func(seq uint64, record []byte) error {
			if first == 0 {
				first = seq
				if seq > s.removing+1 || seq <= s.removed {
					return fmt.Errorf("first record is %d: %+v", seq, s)
				}
			} else if seq != lasts[i]+1 {
				return fmt.Errorf("record %d comes after %d", seq, lasts[i])
			}
			lasts[i] = seq
			if want := b.record(seq); !bytes.Equal(record, want) {
				return fmt.Errorf("record %d has %d bytes which are not the %d appended", seq, len(record), len(want))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("bucket %d: %w", b.id, err)
		}
		if lasts[i] > s.appended {
			return nil, fmt.Errorf("bucket %d: record %d was never appended: %+v", b.id, lasts[i], s)
		}
		if lasts[i] < s.acked && s.removing < s.acked {
			return nil, fmt.Errorf("bucket %d: %w: last record is %d: %+v", b.id, errLost, lasts[i], s)
		}
		if first != 0 {
			present = append(present, b.id)
		}
	}
	got, err := log.Buckets(ctx)
	if err != nil {
		return nil, fmt.Errorf("buckets: %w", err)
	}
	if !slices.Equal(got, present) {
		return nil, fmt.Errorf("buckets are %d, want %d", got, present)
	}
	return lasts, nil
}

// errOpen says that a disk could not be opened.
var errOpen = errors.New("open")

// errLost says that an acknowledged record is not there.
var errLost = errors.New("acknowledged record is gone")

// resume makes the model go on from what a reopened log holds.
func (m *model) resume(lasts []uint64) {
	for i, b := range m.buckets {
		b.mu.Lock()
		last := max(lasts[i], b.removing)
		b.appended, b.acked, b.failed, b.err = last, last, 0, nil
		b.mu.Unlock()
	}
}

// verify opens a disk, checks it, closes it.
func (m *model) verify(d Disk, spans []span) ([]uint64, error) {
	log, err := d.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOpen, err)
	}
	lasts, err := m.check(log, spans)
	return lasts, errors.Join(err, log.Close())
}
