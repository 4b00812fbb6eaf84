package store

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/disk"
	"headgate/engine/testkit"
)

var stepsFlag = flag.Int("steps", 500, "steps of TestDurableModel, fewer under the race detector; .ci/run takes 10,000")

// harness is a bucket with a data store on a file system that can crash, a log
// that cannot, and a model of what both should hold.
type harness struct {
	t     testing.TB
	r     *rand.Rand
	fs    *vfs.MemFS
	data  *disk.Store
	b     *Bucket
	epoch uint64
	now   time.Time

	log   map[uint64][]byte // seq -> record, as far as it is not truncated
	seq   uint64
	model model
	// ever is the fields that a measurement has had since it was last empty.
	ever map[string]map[string]bool
	// hidden is the time before which points have expired, at most.
	retention int64
	hidden    int64
	trail     []string
	stable    bool  // no crashes but those asked for
	room      int64 // for a compaction
}

var errHarnessRoom = errors.New("no room")

func newHarness(t testing.TB, r *rand.Rand) *harness {
	h := &harness{t: t, r: r, fs: vfs.NewCrashableMem(), log: map[uint64][]byte{}, model: model{}, ever: map[string]map[string]bool{},
		now: time.Unix(0, 1000), hidden: math.MinInt64, room: math.MaxInt64}
	h.open()
	return h
}

func (h *harness) open() {
	h.t.Helper()
	var err error
	if h.data, err = disk.Open(disk.Options{Dir: "data", FS: h.fs}); err != nil {
		h.t.Fatal(err)
	}
	h.reopenBucket()
}

// reopenBucket loads the bucket and replays the log, as its actor does.
func (h *harness) reopenBucket() {
	h.t.Helper()
	d, err := h.data.Bucket(7)
	if err != nil {
		h.t.Fatal(err)
	}
	h.epoch++
	o := Options{Now: func() time.Time { return h.now }, PartBytesMax: 1 << (10 + h.r.IntN(12)), CompactPartsMin: 2 + h.r.IntN(3),
		DeadMin: 1 + h.r.IntN(40), CompactQuiet: time.Duration(1 + h.r.IntN(500)), CompactionRoom: func(bytes int64) error {
			if bytes > h.room {
				return errHarnessRoom
			}
			return nil
		}}
	if h.b, err = OpenBucket(h.epoch, d, o); err != nil {
		h.t.Fatal(err)
	}
	if h.b.WastefulOnDisk() {
		next := h.b.series.next
		if err := h.b.RewriteDefinitions(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		h.b.Close()
		if h.b, err = OpenBucket(h.epoch, d, o); err != nil {
			h.t.Fatal(err)
		}
		if h.b.series.next != next {
			h.t.Fatalf("the highest series is %d, was %d", h.b.series.next, next)
		}
		if h.b.WastefulOnDisk() && h.b.deadAtOpen > 2 {
			h.t.Fatal("definitions are wasteful after being written anew")
		}
	}
	h.b.SetRetention(h.retention)
	for _, seq := range slices.Sorted(maps.Keys(h.log)) {
		if seq <= h.b.Flushed() {
			continue
		}
		if err := h.b.Replay(seq, h.log[seq]); err != nil {
			h.t.Fatalf("replay %d: %v", seq, err)
		}
		if h.b.Queued() > 0 {
			if _, err := h.b.Flush(context.Background()); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	h.sweep()
}

func (h *harness) close() {
	h.b.Close()
	if err := h.data.Close(); err != nil {
		h.t.Error(err)
	}
}

// crash loses what has not been synced.
func (h *harness) crash() {
	h.t.Helper()
	clone := h.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: h.r.IntN(101), RNG: h.r})
	h.close()
	h.fs = clone
	h.open()
}

func (h *harness) append(rec []byte) uint64 {
	h.seq++
	h.log[h.seq] = bytes.Clone(rec)
	return h.seq
}

func (h *harness) write(points []testPoint) {
	h.t.Helper()
	batch := resolved(h.b, points)
	if _, err := h.b.Define(batch); err != nil {
		h.t.Fatal(err)
	}
	rewrite(batch)
	var defs record.Definitions
	ps := h.b.PendingFor(batch)
	for _, p := range ps {
		p.AppendTo(&defs)
	}
	h.append(record.Encode(nil, batch, &defs))
	h.b.Logged(ps)
	h.b.Settle(ps)
	h.b.Link(batch, Pack(batch))
	point.PutBatch(batch)
	h.model.write(points)
	for _, p := range points {
		if h.ever[p.measurement] == nil {
			h.ever[p.measurement] = map[string]bool{}
		}
		for f := range p.fields {
			h.ever[p.measurement][f] = true
		}
	}
}

func (h *harness) flush() {
	h.t.Helper()
	h.b.Freeze(h.seq)
	if _, err := h.b.Flush(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	h.truncate()
}

func (h *harness) truncate() {
	for seq := range h.log {
		if seq <= h.b.Flushed() {
			delete(h.log, seq)
		}
	}
}

// delete deletes the points of series that pick chooses in [lo, hi].
func (h *harness) delete(lo, hi int64, pick func(measurement, key string) bool) {
	h.t.Helper()
	set := roaring.New()
	v := h.b.Snapshot()
	for _, m := range v.Measurements() {
		for _, s := range v.Series(m) {
			if pick(m, string(h.b.SeriesKey(s.ID))) {
				set.Add(uint32(s.ID))
			}
		}
	}
	v.Close()
	d := record.Delete{Min: lo, Max: hi, Series: set}
	h.b.QueueDelete(h.append(record.EncodeDelete(nil, d)), d)
	if !h.stable && h.r.IntN(10) == 0 { // between the log's sync and the keeper's work
		h.crash()
	} else if _, err := h.b.Flush(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	h.truncate()
	for m, series := range h.model {
		for key, rows := range series {
			if pick(m, key) {
				for t := range rows {
					if lo <= t && t <= hi {
						delete(rows, t)
					}
				}
			}
			if len(rows) == 0 {
				delete(series, key)
			}
		}
		if len(series) == 0 {
			delete(h.model, m)
			delete(h.ever, m)
		}
	}
	h.sweep()
}

// sweep frees what has no points, as the actor does.
func (h *harness) sweep() {
	if f, any := h.b.Dead(nil, func(point.MeasurementID) bool { return false }); any {
		h.append(record.EncodeFree(nil, f))
		h.b.Free(f)
		h.b.SettleFree(f)
	}
}

// expire forgets in the model what can no longer be seen.
func (h *harness) expire() {
	if h.retention == 0 {
		return
	}
	h.hidden = max(h.hidden, h.now.UnixNano()-h.retention)
	for m, series := range h.model {
		for key, rows := range series {
			for t := range rows {
				if t < h.hidden {
					delete(rows, t)
				}
			}
			if len(rows) == 0 {
				delete(series, key)
			}
		}
		if len(series) == 0 {
			delete(h.model, m)
		}
	}
}

// check compares everything that can be read with the model. Measurements and
// series of which everything has expired may be listed until they are swept.
func (h *harness) check(v *View, m model, what string) {
	h.t.Helper()
	listed := v.Measurements()
	for name, series := range m {
		if !slices.Contains(listed, name) {
			h.t.Fatalf("%s: measurement %s is not listed in %v", what, name, listed)
		}
		types := v.Fields(name)
		has := map[string]bool{}
		for _, rows := range series {
			for _, row := range rows {
				for f := range row {
					has[f] = true
				}
			}
		}
		for f := range has {
			if types[f] != typeOf(f) {
				h.t.Fatalf("%s: field %s of %s has type %s", what, f, name, types[f])
			}
		}
		keys := map[string]bool{}
		for _, s := range v.Series(name) {
			keys[string(h.b.SeriesKey(s.ID))] = true
		}
		for key := range series {
			if !keys[key] {
				h.t.Fatalf("%s: series %s is not listed", what, key)
			}
		}
		if h.retention == 0 && len(keys) != len(series) {
			h.t.Fatalf("%s: %d series of %s are listed, want %d: %v", what, len(keys), name, len(series), slices.Sorted(maps.Keys(keys)))
		}
	}
	if h.retention == 0 && len(listed) != len(m) {
		h.t.Fatalf("%s: measurements %v, want %v", what, listed, slices.Sorted(maps.Keys(m)))
	}
	for _, name := range listed {
		fields := append(slices.Sorted(maps.Keys(v.Fields(name))), "f-unknown")
		if got, want := read(h.t, v, name, nil, fields, point.TimeMin, point.TimeMax), m.read(name, nil, fields, point.TimeMin, point.TimeMax); got != want {
			h.t.Fatalf("%s: all of %s:\n%s\nwant:\n%s", what, name, got, want)
		}
		lo := int64(h.r.IntN(3000) - 200)
		hi := lo + int64(h.r.IntN(500))
		f := fields[h.r.IntN(len(fields)):]
		f = f[:1+h.r.IntN(len(f))]
		if got, want := read(h.t, v, name, nil, f, lo, hi), m.read(name, nil, f, lo, hi); got != want {
			h.t.Fatalf("%s: %v of %s in [%d,%d]:\n%s\nwant:\n%s", what, f, name, lo, hi, got, want)
		}
	}
}

// points makes points near the harness's time, some of them late, far away or
// overwriting.
func (h *harness) points() []testPoint {
	n := 1 + h.r.IntN(12)
	if h.r.IntN(20) == 0 {
		n = segmentRowsMin + h.r.IntN(300)
	}
	points := randomPoints(h.r, n)
	week := int64(windowLong)
	for i := range points {
		points[i].time += h.now.UnixNano() - 50
		if h.r.IntN(40) == 0 && h.retention == 0 {
			points[i].time += week * int64(h.r.IntN(5)-2)
		}
	}
	return points
}

// TestDurableModel takes random steps on a bucket with a data store and compares
// everything with a map after each.
func TestDurableModel(t *testing.T) {
	steps := testkit.Rounds(*stepsFlag)
	r := newRand(t)
	for done := 0; done < steps; {
		h := newHarness(t, r)
		defer func() {
			if t.Failed() {
				t.Logf("last steps: %v", h.trail[max(0, len(h.trail)-20):])
			}
		}()
		for range min(250, steps-done) {
			done++
			h.step()
		}
		h.close()
	}
}

func (h *harness) step() {
	r := h.r
	h.expire()
	what := ""
	defer func() { h.trail = append(h.trail, what) }()
	switch n := r.IntN(100); {
	case n < 55:
		what = "write"
		h.write(h.points())
	case n < 67:
		what = "flush"
		h.flush()
	case n < 75:
		all := r.IntN(3) == 0
		if r.IntN(3) == 0 {
			h.room = 1 << (7 + r.IntN(8))
		}
		what = fmt.Sprintf("compact, all %v, room %d", all, h.room)
		for {
			more, err := h.b.Compact(context.Background(), all)
			if err != nil && (h.room == math.MaxInt64 || !errors.Is(err, errHarnessRoom)) {
				h.t.Fatal(err)
			}
			if !more {
				break
			}
		}
		h.room = math.MaxInt64
	case n < 80:
		what = "delete series in a time range"
		lo := h.now.UnixNano() - int64(r.IntN(150))
		tag := fmt.Sprint("host=h", 1+r.IntN(3))
		h.delete(lo, lo+int64(r.IntN(100)), func(_, key string) bool { return bytes.Contains([]byte(key), []byte(tag)) })
	case n < 83:
		what = "drop measurement"
		name := []string{"cpu", "mem", "a b,c"}[r.IntN(3)]
		h.delete(point.TimeMin, point.TimeMax, func(m, _ string) bool { return m == name })
	case n < 84:
		what = "delete all in a time range"
		lo := h.now.UnixNano() - int64(r.IntN(150))
		h.delete(lo, lo+int64(r.IntN(100)), func(_, _ string) bool { return true })
	case n < 89:
		what = "reopen"
		h.b.Close()
		h.reopenBucket()
	case n < 94:
		what = "crash"
		h.crash()
	case n < 96:
		what = "retention"
		if h.retention == 0 && r.IntN(3) == 0 {
			h.retention = int64(50 + r.IntN(500))
			h.b.SetRetention(h.retention)
		}
	case n < 98:
		what = "time passes"
		h.now = h.now.Add(time.Duration(r.IntN(60)))
	default:
		what = "expire"
		n, err := h.b.Expire(context.Background())
		if err != nil {
			h.t.Fatal(err)
		}
		if n > 0 {
			h.sweep()
		}
	}
	h.expire()
	v := h.b.Snapshot()
	h.check(v, h.model, what)
	v.Close()
}

// TestOldViewsStay: a view shows what it showed, whatever happens to the parts
// that it reads.
func TestOldViewsStay(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.stable = true
	defer h.close()
	type held struct {
		v    *View
		want map[string]string
	}
	var views []held
	fields := []string{"f1", "f2", "i1", "u1", "s1", "s2", "b1", "i2"}
	answers := func(v *View) map[string]string {
		out := map[string]string{}
		for _, m := range v.Measurements() {
			out[m] = read(t, v, m, nil, fields, point.TimeMin, point.TimeMax)
		}
		return out
	}
	for i := range 30 {
		h.write(h.points())
		v := h.b.Snapshot()
		views = append(views, held{v, answers(v)})
		switch i % 4 {
		case 1:
			h.flush()
		case 2:
			if _, err := h.b.Compact(context.Background(), true); err != nil {
				t.Fatal(err)
			}
		case 3:
			h.delete(point.TimeMin, h.now.UnixNano()-30, func(m, _ string) bool { return m == "cpu" })
		}
	}
	for i, old := range views {
		if got := answers(old.v); !maps.Equal(got, old.want) {
			t.Fatalf("view %d has changed", i)
		}
		old.v.Close()
		old.v.Close()
	}
}

// TestFreedTypes: a field of a measurement that has become empty can have another
// type, also after a crash, and with the old definitions on disk.
func TestFreedTypes(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		h := newHarness(t, newRand(t))
		one := func(field string, v any) []testPoint {
			return []testPoint{{measurement: "m", tags: []point.Tag{{Key: "host", Value: "a"}}, time: 5, fields: map[string]any{field: v}}}
		}
		h.write(one("i1", uint64(1)))
		before := h.b.Schema().Measurement([]byte("m")).ID
		if flushed {
			h.flush()
		}
		h.delete(point.TimeMin, point.TimeMax, func(m, _ string) bool { return m == "m" })
		if m := h.b.Schema().Measurement([]byte("m")); m != nil {
			t.Fatalf("measurement %d is still defined", m.ID)
		}
		if _, _, ok := h.b.LookupSeries([]byte("m,host=a")); ok {
			t.Fatal("series is still defined")
		}
		if s := h.b.Stats(); s.Series != 0 || s.Measurements != 0 || s.Fields != 0 {
			t.Fatalf("%+v", s)
		}
		h.write(one("s1", "x"))
		if m := h.b.Schema().Measurement([]byte("m")); m == nil || m.ID == before {
			t.Fatalf("measurement %+v has the old id %d", m, before)
		}
		h.check(h.b.Snapshot(), h.model, "after the new write")
		h.crash()
		h.check(h.b.Snapshot(), h.model, "after a crash")
		h.flush()
		h.crash()
		h.check(h.b.Snapshot(), h.model, "after a flush and a crash")
		h.close()
	}
}

// TestUnsettledLeavesNoTrace: what was defined for a record that never became
// durable is not on disk after a flush.
func TestUnsettledLeavesNoTrace(t *testing.T) {
	h := newHarness(t, newRand(t))
	defer h.close()
	batch := resolved(h.b, []testPoint{{measurement: "lost", fields: map[string]any{"f1": uint64(1)}}})
	if _, err := h.b.Define(batch); err != nil {
		t.Fatal(err)
	}
	h.b.Logged(h.b.PendingFor(batch))
	h.write(h.points())
	h.flush()
	h.crash()
	if h.b.Schema().Measurement([]byte("lost")) != nil {
		t.Error("a measurement that no durable record has defined is on disk")
	}
}

// TestClosedBucket: nothing works on a bucket whose successor may have begun.
func TestClosedBucket(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.write(h.points())
	h.b.Freeze(h.seq)
	h.b.Close()
	if _, err := h.b.Flush(context.Background()); !errors.Is(err, ErrBucketClosed) {
		t.Errorf("flush: %v", err)
	}
	if _, err := h.b.Compact(context.Background(), true); !errors.Is(err, ErrBucketClosed) {
		t.Errorf("compact: %v", err)
	}
	if v := h.b.Snapshot(); v != nil {
		t.Error("a closed bucket gives views")
	}
	h.reopenBucket()
	h.check(h.b.Snapshot(), h.model, "after opening again")
	h.close()
}
