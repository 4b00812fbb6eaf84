package bench

import (
	"math/bits"
	"time"
)

// Latencies counts durations in buckets that are 1/64 of a power of two wide, so
// a quantile is off by less than 1.6 %, whatever its size. The zero value is
// empty and ready. Not safe for concurrent use: each connection has its own, and
// they are merged at the end.
type Latencies struct {
	counts [64 * 64]int64
	n      int64
	sum    time.Duration
	max    time.Duration
}

const latencySubBits = 6

// latencyBucket returns the bucket of a duration: below 64 ns one a nanosecond,
// then 64 a power of two.
func latencyBucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<latencySubBits {
		return int(v)
	}
	shift := bits.Len64(v) - latencySubBits - 1
	return shift<<latencySubBits + int(v>>shift)
}

// latencyBound returns the largest duration of a bucket.
func latencyBound(bucket int) time.Duration {
	if bucket < 2<<latencySubBits {
		return time.Duration(bucket)
	}
	shift := bucket>>latencySubBits - 1
	top := uint64(bucket - shift<<latencySubBits)
	return time.Duration((top+1)<<shift - 1)
}

// Add counts one duration.
func (l *Latencies) Add(d time.Duration) {
	l.counts[latencyBucket(d)]++
	l.n++
	l.sum += d
	l.max = max(l.max, d)
}

// Merge adds everything that other counted.
func (l *Latencies) Merge(other *Latencies) {
	for i, n := range other.counts {
		l.counts[i] += n
	}
	l.n += other.n
	l.sum += other.sum
	l.max = max(l.max, other.max)
}

// Count returns how many durations were counted.
func (l *Latencies) Count() int64 { return l.n }

// Max returns the longest duration, exactly.
func (l *Latencies) Max() time.Duration { return l.max }

// Mean returns the mean duration, 0 when there is none.
func (l *Latencies) Mean() time.Duration {
	if l.n == 0 {
		return 0
	}
	return l.sum / time.Duration(l.n)
}

// LatencyCount is how many latencies were longer than those of the entry before and
// at most Millis.
type LatencyCount struct {
	Millis float64 `json:"ms"`
	Count  int64   `json:"count"`
}

// Distribution returns all that was counted in steps of an eighth of a power of two
// at most, leaving out the empty ones.
func (l *Latencies) Distribution() []LatencyCount {
	const join = 1 << latencySubBits / 8
	var d []LatencyCount
	for first := 0; first < len(l.counts); first += join {
		var n int64
		for _, c := range l.counts[first : first+join] {
			n += c
		}
		if n > 0 {
			d = append(d, LatencyCount{millis(min(latencyBound(first+join-1), l.max)), n})
		}
	}
	return d
}

// Quantile returns a duration that a share of q of all counted ones do not
// exceed, 0 when there is none. q is between 0 and 1.
func (l *Latencies) Quantile(q float64) time.Duration {
	if l.n == 0 {
		return 0
	}
	rank := max(int64(q*float64(l.n)+0.5), 1)
	var seen int64
	for i, n := range l.counts {
		if seen += n; seen >= rank {
			return min(latencyBound(i), l.max)
		}
	}
	return l.max
}
