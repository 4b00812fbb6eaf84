package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"headgate/engine/point"
	"headgate/engine/record"
)

// TestConcurrentReaders: while the writer links batches of two measurements,
// every view holds whole batches and nothing but a prefix of them.
func TestConcurrentReaders(t *testing.T) {
	b := NewBucket(1, Options{})
	const batches = 400
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			last := 0
			for stop := false; !stop; {
				select {
				case <-done:
					stop = true // one more round, which must see everything
				default:
				}
				n := readPrefix(t, b, last)
				if n < 0 {
					return
				}
				last = n
				for id := point.SeriesID(1); id <= 50; id++ {
					if key := b.SeriesKey(id); key != nil {
						if got, _, ok := b.LookupSeries(key); ok && got != id {
							t.Errorf("series %d found as %d", id, got)
							return
						}
					}
				}
				b.Stats()
			}
			if last != batches {
				t.Errorf("saw %d of %d batches at the end", last, batches)
			}
		})
	}
	for i := range batches {
		var points []testPoint
		rows := 1
		if i%10 == 9 {
			rows = segmentRowsMin
		}
		for j := range rows {
			for _, m := range []string{"cpu", "mem"} {
				p := pt(m, fmt.Sprint("h", (i+j)%17), "i1", int64(i))
				p.fields["i1"] = uint64(i)
				if i%3 == 0 {
					p.fields[fmt.Sprint("s", i%40)] = fmt.Sprint("text ", i)
				}
				points = append(points, p)
			}
		}
		write(t, b, points)
	}
	close(done)
	wg.Wait()
}

// readPrefix checks that a view's batches are 0..n-1, the same in both
// measurements, and returns n; -1 after a failure.
func readPrefix(t *testing.T, b *Bucket, atLeast int) int {
	v := b.Snapshot()
	var counts [2]int
	for i, name := range []string{"cpu", "mem"} {
		seen := map[uint64]bool{}
		err := v.Read(context.Background(), point.ReadRequest{Measurement: name, Fields: []string{"i1", "s0"}, Max: 1 << 40}, func(s point.SeriesRows) error {
			c := s.Columns[0]
			for j := range c.Len() {
				if s.Times[c.Row(j)] != int64(c.Nums[j]) {
					return fmt.Errorf("value %d at %d", c.Nums[j], s.Times[c.Row(j)])
				}
				seen[c.Nums[j]] = true
			}
			return nil
		})
		if err != nil {
			t.Error(err)
			return -1
		}
		counts[i] = len(seen)
		for j := range counts[i] {
			if !seen[uint64(j)] {
				t.Errorf("batch %d of %d is missing", j, counts[i])
				return -1
			}
		}
	}
	if counts[0] != counts[1] || counts[0] < atLeast {
		t.Errorf("%d and %d batches after %d", counts[0], counts[1], atLeast)
		return -1
	}
	return counts[0]
}

// TestMemoryBytes compares what the bucket says with what the runtime says.
func TestMemoryBytes(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	near := func(t *testing.T, got, want int64) {
		t.Helper()
		t.Logf("says %d, occupies %d", got, want)
		if d := float64(got)/float64(want) - 1; d < -0.12 || d > 0.12 {
			t.Errorf("off by %.0f %%", 100*d)
		}
	}
	pad := strings.Repeat("x", 80)
	for _, c := range []struct {
		name  string
		batch func(i int) []testPoint
		n     int
	}{
		{"series", func(i int) []testPoint {
			points := make([]testPoint, 1000)
			for j := range points {
				points[j] = pt("cpu", fmt.Sprintf("%s%08d", pad, i*1000+j), "f1", 1)
			}
			return points
		}, 60},
		{"rows", func(i int) []testPoint {
			points := make([]testPoint, 500)
			for j := range points {
				points[j] = testPoint{measurement: "cpu", time: int64(i), fields: map[string]any{"f1": uint64(1), "f2": uint64(2), "s1": pad, "b1": uint64(1)}}
			}
			return points
		}, 100},
		{"lines", func(i int) []testPoint { return []testPoint{pt("cpu", "a", "f1", int64(i)), pt("mem", "a", "s1", 1)} }, 50_000},
		{"measurements", func(i int) []testPoint { return []testPoint{pt(fmt.Sprint("m", i), "a", "f1", 1)} }, 5000},
		{"fields", func(i int) []testPoint {
			p := pt("cpu", "a", "f1", 1)
			for j := range 100 {
				p.fields[fmt.Sprint("f", i*100+j)] = uint64(j)
			}
			return []testPoint{p}
		}, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heap()
			b := NewBucket(1, Options{})
			for i := range c.n {
				write(t, b, c.batch(i))
			}
			near(t, b.MemoryBytes(), heap()-before)
			runtime.KeepAlive(b)
		})
	}
}

func TestLookupAllocs(t *testing.T) {
	b := NewBucket(1, Options{})
	write(t, b, []testPoint{pt("cpu", "a", "f1", 1)})
	key, name, field := []byte("cpu,host=a"), []byte("cpu"), []byte("f1")
	if n := testing.AllocsPerRun(100, func() {
		b.LookupSeries(key)
		b.Schema().Measurement(name).Field(field)
		b.SeriesKey(1)
	}); n > 0 {
		t.Errorf("looking up allocates %v times", n)
	}
	if m := b.Schema().Measurement([]byte("none")); m != nil {
		t.Errorf("found %v", m)
	} else if _, ok := m.Field(field); ok {
		t.Error("a nil measurement has a field")
	}
	if b.SeriesKey(2) != nil || b.SeriesKey(point.SeriesIDMax) != nil {
		t.Error("an unknown series has a key")
	}
}

// TestLinkLeavesBatchToPool: what went into the memtable is out of reach of
// whoever resets the batch.
func TestLinkLeavesBatchToPool(t *testing.T) {
	b := NewBucket(1, Options{})
	var points []testPoint
	for i := range segmentRowsMin {
		points = append(points, pt("big", "a", "f1", int64(i)))
	}
	points = append(points, pt("small", "a", "f1", 1))
	batch := resolved(b, points)
	if _, err := b.Define(batch); err != nil {
		t.Fatal(err)
	}
	rewrite(batch)
	b.Link(batch, Pack(batch))
	if len(batch.Tables) != 1 || string(batch.Tables[0].Name) != "small" {
		t.Errorf("%d tables are left", len(batch.Tables))
	}
}

func TestLinkPanicsUndefined(t *testing.T) {
	b := NewBucket(1, Options{})
	write(t, b, []testPoint{pt("cpu", "a", "f1", 1)})
	for _, batch := range []*point.Batch{
		{Tables: []*point.Table{{ID: 2, Series: []point.SeriesRef{1}, Times: []int64{1}}}},
		{Tables: []*point.Table{{ID: 1, Series: []point.SeriesRef{2}, Times: []int64{1}}}},
		{Tables: []*point.Table{{ID: 1, Series: []point.SeriesRef{1}, Times: []int64{1}, Columns: []*point.Column{{Field: 9, Type: point.Float, Nums: []uint64{1}}}}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("linked %+v", batch.Tables[0])
				}
			}()
			b.Link(batch, Pack(batch))
		}()
		b.Snapshot() // the panic left no lock behind
	}
}

func TestOptions(t *testing.T) {
	var o Options
	o.EnsureDefaults()
	if o.Validate() != nil || o.SeriesMax != int(point.SeriesIDMax) {
		t.Errorf("%+v", o)
	}
	for _, o := range []Options{{SeriesMax: -1}, {SeriesMax: 1 << 32}} {
		if o.Validate() == nil {
			t.Errorf("%+v is valid", o)
		}
	}
}

// TestReplayTwice shows that a record's definitions may be repeated; whoever
// replays sees to it that its points are not.
func TestReplayTwice(t *testing.T) {
	b := NewBucket(1, Options{})
	rec := write(t, b, []testPoint{pt("cpu", "a", "f1", 1)})
	again := NewBucket(2, Options{})
	for range 2 {
		if err := again.Replay(0, rec); err != nil {
			t.Fatal(err)
		}
	}
	if s := again.Stats(); s.Series != 1 || s.Fields != 1 || s.Measurements != 1 {
		t.Errorf("%+v", s)
	}
	rec[len(rec)-1] ^= 1
	var c *record.CorruptError
	if err := again.Replay(0, rec); !errors.As(err, &c) {
		t.Error(err)
	}
}
