package actors

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/wal"
)

// TestDropBucketAgain: a removal whose caller ran out of time while the bucket drained
// goes on by itself, and calling again joins it.
func TestDropBucketAgain(t *testing.T) {
	log := newMemDisk()
	s := openTestShard(t, log, nil)
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	s.log().holdBack()
	done := s.queue(func() error { return write(b, "m f=1 2") })
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.DropBucket(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want Canceled", err)
		}
	}
	if _, err := s.OpenBucket(1); !errors.Is(err, ErrDropped) {
		t.Fatalf("opened while it is being dropped: %v", err)
	}
	s.log().release()
	if err := s.DropBucket(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the write in flight: %v", err)
	}
	if n := log.count(1); n != 0 {
		t.Errorf("%d records are left", n)
	}
	if !isStopped(b) || !errors.Is(b.State().Unavailable, ErrDropped) {
		t.Errorf("the bucket says %v", b.State().Unavailable)
	}
	if err := s.DropBucket(t.Context(), 1); err != nil {
		t.Errorf("once more: %v", err)
	}
	if b = s.open(1); b.State().Unavailable != nil {
		t.Errorf("cannot be opened anew: %v", b.State().Unavailable)
	}
}

// TestPing: an actor that does not answer is named, those that do are not.
func TestPing(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	s := openTestShard(t, newMemDisk(), func(o *Options) {
		var once sync.Once
		o.testHook = func(point.BucketID, string) {
			once.Do(func() {
				close(held)
				<-hold
			})
		}
	})
	stuck, other := s.open(1), s.open(2)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- write(stuck, "m f=1 1") }()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Ping(ctx)
	if err == nil || !strings.Contains(err.Error(), "bucket "+stuck.ID().String()) || strings.Contains(err.Error(), other.ID().String()) || strings.Contains(err.Error(), "supervisor") {
		t.Errorf("%v", err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// hangingLog is a log whose Close never ends, as on a disk that hangs.
type hangingLog struct {
	wal.Log
	hang chan struct{}
}

func (l *hangingLog) Close() error {
	<-l.hang
	return l.Log.Close()
}

// TestCloseDoesNotHang: what the disk holds up is left behind, and named.
func TestCloseDoesNotHang(t *testing.T) {
	log := newMemDisk()
	hang := make(chan struct{})
	s, err := OpenShard(Options{CloseGrace: time.Millisecond, OpenLog: func() (wal.Log, error) {
		l, err := log.open()
		return &hangingLog{l, hang}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Close(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the log did not end in time") {
		t.Errorf("%v", err)
	}
	close(hang)
}

// TestStalled: work that has written nothing for long is named.
func TestStalled(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	if err := s.Stalled(0); err != nil {
		t.Errorf("a shard without a data store: %v", err)
	}
	var w work
	if w.begin(7); w.since.Load() == 0 || w.bucket.Load() != 7 {
		t.Error("work that has begun does not say so")
	}
	if w.end(); w.since.Load() != 0 {
		t.Error("work that has ended says that it goes on")
	}
}

// TestCompactionErrorIsTold: a bucket that cannot be compacted is named until it can
// be, or is gone.
func TestCompactionErrorIsTold(t *testing.T) {
	s := openTestShard(t, newMemDisk(), nil)
	b := s.open(9)
	var st keeperStats
	st.resting(map[*Bucket]*rest{b: {err: syscall.EIO}})
	if err := st.restingError.Load(); err == nil || !errors.Is(*err, syscall.EIO) || !strings.Contains((*err).Error(), b.ID().String()) {
		t.Errorf("%v", err)
	}
	st.resting(map[*Bucket]*rest{b: {err: errNoRoom}})
	if st.restingError.Load() != nil {
		t.Error("the error stays")
	}
}

// TestDropBucketHealsTheLog: a log whose failure only the removal of a bucket meets is
// opened again, though nobody writes.
func TestDropBucketHealsTheLog(t *testing.T) {
	log := newMemDisk()
	var first atomic.Bool
	s := openTestShard(t, log, func(o *Options) {
		o.OpenLog = func() (wal.Log, error) {
			l, err := log.open()
			if err == nil && first.CompareAndSwap(false, true) {
				return &dropFails{l.(*memLog)}, nil
			}
			return l, err
		}
	})
	s.open(1)
	if err := s.DropBucket(t.Context(), 1); !errors.Is(err, wal.ErrFailed) {
		t.Fatalf("%v, want ErrFailed", err)
	}
	waitFor(t, "the bucket to be dropped", func() bool { return s.DropBucket(t.Context(), 1) == nil })
}

// dropFails is a log that fails when a bucket is dropped.
type dropFails struct{ *memLog }

func (l *dropFails) Drop(uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = wal.ErrFailed
	return l.failed
}
