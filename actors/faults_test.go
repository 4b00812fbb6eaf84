package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
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
	"headgate/wal/pebblewal"
	"headgate/wal/waltest"
)

// faultyFS counts operations and makes one of them fail, or all from one on.
type faultyFS struct {
	vfs.FS
	mu     sync.Mutex
	kind   errorfs.OpReadWrite
	ops    int
	failAt int // -1: never
	sticky bool
	fired  string // the first operation that has failed
}

func newFaultyFS(fs vfs.FS, kind errorfs.OpReadWrite) *faultyFS {
	f := &faultyFS{kind: kind, failAt: -1}
	f.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(f.inject))
	return f
}

func (f *faultyFS) inject(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileClose, errorfs.OpGetDiskUsage:
		return nil
	}
	if op.Kind.ReadOrWrite() != f.kind {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.ops
	f.ops++
	if f.failAt < 0 || n != f.failAt && (n < f.failAt || !f.sticky) {
		return nil
	}
	if f.fired == "" {
		f.fired = fmt.Sprintf("operation %d, kind %d, of %s", n, op.Kind, op.Path)
	}
	if f.kind == errorfs.OpIsRead {
		return syscall.EIO
	}
	return syscall.ENOSPC
}

// heal ends the faults, if one has come.
func (f *faultyFS) heal() (fired string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fired != "" {
		f.failAt = -1
	}
	return f.fired
}

// faultRun is one run of the script over a disk with a fault.
type faultRun struct {
	retention time.Duration // of bucket 1, 0 for ever
	t         *testing.T
	fs        *faultyFS
	now       atomic.Int64 // ns; the shard's goroutines read it
	s         *Shard
	acked     map[int64]bool // times that must be there
	maybe     map[int64]bool // times of writes and deletes whose outcome is unknown
	step      string
	refused   int
}

func (r *faultRun) fatal(format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf("%s, %s: %s", r.step, r.fs.heal(), fmt.Sprintf(format, args...))
}

func (r *faultRun) open() error {
	data, err := disk.Open(disk.Options{Dir: "data", FS: r.fs, MemTableBytes: 256 << 10})
	if err != nil {
		return err
	}
	o := Options{Data: data, MemtableBytesMax: 1 << 20, OpenLog: func() (wal.Log, error) {
		return pebblewal.Open(pebblewal.Options{Dir: "log", FS: r.fs, MemTableBytes: 256 << 10, RecordBytesMax: 1 << 20})
	}}
	o.Store.Now = func() time.Time { return time.Unix(0, r.now.Load()) }
	o.Store.CompactPartsMin = 2
	s, err := OpenShard(o)
	if err != nil {
		return errors.Join(err, data.Close())
	}
	r.s = s
	for _, id := range []point.BucketID{1, 2} {
		b, err := s.OpenBucket(id)
		if err != nil {
			return err
		}
		// As the engine does. What has expired may still be on the disk: a fault can hold
		// up its removal beyond a restart.
		if id == 1 {
			b.SetRetention(r.retention)
		}
	}
	return nil
}

func (r *faultRun) bucket(id point.BucketID) *Bucket {
	b, err := r.s.OpenBucket(id)
	if err != nil {
		r.fatal("%v", err)
	}
	return b
}

// refusable reports whether an error is one that a client is to be told 503 for.
func refusable(err error) bool {
	return errors.Is(err, ErrIndeterminate) || errors.As(err, new(*UnavailableError)) || errors.Is(err, ErrStale)
}

func isRecovering(err error) bool {
	var u *UnavailableError
	return errors.As(err, &u) && u.Reason == Recovering
}

// insist does a step until it works, and lets the disk heal after the first time that
// it did not.
func (r *faultRun) insist(name string, ok func(error) bool, do func() error) {
	r.t.Helper()
	r.step = name
	for start := time.Now(); ; runtime.Gosched() {
		err := do()
		if err == nil {
			break
		}
		if !errors.Is(err, ErrStale) && !isRecovering(err) {
			r.refused++
		}
		if !ok(err) {
			r.fatal("failed in another way: %v", err)
		}
		if time.Since(start) > testTimeout {
			r.fatal("does not work again: %v", err)
		}
		r.fs.heal()
		if r.s != nil {
			r.s.retryNow()
		}
	}
	r.check()
}

// check reads what there is.
func (r *faultRun) check() {
	r.t.Helper()
	if r.s == nil {
		return
	}
	for start := time.Now(); ; runtime.Gosched() {
		got, err := r.read()
		if err == nil {
			for at := range r.acked {
				if !slices.Contains(got, at) && !r.maybe[at] {
					r.fatal("%d is lost; there are %v", at, got)
				}
			}
			for _, at := range got {
				if !r.acked[at] && !r.maybe[at] {
					r.fatal("%d is there and should not be, among %v", at, got)
				}
			}
			return
		}
		if time.Since(start) > testTimeout {
			r.fatal("cannot be read: %v", err)
		}
		if r.fs.heal() != "" { // a bucket may have met it while it recovered
			r.s.retryNow()
		}
	}
}

func (r *faultRun) read() (got []int64, err error) {
	st := r.bucket(1).State().Store
	if st == nil {
		return nil, errors.New("recovering")
	}
	v := st.Snapshot()
	if v == nil {
		return nil, errors.New("renewed")
	}
	defer v.Close()
	err = v.Read(r.t.Context(), point.ReadRequest{Measurement: "m", Fields: []string{"f"}, Min: point.TimeMin, Max: point.TimeMax}, func(rows point.SeriesRows) error {
		got = append(got, rows.Times...)
		return nil
	})
	return got, err
}

func (r *faultRun) write(from, to int64) {
	r.t.Helper()
	var lines strings.Builder
	for at := from; at <= to; at++ {
		fmt.Fprintf(&lines, "m,s=%d f=%d %d\n", at%3, at, at)
		r.maybe[at] = true
	}
	r.insist(fmt.Sprintf("write %d to %d", from, to), refusable, func() error { return write(r.bucket(1), lines.String()) })
	for at := from; at <= to; at++ {
		r.acked[at] = true
		delete(r.maybe, at)
	}
	r.check()
}

func (r *faultRun) deleteTimes(from, to int64) {
	r.t.Helper()
	for at := from; at <= to; at++ {
		r.maybe[at] = true
	}
	r.insist(fmt.Sprintf("delete %d to %d", from, to), refusable, func() error {
		b := r.bucket(1)
		st := b.State()
		if st.Unavailable != nil {
			return st.Unavailable
		}
		set := roaring.New()
		set.AddRange(1, 100)
		ctx, cancel := context.WithTimeout(r.t.Context(), testTimeout)
		shard := r.s
		var healer sync.WaitGroup
		healer.Go(func() { // the delete waits for the flush, which waits for the disk
			t := time.NewTicker(time.Millisecond)
			defer t.Stop()
			for {
				select {
				case <-t.C:
				case <-ctx.Done():
					return
				}
				if r.fs.heal() != "" && shard.dataError() != nil {
					shard.retryNow()
				}
			}
		})
		err := b.Delete(ctx, Delete{Series: set, Min: from, Max: to, Epoch: st.Epoch}, testTimeout)
		cancel()
		healer.Wait()
		return err
	})
	for at := from; at <= to; at++ {
		delete(r.acked, at)
		delete(r.maybe, at)
	}
	r.check()
}

func anyError(error) bool { return true }

func (r *faultRun) close() {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	_ = r.s.Close(ctx) // of a log that has failed it may say so
	if ctx.Err() != nil {
		r.fatal("close hangs")
	}
	r.s = nil
}

// run is the script: it opens, writes, flushes, compacts, deletes, lets expire, drops a
// bucket and opens everything again.
func (r *faultRun) run() {
	r.t.Helper()
	flush := func(compact bool) {
		r.insist("flush", anyError, func() error { return r.s.Flush(r.t.Context(), compact) })
	}
	r.insist("open", anyError, r.open)
	r.insist("recover", refusable, func() error { return r.bucket(1).State().Unavailable })
	base := r.now.Load()
	r.write(base+1, base+5)
	flush(false)
	r.write(base+6, base+9)
	flush(false)
	r.insist("write to a bucket to drop", refusable, func() error { return write(r.bucket(2), "m f=1 1") })
	flush(true)
	r.deleteTimes(base+2, base+3)
	r.write(base+3, base+3)
	r.insist("drop", anyError, func() error { return r.s.DropBucket(r.t.Context(), 2) })
	// An hour later everything so far has expired, but for what is written then.
	r.now.Add(int64(2 * time.Hour))
	clear(r.acked)
	r.retention = time.Hour
	r.bucket(1).SetRetention(r.retention)
	r.check()
	r.write(r.now.Load()-10, r.now.Load()-6)
	flush(true)
	r.deleteTimes(r.now.Load()-7, r.now.Load()-7)
	r.close()
	r.insist("open", anyError, r.open)
	r.insist("recover", refusable, func() error { return r.bucket(1).State().Unavailable })
	r.write(r.now.Load()-5, r.now.Load()-1)
	flush(true)
	// All is well again, by itself.
	r.step = "be well"
	r.s.retryNow()
	waitFor(r.t, "everything to be well", func() bool {
		if r.fs.heal() != "" { // it may come only now
			r.s.retryNow()
		}
		k := r.s.KeeperStats()
		return r.s.Probe(r.t.Context()) == nil && r.s.dataError() == nil && k.CompactionError == nil && r.s.Ping(r.t.Context()) == nil && refusedFor(r.s.Gate()) == Admitted
	})
	r.close()
}

func newFaultRun(t *testing.T, kind errorfs.OpReadWrite) *faultRun {
	r := &faultRun{t: t, fs: newFaultyFS(vfs.NewMem(), kind), acked: make(map[int64]bool), maybe: make(map[int64]bool)}
	r.now.Store(1_000_000_000 * int64(time.Second))
	return r
}

// unreadableLog is a log whose disk gives nothing for a while.
type unreadableLog struct {
	wal.Log
	failures atomic.Int32 // that are left
}

func (l *unreadableLog) Replay(ctx context.Context, bucket, after uint64, fn func(uint64, []byte) error) error {
	if l.failures.Add(-1) >= 0 {
		return fmt.Errorf("%w: %w", wal.ErrUnreadable, syscall.EIO)
	}
	return l.Log.Replay(ctx, bucket, after, fn)
}

// TestUnreadableLogHeals: a bucket whose records could not be read comes back by itself.
func TestUnreadableLogHeals(t *testing.T) {
	fs, disk := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, disk, withData(t, fs, nil))
	if err := write(s.open(1), "m f=1 1"); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	log := new(unreadableLog)
	log.failures.Store(2)
	s = openTestShard(t, disk, withData(t, fs, func(o *Options) {
		o.OpenLog = func() (_ wal.Log, err error) {
			log.Log, err = disk.open()
			return log, err
		}
	}))
	b := s.open(1)
	waitFor(t, "the bucket", func() bool {
		s.retryNow()
		return b.State().Unavailable == nil
	})
	if got := times(t, b); !slices.Equal(got, []int64{1}) {
		t.Errorf("%v", got)
	}
	if n := log.failures.Load(); n != -1 {
		t.Errorf("%d failures are left", n)
	}
}

// TestEveryOperationFails runs the script with each operation on the disk failing:
// that one only, or from then on until a client has been refused. Nothing that was
// acknowledged is lost, nothing fails in another way than by being refused, and
// all works again when the disk does. HEADGATE_FAULTS=all tries every operation.
func TestEveryOperationFails(t *testing.T) {
	seed := waltest.Seed(t)
	for _, kind := range []struct {
		name string
		kind errorfs.OpReadWrite
	}{{"writes", errorfs.OpIsWrite}, {"reads", errorfs.OpIsRead}} {
		t.Run(kind.name, func(t *testing.T) {
			clean := newFaultRun(t, kind.kind)
			clean.run()
			if clean.refused > 0 {
				t.Fatalf("%d refusals without a fault", clean.refused)
			}
			n := clean.fs.ops
			rng := rand.New(rand.NewPCG(seed, uint64(kind.kind)))
			points := rng.Perm(n)
			if os.Getenv("HEADGATE_FAULTS") != "all" {
				points = points[:min(n, 12)]
			}
			t.Logf("%d of %d operations", len(points), n)
			for _, sticky := range []bool{false, true} {
				fired := 0
				for _, k := range points {
					r := newFaultRun(t, kind.kind)
					r.fs.mu.Lock()
					r.fs.failAt, r.fs.sticky = k, sticky
					r.fs.mu.Unlock()
					r.run()
					if r.fs.fired != "" {
						fired++
					}
					if t.Failed() {
						return
					}
				}
				if fired < len(points)*3/4 { // goroutines in the background make the last ones vary
					t.Errorf("only %d of %d faults came", fired, len(points))
				}
			}
		})
	}
}
