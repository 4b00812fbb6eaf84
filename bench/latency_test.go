package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLatencyBuckets(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 1000, time.Microsecond, time.Millisecond, time.Second, time.Hour, math.MaxInt64} {
		b := latencyBucket(d)
		if b < last {
			t.Errorf("bucket of %d is %d, after %d", d, b, last)
		}
		last = b
		bound := latencyBound(b)
		if bound < d || float64(bound-d) > float64(d)/64 {
			t.Errorf("bucket of %d ends at %d", d, bound)
		}
		if d < math.MaxInt64 && latencyBucket(bound+1) != b+1 {
			t.Errorf("bucket %d ends at %d, but the next duration is in bucket %d", b, bound, latencyBucket(bound+1))
		}
	}
	if latencyBucket(-1) != 0 {
		t.Error("a negative duration is not in the first bucket")
	}
}

func TestLatencyQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var a, b Latencies
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(math.Exp(rng.NormFloat64()*2+12)) + 1
		all = append(all, d)
		if i%2 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(&b)
	slices.Sort(all)
	if a.Count() != 20_000 || a.Max() != all[len(all)-1] {
		t.Fatalf("count %d, max %v", a.Count(), a.Max())
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(q*20_000+0.5)-1, 0)]
		if got := a.Quantile(q); got < exact || float64(got-exact) > float64(exact)/64 {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
	var none Latencies
	if none.Quantile(0.5) != 0 || none.Mean() != 0 || none.Max() != 0 {
		t.Error("figures of nothing are not 0")
	}
}
