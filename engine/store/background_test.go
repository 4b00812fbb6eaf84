package store

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
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
