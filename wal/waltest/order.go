package waltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"headgate/wal"
)

func mustOpen(t *testing.T, d Disk) wal.Log {
	t.Helper()
	log, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func mustClose(t *testing.T, log wal.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// testOrder: records come back in order, byte for byte, now and after reopening.
func testOrder(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	d := newDisk(t)
	m := newModel(t, seed, 5)
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 3 {
		log := mustOpen(t, d)
		if round > 0 {
			lasts, err := m.check(log, m.spans())
			if err != nil {
				t.Fatal(err)
			}
			m.resume(lasts)
		}
		for range 300 {
			m.buckets[r.IntN(len(m.buckets))].append(log)
		}
		before := m.spans()
		// Replay and Buckets wait for what is queued.
		if _, err := m.check(log, between(m.spans(), before)); err != nil {
			t.Fatal(err)
		}
		if !m.wait() {
			t.Fatal("log failed")
		}
		s := log.Stats()
		if s.PendingRecords != 0 || s.PendingBytes != 0 || s.Records == 0 || s.RecordBytes == 0 || s.Groups == 0 || s.DiskBytes == 0 || s.SyncLatency.Count != s.Groups {
			t.Errorf("stats after everything is committed: %+v", s)
		}
		// From the middle.
		b := m.buckets[r.IntN(len(m.buckets))]
		after := b.span().appended / 2
		next := after + 1
		err := log.Replay(context.Background(), b.id, after, func(seq uint64, record []byte) error {
			if seq != next || !bytes.Equal(record, b.record(seq)) {
				return fmt.Errorf("record %d after %d: not the one appended", seq, after)
			}
			next++
			return nil
		})
		if err != nil || next != b.span().appended+1 {
			t.Errorf("Replay after %d ended at %d: %v", after, next-1, err)
		}
		mustClose(t, log)
		m.answered()
	}
}

// testRefusals: what Append refuses leaves nothing behind, and what a closed log
// refuses says so.
func testRefusals(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	d := newDisk(t)
	log := mustOpen(t, d)
	m := newModel(t, seed, 1)
	b := m.buckets[0]
	b.append(log)
	b.append(log)
	for _, seq := range []uint64{0, 1, 2, 4, 100} {
		if err := log.Append(b.id, seq, []byte("x"), b); err == nil {
			t.Errorf("Append took record %d after 2", seq)
		}
	}
	if err := log.Append(wal.BucketMax+1, 1, []byte("x"), b); err == nil {
		t.Error("Append took a bucket over BucketMax")
	}
	b.append(log)
	m.wait()
	ctx := context.Background()
	if err := log.Sync(ctx); err != nil {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := log.Replay(cancelled, b.id, 0, func(uint64, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Replay with a cancelled context: %v", err)
	}
	if err := log.Failed(); err != nil {
		t.Error(err)
	}
	mustClose(t, log)
	mustClose(t, log)
	for name, err := range map[string]error{
		"Append":   log.Append(b.id, 4, nil, b),
		"Replay":   log.Replay(ctx, b.id, 0, func(uint64, []byte) error { return nil }),
		"Truncate": log.Truncate(b.id, 1),
		"Drop":     log.Drop(b.id),
		"Sync":     log.Sync(ctx),
	} {
		if !errors.Is(err, wal.ErrClosed) {
			t.Errorf("%s of a closed log: %v, want ErrClosed", name, err)
		}
	}
	if _, err := log.Buckets(ctx); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("Buckets of a closed log: %v, want ErrClosed", err)
	}
	log.Stats()
	if _, err := m.verify(d, m.spans()); err != nil {
		t.Error(err)
	}
}

// testReplayStops: fn's error and panic are the caller's own, and do the log no harm.
func testReplayStops(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	log := mustOpen(t, newDisk(t))
	m := newModel(t, seed, 1)
	b := m.buckets[0]
	for range 10 {
		b.append(log)
	}
	stop := errors.New("stop")
	var seen uint64
	err := log.Replay(context.Background(), b.id, 0, func(seq uint64, _ []byte) error {
		seen = seq
		if seq == 4 {
			return stop
		}
		return nil
	})
	if err != stop || seen != 4 {
		t.Errorf("Replay ended at %d with %v", seen, err)
	}
	func() {
		defer func() {
			if r := recover(); r != any(stop) {
				t.Errorf("Replay swallowed a panic of fn: %v", r)
			}
		}()
		_ = log.Replay(context.Background(), b.id, 0, func(uint64, []byte) error { panic(stop) })
	}()
	if _, err := m.check(log, m.spans()); err != nil {
		t.Error(err)
	}
	mustClose(t, log)
}

// testRemoveSurvives: what Truncate and Drop have removed stays removed, and the
// rest stays, through crashes and reopening.
func testRemoveSurvives(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	d := newDisk(t)
	log := mustOpen(t, d)
	m := newModel(t, seed, 3)
	for range 50 {
		for _, b := range m.buckets {
			b.append(log)
		}
	}
	// In the order of the queue: what was appended before goes, what comes after stays.
	if err := m.buckets[0].truncate(log, 20); err != nil {
		t.Fatal(err)
	}
	if err := m.buckets[1].truncate(log, 50); err != nil {
		t.Fatal(err)
	}
	verify := func(when string) {
		t.Helper()
		if _, err := m.verify(d.Crash(0, seed), m.spans()); err != nil {
			t.Errorf("%s, crashed: %v", when, err)
		}
	}
	m.wait()
	verify("truncated")
	for range 5 {
		m.buckets[1].append(log)
	}
	m.wait()
	verify("truncated to the end, then appended")

	dropped := m.buckets[2]
	if err := log.Drop(dropped.id); err != nil {
		t.Fatal(err)
	}
	gone := func(when string, log wal.Log) {
		t.Helper()
		err := log.Replay(context.Background(), dropped.id, 0, func(seq uint64, _ []byte) error {
			return fmt.Errorf("record %d is still there", seq)
		})
		buckets, berr := log.Buckets(context.Background())
		if err != nil || berr != nil || slices.Contains(buckets, dropped.id) {
			t.Errorf("%s: %v, buckets %d, %v", when, err, buckets, berr)
		}
	}
	gone("dropped", log)
	crashed := mustOpen(t, d.Crash(0, seed))
	gone("dropped and crashed", crashed)
	mustClose(t, crashed)

	// A dropped bucket starts again where it likes.
	dropped.mu.Lock()
	dropped.appended, dropped.acked, dropped.removing, dropped.removed = 1000, 1000, 1000, 1000
	dropped.mu.Unlock()
	for range 10 {
		dropped.append(log)
	}
	m.wait()
	verify("dropped and started again")
	mustClose(t, log)
	if _, err := m.verify(d, m.spans()); err != nil {
		t.Errorf("closed: %v", err)
	}
}

// relay passes on to a bucket and counts.
type relay struct {
	b     *bucket
	mu    sync.Mutex
	upto  uint64
	calls int
}

func (r *relay) Committed(upto uint64, err error) {
	r.mu.Lock()
	if err != nil || upto <= r.upto {
		r.b.m.t.Errorf("Committed(%d, %v) after %d", upto, err, r.upto)
	}
	r.upto = upto
	r.calls++
	r.mu.Unlock()
	r.b.Committed(upto, err)
}

// testNotifiers: each notifier of a bucket hears of its own records, and records
// that are queued together share commits and calls.
func testNotifiers(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	log := mustOpen(t, newDisk(t))
	m := newModel(t, seed, 2)
	m.small = true
	b := m.buckets[0]
	var relays []*relay
	const perNotifier = 500
	for range 4 {
		n := &relay{b: b}
		relays = append(relays, n)
		for range perNotifier {
			b.mu.Lock()
			b.appended++
			seq := b.appended
			b.mu.Unlock()
			if err := log.Append(b.id, seq, []byte("record"), n); err != nil {
				t.Fatal(err)
			}
			m.buckets[1].append(log)
		}
	}
	m.wait()
	for i, n := range relays {
		if want := uint64((i + 1) * perNotifier); n.upto != want {
			t.Errorf("notifier %d heard up to %d, want %d", i, n.upto, want)
		}
	}
	s := log.Stats()
	if s.Groups >= s.Records/4 {
		t.Errorf("%d records took %d groups", s.Records, s.Groups)
	}
	if calls := uint64(m.buckets[1].calls); calls > s.Groups {
		t.Errorf("%d groups made %d calls for one notifier", s.Groups, calls)
	}
	mustClose(t, log)
}
