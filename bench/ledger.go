package bench

import (
	"fmt"
	"sync"
)

// ledger is what the writers know: of each slot what was acknowledged, and what may
// or may not have been stored. It is the truth that the server is held against.
// Safe for concurrent use.
type ledger struct {
	data crashData

	mu      sync.Mutex
	writers []writerLedger
	found   violations
	counts  ledgerCounts
}

// writerLedger is one writer's part of the ledger.
type writerLedger struct {
	slots []slotState
	// version is the last one given out.
	version int
}

// slotState is what is known of one slot. Version 0 stands for "not there".
type slotState struct {
	shape slotShape
	// committed is the version that must be there unless pending is.
	committed int
	// pending is the version whose request was not answered, or was answered with
	// "it may yet be stored": it is there wholly or not at all. 0 when there is
	// none.
	pending int
	// seen is set once a query has returned the pending version: now it must stay.
	seen bool
	// round is when the slot was last written.
	round int
}

// ledgerCounts counts batches by what became of them.
type ledgerCounts struct {
	Acknowledged, Refused, Rejected, Indeterminate int64 // batches
	Points                                         int64 // acknowledged
	Kept, Lost                                     int64 // indeterminate batches, once settled
}

func newLedger(data crashData, writers int) *ledger {
	return &ledger{data: data, writers: make([]writerLedger, writers)}
}

// attempt is one batch on its way.
type attempt struct {
	key     slotKey
	shape   slotShape
	version int
}

// begin opens a new slot, or the slot rewrite when that is not negative, for a
// batch that is about to be sent.
func (l *ledger) begin(writer, round, rewrite int, small bool) attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.writers[writer]
	w.version++
	a := attempt{key: slotKey{writer, rewrite}, version: w.version}
	if rewrite < 0 {
		a.key.slot = len(w.slots)
		w.slots = append(w.slots, slotState{shape: l.data.shape(a.key, small)})
	}
	s := &w.slots[a.key.slot]
	a.shape = s.shape
	s.pending, s.seen, s.round = w.version, false, round
	return a
}

// rewritable returns a slot of a writer that can be written again: one whose
// points are known to be there. It tries a few that pick chooses; -1 means none.
func (l *ledger) rewritable(writer int, pick func(n int) int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots := l.writers[writer].slots
	for range 4 {
		if len(slots) == 0 {
			return -1
		}
		n := pick(len(slots))
		if s := slots[n]; s.committed != 0 && s.pending == 0 && s.shape.lines <= 100 {
			return n
		}
	}
	return -1
}

// acknowledge notes that an attempt is durable: 204, or 422 with the rest stored.
func (l *ledger) acknowledge(a attempt) {
	points := int64(l.data.accepted(a.key, a.shape))
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.slot(a.key)
	s.committed, s.pending, s.seen = a.version, 0, false
	l.counts.Acknowledged++
	l.counts.Points += points
}

// refuse notes that nothing of an attempt was stored: 400 or 503.
func (l *ledger) refuse(a attempt, rejected bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.slot(a.key)
	if s.seen {
		l.found.add("%s: a query returned version %d, and then it was refused", l.name(a.key), a.version)
	}
	s.pending, s.seen = 0, false
	if rejected {
		l.counts.Rejected++
	} else {
		l.counts.Refused++
	}
}

// leave notes that nobody knows what became of an attempt.
func (l *ledger) leave(attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Indeterminate++
}

// sighted notes that a query returned a version of a slot while writers were busy.
// What anyone has read can no longer be lost.
func (l *ledger) sighted(k slotKey, version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.writer >= len(l.writers) || k.slot >= len(l.writers[k.writer].slots) || version > l.writers[k.writer].version {
		l.found.add("a query returned writer %d slot %d version %d, which was never sent", k.writer, k.slot, version)
		return
	}
	if s := l.slot(k); s.pending != 0 && s.pending == version {
		s.seen = true
	}
}

func (l *ledger) slot(k slotKey) *slotState { return &l.writers[k.writer].slots[k.slot] }

// name names a slot for a reader of the report.
func (l *ledger) name(k slotKey) string {
	s := l.slot(k)
	return fmt.Sprintf("writer %d slot %d (%s.%s, %d lines, round %d)", k.writer, k.slot, s.shape.database, s.shape.measurement, s.shape.lines, s.round)
}

// violations are the promises that were seen broken. The first ones are kept in
// full, all are counted.
type violations struct {
	n     int
	texts []string
}

const violationsKept = 100

func (v *violations) add(format string, args ...any) {
	v.n++
	if len(v.texts) < violationsKept {
		v.texts = append(v.texts, fmt.Sprintf(format, args...))
	}
}

func (l *ledger) violate(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found.add(format, args...)
}

// violated returns the violations so far.
func (l *ledger) violated() (n int, texts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found.n, l.found.texts
}
