package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/store/disk"
	"headgate/wal"
)

// fakeSpace is a file system as the watch sees it.
type fakeSpace struct {
	free, total atomic.Int64
	err         atomic.Pointer[error]
	looks       atomic.Int64
}

func (f *fakeSpace) of(string) (disk.Space, error) {
	f.looks.Add(1)
	if err := f.err.Load(); err != nil {
		return disk.Space{}, *err
	}
	return disk.Space{Free: f.free.Load(), Total: f.total.Load()}, nil
}

// watched makes the shard watch space. Nothing looks by itself within the test.
func watched(space *fakeSpace, change func(*Options)) func(*Options) {
	return func(o *Options) {
		o.Disk = DiskOptions{Dirs: []string{"data"}, Space: space.of, Period: time.Hour}
		if change != nil {
			change(o)
		}
	}
}

// lookNow has the watch look, and waits for it.
func (s *testShard) lookNow() {
	s.t.Helper()
	done := make(chan struct{})
	select {
	case s.Shard.disk.wants <- done:
	case <-time.After(testTimeout):
		s.t.Fatal("the watch does not take orders")
	}
	<-done
}

func TestFreeMinDefault(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ total, want, ballast int64 }{
		{16 * mib, 2 * mib, 16 * mib / 100},
		{96 * mib, 8 * mib, 96 * mib / 100},
		{1024 * mib, 1024 * mib / 20, 1024 * mib / 100},
		{1 << 40, 256 * mib, 64 * mib},
	} {
		o := DiskOptions{Ballast: disk.OpenBallast(vfs.NewMem(), "ballast")}
		if got := o.freeMin(c.total); got != c.want {
			t.Errorf("of %d: %d must be free, want %d", c.total, got, c.want)
		}
		if got := o.ballastBytes(c.total); got != c.ballast {
			t.Errorf("of %d: ballast is %d, want %d", c.total, got, c.ballast)
		}
		o.FreeMin, o.BallastBytes = 5, 7
		if o.freeMin(c.total) != 5 || o.ballastBytes(c.total) != 7 {
			t.Error("the options are not heeded")
		}
		o.BallastBytes = -1
		if o.ballastBytes(c.total) != 0 {
			t.Error("there is ballast though there should be none")
		}
	}
}

// TestDiskFull: below the mark writes are refused, deletes and reads are not; above
// the other mark writes are taken again, and in between it is as it was.
func TestDiskFull(t *testing.T) {
	const mib = 1 << 20
	space := new(fakeSpace)
	space.total.Store(400 * mib)
	space.free.Store(300 * mib)
	s := openTestShard(t, newMemDisk(), withData(t, vfs.NewMem(), watched(space, nil)))
	b := s.open(1)
	if err := write(b, "m f=1 1\nm f=1 2"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		free int64
		full bool
	}{{21, false}, {19, true}, {24, true}, {26, false}, {22, false}, {0, true}, {400, false}} {
		space.free.Store(c.free * mib)
		s.lookNow()
		if st := s.Disk(); st.Full != c.full || st.FreeMin != 20*mib || st.FreeAgain != 25*mib || st.Free != c.free*mib {
			t.Errorf("with %d MiB free: %+v", c.free, st)
		}
		want := Admitted
		if c.full {
			want = DiskFull
		}
		if r := refusedFor(s.Gate()); r != want {
			t.Errorf("with %d MiB free: the gate says %s, want %s", c.free, r, want)
		}
	}
	space.free.Store(0)
	s.lookNow()
	var u *UnavailableError
	if err := write(b, "m f=1 3"); !errors.As(err, &u) || u.Reason != DiskFull {
		t.Errorf("what was admitted before is logged: %v", err)
	}
	if got := times(t, b); len(got) != 2 {
		t.Errorf("reading: %v", got)
	}
	if r := b.Share().AcquireToFree(t.Context(), 1, 0); r != Admitted {
		t.Errorf("a delete is refused: %s", r)
	}
	b.Share().Release(1)
	d := all(b)
	d.Max = 1
	if err := b.Delete(t.Context(), d, testTimeout); err != nil {
		t.Errorf("delete: %v", err)
	}
	if got := times(t, b); len(got) != 1 {
		t.Errorf("after the delete: %v", got)
	}
}

// TestNoMoreIsLoggedThanFits: between two looks at the disk no more is logged than
// the first has found room for, however much has been admitted.
func TestNoMoreIsLoggedThanFits(t *testing.T) {
	space := new(fakeSpace)
	space.total.Store(1 << 30)
	space.free.Store(10_000)
	log := newMemDisk()
	s := openTestShard(t, log, watched(space, func(o *Options) { o.Disk.FreeMin = 1000 }))
	var logged atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		b := s.open(2)
		wg.Go(func() {
			for k := range 1000 {
				err := write(b, fmt.Sprintf("m f=%d %d", k, 1000*i+k))
				var u *UnavailableError
				switch {
				case err == nil:
					logged.Add(1)
				case errors.As(err, &u) && u.Reason == DiskFull:
				case errors.Is(err, ErrStale):
				default:
					t.Error(err)
				}
				// The disk has got what the log has.
				log.mu.Lock()
				n := int64(0)
				for _, r := range log.records[2] {
					n += int64(len(r))
				}
				space.free.Store(10_000 - n)
				log.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if free := space.free.Load(); free < 1000 || free > 9000 || logged.Load() == 0 {
		t.Errorf("%d bytes are left after %d writes, want 1000 or a little more", free, logged.Load())
	}
}

// TestFreeMinOff: a negative mark refuses nothing.
func TestFreeMinOff(t *testing.T) {
	space := new(fakeSpace)
	space.total.Store(1 << 30)
	s := openTestShard(t, newMemDisk(), watched(space, func(o *Options) { o.Disk.FreeMin = -1 }))
	b := s.open(1)
	if err := write(b, "m f=1 1"); err != nil || refusedFor(s.Gate()) != Admitted || s.Disk().Full {
		t.Errorf("%v, %+v", err, s.Disk())
	}
}

// TestDiskThatCannotBeAsked: what was true stays true.
func TestDiskThatCannotBeAsked(t *testing.T) {
	space := new(fakeSpace)
	space.total.Store(1 << 30)
	space.free.Store(1 << 29)
	s := openTestShard(t, newMemDisk(), watched(space, nil))
	b := s.open(1)
	broken := error(syscall.EIO)
	space.err.Store(&broken)
	s.lookNow()
	if st := s.Disk(); !errors.Is(st.Err, syscall.EIO) || st.Full {
		t.Errorf("%+v", st)
	}
	if err := write(b, "m f=1 1"); err != nil {
		t.Error(err)
	}
	space.err.Store(nil)
	space.free.Store(0)
	s.lookNow()
	space.err.Store(&broken)
	s.lookNow()
	if st := s.Disk(); !st.Full {
		t.Errorf("%+v", st)
	}
	space.err.Store(nil)
	space.free.Store(1 << 29)
	s.lookNow()
	if st := s.Disk(); st.Err != nil || st.Full {
		t.Errorf("%+v", st)
	}
}

// TestBallastIsGivenUp: on a disk that others have filled a delete works, since it
// gets the ballast's room, and the ballast comes back when there is room again.
func TestBallastIsGivenUp(t *testing.T) {
	const mib = 1 << 20
	mem := vfs.NewMem()
	space := new(fakeSpace)
	space.total.Store(400 * mib)
	space.free.Store(300 * mib)
	log := newMemDisk()
	var lines lockedBuffer
	s := openTestShard(t, log, withData(t, vfs.NewMem(), watched(space, func(o *Options) {
		o.Disk.Ballast = disk.OpenBallast(mem, "ballast")
		o.Disk.BallastBytes = 3 * mib
		o.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	})))
	held := func() int64 { return disk.OpenBallast(mem, "ballast").Held() }
	waitFor(t, "the ballast", func() bool { return s.Disk().BallastBytes == 3*mib })
	b := s.open(1)
	if err := write(b, "m f=1 1\nm f=1 2"); err != nil {
		t.Fatal(err)
	}
	space.free.Store(15 * mib) // refused, but above the emergency
	s.lookNow()
	if held() != 3*mib {
		t.Fatal("the ballast has been given up without need")
	}
	space.free.Store(0)
	poke(s.Shard.disk.looks)
	waitFor(t, "a look", func() bool { return s.Disk().Free == 0 })
	if held() != 3*mib {
		t.Fatal("the ballast has been given up though nobody needs it")
	}
	d := all(b)
	d.Max = 1
	if err := b.Delete(t.Context(), d, testTimeout); err != nil {
		t.Fatal(err)
	}
	s.MakeRoom(t.Context())
	if held() != 0 {
		t.Fatal("the ballast has not been given up")
	}
	// What it left is owed, so that no writes come in and take it.
	space.free.Store(3 * mib)
	s.lookNow()
	if st := s.Disk(); !st.Full || st.Owed < 3*mib {
		t.Errorf("%+v", st)
	}
	space.free.Store(26 * mib)
	s.lookNow()
	if st := s.Disk(); !st.Full {
		t.Errorf("writes are let in before the ballast has its room: %+v", st)
	}
	space.free.Store(300 * mib)
	s.lookNow()
	waitFor(t, "the ballast", func() bool { return s.Disk().BallastBytes == 3*mib && held() == 3*mib })
	for _, want := range []string{"disk is nearly full", "its ballast has been given up", "disk has room again"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, lines.String())
		}
	}
}

// lockedBuffer is a buffer for many writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestBallastForAFailedLog: a log that cannot be opened for want of space gets the
// ballast's, and is opened at once.
func TestBallastForAFailedLog(t *testing.T) {
	const mib = 1 << 20
	mem := vfs.NewMem()
	space := new(fakeSpace)
	space.total.Store(400 * mib)
	space.free.Store(300 * mib)
	log := newMemDisk()
	s := openTestShard(t, log, watched(space, func(o *Options) {
		o.Disk.Ballast = disk.OpenBallast(mem, "ballast")
		o.Disk.BallastBytes = mib
	}))
	waitFor(t, "the ballast", func() bool { return s.Disk().BallastBytes == mib })
	s.open(1)
	space.free.Store(0)
	log.break_(syscall.ENOSPC)
	if err := s.Probe(t.Context()); !errors.Is(err, wal.ErrFailed) {
		t.Fatal(err)
	}
	poke(s.Shard.disk.looks)
	waitFor(t, "the ballast to go", func() bool { return disk.OpenBallast(mem, "ballast").Held() == 0 })
	log.break_(nil)
	waitFor(t, "the log", func() bool { return s.Log().Failed() == nil && Reason(s.Gate().shut.Load()) == Admitted })
}

// TestMakeRoomDoesNotHang: a disk that cannot be asked holds nobody up for long.
func TestMakeRoomDoesNotHang(t *testing.T) {
	space := new(fakeSpace)
	space.total.Store(1 << 30)
	s := openTestShard(t, newMemDisk(), watched(space, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.MakeRoom(ctx)
	var none Shard
	none.MakeRoom(ctx)
}
