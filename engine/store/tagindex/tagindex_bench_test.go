package tagindex

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// benchSeries is a bucket of TSBS's cpu: ten tags, of which hostname is unique.
// Keys are in one piece of memory, as a bucket's are.
type benchSeries struct {
	arena []byte
	ends  []int
}

func newBenchSeries(n int) *benchSeries {
	r := rand.New(rand.NewPCG(1, 1))
	b := &benchSeries{ends: make([]int, 1, n+1)}
	for i := range n {
		region := r.IntN(9)
		b.arena = fmt.Appendf(b.arena, "cpu,arch=%s,datacenter=region-%d%c,hostname=host_%d,os=%s,rack=%d,region=region-%d,service=%d,service_environment=%s,service_version=%d,team=%s",
			[]string{"x64", "x86"}[r.IntN(2)], region, 'a'+r.IntN(3), i, []string{"Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"}[r.IntN(3)], r.IntN(100), region, r.IntN(20),
			[]string{"production", "staging", "test"}[r.IntN(3)], r.IntN(2), []string{"SF", "NYC", "LON", "CHI"}[r.IntN(4)])
		b.ends = append(b.ends, len(b.arena))
	}
	return b
}

func (b *benchSeries) keyOf(id point.SeriesID) (point.MeasurementID, []byte) {
	return 1, b.arena[b.ends[id-1]:b.ends[id]]
}

func (b *benchSeries) last() point.SeriesID { return point.SeriesID(len(b.ends) - 1) }

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkCatchUp(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("series=%d/tags=10", n), func(b *testing.B) {
			series := newBenchSeries(n)
			before := heapBytes()
			var x *Index
			b.ResetTimer()
			for range b.N {
				x = New(series.keyOf)
				if err := x.CatchUp(b.Context(), 1, series.last()); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/series")
			b.ReportMetric(float64(heapBytes()-before)/float64(n), "B/series")
			b.ReportMetric(float64(x.MemoryBytes())/float64(n), "estimated-B/series")
			runtime.KeepAlive(series)
			runtime.KeepAlive(x)
		})
	}
}

func BenchmarkAsk(b *testing.B) {
	series := newBenchSeries(1_000_000)
	x := New(series.keyOf)
	if err := x.CatchUp(b.Context(), 1, series.last()); err != nil {
		b.Fatal(err)
	}
	within := roaring.BitmapOf(1, 1000, 500_000)
	for _, c := range []struct {
		name string
		ask  func() int
	}{
		{"all", func() int { return int(x.All(1).GetCardinality()) }},
		{"equal/unique", func() int { return int(x.Equal(1, "hostname", "host_777777").GetCardinality()) }},
		{"equal/tenth", func() int { return int(x.Equal(1, "region", "region-3").GetCardinality()) }},
		{"notequal/tenth", func() int { return int(x.NotEqual(1, "region", "region-3").GetCardinality()) }},
		{"matches/literals", func() int { return matching(b, x, "hostname", `^(host_1|host_22|host_333)$`) }},
		{"matches/unique", func() int { return matching(b, x, "hostname", `^host_7`) }},
		{"matches/few", func() int { return matching(b, x, "datacenter", `a$`) }},
		{"values/unique", func() int { return tagValues(b, x, "hostname", nil) }},
		{"values/unique/within=3", func() int { return tagValues(b, x, "hostname", within) }},
		{"values/few", func() int { return tagValues(b, x, "datacenter", nil) }},
		{"keys", func() int { return len(x.TagKeys(1, nil)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for range b.N {
				n = c.ask()
			}
			b.ReportMetric(float64(n), "found")
		})
	}
}

func BenchmarkRemove(b *testing.B) {
	series := newBenchSeries(1_000_000)
	for _, every := range []uint64{2, 100_000} {
		b.Run(fmt.Sprintf("one-of=%d", every), func(b *testing.B) {
			ids := roaring.New()
			for id := uint64(1); id <= uint64(series.last()); id += every {
				ids.Add(uint32(id))
			}
			for range b.N {
				b.StopTimer()
				x := New(series.keyOf)
				if err := x.CatchUp(b.Context(), 1, series.last()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				x.Remove(ids)
				if err := x.CatchUp(b.Context(), 1, series.last()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func matching(b *testing.B, x *Index, name, re string) int {
	ids, err := x.Matches(b.Context(), 1, name, regexp.MustCompile(re))
	if err != nil {
		b.Fatal(err)
	}
	return int(ids.GetCardinality())
}

func tagValues(b *testing.B, x *Index, name string, within *roaring.Bitmap) int {
	all, err := x.TagValues(b.Context(), 1, name, within)
	if err != nil {
		b.Fatal(err)
	}
	return len(all)
}
