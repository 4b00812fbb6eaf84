package actors

import (
	"context"
	"sync/atomic"
	"time"
)

// Share is the part of a gate's credit that one bucket holds, and the line of its
// requests that wait for more. It lives as long as the bucket's handle; whoever has
// the handle finds it without a look-up.
type Share struct {
	gate *Gate

	bytes    atomic.Int64 // admitted and not yet released
	requests atomic.Int64
	memory   atomic.Int64 // held by the bucket

	// first and last are the line, waiters its length. Guarded by gate.mu.
	first, last *waiter
	waiters     int
	place       int // index in gate.lines while waiters > 0; guarded by gate.mu
}

// Gate is the gate that s is a share of.
func (s *Share) Gate() *Gate { return s.gate }

// Acquire takes credit for one request of n bytes, waiting at most wait for
// room. It returns Admitted, or the reason for the refusal. More than BytesMax
// is admitted when nothing else is in flight, so that nothing starves for ever.
func (s *Share) Acquire(ctx context.Context, n int64, wait time.Duration) Reason {
	return s.acquire(ctx, n, wait, false)
}

// AcquireToFree is Acquire for a request that may make room in memory or on disk: it
// is not refused because that is spent.
func (s *Share) AcquireToFree(ctx context.Context, n int64, wait time.Duration) Reason {
	return s.acquire(ctx, n, wait, true)
}

func (s *Share) acquire(ctx context.Context, n int64, wait time.Duration, toFree bool) Reason {
	g := s.gate
	r := s.closed(toFree)
	if r == Admitted {
		if g.waiting.Load() == 0 && s.try(n) {
			return Admitted
		}
		if r = s.wait(ctx, n, wait); r == Admitted {
			if r = s.closed(toFree); r == Admitted {
				return Admitted
			}
			s.Release(n) // it was shut meanwhile
		}
	}
	g.refused[r].Add(1)
	return r
}

// closed says why nothing is admitted, however much room there is.
func (s *Share) closed(toFree bool) Reason {
	g := s.gate
	if r := Reason(g.shut.Load()); r != Admitted {
		return r
	}
	if toFree {
		return Admitted
	}
	if g.diskFull.Load() {
		return DiskFull
	}
	if free := g.o.MemoryBytesMax - g.memory.Load(); free <= 0 || s.memory.Load() > shareFactor*free {
		return MemoryFull
	}
	return Admitted
}

// try takes credit without waiting.
func (s *Share) try(n int64) bool {
	g := s.gate
	requests, bytes := g.requests.Add(1), g.bytes.Add(n)
	own, ownBytes := s.requests.Add(1), s.bytes.Add(n)
	if free := g.o.RequestsMax - requests; free >= 0 && own <= shareFactor*(free+1) {
		if free := g.pace.limit.Load() - bytes; bytes == n || free >= 0 && ownBytes <= shareFactor*free {
			return true
		}
	}
	s.bytes.Add(-n)
	s.requests.Add(-1)
	g.bytes.Add(-n)
	g.requests.Add(-1)
	return false
}

// Grow takes n more bytes for a request that has been admitted. It never waits. A
// request that is alone may have all there is.
func (s *Share) Grow(n int64) bool {
	g := s.gate
	bytes, own := g.bytes.Add(n), s.bytes.Add(n)
	if free := g.o.BytesMax - bytes; free >= 0 && (own <= shareFactor*free || g.requests.Load() == 1) {
		return true
	}
	s.bytes.Add(-n)
	g.bytes.Add(-n)
	g.refused[QueueFull].Add(1)
	return false
}

// Charge takes n more bytes unconditionally: for what an admitted body has
// already become.
func (s *Share) Charge(n int64) {
	s.bytes.Add(n)
	s.gate.bytes.Add(n)
}

// Shrink gives back n of the bytes that a request has, which goes on with the others.
func (s *Share) Shrink(n int64) {
	g := s.gate
	g.drained.Add(n)
	s.bytes.Add(-n)
	g.bytes.Add(-n)
	if g.waiting.Load() == 0 {
		return
	}
	g.mu.Lock()
	g.serveLocked()
	g.mu.Unlock()
}

// Release gives back the credit of one request: all the bytes that it acquired,
// grew and was charged, but for those that it gave back before.
func (s *Share) Release(n int64) {
	g := s.gate
	g.drained.Add(n)
	s.bytes.Add(-n)
	s.requests.Add(-1)
	g.bytes.Add(-n)
	left := g.requests.Add(-1)
	if g.waiting.Load() == 0 && left != 0 {
		return
	}
	g.mu.Lock()
	g.serveLocked()
	g.tellIdleLocked()
	g.mu.Unlock()
}

// AddMemory says that the bucket holds n more bytes (or fewer).
func (s *Share) AddMemory(n int64) {
	s.memory.Add(n)
	s.gate.memory.Add(n)
	if n < 0 {
		s.gate.freed.Add(-n)
	}
}
