package actors

import (
	"errors"
	"math"
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
	// When the disk is not full any more, it is so at once, not with the next look.
	space := new(fakeSpace)
	w := diskWatch{o: DiskOptions{Dirs: []string{"data"}, FreeMin: 8 * mib, Space: space.of}}
	for _, c := range []struct {
		full       bool
		free, want int64
	}{{true, 12, 12 - 1}, {true, 13, 13 - 3 - 8 - 1}, {false, 12, 12 - 3 - 8 - 1}} {
		w.state.Store(&DiskState{Owed: 3 * mib, Full: c.full})
		space.free.Store(c.free * mib)
		if got := w.compactionRoom(); got != c.want*mib {
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
	s.writeParts(b, "m f=1 1", "m f=2 2", "m f=3 3", "m f=4 4", "m f=5 5")
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

// TestExpiryOnAFullDisk: a bucket that waits for room to be compacted still drops what
// has expired, which makes room.
func TestExpiryOnAFullDisk(t *testing.T) {
	const mib = 1 << 20
	space := new(fakeSpace)
	space.total.Store(400 * mib)
	space.free.Store(9 * mib) // of which a compaction gets nothing
	s := openTestShard(t, newMemDisk(), withData(t, vfs.NewMem(), watched(space, func(o *Options) {
		o.Disk.FreeMin, o.Store.CompactPartsMin, o.ExpirePeriod = 8*mib, 4, time.Hour
		o.Store.Now = func() time.Time { return time.Unix(1e9, 0) }
	})))
	k := s.Shard.keeper
	b := s.open(1)
	s.writeParts(b, "m f=1 1", "m f=2 2", "m f=3 3", "m f=4 4", "m f=5 5")
	waitFor(t, "the bucket to rest", func() bool { return k.roomWanted.Load() < mib })
	b.SetRetention(time.Hour)
	waitFor(t, "what has expired to go", func() bool { return b.State().Store.IOStats().ExpiredParts == 5 })
	if st := s.KeeperStats(); st.CompactionFailures != 0 || st.Compactions.Count != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRoomWanted: who waits for room is woken when there is more than the least that
// one of them wants, and by a number that never overflows.
func TestRoomWanted(t *testing.T) {
	k := newKeeper(nil)
	k.rested(map[*Bucket]*rest{
		{id: 1}: {err: &noRoomError{}, room: 7}, {id: 2}: {err: errNoRoom, room: 5}, {id: 3}: {err: errNoRoom, room: 9},
		{id: 4}: {err: errors.New("other"), room: 1},
	})
	for _, c := range []struct {
		room  int64
		woken int
	}{{4, 0}, {5, 0}, {6, 1}} {
		if k.thereIsRoom(c.room); len(k.compacts) != c.woken {
			t.Errorf("with room for %d: woken %d times, want %d", c.room, len(k.compacts), c.woken)
		}
	}
	if k.stats.restingError.Load() == nil {
		t.Error("the one that failed is not told")
	}

	// One that began when nobody could tell how much room there was.
	r := &rest{err: errNoRoom}
	if r.wants(math.MaxInt64); r.wakes(false, 1<<40) {
		t.Errorf("wants more than %d, and is woken by %d", r.room, int64(1<<40))
	}
}
