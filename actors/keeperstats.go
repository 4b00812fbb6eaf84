package actors

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize/english"

	"headgate/engine/point"
	"headgate/wal"
)

// keeperStats is what the keeper's two goroutines say of their work.
type keeperStats struct {
	flushing, compacting           work
	flushFailures, compactFailures atomic.Int64
	lastError                      atomic.Pointer[error] // of the flushing goroutine; nil when it works
	restingError                   atomic.Pointer[error] // of a bucket that cannot be compacted; nil when all can

	mu             sync.Mutex
	flush, compact wal.Histogram // guarded by mu
}

// work is what one goroutine does. Atomic; written by it, read by anyone.
type work struct {
	since  atomic.Int64 // nanoseconds since 1970; 0 while it waits for work
	bucket atomic.Uint64
}

// begin says that the work on a bucket begins, 0 for none.
func (w *work) begin(id point.BucketID) {
	w.bucket.Store(uint64(id))
	w.since.Store(time.Now().UnixNano())
}

func (w *work) end() { w.since.Store(0) }

func (st *keeperStats) flushed(took time.Duration) {
	st.mu.Lock()
	st.flush.Observe(took)
	st.mu.Unlock()
}

func (st *keeperStats) compacted(took time.Duration) {
	st.mu.Lock()
	st.compact.Observe(took)
	st.mu.Unlock()
}

// resting notes which buckets cannot be compacted. Owned by the compacting goroutine.
func (st *keeperStats) resting(buckets map[*Bucket]*rest) {
	var err error
	others := -1
	for b, r := range buckets {
		if errors.Is(r.err, errNoRoom) {
			continue // it was not let: all is well but for the disk, which is told elsewhere
		}
		err = fmt.Errorf("bucket %s: %w", b.id, r.err)
		others++
	}
	if others > 0 {
		err = fmt.Errorf("%w (and %d other %s)", err, others, english.PluralWord(others, "bucket", ""))
	}
	if err == nil {
		st.restingError.Store(nil)
	} else {
		st.restingError.Store(&err)
	}
}

// DataFailures counts the flushes and compactions that have failed; err is why the
// last round of flushing did, nil if it went well.
func (s *Shard) DataFailures() (n int64, err error) {
	st := s.KeeperStats()
	return st.FlushFailures + st.CompactionFailures, st.FlushError
}

// KeeperStats is what a shard's buckets have had done on disk, at one moment.
type KeeperStats struct {
	// FlushFailures and CompactionFailures count what has failed and is tried again.
	FlushFailures, CompactionFailures int64
	// FlushError is why the last round of flushing failed, and CompactionError why a
	// bucket cannot be compacted; nil if all is well.
	FlushError, CompactionError error
	// Flushes and Compactions are how long each took that went well.
	Flushes, Compactions wal.Histogram
	// FlushBacklogBytes is how much of the log is in memtables that wait to be
	// flushed, CompactionBacklog how many buckets wait for a look whether something
	// can be merged.
	FlushBacklogBytes int64
	CompactionBacklog int
}

// KeeperStats says how the work on disk goes. It is zero for a shard without a data
// store.
func (s *Shard) KeeperStats() KeeperStats {
	if s.keeper == nil {
		return KeeperStats{}
	}
	k := &s.keeper.stats
	st := KeeperStats{FlushFailures: k.flushFailures.Load(), CompactionFailures: k.compactFailures.Load()}
	if err := k.lastError.Load(); err != nil {
		st.FlushError = *err
	}
	if err := k.restingError.Load(); err != nil {
		st.CompactionError = *err
	}
	k.mu.Lock()
	st.Flushes, st.Compactions = k.flush, k.compact
	k.mu.Unlock()
	for _, b := range s.Buckets() {
		st.FlushBacklogBytes += max(0, b.frozenBytes.Load())
		if b.flushed.Load() {
			st.CompactionBacklog++
		}
	}
	return st
}

// Stalled returns an error that names what the keeper has been doing for longer than
// limit without having written anything, nil if it gets on.
func (s *Shard) Stalled(limit time.Duration) error {
	if s.keeper == nil {
		return nil
	}
	written := s.o.Data.LastWrite()
	for _, w := range []struct {
		what string
		*work
	}{{"flush", &s.keeper.stats.flushing}, {"compaction", &s.keeper.stats.compacting}} {
		ns := w.since.Load()
		if ns == 0 {
			continue
		}
		since := time.Unix(0, ns)
		if written.After(since) {
			since = written
		}
		if quiet := time.Since(since); quiet > limit {
			return fmt.Errorf("actors: %s of bucket %s has written nothing for %s", w.what, point.BucketID(w.bucket.Load()), quiet.Round(time.Second))
		}
	}
	return nil
}
