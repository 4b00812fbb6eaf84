package lineproto

import (
	"fmt"
	"hash/maphash"
	"sync"
	"testing"

	"headgate/engine/point"
)

func (x *Index) testFind(epoch uint64, prefix string) (point.SeriesID, bool) {
	young, old := x.generations(epoch)
	h := maphash.String(x.seed, prefix)
	for _, g := range []*generation{young, old} {
		if g != nil {
			if n := g.find(h, []byte(prefix)); n >= 0 {
				return g.entries[n].series, true
			}
		}
	}
	return 0, false
}

func (x *Index) testInsert(epoch uint64, prefix string, id point.SeriesID) {
	x.insert(epoch, maphash.String(x.seed, prefix), []byte(prefix), id, 1)
}

func TestIndexIsBounded(t *testing.T) {
	const bytesMax = 1 << 20
	x := NewIndex(bytesMax)
	for i := range 100_000 {
		x.testInsert(1, fmt.Sprintf("cpu,host=%d", i), point.SeriesID(i+1))
		if id, ok := x.testFind(1, fmt.Sprintf("cpu,host=%d", i)); !ok || id != point.SeriesID(i+1) {
			t.Fatalf("%d: %d %v", i, id, ok)
		}
		if n := x.MemoryBytes(); n > bytesMax {
			t.Fatalf("%d bytes after %d prefixes", n, i)
		}
	}
	// Half of the memory is always of the latest entries.
	recent := 0
	for i := 98_000; i < 100_000; i++ {
		if _, ok := x.testFind(1, fmt.Sprintf("cpu,host=%d", i)); ok {
			recent++
		}
	}
	if recent != 2000 {
		t.Errorf("%d of the last 2000 are found", recent)
	}
	if _, ok := x.testFind(1, "cpu,host=0"); ok {
		t.Error("the first is still found")
	}
	x.testInsert(1, string(make([]byte, bytesMax)), 1) // larger than a generation
	if n := x.MemoryBytes(); n > bytesMax {
		t.Errorf("%d bytes", n)
	}
}

func TestIndexEpochs(t *testing.T) {
	x := NewIndex(1 << 20)
	x.testInsert(5, "m", 1)
	for _, c := range []struct {
		epoch uint64
		want  bool
	}{{5, true}, {4, false}, {6, false}} {
		if _, ok := x.testFind(c.epoch, "m"); ok != c.want {
			t.Errorf("epoch %d: %v", c.epoch, ok)
		}
	}
	x.testInsert(4, "late", 2) // looked up before the epoch began
	if _, ok := x.testFind(5, "late"); ok {
		t.Error("an entry of an epoch that has passed")
	}
	x.testInsert(6, "m", 3)
	if id, ok := x.testFind(6, "m"); !ok || id != 3 {
		t.Error(id, ok)
	}
	if _, ok := x.testFind(5, "m"); ok {
		t.Error("epoch 5 is still there")
	}
}

// TestIndexKeepsWhatIsUsed: an entry that is used moves on before it is forgotten.
func TestIndexKeepsWhatIsUsed(t *testing.T) {
	var store testStore
	b := new(point.Batch)
	var p Parser
	body := []byte("cpu,host=used f=1 1\n")
	o := Options{Index: NewIndex(1 << 18), Series: &store}
	for range 2 {
		b.Reset()
		if err := p.Parse(b, body, o); err != nil {
			t.Fatal(err)
		}
		store.define(b)
	}
	o.Series = nil // from here on only the index knows it
	for i := range 20_000 {
		o.Index.testInsert(0, fmt.Sprintf("other,host=%d", i), 77)
		if i%500 == 0 {
			b.Reset()
			if err := p.Parse(b, body, o); err != nil || len(b.NewSeries) != 0 {
				t.Fatalf("after %d: %v, %d new series", i, err, len(b.NewSeries))
			}
		}
	}
}

// TestIndexConcurrently has parsers of one bucket share a small index while series are
// defined and epochs change. The race detector watches.
func TestIndexConcurrently(t *testing.T) {
	x := NewIndex(1 << 17)
	var mu sync.RWMutex
	var store testStore
	lookup := lockedLookup{&mu, &store}
	var wg sync.WaitGroup
	for g := range 4 {
		rng := newRand(t)
		wg.Go(func() {
			var p Parser
			for i := range 60 {
				body := shuffled(rng, cpuBody(rng, 20+g, 100))
				b := new(point.Batch)
				if err := p.Parse(b, body, Options{Index: x, Series: lookup, Epoch: uint64(i / 20)}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				var fresh []point.NewSeries
				for _, n := range b.NewSeries {
					if _, _, ok := store.LookupSeries(n.Key); !ok {
						fresh = append(fresh, n)
					}
				}
				known := *b
				known.NewSeries = fresh
				known.Tables = []*point.Table{{Name: []byte("cpu")}}
				store.define(&known)
				mu.Unlock()
				for j, ref := range b.Tables[0].Series {
					if !ref.IsNew() {
						mu.RLock()
						key := store.key(ref.ID())
						mu.RUnlock()
						if key == "" {
							t.Errorf("row %d has an unknown series", j)
						}
					}
				}
			}
		})
	}
	wg.Wait()
}

type lockedLookup struct {
	mu    *sync.RWMutex
	store *testStore
}

func (l lockedLookup) LookupSeries(key []byte) (point.SeriesID, point.MeasurementID, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.store.LookupSeries(key)
}
