package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/disk"
)

// What can go wrong in the background: what stays in memory, what a failing disk
// leaves behind, what is merged and what is not.

// at makes a point of m with a tag.
func at(measurement, host, field string, value uint64, time int64) testPoint {
	return testPoint{measurement, []point.Tag{{Key: "host", Value: host}}, time, map[string]any{field: value}}
}

// TestFlushedIsLetGo: a measurement that is not written any more keeps nothing of
// the memtable that it was last in.
func TestFlushedIsLetGo(t *testing.T) {
	h := newHarness(t, newRand(t))
	defer h.close()
	var points []testPoint
	for i := range 2 * segmentRowsMin {
		points = append(points, at("idle", "a", "i1", 1, int64(i)))
	}
	h.write(points)
	h.b.mu.Lock()
	p := weak.Make(h.b.active.points[0].segments[0])
	h.b.mu.Unlock()
	h.flush()
	h.write([]testPoint{at("busy", "a", "i1", 1, 1)})
	for range 10 {
		if runtime.GC(); p.Value() == nil {
			return
		}
	}
	t.Error("a segment that has been flushed is still in memory")
}

// unsure is a data store whose commits, while lost is set, become durable and say
// that they failed.
func unsure(t *testing.T, h *harness) (lost *atomic.Bool) {
	t.Helper()
	h.close()
	lost = new(atomic.Bool)
	fs := errorfs.Wrap(h.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if lost.Load() && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errors.New("injected")
		}
		return nil
	}))
	var err error
	if h.data, err = disk.Open(disk.Options{Dir: "data", FS: fs}); err != nil {
		t.Fatal(err)
	}
	h.reopenBucket()
	return lost
}

// fail runs job, whose commit becomes durable although it fails, and opens the
// data store again.
func (h *harness) fail(lost *atomic.Bool, job func() error) {
	h.t.Helper()
	lost.Store(true)
	if err := job(); !errors.Is(err, disk.ErrFailed) {
		h.t.Fatalf("%v, want ErrFailed", err)
	}
	lost.Store(false)
	if err := h.data.Reopen(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// TestUnsureCommits: a commit that has become durable although it failed is taken
// for what it is, be it of a flush, a delete or a compaction.
func TestUnsureCommits(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.stable = true
	ctx := context.Background()
	lost := unsure(t, h)
	flush := func() error {
		h.b.Freeze(h.seq)
		_, err := h.b.Flush(ctx)
		return err
	}
	everything := func(string, string) bool { return true }

	// Series a is defined, freed and defined anew within one flush.
	h.write([]testPoint{at("m", "a", "i1", 1, 5)})
	h.flush()
	h.delete(point.TimeMin, point.TimeMax, everything)
	h.write([]testPoint{at("m", "a", "i1", 2, 5), at("n", "a", "i1", 2, 5)})
	h.fail(lost, flush)
	if flushed := h.b.Flushed(); flushed != h.seq {
		t.Fatalf("flushed is %d, want %d: the test needs a commit that is durable", flushed, h.seq)
	}
	h.flush()
	h.truncate()
	if s := h.b.Stats(); s.Parts != 1 || s.Points != 2 {
		t.Errorf("%+v: what was durable has been flushed again", s)
	}
	if _, frozen := h.b.MemtableBytes(); frozen != 0 {
		t.Errorf("%d bytes count as frozen", frozen)
	}
	h.check(h.b.Snapshot(), h.model, "after a flush")

	// A delete that has happened is reported, and does not stand in the way.
	v := h.b.Snapshot()
	d := record.Delete{Min: 5, Max: 5, Series: v.measurement("n").live}
	v.Close()
	seq := h.append(record.EncodeDelete(nil, d))
	h.b.QueueDelete(seq, d)
	h.fail(lost, func() error { _, err := h.b.Flush(ctx); return err })
	h.model.write([]testPoint{at("m", "b", "i1", 3, 6)})
	h.write([]testPoint{at("m", "b", "i1", 3, 6)})
	h.b.Freeze(h.seq)
	done, err := h.b.Flush(ctx)
	if err != nil {
		t.Fatalf("flush after a delete that was durable: %v", err)
	}
	if len(done) != 1 || done[0] != seq {
		t.Errorf("deletes %v were applied, want %d", done, seq)
	}
	delete(h.model, "n")
	h.sweep()
	h.check(h.b.Snapshot(), h.model, "after a delete")

	h.fail(lost, func() error { _, err := h.b.Compact(ctx, true); return err })
	if _, err := h.b.Compact(ctx, true); err != nil {
		t.Errorf("compact after a compaction that was durable: %v", err)
	}
	h.delete(5, 5, everything)
	h.check(h.b.Snapshot(), h.model, "after a compaction")
	h.crash()
	h.check(h.b.Snapshot(), h.model, "after a crash")
	h.close()
}

// options opens the bucket again with options of the test's choice.
func (h *harness) options(o Options) {
	h.t.Helper()
	h.b.Close()
	d, err := h.data.Bucket(7)
	if err != nil {
		h.t.Fatal(err)
	}
	h.epoch++
	o.Now = func() time.Time { return h.now }
	if h.b, err = OpenBucket(h.epoch, d, o); err != nil {
		h.t.Fatal(err)
	}
}

// settle compacts until there is nothing to do and returns how often it had.
func (h *harness) settle(all bool) int {
	h.t.Helper()
	for n := 0; ; n++ {
		more, err := h.b.Compact(context.Background(), all)
		if err != nil {
			h.t.Fatal(err)
		}
		if !more {
			return n
		}
		if n == 1000 {
			h.t.Fatal("compaction does not come to an end")
		}
	}
}

// TestCompactMixedWindows: parts of wide windows, from flushes with points of many
// windows, between parts of narrow ones keep neither from being merged.
func TestCompactMixedWindows(t *testing.T) {
	h := newHarness(t, newRand(t))
	defer h.close()
	h.options(Options{CompactPartsMin: 8})
	for i := range 40 {
		h.write([]testPoint{at("m", "a", "i1", uint64(i), 5)})
		h.flush()
		h.settle(false)
		var points []testPoint
		for w := range 40 {
			points = append(points, at("m", "a", "i2", uint64(i), int64(w)*int64(windowLong)+int64(i%7)))
		}
		h.write(points)
		h.flush()
		h.settle(false)
	}
	n := 0
	for _, p := range h.b.version.Parts() {
		if p.TimeMin <= 6 {
			n++
		}
	}
	if n > 2*8 {
		t.Errorf("%d of %d parts are of the first week", n, len(h.b.version.Parts()))
	}
	h.check(h.b.Snapshot(), h.model, "after compacting")
	h.settle(true)
	if n := len(h.b.version.Parts()); n != 40 {
		t.Errorf("%d parts of 40 weeks after compacting all", n)
	}
	h.check(h.b.Snapshot(), h.model, "after compacting all")
}

// TestCompactQuietWindow: what is left of a window when nobody writes to it any more
// is merged, and a large part only with what is worth it.
func TestCompactQuietWindow(t *testing.T) {
	h := newHarness(t, newRand(t))
	defer h.close()
	h.options(Options{CompactQuiet: time.Hour})
	for i := range 5 {
		h.write([]testPoint{at("m", "a", "i1", uint64(i), int64(i))})
		h.flush()
	}
	h.now = h.now.Add(time.Hour - 1)
	if n := h.settle(false); n != 0 {
		t.Errorf("%d compactions of a window that is written to", n)
	}
	h.now = h.now.Add(1)
	if n := h.settle(false); n != 1 || len(h.b.version.Parts()) != 1 {
		t.Errorf("%d compactions, %d parts, want one", n, len(h.b.version.Parts()))
	}
	var points []testPoint
	for i := range 500 {
		points = append(points, at("m", "a", "i1", h.r.Uint64(), int64(i)))
	}
	h.write(points)
	h.flush()
	h.now = h.now.Add(time.Hour)
	h.settle(false)
	h.write(points[:1])
	h.flush()
	h.now = h.now.Add(time.Hour)
	if n := h.settle(false); n != 0 {
		t.Errorf("%d compactions for one late point", n)
	}
	h.check(h.b.Snapshot(), h.model, "after compacting")
}

// TestCompactBesideFullPart: a part that is too large to be merged, and from which
// points were deleted, does not keep what comes after it from being merged.
func TestCompactBesideFullPart(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.stable = true
	defer h.close()
	h.options(Options{PartBytesMax: 10000})
	var points []testPoint
	for i := range 2000 {
		points = append(points, at("large", "a", "i1", h.r.Uint64(), int64(i)), at("m", "0", "i1", 1, int64(i%100)))
	}
	h.write(points)
	h.flush()
	h.delete(0, 1, func(m, _ string) bool { return m == "m" })
	for i := range 200 {
		h.write([]testPoint{at("m", "0", "i1", uint64(i), int64(i))})
		h.flush()
		h.settle(false)
	}
	if n := len(h.b.version.Parts()); n > 20 {
		t.Errorf("%d parts in one window", n)
	}
	h.check(h.b.Snapshot(), h.model, "after compacting")
}

// TestDefinitionsAreRewritten: series that come and go leave nothing behind for good,
// and neither do many small chunks.
func TestDefinitionsAreRewritten(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.stable = true
	defer h.close()
	h.options(Options{DeadMin: 100})
	small := h.b.MemoryBytes()
	for i := range 40 {
		var points []testPoint
		for k := range 100 {
			points = append(points, at("m", fmt.Sprint(i, "-", k), "i1", 1, 1))
		}
		h.write(points)
		h.delete(point.TimeMin, point.TimeMax, func(m, _ string) bool { return m == "m" })
		if i == 0 && (!h.b.Forgetful() || h.b.Wasteful()) {
			t.Error("what was freed is in the log only")
		}
	}
	h.flush()
	if h.b.Forgetful() || !h.b.Wasteful() {
		t.Error("what was freed is not in the log only")
	}
	next := h.b.series.next
	reopen := func() {
		t.Helper()
		h.options(Options{DeadMin: 100})
		if !h.b.WastefulOnDisk() {
			t.Fatal("not wasteful")
		}
		if err := h.b.RewriteDefinitions(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.options(Options{DeadMin: 100})
		if h.b.WastefulOnDisk() || h.b.Wasteful() {
			t.Error("still wasteful")
		}
	}
	reopen()
	if n := h.b.MemoryBytes(); n > 2*small {
		t.Errorf("%d bytes of an empty bucket, %d at first", n, small)
	}
	h.write([]testPoint{at("m", "new", "i1", 1, 1)})
	if id, _, ok := h.b.LookupSeries([]byte("m,host=new")); !ok || id <= next {
		t.Errorf("series %d after %d: an id is used twice", id, next)
	}
	for i := range chunksMax + 2 {
		h.write([]testPoint{at("m", fmt.Sprint(i), "i1", 1, 1)})
		h.flush()
	}
	reopen()
	h.check(h.b.Snapshot(), h.model, "after writing definitions anew")
	h.crash()
	h.check(h.b.Snapshot(), h.model, "after a crash")
}

// TestNothingToFlush: an empty memtable costs no commit.
func TestNothingToFlush(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.stable = true
	defer h.close()
	h.write([]testPoint{at("m", "a", "i1", 1, 1), at("m", "b", "i1", 1, 1)})
	h.flush()
	v := h.b.version
	h.flush()
	if h.b.version != v {
		t.Error("an empty memtable was committed")
	}
	flushes := h.b.IOStats().Flushes
	h.delete(1, 1, func(_, key string) bool { return strings.HasSuffix(key, "a") })
	if n := h.b.IOStats().Flushes; n != flushes {
		t.Error("an empty memtable before a delete was committed")
	}
	if h.b.Flushed() < h.seq-1 { // the last frees a
		t.Errorf("flushed %d of %d", h.b.Flushed(), h.seq)
	}
	h.flush()
	if h.b.Flushed() != h.seq {
		t.Errorf("flushed %d of %d", h.b.Flushed(), h.seq)
	}
	h.check(h.b.Snapshot(), h.model, "at the end")
}

// TestFreezeHidesNothing: a view that is made while the memtable is frozen has its
// points.
func TestFreezeHidesNothing(t *testing.T) {
	h := newHarness(t, newRand(t))
	defer h.close()
	h.write([]testPoint{at("m", "a", "i1", 1, 1)})
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		missed := 0
		for {
			select {
			case <-stop:
				done <- missed
				return
			default:
			}
			v := h.b.Snapshot()
			if len(v.Measurements()) == 0 {
				missed++
			}
			v.Close()
		}
	}()
	for range 2000 {
		h.b.Freeze(h.seq)
		h.write([]testPoint{at("m", "a", "i1", 1, 1)})
	}
	close(stop)
	if n := <-done; n > 0 {
		t.Errorf("%d views without points", n)
	}
}
