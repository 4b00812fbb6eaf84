package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"headgate/actors"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
)

// Health is whether the engine can take and sync a write.
type Health struct {
	// Status is "pass" or "fail".
	Status string `json:"status"`
	// Message says it in a sentence.
	Message string `json:"message"`
	// Checks are the parts: recovery, log, data, memory, and each bucket that is out of
	// service.
	Checks []Check `json:"checks"`
}

// Check is one part of Health.
type Check struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

const (
	statusPass = "pass"
	statusFail = "fail"
)

// probe remembers the last real write to the log, so that a storm of health
// checks does not become a storm of syncs.
type probe struct {
	mu   sync.Mutex
	at   time.Time
	err  error
	once bool
}

// probeEvery is how long one probe's outcome is good for.
const probeEvery = time.Second

// Health writes and syncs a small record in the log (at most once a second), and
// says whether that worked and whether every bucket is in service. It waits at
// most Options.WriteTimeout.
func (e *Engine) Health(ctx context.Context) Health {
	h := Health{Status: statusPass, Message: "ready for queries and writes", Checks: []Check{}}
	fail := func(name, message string) {
		if h.Status == statusPass {
			h.Status, h.Message = statusFail, message
		}
		h.Checks = append(h.Checks, Check{Name: name, Status: statusFail, Message: message})
	}
	if !e.recovered.Load() {
		r := e.Recovery()
		fail("recovery", fmt.Sprintf("recovering: %d of %d buckets, %d records, %d points", r.BucketsDone, r.Buckets, r.Records, r.Points))
		return h
	}
	if err := e.probeLog(ctx); err != nil {
		fail("log", fmt.Sprintf("the log cannot be written: %v", err))
	}
	if _, err := e.shard.DataFailures(); err != nil {
		fail("data", fmt.Sprintf("the data store cannot be written: %v; points stay in the log and in memory, which has room for so many", err))
	}
	if g := e.shard.Gate().Stats(); g.MemoryFull {
		fail("memory", fmt.Sprintf("memory budget is spent: buckets hold %d bytes of %d (Options.MemoryBytesMax, --memory)", g.MemoryBytes, g.MemoryBytesMax))
	}
	for id, b := range *e.buckets.Load() {
		var u *actors.UnavailableError
		if errors.As(b.State().Unavailable, &u) {
			fail("bucket "+id.String(), u.Error())
		}
	}
	return h
}

func (e *Engine) probeLog(ctx context.Context) error {
	e.probe.mu.Lock()
	defer e.probe.mu.Unlock()
	if e.probe.once && time.Since(e.probe.at) < probeEvery {
		return e.probe.err
	}
	probing, cancel := context.WithTimeout(ctx, e.o.WriteTimeout)
	defer cancel()
	err := e.shard.Probe(probing)
	if ctx.Err() == nil { // else it says nothing about the log
		e.probe.err, e.probe.at, e.probe.once = err, time.Now(), true
	}
	return err
}

// Stats is the engine at one moment.
type Stats struct {
	Gate actors.GateStats
	Log  wal.Stats
	// Buckets counts the open buckets, Unavailable those among them that are out
	// of service.
	Buckets, Unavailable int
	// Series, Points and Values are what the buckets hold.
	Series, Points, Values int64
	// MemoryBytes is what the buckets hold in memory, MemoryBytesMax the budget.
	MemoryBytes, MemoryBytesMax int64
	// MemtableBytes is the points among it that are not in the data store yet.
	MemtableBytes int64
	// Parts, Blocks and BlockBytes are what the data store holds.
	Parts, Blocks, BlockBytes int64
	// IO counts what has been written to the data store since the start.
	IO store.IOStats
	// DataFailures counts flushes and compactions that have failed; DataError is
	// why the last flush did, nil if it did not.
	DataFailures int64
	DataError    error
	// Data is the data store's own account.
	Data disk.Stats
}

// Stats adds up the buckets' counters. It costs a few loads for each bucket.
func (e *Engine) Stats() Stats {
	s := Stats{Gate: e.shard.Gate().Stats(), Log: e.shard.Log().Stats(), MemoryBytesMax: e.o.MemoryBytesMax}
	for _, b := range *e.buckets.Load() {
		s.Buckets++
		st := b.State()
		if st.Unavailable != nil {
			s.Unavailable++
		}
		if st.Store == nil {
			continue
		}
		bs := st.Store.Stats()
		s.Series += int64(bs.Series)
		s.Points += int64(bs.Points)
		s.Values += int64(bs.Values)
		s.MemoryBytes += bs.Bytes
		active, frozen := st.Store.MemtableBytes()
		s.MemtableBytes += active + frozen
		s.Parts += int64(bs.Parts)
		s.Blocks += int64(bs.Blocks)
		s.BlockBytes += bs.DiskBytes
		s.IO.Add(st.Store.IOStats())
	}
	s.Data = e.data.Stats()
	s.DataFailures, s.DataError = e.shard.DataFailures()
	return s
}
