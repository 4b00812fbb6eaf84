package actors

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/store/disk"
)

// TestCompactionRoom is what a compaction leaves of a disk.
func TestCompactionRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		full bool
		min  int64 // DiskOptions.FreeMin
		want int64
	}{
		{false, 0, 100 - 3 - 8 - 1},
		{true, 0, 100 - 1},
		{false, -1, 100 - 1},
	} {
		w := diskWatch{o: DiskOptions{FreeMin: c.min}}
		st := DiskState{Space: disk.Space{Free: 100 * mib, Total: 160 * mib}, FreeMin: 8 * mib, Owed: 3 * mib, Full: c.full}
		if got := w.compactionRoomOf(&st); got != c.want*mib {
			t.Errorf("%+v: %d, want %d MiB", c, got, c.want)
		}
	}
	var none *diskWatch
	if none.compactionRoom() < 1<<62 {
		t.Error("a shard that watches no disk has no room for compactions")
	}
}

// TestCompactionOnAFullDisk: a compaction that does not fit is not begun, and counts as
// no failure. One that is stopped since others fill the disk does not begin again
// because it has given back what it took itself: only when there is more room than
// there was.
func TestCompactionOnAFullDisk(t *testing.T) {
	const mib = 1 << 20
	const little = 9 * mib // of which a compaction gets nothing
	space := new(fakeSpace)
	space.total.Store(400 * mib)
	space.free.Store(little)
	var armed atomic.Bool
	var begun atomic.Int64
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpCreate || !strings.Contains(op.Path, "staging") || !armed.Load() {
			return nil
		}
		begun.Add(1)
		entered <- struct{}{}
		<-leave
		return syscall.ENOSPC
	}))
	s := openTestShard(t, newMemDisk(), withData(t, fs, watched(space, func(o *Options) {
		o.Disk.FreeMin, o.Store.CompactPartsMin, o.ExpirePeriod = 8*mib, 4, time.Hour
	})))
	t.Cleanup(func() { close(leave) }) // before the shard closes
	k := s.Shard.keeper
	b := s.open(1)
	for _, lines := range []string{"m f=1 1", "m f=2 2", "m f=3 3", "m f=4 4", "m f=5 5"} {
		if err := write(b, lines); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	// rounds returns when the compacting goroutine has come round, whatever it does.
	rounds := func() {
		for range 2 {
			waitFor(t, "the compacting goroutine", func() bool { return len(k.compacts) == 0 })
			poke(k.compacts)
		}
		waitFor(t, "the compacting goroutine", func() bool { return len(k.compacts) == 0 })
	}
	rounds()
	wanted := k.roomWanted.Load()
	if st := s.KeeperStats(); st.Compactions.Count != 0 || st.CompactionFailures != 0 || st.CompactionError != nil || wanted < 10 || wanted > mib {
		t.Fatalf("a compaction that does not fit: %+v, wanted %d", st, wanted)
	}
	if err := s.Flush(t.Context(), true); !errors.Is(err, errNoRoom) {
		t.Errorf("compacting all: %v, want errNoRoom", err)
	}

	armed.Store(true)
	space.free.Store(20 * mib)
	s.lookNow() // it begins
	<-entered
	space.free.Store(mib / 2)
	s.lookNow() // it is cancelled, and writes are refused
	if !s.Disk().Full {
		t.Fatalf("%+v", s.Disk())
	}
	leave <- struct{}{}
	stopped := time.Now()
	waitFor(t, "it to stop", func() bool { return k.roomWanted.Load() >= 10*mib && k.roomWanted.Load() < 20*mib })
	space.free.Store(20 * mib) // as much as before
	s.lookNow()
	if s.Disk().Full {
		t.Fatalf("%+v", s.Disk())
	}
	rounds()
	if n := begun.Load(); n != 1 && time.Since(stopped) < keeperPeriod {
		t.Fatalf("the compaction has begun %d times, want once: it is woken by its own room", n)
	}
	if st := s.KeeperStats(); st.CompactionFailures != 0 || st.CompactionError != nil {
		t.Errorf("that counts as a failure: %+v", st)
	}
	armed.Store(false)
	space.free.Store(22 * mib) // more
	s.lookNow()
	waitFor(t, "the compaction", func() bool { return s.KeeperStats().Compactions.Count == 1 })
	waitFor(t, "nobody to want room", func() bool { return k.roomWanted.Load() > 1<<62 })
}
