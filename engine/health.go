package engine

import (
	"context"
	"errors"
	"fmt"

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
	// Checks are the parts that fail: recovery, log, catalogue, actors, disk, data,
	// compaction, stalled, memory, and each bucket that is out of service. Status is
	// "pass" nevertheless if damage is the only one.
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

// Health tries what a write needs and says whether all of it works: it writes and syncs
// something in the log and beside the catalogue's journal and waits for an answer from
// every bucket's actor, at most once a second, whoever asks; and it looks whether
// flushes and compactions work and get on, whether there is room on disk and in memory,
// and whether every bucket is in service. It waits at most Options.HealthTimeout.
//
// Damaged files of the data store are a check, called damage, that fails by itself: writes
// are taken all the same, and neither a restart nor another server in this one's place,
// which is what those who ask may decide upon, makes the points in there readable.
func (e *Engine) Health(ctx context.Context) Health {
	h := Health{Status: statusPass, Message: "ready for queries and writes", Checks: []Check{}}
	fail := func(name, message string) {
		if h.Status == statusPass {
			h.Status, h.Message = statusFail, message
		}
		h.Checks = append(h.Checks, Check{Name: name, Status: statusFail, Message: message})
	}
	if !e.recovered.Load() {
		fail("recovery", e.Recovery().String())
		return h
	}
	var attempts [len(e.probes)]*attempt
	for i := range e.probes {
		attempts[i] = e.probes[i].start(e.background, e.o.HealthTimeout)
	}
	for i := range e.probes {
		if err := attempts[i].outcome(ctx, e.o.HealthTimeout); err != nil {
			fail(e.probes[i].name, fmt.Sprintf(e.probes[i].failure, err))
		}
	}
	if d := e.shard.Disk(); d.Full {
		fail("disk", d.Error()+"; writes are refused, deletes are not")
	} else if d.Err != nil {
		fail("disk", d.Err.Error())
	}
	k := e.shard.KeeperStats()
	if k.FlushError != nil {
		fail("data", fmt.Sprintf("the data store cannot be written: %v; points stay in the log and in memory, which has room for so many", k.FlushError))
	}
	if k.CompactionError != nil {
		fail("compaction", fmt.Sprintf("points cannot be compacted: %v; it is tried again", k.CompactionError))
	}
	if err := e.shard.Stalled(e.o.StallTimeout); err != nil {
		fail("stalled", fmt.Sprintf("the work on disk hangs: %v (Options.StallTimeout, --stall-timeout)", err))
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
	if text := e.damagedFiles(); text != "" {
		if h.Status == statusPass {
			h.Message += "; but " + text
		}
		h.Checks = append(h.Checks, Check{Name: "damage", Status: statusFail, Message: text})
	}
	return h
}

// makeProbes makes what Health tries.
func (e *Engine) makeProbes() {
	e.probes[0] = probe{name: "log", failure: "the log cannot be written: %v", try: e.shard.Probe}
	e.probes[1] = probe{name: "catalogue", failure: "the catalogue cannot be written: %v", try: func(context.Context) error { return e.catalog.Probe() }}
	e.probes[2] = probe{name: "actors", failure: "writes hang: %v", try: e.shard.Ping}
}

// DiskState is what is known of the disk.
type DiskState = actors.DiskState

// Histogram counts durations.
type Histogram = wal.Histogram

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
	// Keeper says how flushing and compacting go.
	Keeper actors.KeeperStats
	// Data is the data store's own account.
	Data disk.Stats
	// Disk is the fullest of the file systems that log and data are on.
	Disk DiskState
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
	s.Keeper, s.Disk = e.shard.KeeperStats(), e.shard.Disk()
	s.DataFailures, s.DataError = s.Keeper.FlushFailures+s.Keeper.CompactionFailures, s.Keeper.FlushError
	return s
}
