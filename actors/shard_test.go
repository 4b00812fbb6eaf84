package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/engine/lineproto"
	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store"
	"headgate/engine/testkit"
)

const testTimeout = 20 * time.Second

// testShard is a shard over a memDisk, and what went wrong with its buckets.
type testShard struct {
	*Shard
	t    *testing.T
	disk *memDisk
}

func openTestShard(t *testing.T, disk *memDisk, change func(*Options)) *testShard {
	t.Helper()
	testkit.CheckLeaks(t)
	o := Options{OpenLog: disk.open}
	if change != nil {
		change(&o)
	}
	s, err := OpenShard(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &testShard{s, t, disk}
}

func (s *testShard) log() *memLog { return s.Log().(*memLog) }

func (s *testShard) open(id point.BucketID) *Bucket {
	s.t.Helper()
	b, err := s.OpenBucket(id)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := b.WaitOpen(ctx); err != nil && errors.Is(err, context.DeadlineExceeded) {
		s.t.Fatal(err)
	}
	return b
}

// writeParts writes to b and flushes, for each of batches.
func (s *testShard) writeParts(b *Bucket, batches ...string) {
	s.t.Helper()
	for _, lines := range batches {
		if err := write(b, lines); err != nil {
			s.t.Fatal(err)
		}
		if err := s.Flush(s.t.Context(), false); err != nil {
			s.t.Fatal(err)
		}
	}
}

// write brings line protocol to the log as engine.Write does, without retries.
func write(b *Bucket, lines string) error {
	batch, err := parse(b, lines)
	if err != nil {
		return err
	}
	if err := defineBatch(b, batch); err != nil {
		return err
	}
	return appendTo(b, batch)
}

func parse(b *Bucket, lines string) (*point.Batch, error) {
	st := b.State()
	if st.Unavailable != nil {
		return nil, st.Unavailable
	}
	batch := point.GetBatch()
	var p lineproto.Parser
	err := p.Parse(batch, []byte(lines), lineproto.Options{Precision: point.Nanosecond, Index: st.Index, Series: st.Store, Epoch: st.Epoch})
	return batch, err
}

func defineBatch(b *Bucket, batch *point.Batch) error {
	if err := b.Define(context.Background(), batch, testTimeout); err != nil {
		return err
	}
	for _, t := range batch.Tables {
		for i, ref := range t.Series {
			if ref.IsNew() {
				t.Series[i] = point.SeriesRef(batch.NewSeries[ref.NewIndex()].ID)
			}
		}
	}
	return nil
}

func appendTo(b *Bucket, batch *point.Batch) error {
	st := b.State()
	if st.Unavailable != nil {
		return st.Unavailable
	}
	pendings := st.Store.PendingFor(batch)
	var defs record.Definitions
	for _, p := range pendings {
		p.AppendTo(&defs)
	}
	rec := record.Encode(nil, batch, &defs)
	_, _, err := b.Append(context.Background(), batch, store.Pack(batch), rec, pendings, time.Now().Add(testTimeout), nil)
	return err
}

// waitFor spins until ok, which another goroutine is about to make true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(start) > testTimeout {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// refusedFor asks the gate for a byte and gives it back.
func refusedFor(g *Gate) Reason {
	s := g.NewShare()
	r := s.Acquire(context.Background(), 1, 0)
	if r == Admitted {
		s.Release(1)
	}
	return r
}

func points(t *testing.T, b *Bucket) int64 {
	t.Helper()
	st := b.State()
	if st.Unavailable != nil {
		t.Fatalf("bucket %s: %v", b.ID(), st.Unavailable)
	}
	return int64(st.Store.Stats().Points)
}

func TestWriteIsVisibleOnlyAfterCommit(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	b := s.open(1)
	s.log().holdBack()
	done := make(chan error, 1)
	go func() { done <- write(b, "m f=1 1") }()
	waitFor(t, "the record to be queued", func() bool { return s.log().queued() == 1 })
	if n := points(t, b); n != 0 {
		t.Fatalf("%d points visible before the commit", n)
	}
	if ms := b.State().Store.Snapshot().Measurements(); len(ms) != 0 {
		t.Fatalf("measurements %q visible before the commit", ms)
	}
	s.log().release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := points(t, b); n != 1 {
		t.Fatalf("%d points visible after the reply, want 1", n)
	}
}

func TestRaceToDefineOneFieldWithTwoTypes(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	b := s.open(1)
	for round := range 50 {
		batches := make([]*point.Batch, 2)
		for i, v := range []string{"1", "1i"} {
			var err error
			if batches[i], err = parse(b, fmt.Sprintf("m f%d=%s 1", round, v)); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range batches {
			wg.Go(func() { errs[i] = defineBatch(b, batches[i]) })
		}
		wg.Wait()
		lost := -1
		for i, err := range errs {
			if err != nil {
				if !errors.Is(err, store.ErrConflict) || lost >= 0 {
					t.Fatalf("round %d: %v, %v; want one nil and one conflict", round, errs[0], errs[1])
				}
				lost = i
			}
		}
		if lost < 0 {
			t.Fatalf("round %d: both definitions of f%d won", round, round)
		}
		if err := appendTo(b, batches[1-lost]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPanicAnswersAtOnceAndRebuilds(t *testing.T) {
	var explode atomic.Bool
	s := openTestShard(t, newMemDisk(), func(o *Options) {
		o.testHook = func(_ point.BucketID, message string) {
			if message == "append" && explode.CompareAndSwap(true, false) {
				panic("boom")
			}
		}
	})
	b := s.open(1)
	if err := write(b, "m,t=a f=1 1"); err != nil {
		t.Fatal(err)
	}
	explode.Store(true)
	if err := write(b, "m,t=b f=2 2"); !errors.Is(err, ErrPanicked) {
		t.Fatalf("err = %v, want ErrPanicked", err)
	}
	waitFor(t, "the bucket to be rebuilt", func() bool { return b.State().Unavailable == nil })
	if n := points(t, b); n != 1 {
		t.Fatalf("%d points after the rebuild, want 1", n)
	}
	if err := write(b, "m,t=b f=2 2"); err != nil {
		t.Fatal(err)
	}
	if n, on := points(t, b), s.disk.count(1); n != 2 || on != 2 {
		t.Fatalf("%d points, %d records, want 2 and 2", n, on)
	}
}

// TestPanicWhileOthersAreInFlight shows that a panic loses no call that was in
// the log already, and links no batch twice.
func TestPanicWhileOthersAreInFlight(t *testing.T) {
	var explode atomic.Bool
	s := openTestShard(t, newMemDisk(), func(o *Options) {
		o.testHook = func(_ point.BucketID, message string) {
			if message == "define" && explode.CompareAndSwap(true, false) {
				panic("boom")
			}
		}
	})
	b := s.open(1)
	if err := write(b, "m f=0 1"); err != nil {
		t.Fatal(err)
	}
	s.log().holdBack()
	const writers = 8
	errs := make(chan error, writers)
	for i := range writers {
		go func() { errs <- write(b, fmt.Sprintf("m f=%d %d", i, i+2)) }()
	}
	waitFor(t, "the records to be queued", func() bool { return s.log().queued() == writers })
	explode.Store(true)
	if err := write(b, "other f=1 1"); !errors.Is(err, ErrPanicked) {
		t.Fatalf("err = %v, want ErrPanicked", err)
	}
	for range writers { // rebuilding syncs the log
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the bucket to be rebuilt", func() bool { return b.State().Unavailable == nil })
	if n := points(t, b); n != writers+1 {
		t.Fatalf("%d points, want %d", n, writers+1)
	}
}

func TestQuarantineLeavesNeighboursAlone(t *testing.T) {
	failed := make(chan Reason, 100)
	s := openTestShard(t, newMemDisk(), func(o *Options) {
		o.PanicsMax = 3
		o.BucketFailed = func(id point.BucketID, r Reason, err error) { failed <- r }
		o.testHook = func(id point.BucketID, message string) {
			if id == 1 && message == "append" {
				panic("always")
			}
		}
	})
	bad, good := s.open(1), s.open(2)
	for i := 0; ; i++ {
		err := write(bad, "m f=1 1")
		var u *UnavailableError
		if errors.As(err, &u) && u.Reason == Quarantined {
			break
		}
		if i > 1000000 {
			t.Fatalf("never quarantined; last error %v", err)
		}
		if err := write(good, fmt.Sprintf("m f=1 %d", i)); err != nil {
			t.Fatalf("neighbour: %v", err)
		}
	}
	if r := <-failed; r != Quarantined {
		t.Fatalf("BucketFailed got %s, want quarantined", r)
	}
	if err := write(good, "m f=1 1"); err != nil {
		t.Fatalf("neighbour after the quarantine: %v", err)
	}
	if err := write(bad, "m f=1 1"); !strings.Contains(fmt.Sprint(err), "quarantined") {
		t.Fatalf("quarantined bucket answers %v", err)
	}
}

func TestLogFailureAnswersAndHeals(t *testing.T) {
	disk := newMemDisk()
	s := openTestShard(t, disk, nil)
	a, b := s.open(1), s.open(2)
	for _, b := range []*Bucket{a, b} {
		if err := write(b, "m f=1 1"); err != nil {
			t.Fatal(err)
		}
	}
	s.log().holdBack()
	errs := make(chan error, 1)
	go func() { errs <- write(a, "m f=2 2") }()
	log := s.log()
	waitFor(t, "the record to be queued", func() bool { return log.queued() == 1 })
	disk.break_(errors.New("disk full"))
	log.release()
	if err := <-errs; !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("err = %v, want ErrIndeterminate", err)
	}
	waitFor(t, "the gate to be shut", func() bool { return refusedFor(s.Gate()) == Failed })
	if st := a.State(); st.Unavailable == nil || st.Store == nil || st.Store.Stats().Points != 1 {
		t.Fatal("reads should go on while the log is down, and writes should not")
	}
	disk.break_(nil)
	waitFor(t, "both buckets to be back", func() bool {
		return s.Log() != log && a.epochForTest() > 1 && b.epochForTest() > 1
	})
	for _, b := range []*Bucket{a, b} {
		if err := write(b, "m f=3 3"); err != nil {
			t.Fatal(err)
		}
		if n := points(t, b); n != 2 {
			t.Fatalf("bucket %s has %d points, want 2", b.ID(), n)
		}
	}
	if r := refusedFor(s.Gate()); r != Admitted {
		t.Fatalf("gate says %s after the log is back", r)
	}
}

// epochForTest is 0 while the bucket takes no writes.
func (b *Bucket) epochForTest() uint64 {
	st := b.State()
	if st.Unavailable != nil {
		return 0
	}
	return st.Epoch
}

func TestStaleEpochIsRefused(t *testing.T) {
	var explode atomic.Bool
	s := openTestShard(t, newMemDisk(), func(o *Options) {
		o.testHook = func(point.BucketID, string) {
			if explode.CompareAndSwap(true, false) {
				panic("boom")
			}
		}
	})
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	old, err := parse(b, "m f=2 2")
	if err != nil {
		t.Fatal(err)
	}
	explode.Store(true)
	if err := write(b, "m f=3 3"); !errors.Is(err, ErrPanicked) {
		t.Fatal(err)
	}
	waitFor(t, "the bucket to be rebuilt", func() bool { return b.State().Unavailable == nil })
	if err := defineBatch(b, old); !errors.Is(err, ErrStale) {
		t.Fatalf("err = %v, want ErrStale", err)
	}
}

func TestDropBucket(t *testing.T) {
	disk := newMemDisk()
	s := openTestShard(t, disk, nil)
	b := s.open(1)
	s.log().holdBack()
	done := make(chan error, 1)
	go func() { done <- write(b, "m f=1 1") }()
	waitFor(t, "the record to be queued", func() bool { return s.log().queued() == 1 })
	dropped := make(chan error, 1)
	go func() { dropped <- s.DropBucket(context.Background(), 1) }()
	waitFor(t, "the bucket to refuse writes", func() bool {
		batch, err := parse(b, "m f=2 2")
		return err == nil && errors.Is(defineBatch(b, batch), ErrDropped)
	})
	s.log().release()
	if err := <-done; err != nil {
		t.Fatalf("write in flight: %v", err)
	}
	if err := <-dropped; err != nil {
		t.Fatal(err)
	}
	if n := disk.count(1); n != 0 {
		t.Fatalf("%d records left", n)
	}
	if got := s.Gate().Memory(); got != 0 {
		t.Fatalf("gate still counts %d bytes", got)
	}
}

// TestCloseLosesNoWriteInFlight closes a shard under a thousand writers: each
// write is either refused or durable, and everyone is told which.
func TestCloseLosesNoWriteInFlight(t *testing.T) {
	disk := newMemDisk()
	s, err := OpenShard(Options{OpenLog: disk.open})
	if err != nil {
		t.Fatal(err)
	}
	ts := &testShard{s, t, disk}
	b := ts.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	const writers = 1000
	ts.log().holdBack()
	var wg sync.WaitGroup
	var acked atomic.Int64
	for i := range writers {
		if r := b.Share().Acquire(context.Background(), 1, 0); r != Admitted {
			t.Fatal(r)
		}
		wg.Go(func() {
			defer b.Share().Release(1)
			if err := write(b, fmt.Sprintf("m f=1 %d", i+2)); err == nil {
				acked.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		closed <- s.Close(ctx)
	}()
	waitFor(t, "the gate to be shut", func() bool { return refusedFor(s.Gate()) == Closing })
	ts.log().release()
	wg.Wait()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if acked.Load() != writers || disk.count(1) != writers+1 {
		t.Fatalf("%d writes acknowledged, %d records on disk, want %d and %d", acked.Load(), disk.count(1), writers, writers+1)
	}
}
