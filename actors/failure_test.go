package actors

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"headgate/engine/record"
	"headgate/wal"
)

// queue sends a write whose record the log holds back, and returns its outcome to come.
func (s *testShard) queue(write func() error) <-chan error {
	s.t.Helper()
	log := s.log()
	n := log.queued()
	done := make(chan error, 1)
	go func() { done <- write() }()
	waitFor(s.t, "the record to be queued", func() bool { return log.queued() == n+1 })
	return done
}

// drop starts to drop b, and returns once b refuses writes.
func (s *testShard) drop(b *Bucket) <-chan error {
	s.t.Helper()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		done <- s.DropBucket(ctx, b.ID())
	}()
	waitFor(s.t, "the bucket to refuse writes", func() bool {
		batch, err := parse(b, "refused f=1 1")
		return err == nil && errors.Is(defineBatch(b, batch), ErrDropped)
	})
	return done
}

func TestDropBucketWhileTheLogFails(t *testing.T) {
	disk := newMemDisk()
	s := openTestShard(t, disk, nil)
	b := s.open(1)
	s.log().holdBack()
	done := s.queue(func() error { return write(b, "m f=1 1") })
	dropped := s.drop(b)
	log := s.log()
	disk.break_(errors.New("disk full"))
	log.release()
	if err := <-done; !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("write in flight: %v, want ErrIndeterminate", err)
	}
	if err := <-dropped; err != nil {
		t.Fatal(err)
	}
	if err := b.State().Unavailable; err != ErrDropped {
		t.Fatalf("dropped bucket says %v", err)
	}
	disk.break_(nil)
	waitFor(t, "the log to be open again", func() bool { return s.Log() != wal.Log(log) && refusedFor(s.Gate()) == Admitted })
}

// TestDropBucketWhileItPanics shows that calls behind the one at fault are
// answered, and DropBucket with them.
func TestDropBucketWhileItPanics(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	poison, err := parse(b, "m f=2 2")
	if err != nil {
		t.Fatal(err)
	}
	if err := defineBatch(b, poison); err != nil {
		t.Fatal(err)
	}
	poison.Tables[0].ID = 77 // of no measurement: linking it panics
	s.log().holdBack()
	first := s.queue(func() error { return appendTo(b, poison) })
	second := s.queue(func() error { return write(b, "m f=3 3") })
	dropped := s.drop(b)
	s.log().release()
	for _, done := range []<-chan error{first, second, dropped} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func TestDropBucketAfterClose(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	b := s.open(1)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	_ = s.DropBucket(ctx, b.ID())
	if ctx.Err() != nil {
		t.Fatal("DropBucket waits for an actor that is no more")
	}
}

// TestCloseWaitsForTheLogToBeReopened shows that nothing holds the directory
// when Close has returned.
func TestCloseWaitsForTheLogToBeReopened(t *testing.T) {
	disk := newMemDisk()
	reopening := make(chan struct{})
	var s *testShard
	var opens, reopened atomic.Int32
	s = openTestShard(t, disk, func(o *Options) {
		o.OpenLog = func() (wal.Log, error) {
			if opens.Add(1) == 1 {
				return disk.open()
			}
			close(reopening)
			<-s.ctx.Done()
			for range 1000 {
				runtime.Gosched()
			}
			reopened.Add(1)
			return nil, errors.New("disk full")
		}
	})
	b := s.open(1)
	disk.break_(errors.New("disk full"))
	if err := write(b, "m f=1 1"); !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("err = %v, want ErrIndeterminate", err)
	}
	<-reopening
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if reopened.Load() != 1 {
		t.Fatal("Close returned while the log was being opened")
	}
}

// TestLogThatFailsAgainAtOnce sends the supervisor the news in the order in which
// they come when a bucket meets the reopened log first and finds it failed.
func TestLogThatFailsAgainAtOnce(t *testing.T) {
	disk := newMemDisk()
	s := openTestShard(t, disk, nil)
	s.open(1)
	log := s.Log()
	disk.break_(errors.New("disk full"))
	s.system.Root.Send(s.supervisor, &logFailed{log: log, err: errors.New("disk full")})
	s.system.Root.Send(s.supervisor, &logReopened{log})
	waitFor(t, "the gate to be shut", func() bool { return refusedFor(s.Gate()) == Failed })
	s.open(2) // the supervisor has seen both
	if r := refusedFor(s.Gate()); r != Failed {
		t.Fatalf("gate says %s while the log is down", r)
	}
	disk.break_(nil)
	waitFor(t, "the log to be open again", func() bool { return refusedFor(s.Gate()) == Admitted })
}

// TestAbandonedWriteKeepsItsCredit shows that what hangs in the log counts, also
// when nobody waits for it any more.
func TestAbandonedWriteKeepsItsCredit(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	batch, err := parse(b, "m f=2 2")
	if err != nil {
		t.Fatal(err)
	}
	if err := defineBatch(b, batch); err != nil {
		t.Fatal(err)
	}
	credit := int64(1000)
	if r := b.Share().Acquire(context.Background(), credit, 0); r != Admitted {
		t.Fatal(r)
	}
	s.log().holdBack()
	rec := record.Encode(nil, batch, nil)
	_, reusable, err := b.Append(context.Background(), batch, nil, rec, nil, time.Now(), &credit)
	if reusable || credit != 0 || !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("reusable %t, credit %d, error %v; want false, 0, ErrIndeterminate", reusable, credit, err)
	}
	waitFor(t, "the record to be queued", func() bool { return s.log().queued() == 1 })
	if g := s.Gate().Stats(); g.Bytes != 1000 || g.Requests != 1 {
		t.Fatalf("gate counts %d bytes of %d requests, want 1000 of 1", g.Bytes, g.Requests)
	}
	s.log().release()
	<-s.Gate().Idle()
	if g := s.Gate().Stats(); g.Bytes != 0 || g.Requests != 0 {
		t.Fatalf("gate counts %d bytes of %d requests afterwards", g.Bytes, g.Requests)
	}
}

// TestProbeHealsAnIdleLog shows that a log that failed while nobody wrote does not
// wait for a write to be opened again.
func TestProbeHealsAnIdleLog(t *testing.T) {
	disk := newMemDisk()
	s := openTestShard(t, disk, nil)
	b := s.open(1)
	log := s.Log()
	disk.break_(errors.New("disk full"))
	if err := s.Probe(context.Background()); !errors.Is(err, wal.ErrFailed) {
		t.Fatalf("err = %v, want ErrFailed", err)
	}
	disk.break_(nil)
	waitFor(t, "the log to be open again", func() bool { return s.Log() != log && refusedFor(s.Gate()) == Admitted })
	waitFor(t, "the bucket to be rebuilt", func() bool { return b.epochForTest() > 1 })
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
}
