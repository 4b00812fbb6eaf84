package store

import (
	"runtime"
	"testing"
	"weak"

	"headgate/engine/point"
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
