package httpfront

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "plain", `"\/`, "<a>&b", "\x00\x1f\x7f\b\f\n\r\t", "héllo \u2028\u2029", "\xff\xfe", "a\xf0\x9f", "\U0001f600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendJSONString(nil, s); string(got) != string(want) {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		if got := appendJSONString(nil, []byte(s)); string(got) != string(want) {
			t.Errorf("%q as bytes: %s, want %s", s, got, want)
		}
	})
}

func TestJSONFloat(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), 1, -1.5, 1e20, 1e21, 1e-6, 9.99e-7, 5e-324, math.MaxFloat64, 9223372036854775807, 1e100, 1e-10, 100}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 10000 {
		if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	for _, v := range values {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendJSONFloat(nil, v); string(got) != string(want) {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestRetryAfterSeconds(t *testing.T) {
	for _, tc := range []struct {
		d        time.Duration
		min, max int
	}{
		{0, 1, 2}, {time.Millisecond, 1, 2}, {time.Second, 1, 2}, {1001 * time.Millisecond, 2, 3},
		{10 * time.Second, 10, 13}, {28 * time.Second, 24, 30}, {time.Hour, 24, 30}, {-time.Second, 1, 2},
	} {
		got := make(map[int]bool)
		for range 200 {
			n := retryAfterSeconds(tc.d, 30*time.Second)
			if got[n] = true; n < tc.min || n > tc.max {
				t.Errorf("%v: %d, want %d to %d", tc.d, n, tc.min, tc.max)
			}
		}
		if len(got) < 2 {
			t.Errorf("%v: always %v", tc.d, got)
		}
	}
	if n := retryAfterSeconds(time.Hour, time.Second); n != 1 {
		t.Errorf("%d, over the most allowed, 1", n)
	}
}
