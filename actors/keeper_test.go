package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
)

// withData gives the shard a data store on fs.
func withData(t *testing.T, fs vfs.FS, change func(*Options)) func(*Options) {
	t.Helper()
	d, err := disk.Open(disk.Options{Dir: "data", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.Data = d
		if change != nil {
			change(o)
		}
	}
}

// breakable is fs with writes that fail while broken is set.
func breakable(fs vfs.FS) (failing vfs.FS, broken *atomic.Bool) {
	broken = new(atomic.Bool)
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errors.New("injected")
		}
		return nil
	})), broken
}

func closeShard(t *testing.T, s *testShard) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// times lists the times of all rows of m.f.
func times(t *testing.T, b *Bucket) []int64 {
	t.Helper()
	v := b.State().Store.Snapshot()
	for v == nil { // the bucket has another store by now
		v = b.State().Store.Snapshot()
	}
	defer v.Close()
	var got []int64
	err := v.Read(t.Context(), point.ReadRequest{Measurement: "m", Fields: []string{"f"}, Min: point.TimeMin, Max: point.TimeMax}, func(r point.SeriesRows) error {
		got = append(got, r.Times...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

// all is the series of every measurement.
func all(b *Bucket) Delete {
	st := b.State()
	v := st.Store.Snapshot()
	defer v.Close()
	set := roaring.New()
	for _, m := range v.Measurements() {
		for _, s := range v.Series(m) {
			set.Add(uint32(s.ID))
		}
	}
	return Delete{Series: set, Min: point.TimeMin, Max: point.TimeMax, Epoch: st.Epoch}
}

func TestFlushTruncatesTheLog(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	var told atomic.Int64
	s := openTestShard(t, log, withData(t, fs, func(o *Options) {
		o.Flushed = func(point.BucketID, time.Duration, store.IOStats) { told.Add(1) }
	}))
	b := s.open(1)
	for i := range 10 {
		if err := write(b, fmt.Sprintf("m f=%d %d", i, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if n := log.count(1); n != 0 {
		t.Errorf("%d records are left in the log", n)
	}
	if err := s.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if n := s.KeeperStats().Flushes.Count; n != 1 || told.Load() != 1 {
		t.Errorf("%d flushes are counted and %d told, want 1: the second had nothing to write", n, told.Load())
	}
	if err := write(b, "m f=1 10\nm,new=tag f=1 11"); err != nil {
		t.Fatal(err)
	}
	want := []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	if got := times(t, b); !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	b = s.open(1)
	if got := times(t, b); !slices.Equal(got, want) {
		t.Fatalf("after opening again: %v", got)
	}
	if r := b.State().Recovered; r.Records != 1 {
		t.Errorf("%d records were replayed, want 1", r.Records)
	}
	if err := write(b, "m f=1 12"); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, func(o *Options) { o.MemtableBytesMax = 1 }))
	if s.open(1); log.count(1) == 0 {
		t.Fatal("there is nothing to recover")
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if n := s.KeeperStats().Flushes.Count; n != 0 {
		t.Errorf("%d flushes are counted, want 0: recovery has written everything", n)
	}
}

// TestRecoveryIsBounded: replaying a log that is larger than the memtables may be
// flushes on the way.
func TestRecoveryIsBounded(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, nil))
	b := s.open(1)
	var want []int64
	for i := range 50 {
		var lines strings.Builder
		for k := range 100 {
			fmt.Fprintf(&lines, "m f=%d %d\n", k, i*100+k)
			want = append(want, int64(i*100+k))
		}
		if err := write(b, lines.String()); err != nil {
			t.Fatal(err)
		}
	}
	closeShard(t, s)
	const limit = 16 << 10
	s = openTestShard(t, log, withData(t, fs, func(o *Options) { o.MemtableBytesMax = limit }))
	b = s.open(1)
	if active, frozen := b.State().Store.MemtableBytes(); active+frozen > 2*limit {
		t.Errorf("%d bytes in memory after replaying, limit %d", active+frozen, limit)
	}
	if got := times(t, b); !slices.Equal(got, want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
}

func TestDelete(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, nil))
	b := s.open(1)
	if err := write(b, "m,a=1 f=1 1\nm,a=2 f=1 2\nm,a=1 f=1 3"); err != nil {
		t.Fatal(err)
	}
	d := all(b)
	d.Max = 2
	if err := b.Delete(t.Context(), d, testTimeout); err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{3}) {
		t.Fatalf("%v are left, want 3", got)
	}
	if b.State().Epoch == d.Epoch {
		t.Error("a series is gone and the epoch is the same")
	}
	if err := b.Delete(t.Context(), d, testTimeout); !errors.Is(err, ErrStale) {
		t.Errorf("delete with ids of an old epoch: %v", err)
	}
	if err := b.Delete(t.Context(), all(b), testTimeout); err != nil {
		t.Fatal(err)
	}
	if err := write(b, `m,a=1 f="now a string" 4`); err != nil {
		t.Fatalf("the field's type is not free: %v", err)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	if got := times(t, s.open(1)); !slices.Equal(got, []int64{4}) {
		t.Fatalf("after opening again: %v", got)
	}
}

// TestDeleteIsReplayed: a delete that the log has, and the data store has not, is
// applied before the bucket is read.
func TestDeleteIsReplayed(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	failing, broken := breakable(fs)
	s := openTestShard(t, log, withData(t, failing, nil))
	b := s.open(1)
	if err := write(b, "m,a=1 f=1 1\nm,a=2 f=1 2"); err != nil {
		t.Fatal(err)
	}
	d := all(b)
	d.Max = 1
	broken.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Delete(ctx, d, testTimeout) }()
	waitFor(t, "the flush to fail", func() bool { n, err := s.DataFailures(); return n > 0 && err != nil })
	cancel()
	if err := <-done; !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("%v, want ErrIndeterminate", err)
	}
	if err := write(b, "m,a=1 f=1 3"); err != nil {
		t.Fatalf("writes must go on: %v", err)
	}
	broken.Store(false)
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	if got := times(t, s.open(1)); !slices.Equal(got, []int64{2, 3}) {
		t.Fatalf("%v, want 2 and 3", got)
	}
}

// TestDataFailureHeals: while the data store cannot be written points stay in
// memory and in the log, and can be read; then they are flushed without a restart.
func TestDataFailureHeals(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	failing, broken := breakable(fs)
	s := openTestShard(t, log, withData(t, failing, nil))
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := write(b, "m f=1 2"); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if err := s.Flush(t.Context(), false); err == nil {
		t.Fatal("flushing to a broken disk has worked")
	}
	if err := write(b, "m f=1 3"); err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Fatalf("%v while the disk is broken", got)
	}
	broken.Store(false)
	for {
		if err := s.Flush(t.Context(), true); err == nil {
			break
		}
	}
	if log.count(1) != 0 {
		t.Errorf("%d records are left in the log", log.count(1))
	}
	if got := times(t, b); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Fatalf("%v after the disk is whole again", got)
	}
}

// TestDeleteAmongWriters: deletes of everything race with writers; what is written
// after the last delete has been answered is there, and nothing is refused for good.
func TestDeleteAmongWriters(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, func(o *Options) { o.MemtableBytesMax = 64 << 10 }))
	b := s.open(1)
	insist := func(lines string) error {
		for {
			err := write(b, lines)
			if !errors.Is(err, ErrStale) {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				if err := insist(fmt.Sprintf("m,w=%d,i=%d f=%d %d\nx%d f=1", w, i%7, i, i*4+w, i%5)); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	for range 20 {
		if err := b.Delete(t.Context(), all(b), testTimeout); err != nil && !errors.Is(err, ErrStale) {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for {
		err := b.Delete(t.Context(), all(b), testTimeout)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrStale) {
			t.Fatal(err)
		}
	}
	if err := insist("m f=1 77"); err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{77}) {
		t.Fatalf("%v are left, want 77", got)
	}
	st := b.State().Store.Stats()
	if st.Series != 1 || st.Measurements != 1 {
		t.Errorf("%d series and %d measurements are defined, want one each", st.Series, st.Measurements)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	if got := times(t, s.open(1)); !slices.Equal(got, []int64{77}) {
		t.Fatalf("after opening again: %v", got)
	}
}

// TestRetentionIsReclaimed: shortening the retention period hides at once and
// frees the disk.
func TestRetentionIsReclaimed(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	s := openTestShard(t, newMemDisk(), withData(t, vfs.NewMem(), func(o *Options) { o.Store.Now = func() time.Time { return now } }))
	b := s.open(1)
	for i := range 48 {
		s.writeParts(b, fmt.Sprintf("m,h=%d f=1 %d", i, now.Add(-time.Duration(i)*time.Hour-time.Minute).UnixNano()))
	}
	if n := len(times(t, b)); n != 48 {
		t.Fatalf("%d points", n)
	}
	b.SetRetention(5 * time.Hour)
	if n := len(times(t, b)); n != 5 {
		t.Fatalf("%d points are visible, want 5", n)
	}
	if err := s.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the series to be freed", func() bool { return b.State().Store.Stats().Series == 5 })
	if st := b.State().Store.Stats(); st.Points > 6 {
		t.Errorf("%d points are on disk", st.Points)
	}
}

// TestLostDataIsNoticed: a log that begins after what the data store has is not
// taken for all there is.
func TestLostDataIsNoticed(t *testing.T) {
	log := newMemDisk()
	s := openTestShard(t, log, withData(t, vfs.NewMem(), nil))
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := write(b, "m f=1 2"); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, vfs.NewMem(), nil)) // and the data store is gone
	b = s.open(1)
	if err := b.State().Unavailable; !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}
