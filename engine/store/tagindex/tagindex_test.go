package tagindex

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 takes the clock's")

func newRand(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", s)
	return rand.New(rand.NewPCG(s, 1))
}

// model is a bucket's series, by id.
type model struct {
	mu     sync.RWMutex
	series []modelSeries // 0 is none
}

type modelSeries struct {
	m    point.MeasurementID
	key  []byte
	tags map[string]string
	gone bool
}

func newModel() *model { return &model{series: make([]modelSeries, 1)} }

func (b *model) define(m point.MeasurementID, tags map[string]string) {
	var sorted []point.Tag
	for k, v := range tags {
		sorted = append(sorted, point.Tag{Key: k, Value: v})
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Key < sorted[j].Key })
	key := point.AppendSeriesKey(nil, fmt.Sprintf("m, =%d", m), sorted)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.series = append(b.series, modelSeries{m: m, key: key, tags: tags})
}

func (b *model) keyOf(id point.SeriesID) (point.MeasurementID, []byte) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if int(id) >= len(b.series) {
		panic(fmt.Sprintf("asked for series %d of %d", id, len(b.series)-1))
	}
	return b.series[id].m, b.series[id].key
}

func (b *model) last() point.SeriesID { return point.SeriesID(len(b.series) - 1) }

// which lists the series of m for which f is true.
func (b *model) which(m point.MeasurementID, f func(tags map[string]string) bool) []uint32 {
	ids := []uint32{}
	for id, s := range b.series {
		if s.m == m && !s.gone && f(s.tags) {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

var (
	names  = []string{"host", "hos", "ost", "h,o=s t", `back\slash`, "=", "region", "späť", "host=x", "a", "zz"}
	values = []string{"a", "b", "ab", "a,host=b", "a b", "a=b", `\a`, `a\\b`, "ä", "\xff", "\x00", "host_1", "host_2", "host_10", "HOST_1", "\uFFFD"}

	patterns = []string{
		`a`, `^a`, `^a$`, `^(a|b)$`, `^(a|)$`, ``, `^$`, `.`, `.*`, `^host_(1|2)$`, `^host_[12]$`, `^host_[12]?$`, `^(host_1|host_10)$`,
		`(?i)^host_1$`, `host_\d+$`, `^host_1`, `^(|a|b)$`, `[^a]`, `^[\x{fffd}a]$`, `^\x{fffd}$`, `^(?m:^a$)$`, `^a b$`, `^a,host=b$`, `^[^\x00-\x{fffc}]$`, `^u\d*7$`, `nothing`,
	}
)

func randomTags(r *rand.Rand, unique int) map[string]string {
	tags := make(map[string]string)
	for range r.IntN(5) {
		tags[names[r.IntN(len(names))]] = values[r.IntN(len(values))]
	}
	switch r.IntN(4) {
	case 0:
		tags["host"] = fmt.Sprint("u", unique)
	case 1:
		tags["host"] = fmt.Sprint("u", r.IntN(unique+1)) // a few have the same
	}
	return tags
}

// TestModel asks everything of an index and of the series themselves, while series
// come and go.
func TestModel(t *testing.T) {
	r := newRand(t)
	for round := range testkit.Rounds(20) {
		b := newModel()
		x := New(b.keyOf)
		unique := 0
		for range 12 {
			for range r.IntN(1 << r.IntN(11)) {
				b.define(point.MeasurementID(1+r.IntN(3)), randomTags(r, unique))
				unique++
			}
			if r.IntN(2) == 0 {
				removeSome(r, b, x)
			}
			m := point.MeasurementID(1 + r.IntN(4))
			if err := x.CatchUp(t.Context(), m, b.last()); err != nil {
				t.Fatal(err)
			}
			checkMeasurement(t, r, b, x, m)
		}
		for m := point.MeasurementID(1); m < 5; m++ {
			if err := x.CatchUp(t.Context(), m, b.last()); err != nil {
				t.Fatal(err)
			}
			checkMeasurement(t, r, b, x, m)
		}
		if round%2 == 0 {
			all := roaring.New()
			all.AddRange(1, uint64(b.last())+1)
			b.series = make([]modelSeries, len(b.series))
			x.Remove(all)
			if err := x.CatchUp(t.Context(), 1, b.last()); err != nil {
				t.Fatal(err)
			}
			if n := x.MemoryBytes(); n != int64(cap(x.measurements))*8 {
				t.Errorf("%d bytes are left when all series are gone", n)
			}
		}
	}
}

// removeSome removes a few series, or most, of which some are indexed and some not.
func removeSome(r *rand.Rand, b *model, x *Index) {
	ids := roaring.New()
	one := 1 + r.IntN(20)
	for id := range b.series {
		if s := &b.series[id]; id > 0 && !s.gone && r.IntN(20) < one {
			ids.Add(uint32(id))
			s.gone = true
			if r.IntN(2) == 0 {
				s.m, s.key = 0, nil // the bucket may forget it or not
			}
		}
	}
	x.Remove(ids)
	ids.Clear() // nobody else's
}

func checkMeasurement(t *testing.T, r *rand.Rand, b *model, x *Index, m point.MeasurementID) {
	t.Helper()
	check := func(what string, got *roaring.Bitmap, want func(tags map[string]string) bool) {
		t.Helper()
		if ids := b.which(m, want); !slices.Equal(got.ToArray(), ids) {
			t.Fatalf("measurement %d, %s: got %v, want %v", m, what, got.ToArray(), ids)
		}
		got.Clear() // nobody else's
		got.AddRange(0, 10)
	}
	must := func(ids *roaring.Bitmap, err error) *roaring.Bitmap {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	check("all", x.All(m), func(map[string]string) bool { return true })
	for _, name := range append(names, "absent") {
		check("has "+name, x.Has(m, name), func(tags map[string]string) bool { return tags[name] != "" })
		for _, value := range []string{"", values[r.IntN(len(values))], fmt.Sprint("u", r.IntN(100)), "absent"} {
			what := fmt.Sprintf("%q %q", name, value)
			check(what, x.Equal(m, name, value), func(tags map[string]string) bool { return tags[name] == value })
			check("not "+what, x.NotEqual(m, name, value), func(tags map[string]string) bool { return tags[name] != value })
		}
		re := regexp.MustCompile(patterns[r.IntN(len(patterns))])
		check(name+" =~ "+re.String(), must(x.Matches(t.Context(), m, name, re)), func(tags map[string]string) bool { return re.MatchString(tags[name]) })
		check(name+" !~ "+re.String(), must(x.NotMatches(t.Context(), m, name, re)), func(tags map[string]string) bool { return !re.MatchString(tags[name]) })
	}

	var within *roaring.Bitmap
	if r.IntN(2) == 0 {
		within = roaring.New()
		few := 1 << r.IntN(8)
		for id := range b.series {
			if r.IntN(few) == 0 {
				within.Add(uint32(id))
			}
		}
	}
	keys := make(map[string]map[string]bool)
	for id, s := range b.series {
		if s.m == m && !s.gone && (within == nil || within.Contains(uint32(id))) {
			for k, v := range s.tags {
				if keys[k] == nil {
					keys[k] = make(map[string]bool)
				}
				keys[k][v] = true
			}
		}
	}
	if got, want := x.TagKeys(m, within), sorted(keys); !slices.Equal(got, want) {
		t.Fatalf("measurement %d: tag keys %q, want %q", m, got, want)
	}
	for _, name := range append(names, "absent") {
		got, err := x.TagValues(t.Context(), m, name, within)
		if want := sorted(keys[name]); err != nil || !slices.Equal(got, want) {
			t.Fatalf("measurement %d: values of %q are %q (%v), want %q", m, name, got, err, want)
		}
	}
}

func sorted[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

// TestTagsOf: keys are split as point.ParseSeriesKey splits them, canonical or not.
func TestTagsOf(t *testing.T) {
	r := newRand(t)
	for range testkit.Rounds(20000) {
		key := make([]byte, r.IntN(12))
		for i := range key {
			key[i] = `,,==\ab `[r.IntN(8)]
		}
		var got []point.Tag
		tagsOf(key, func(name, value string) bool {
			got = append(got, point.Tag{Key: name, Value: value})
			return true
		})
		if _, want := point.ParseSeriesKey(key); !slices.Equal(got, want) {
			t.Fatalf("%q: tags %q, want %q", key, got, want)
		}
	}
}

func TestLiterals(t *testing.T) {
	for _, c := range []struct {
		re   string
		want []string
	}{
		{`^a$`, []string{"a"}},
		{`^(a|b)$`, []string{"a", "b"}},
		{`^(host_1|host_10|host_2)$`, []string{"host_1", "host_10", "host_2"}},
		{`^(?:a|b)?c$`, []string{"ac", "bc", "c"}},
		{`^$`, []string{""}},
		{`(^a$)`, []string{"a"}},
		{`^[a-c]\.x$`, []string{"a.x", "b.x", "c.x"}},
		{`a`, nil}, {`^a`, nil}, {`a$`, nil}, {``, nil}, {`^a|b$`, nil}, {`(?i)^a$`, nil}, {`^a.$`, nil}, {`^a*$`, nil}, {`(?m)^a$`, nil},
		{`^[[:word:]][[:word:]][[:word:]]$`, nil}, {`^[^a]$`, nil}, {`^\x{fffd}$`, nil},
	} {
		got, ok := literals(regexp.MustCompile(c.re))
		sort.Strings(got)
		if ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.re, got, ok, c.want)
		}
	}
}

// TestLiteralsMatch: what is taken for a list of strings matches those and no other.
func TestLiteralsMatch(t *testing.T) {
	r := newRand(t)
	pieces := []string{"a", "b", "ab", "(a|b)", "(?:a|ab)", "[ab]", "[a-c]", "a?", "(b)?", "(?i:a)", "(|b)", "()", "|", "^", "$", ".", "\\d", "a{2}", "b{1,2}", "(?-s:c)", "é"}
	alphabet := []string{"a", "b", "c", "A", "é", "\xff", "1", "\n"}
	all := []string{""}
	for from := 0; len(all[len(all)-1]) < 6 && from < 100; from++ {
		for _, c := range alphabet {
			all = append(all, all[from]+c)
		}
	}
	lists := 0
	for range testkit.Rounds(5000) {
		pattern := "^"
		for range r.IntN(5) {
			pattern += pieces[r.IntN(len(pieces))]
		}
		re, err := regexp.Compile(pattern + "$")
		if err != nil {
			continue
		}
		list, ok := literals(re)
		if !ok {
			continue
		}
		lists++
		for _, s := range append(all, list...) {
			if got, want := slices.Contains(list, s), re.MatchString(s); got != want {
				t.Fatalf("%s: %q is in the list %q: %v", re, s, list, got)
			}
		}
	}
	if lists < testkit.Rounds(50) {
		t.Errorf("only %d expressions were lists", lists)
	}
}

// TestCollision: values of equal hash are told apart, in whatever order they come.
func TestCollision(t *testing.T) {
	b := newModel()
	x := New(b.keyOf)
	tg := newTag("host")
	for i := range 8 {
		b.define(1, map[string]string{"host": string(rune('a' + i%4))})
	}
	for id := uint32(1); id <= 8; id++ { // all in one chain
		value := x.value(tg, id)
		slot, found := tg.find(x, 1<<32+5, value)
		if found != (id > 4) {
			t.Fatalf("series %d: %q found: %v", id, value, found)
		}
		if !found {
			tg.slots[slot] = 5<<32 | uint64(id)
		} else if uint32(tg.slots[slot]) != id-4 {
			t.Fatalf("series %d: found that of %d", id, uint32(tg.slots[slot]))
		}
	}
}

func TestCatchUpCancelled(t *testing.T) {
	b := newModel()
	for i := range 1000 {
		b.define(1, map[string]string{"host": fmt.Sprint(i)})
	}
	x := New(b.keyOf)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.CatchUp(ctx, 1, b.last()); err != context.Canceled {
		t.Fatalf("err = %v", err)
	}
	if err := x.CatchUp(t.Context(), 1, b.last()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Matches(ctx, 1, "host", regexp.MustCompile("7")); err != context.Canceled {
		t.Fatalf("err = %v", err)
	}
	if _, err := x.TagValues(ctx, 1, "host", nil); err != context.Canceled {
		t.Fatalf("err = %v", err)
	}
}

// TestConcurrent: readers that catch up to what they know see all of it, and no
// series that was gone before they began, while one writer defines and removes.
func TestConcurrent(t *testing.T) {
	b := newModel()
	x := New(b.keyOf)
	var visible, gone atomic.Uint32 // every multiple of 7 up to gone is removed
	total := uint32(30000)
	if testkit.RaceEnabled {
		total = 6000
	}
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			m := point.MeasurementID(1 + reader%2)
			for done := false; !done; {
				from, upTo := gone.Load(), visible.Load()
				done = upTo == total
				if err := x.CatchUp(t.Context(), m, point.SeriesID(upTo)); err != nil {
					t.Error(err)
					return
				}
				odd := x.Equal(m, "odd", "1")
				re, err := x.Matches(t.Context(), m, "odd", regexp.MustCompile("1"))
				if err != nil {
					t.Error(err)
				}
				last := gone.Load()
				for id := uint32(1); id <= upTo; id++ {
					if id%7 == 0 && id > from && id <= max(last, upTo) {
						continue // perhaps gone, perhaps not
					}
					want := uint32(m) == 1+id%2 && id%3 == 1 && id%7 != 0
					if odd.Contains(id) != want || re.Contains(id) != want {
						t.Errorf("measurement %d, series %d of %d: %v and %v, want %v", m, id, upTo, odd.Contains(id), re.Contains(id), want)
						return
					}
				}
				x.TagKeys(m, odd)
				if _, err := x.TagValues(t.Context(), m, "host", odd); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for id := uint32(1); id <= total; id++ {
		b.define(point.MeasurementID(1+id%2), map[string]string{"odd": fmt.Sprint(id % 3), "host": fmt.Sprint(id)})
		if id%500 == 0 {
			visible.Store(id)
		}
		if id%3000 == 0 {
			ids := roaring.New()
			for n := gone.Load() + 1; n <= id; n++ {
				if n%7 == 0 {
					ids.Add(n)
				}
			}
			x.Remove(ids)
			gone.Store(id)
		}
	}
	visible.Store(total)
	wg.Wait()
}
