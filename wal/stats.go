package wal

import (
	"math/bits"
	"time"
)

// Stats describes a log since it was opened.
type Stats struct {
	// Records and RecordBytes count what has become durable.
	Records, RecordBytes uint64
	// Groups counts the commits that made it so, with one sync each. Those of
	// Truncate, Drop and Sync are among them.
	Groups uint64
	// SyncLatency is how long each group took from the start of its write to the
	// end of its sync.
	SyncLatency Histogram
	// PendingRecords and PendingBytes count what has been appended and not answered.
	PendingRecords, PendingBytes int64
	// DiskBytes is what the log occupies on disk; 0 once it has failed or closed.
	DiskBytes int64
	// RewrittenBytes is how much of the records has been written a second time,
	// because they were truncated too late; 0 once it has failed or closed.
	RewrittenBytes uint64
}

// latencyBuckets is the number of a Histogram's bounds: 64 us to 8.4 s.
const latencyBuckets = 18

// Histogram counts durations by powers of two. Its zero value is empty.
type Histogram struct {
	Count uint64
	Sum   time.Duration
	// Buckets[i] counts durations up to Bound(i) and above Bound(i-1); the last
	// one counts those above every bound.
	Buckets [latencyBuckets + 1]uint64
}

// Bounds is the number of bounds that a histogram has.
func (*Histogram) Bounds() int { return latencyBuckets }

// Bound returns the i-th upper bound, from 64 us doubling.
func (*Histogram) Bound(i int) time.Duration { return 64 * time.Microsecond << i }

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	h.Count++
	h.Sum += d
	i := 0
	if d > 0 {
		// The number of doublings of 64 us that d needs, rounded up.
		i = min(bits.Len64(uint64((d-1)/(64*time.Microsecond))), latencyBuckets)
	}
	h.Buckets[i]++
}
