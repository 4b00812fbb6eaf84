package actors

import (
	"context"
	"time"
)

// waiter is one request in its bucket's line. It belongs to the goroutine that
// waits, which puts it back.
type waiter struct {
	n    int64
	next *waiter // in line, or in Gate.spare; guarded by Gate.mu
	prev *waiter // in line; guarded by Gate.mu
	// inLine is false once the waiter has been served or has left. Guarded by Gate.mu.
	inLine bool
	// ready has room for one value, which the waiter gets with its credit.
	ready chan struct{}
	timer *time.Timer
}

// spareMax is how many waiters a gate keeps for reuse.
const spareMax = 1024

// wait puts a request of n bytes in line until it has its credit, the time is over
// or ctx ends.
func (s *Share) wait(ctx context.Context, n int64, wait time.Duration) Reason {
	g := s.gate
	if wait <= 0 {
		g.noticeIdle()
		return QueueFull
	}
	g.mu.Lock()
	if free := int64(g.o.WaitersMax) - g.waiting.Load(); free <= 0 || int64(s.waiters) >= shareFactor*free {
		g.mu.Unlock()
		g.noticeIdle()
		return QueueFull
	}
	w := g.waiterLocked(n, wait)
	s.pushLocked(w)
	g.serveLocked() // credit may have come home since try
	g.mu.Unlock()

	r := Admitted
	select {
	case <-w.ready:
	case <-w.timer.C:
		r = QueueFull
	case <-ctx.Done():
		r = QueueFull
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r != Admitted {
		g.serveLocked() // a last look: two that try at once can both fail
		if !w.inLine {
			<-w.ready
			r = Admitted
		} else {
			s.removeLocked(w)
			g.serveLocked() // whoever stood behind a large request may fit now
			g.tellIdleLocked()
		}
	}
	g.putWaiterLocked(w)
	return r
}

func (g *Gate) waiterLocked(n int64, wait time.Duration) *waiter {
	w := g.spare
	if w == nil {
		return &waiter{n: n, ready: make(chan struct{}, 1), timer: time.NewTimer(wait)}
	}
	g.spare, w.next = w.next, nil
	g.spares--
	w.n = n
	w.timer.Reset(wait)
	return w
}

func (g *Gate) putWaiterLocked(w *waiter) {
	w.timer.Stop()
	if g.spares < spareMax {
		g.spares++
		g.spare, w.next = w, g.spare
	}
}

// pushLocked puts w at the end of s's line.
func (s *Share) pushLocked(w *waiter) {
	g := s.gate
	w.inLine = true
	w.prev = s.last
	if s.last == nil {
		s.first = w
		s.place = len(g.lines)
		g.lines = append(g.lines, s)
	} else {
		s.last.next = w
	}
	s.last = w
	s.waiters++
	g.waiting.Add(1)
}

// removeLocked takes w out of s's line.
func (s *Share) removeLocked(w *waiter) {
	g := s.gate
	if w.prev == nil {
		s.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		s.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.inLine = nil, nil, false
	s.waiters--
	g.waiting.Add(-1)
	if s.waiters == 0 {
		end := len(g.lines) - 1
		moved := g.lines[end]
		g.lines[s.place], moved.place = moved, s.place
		g.lines[end] = nil
		g.lines = g.lines[:end]
	}
}

// serveLocked admits from the lines while there is room. The first of the bucket
// that holds least is next, and nobody overtakes it, large as it may be.
func (g *Gate) serveLocked() {
	for len(g.lines) > 0 {
		s := g.neediestLocked()
		w := s.first
		if !s.try(w.n) {
			return
		}
		s.removeLocked(w)
		w.ready <- struct{}{}
	}
}

// looksMax is how many lines are looked at to find the bucket that holds least: where
// more wait, it is the one among so many that are next in turn.
const looksMax = 64

func (g *Gate) neediestLocked() *Share {
	if g.turn >= len(g.lines) {
		g.turn = 0
	}
	var best *Share
	var least float64
	for i := range min(len(g.lines), looksMax) {
		at := g.turn + i
		if at >= len(g.lines) {
			at -= len(g.lines)
		}
		s := g.lines[at]
		held := max(float64(s.bytes.Load())/float64(g.o.BytesMax), float64(s.requests.Load())/float64(g.o.RequestsMax))
		if best == nil || held < least {
			best, least = s, held
		}
	}
	g.turn = best.place + 1
	return best
}
