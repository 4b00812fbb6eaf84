package fence

import (
	"errors"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// How long compactions rest after one that has failed, doubling from each to the next
// that does.
const (
	compactionRestMin = time.Second
	compactionRestMax = time.Minute
)

// Scheduler runs Pebble's compactions, one at a time. After one that has failed it lets
// none begin for a while. Pebble's own begins the next at once, which is the same again:
// where a file is damaged that keeps a processor busy for as long as the store is open.
//
// It does not bound compactions that only delete files, which read none.
type Scheduler struct {
	// db is set by Register, before anything else is called.
	db pebble.DBForCompaction

	mu   sync.Mutex
	wake sync.Cond // of mu: granting has become false
	// All guarded by mu, which nobody holds who calls db: Pebble calls TrySchedule and
	// Ended under locks of its own that db's methods take.
	running  bool // a compaction has been granted, and Done not been called
	granting bool // someone is asking db for a compaction
	closed   bool
	rest     time.Duration // of the failure before, 0 after a compaction that worked
	resume   *time.Timer   // while resting, else nil
}

// NewScheduler returns a scheduler for one store.
func NewScheduler() *Scheduler {
	s := new(Scheduler)
	s.wake.L = &s.mu
	return s
}

// Register is called by Pebble at the end of opening.
func (s *Scheduler) Register(_ int, db pebble.DBForCompaction) { s.db = db }

// Unregister is called by Pebble when it closes.
func (s *Scheduler) Unregister() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.resume != nil {
		s.resume.Stop()
		s.resume = nil
	}
	for s.granting {
		s.wake.Wait()
	}
}

// may reports whether a compaction may begin. The caller holds mu.
func (s *Scheduler) may() bool { return !s.closed && !s.running && s.resume == nil }

// TrySchedule is called by Pebble when it has a compaction. One that is refused waits
// until grant asks for it.
func (s *Scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.may() {
		return false, nil
	}
	s.running = true
	return true, s
}

// UpdateGetAllowedWithoutPermission does nothing: there is no more than one at a time.
func (s *Scheduler) UpdateGetAllowedWithoutPermission() {}

// Ended is for EventListener.CompactionEnd.
func (s *Scheduler) Ended(info pebble.CompactionInfo) {
	if errors.Is(info.Err, pebble.ErrCancelledCompaction) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case info.Err == nil:
		s.rest = 0
	case !s.closed && s.resume == nil:
		s.rest = min(max(2*s.rest, compactionRestMin), compactionRestMax)
		s.resume = time.AfterFunc(s.rest, s.goOn)
	}
}

// goOn ends a rest.
func (s *Scheduler) goOn() {
	s.mu.Lock()
	s.resume = nil
	s.mu.Unlock()
	s.grant()
}

// Started, MeasureCPU and CumulativeStats are of pebble.CompactionGrantHandle.
func (s *Scheduler) Started() {}

// MeasureCPU does nothing.
func (s *Scheduler) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats does nothing.
func (s *Scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done is called by Pebble after each compaction.
func (s *Scheduler) Done() {
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
	s.grant()
}

// grant has Pebble begin the compaction that waits, if one does and it may.
func (s *Scheduler) grant() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.granting {
		s.wake.Wait()
	}
	s.granting = true
	for s.may() {
		s.mu.Unlock()
		waiting, _ := s.db.GetWaitingCompaction()
		s.mu.Lock()
		if !waiting || !s.may() {
			break // what comes now asks by itself, or has Done called
		}
		s.running = true
		s.mu.Unlock()
		accepted := s.db.Schedule(s)
		s.mu.Lock()
		if accepted {
			break
		}
		s.running = false // one that was refused meanwhile waits: look again
	}
	s.granting = false
	s.wake.Broadcast()
}
