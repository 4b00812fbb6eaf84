package actors

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal"
)

// TestFreeAmongRecords: series that a record in flight defines, and nobody uses, are
// freed by a record behind it; the data store keeps that order.
func TestFreeAmongRecords(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, nil))
	b := s.open(1)
	a, err := parse(b, "m,s=x f=1 1\nm,s=y f=1 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := defineBatch(b, a); err != nil { // and never appended
		t.Fatal(err)
	}
	s.log().holdBack()
	done := make(chan error, 1)
	go func() { done <- write(b, "m,s=x f=1 2") }() // its record defines y as well
	waitFor(t, "the record", func() bool { return s.log().queued() == 1 })
	b.send(&kept{store: b.State().Store, sweep: true})
	waitFor(t, "y to be freed", func() bool { return s.log().queued() == 2 })
	s.log().release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := write(b, "m,s=y f=1 3"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	b = s.open(1)
	if err := b.State().Unavailable; err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{2, 3}) {
		t.Fatalf("%v", got)
	}
}

// slowLog lets nobody replay before the test says so.
type slowLog struct {
	wal.Log
	replaying, goOn chan struct{}
}

func (l *slowLog) Replay(ctx context.Context, bucket, after uint64, fn func(uint64, []byte) error) error {
	close(l.replaying)
	<-l.goOn
	return l.Log.Replay(ctx, bucket, after, fn)
}

// TestRetentionDuringRecovery: a retention period that is set while the bucket
// recovers is in force afterwards.
func TestRetentionDuringRecovery(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	fs, log := vfs.NewMem(), newMemDisk()
	clock := func(o *Options) { o.Store.Now = func() time.Time { return now } }
	s := openTestShard(t, log, withData(t, fs, clock))
	old, young := now.Add(-2*time.Hour).UnixNano(), now.UnixNano()
	if err := write(s.open(1), fmt.Sprintf("m f=1 %d\nm f=1 %d", old, young)); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	slow := &slowLog{replaying: make(chan struct{}), goOn: make(chan struct{})}
	s = openTestShard(t, log, withData(t, fs, func(o *Options) {
		clock(o)
		o.OpenLog = func() (wal.Log, error) {
			var err error
			slow.Log, err = log.open()
			return slow, err
		}
	}))
	b, err := s.OpenBucket(1)
	if err != nil {
		t.Fatal(err)
	}
	<-slow.replaying
	b.SetRetention(time.Hour)
	close(slow.goOn)
	if err := b.WaitOpen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{young}) {
		t.Errorf("%v is visible, want %d only", got, young)
	}
}
