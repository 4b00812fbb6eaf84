package actors

import (
	"context"
	"errors"
	"testing"

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
