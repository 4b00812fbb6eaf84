package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/point"
	"headgate/engine/store/disk"
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

// TestRecoveryHeals: a bucket that could not be recovered because the data disk was
// full comes back by itself.
func TestRecoveryHeals(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, nil))
	b := s.open(1)
	var want []int64
	for i := range 100 {
		if err := write(b, fmt.Sprintf("m f=1 %d", i)); err != nil {
			t.Fatal(err)
		}
		want = append(want, int64(i))
	}
	closeShard(t, s)
	var full atomic.Bool
	failing := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "staging") {
			return syscall.ENOSPC
		}
		return nil
	}))
	s = openTestShard(t, log, withData(t, failing, func(o *Options) { o.MemtableBytesMax = 1 << 10 }))
	full.Store(true)
	b = s.open(1)
	if err := b.State().Unavailable; !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want ENOSPC", err)
	}
	if err := s.o.Data.Failed(); err != nil {
		t.Fatalf("%v: the test needs a data store that goes on", err)
	}
	full.Store(false)
	waitFor(t, "the bucket", func() bool { return b.State().Unavailable == nil })
	if got := times(t, b); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestPanicInTheBackground: a flush that panics takes nobody down but its bucket, and
// that only for good if it goes on panicking; then it holds no memory.
func TestPanicInTheBackground(t *testing.T) {
	var panics atomic.Int64
	s := openTestShard(t, newMemDisk(), withData(t, vfs.NewMem(), func(o *Options) {
		o.PanicsMax = 3
		o.Store.Now = func() time.Time {
			stack := make([]byte, 4096)
			stack = stack[:runtime.Stack(stack, false)]
			if panics.Load() > 0 && bytes.Contains(stack, []byte("(*Bucket).cutoff(")) && bytes.Contains(stack, []byte("(*Bucket).flush(")) {
				panics.Add(-1)
				panic("injected")
			}
			return time.Now()
		}
	}))
	b, other := s.open(1), s.open(2)
	b.SetRetention(time.Hour * 1e5) // so that a flush asks for the time
	now := time.Now().UnixNano()
	for i := range int64(3) {
		if err := write(b, fmt.Sprintf("m f=1 %d", now+i)); err != nil {
			t.Fatal(err)
		}
	}
	panics.Store(1)
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the bucket", func() bool { return panics.Load() == 0 && b.State().Unavailable == nil && b.State().Epoch > 1 })
	if got := times(t, b); len(got) != 3 {
		t.Fatalf("%v", got)
	}
	panics.Store(100)
	waitFor(t, "quarantine", func() bool {
		if err := s.Flush(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		var u *UnavailableError
		return errors.As(b.State().Unavailable, &u) && u.Reason == Quarantined
	})
	if err := write(other, "m f=1 1"); err != nil {
		t.Error(err)
	}
	if b.store != nil {
		t.Error("a quarantined bucket keeps its points in memory")
	}
}

// TestDamageStaysInItsBucket: a delete that meets a damaged block takes its bucket out
// of service; it can be read, and the other buckets are flushed as ever.
func TestDamageStaysInItsBucket(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, nil))
	b := s.open(1)
	if err := write(b, "m,a=1 f=1 1\nm,a=2 f=1 2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	damageTables(t, fs)
	s = openTestShard(t, log, withData(t, fs, nil))
	b, other := s.open(1), s.open(2)
	d := all(b)
	d.Max = 1
	if err := b.Delete(t.Context(), d, testTimeout); !errors.Is(err, disk.ErrCorrupt) {
		t.Fatalf("%v, want ErrCorrupt", err)
	}
	if err := write(b, "m,a=1 f=1 3"); !errors.Is(err, disk.ErrCorrupt) {
		t.Errorf("write: %v, want ErrCorrupt", err)
	}
	if b.State().Store == nil {
		t.Error("the bucket cannot be read")
	}
	if err := write(other, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if st := other.State().Store.Stats(); st.Parts != 1 {
		t.Errorf("%+v: the other bucket was not flushed", st)
	}
}

// damageTables flips a byte in every part.
func damageTables(t *testing.T, fs *vfs.MemFS) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := fs.OpenReadWrite(fs.PathJoin("data", name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		if _, err := f.ReadAt(buf, 20); err != nil {
			t.Fatal(err)
		}
		buf[0] ^= 0xff
		if _, err := f.WriteAt(buf, 20); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFreedMemoryComesBack: what series that are gone took is given back, on its own
// and without anyone noticing.
func TestFreedMemoryComesBack(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, func(o *Options) { o.Store.DeadMin = 1000 }))
	b := s.open(1)
	if err := write(b, "m,a=stays f=1 1"); err != nil {
		t.Fatal(err)
	}
	before := b.State().Store
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "m,a=%d f=1 2\n", i)
	}
	if err := write(b, lines.String()); err != nil {
		t.Fatal(err)
	}
	full := s.Gate().Memory()
	d := all(b)
	d.Min = 2
	if err := b.Delete(t.Context(), d, testTimeout); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another store", func() bool {
		if st := b.State(); st.Unavailable != nil || !slices.Equal(times(t, b), []int64{1}) {
			t.Fatalf("%v", st.Unavailable)
		}
		return b.State().Store != before
	})
	if n := s.Gate().Memory(); n > full/4 {
		t.Errorf("%d bytes, were %d", n, full)
	}
	if err := write(b, "m,a=5 f=1 3"); err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("%v", got)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	if got := times(t, s.open(1)); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("%v after opening again", got)
	}
}

// TestDropAmongJobs: buckets are dropped while they are written to, flushed, compacted
// and deleted from; nothing hangs and nothing is left.
func TestDropAmongJobs(t *testing.T) {
	log := newMemDisk()
	s := openTestShard(t, log, withData(t, vfs.NewMem(), func(o *Options) {
		o.MemtableBytesMax, o.Store.CompactPartsMin, o.Store.DeadMin = 4<<10, 2, 1
	}))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Flush(t.Context(), true); err != nil && !errors.Is(err, disk.ErrDropped) {
				t.Error(err)
			}
		}
	})
	for i := range point.BucketID(40) {
		b := s.open(1 + i)
		var writers sync.WaitGroup
		for w := range 3 {
			writers.Go(func() {
				for n := 0; ; n++ {
					var u *UnavailableError
					err := write(b, fmt.Sprintf("m,w=%d,n=%d f=1 %d", w, n%50, n))
					if errors.Is(err, ErrDropped) || errors.As(err, &u) {
						return
					} else if err != nil && !errors.Is(err, ErrStale) {
						t.Error(err)
						return
					}
					if st := b.State().Store; n == 30 && w == 0 && st != nil {
						set := roaring.New()
						set.AddRange(1, 100)
						d := Delete{Series: set, Min: 5, Max: 500, Epoch: b.State().Epoch}
						if err := b.Delete(t.Context(), d, testTimeout); err != nil && !errors.Is(err, ErrStale) && !errors.Is(err, ErrDropped) && !errors.Is(err, ErrIndeterminate) {
							t.Error(err)
						}
					}
				}
			})
		}
		waitFor(t, "some writes", func() bool { st := b.State().Store; return st != nil && st.Stats().Points > 60 })
		if err := s.DropBucket(t.Context(), 1+i); err != nil {
			t.Fatal(err)
		}
		writers.Wait()
	}
	close(stop)
	wg.Wait()
	if left, err := s.o.Data.Buckets(); len(left) > 0 || err != nil {
		t.Errorf("%v is left, %v", left, err)
	}
}
