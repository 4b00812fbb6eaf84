package actors

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// GateOptions limits what a shard has in flight.
type GateOptions struct {
	// BytesMax bounds the bytes of admitted bodies and their batches.
	// Default 256 MiB.
	BytesMax int64
	// RequestsMax bounds the admitted requests. Default 16,384.
	RequestsMax int64
	// WaitersMax bounds the requests that wait for room. Default 16,384.
	WaitersMax int
	// MemoryBytesMax bounds what the shard's buckets hold in memory; above it
	// every write is refused. Default 1 GiB.
	MemoryBytesMax int64
	// RetryAfterMax caps the advice given to refused clients. Default 30 s.
	RetryAfterMax time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// EnsureDefaults fills in the zero fields.
func (o *GateOptions) EnsureDefaults() {
	if o.BytesMax == 0 {
		o.BytesMax = 256 << 20
	}
	if o.RequestsMax == 0 {
		o.RequestsMax = 16384
	}
	if o.WaitersMax == 0 {
		o.WaitersMax = 16384
	}
	if o.MemoryBytesMax == 0 {
		o.MemoryBytesMax = 1 << 30
	}
	if o.RetryAfterMax == 0 {
		o.RetryAfterMax = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Gate is the one thing that the goroutines of a shard share: its credit. It is
// a few atomics and not an actor, because it stands in front of the mailboxes:
// the cheapest refusal is one that sends no message.
//
// A request that finds no room waits in line, first come first served, for a
// bounded time and in bounded numbers; the line is behind a mutex that nobody
// touches while there is room.
type Gate struct {
	o GateOptions

	bytes    atomic.Int64 // admitted and not yet released
	requests atomic.Int64
	memory   atomic.Int64 // held by the buckets; see AddMemory
	shut     atomic.Uint32
	drained  atomic.Int64 // bytes released since the gate was made

	waiting atomic.Int64 // len(line), readable without mu
	refused [QueueFull + 1]atomic.Int64

	mu   sync.Mutex
	line []*waiter
	idle []chan struct{} // closed when the last credit comes home
	rate drainRate
}

// waiter is one request in line. ready is buffered; it gets one value when the
// waiter has been given its credit.
type waiter struct {
	n     int64
	ready chan struct{}
	gone  bool // gave up; under Gate.mu
}

// NewGate returns an open gate.
func NewGate(o GateOptions) *Gate {
	o.EnsureDefaults()
	g := &Gate{o: o}
	g.rate.last = o.Now()
	return g
}

// Acquire takes credit for one request of n bytes, waiting at most wait for
// room. It returns Admitted, or the reason for the refusal. More than BytesMax
// is admitted when nothing else is in flight, so that nothing starves for ever.
func (g *Gate) Acquire(ctx context.Context, n int64, wait time.Duration) Reason {
	return g.counted(g.acquire(ctx, n, wait, g.closedFor))
}

// AcquireToFree is Acquire for a request that may make room in memory: it is not
// refused because that is spent.
func (g *Gate) AcquireToFree(ctx context.Context, n int64, wait time.Duration) Reason {
	return g.counted(g.acquire(ctx, n, wait, func() Reason { return Reason(g.shut.Load()) }))
}

// counted counts refusals.
func (g *Gate) counted(r Reason) Reason {
	if r != Admitted {
		g.refused[r].Add(1)
	}
	return r
}

func (g *Gate) acquire(ctx context.Context, n int64, wait time.Duration, closedFor func() Reason) Reason {
	if r := closedFor(); r != Admitted {
		return r
	}
	if g.waiting.Load() == 0 && g.try(n) {
		return Admitted
	}
	if wait <= 0 {
		g.noticeIdle()
		return QueueFull
	}
	w := &waiter{n: n, ready: make(chan struct{}, 1)}
	g.mu.Lock()
	if len(g.line) >= g.o.WaitersMax {
		g.mu.Unlock()
		return QueueFull
	}
	g.line = append(g.line, w)
	g.waiting.Store(int64(len(g.line)))
	g.serveLocked() // credit may have come home since try
	g.mu.Unlock()

	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-w.ready:
		return g.closedAfterWait(w, closedFor)
	case <-t.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serveLocked() // a last look: two that try at once can both fail
	select {
	case <-w.ready:
		return Admitted
	default:
	}
	w.gone = true
	g.serveLocked() // whoever stood behind a large request may fit now
	return QueueFull
}

// closedAfterWait gives credit back when the gate was shut while w waited.
func (g *Gate) closedAfterWait(w *waiter, closedFor func() Reason) Reason {
	if r := closedFor(); r != Admitted {
		g.Release(w.n)
		return r
	}
	return Admitted
}

func (g *Gate) closedFor() Reason {
	if r := Reason(g.shut.Load()); r != Admitted {
		return r
	}
	if g.memory.Load() >= g.o.MemoryBytesMax {
		return MemoryFull
	}
	return Admitted
}

// try takes credit without waiting.
func (g *Gate) try(n int64) bool {
	if g.requests.Add(1) > g.o.RequestsMax {
		g.requests.Add(-1)
		return false
	}
	if b := g.bytes.Add(n); b > g.o.BytesMax && b != n {
		g.bytes.Add(-n)
		g.requests.Add(-1)
		return false
	}
	return true
}

// Grow takes n more bytes for a request that has been admitted. It never waits.
func (g *Gate) Grow(n int64) bool {
	if g.bytes.Add(n) > g.o.BytesMax {
		g.bytes.Add(-n)
		g.refused[QueueFull].Add(1)
		return false
	}
	return true
}

// Charge takes n more bytes unconditionally: for what an admitted body has
// already become.
func (g *Gate) Charge(n int64) { g.bytes.Add(n) }

// Release gives back the credit of one request: all the bytes that it acquired,
// grew and was charged.
func (g *Gate) Release(n int64) {
	g.drained.Add(n)
	left := g.requests.Add(-1)
	g.bytes.Add(-n)
	if g.waiting.Load() == 0 && left != 0 {
		return
	}
	g.mu.Lock()
	g.serveLocked()
	g.tellIdleLocked()
	g.mu.Unlock()
}

// noticeIdle makes up for a Release that took a try in vain for one more request.
func (g *Gate) noticeIdle() {
	if g.requests.Load() == 0 {
		g.mu.Lock()
		g.tellIdleLocked()
		g.mu.Unlock()
	}
}

func (g *Gate) tellIdleLocked() {
	if g.requests.Load() == 0 {
		for _, ch := range g.idle {
			close(ch)
		}
		g.idle = nil
	}
}

// serveLocked admits from the head of the line while there is room.
func (g *Gate) serveLocked() {
	i := 0
	for ; i < len(g.line); i++ {
		w := g.line[i]
		if w.gone {
			continue
		}
		if !g.try(w.n) {
			break
		}
		w.ready <- struct{}{}
	}
	if i > 0 {
		rest := copy(g.line, g.line[i:])
		clear(g.line[rest:])
		g.line = g.line[:rest]
		g.waiting.Store(int64(rest))
	}
}

// Shut refuses every request from now on for reason; Admitted opens the gate.
// Requests in line are served or time out by themselves.
func (g *Gate) Shut(reason Reason) { g.shut.Store(uint32(reason)) }

// AddMemory says that the shard's buckets hold n more bytes (or fewer).
func (g *Gate) AddMemory(n int64) { g.memory.Add(n) }

// Memory is what the shard's buckets hold, in bytes.
func (g *Gate) Memory() int64 { return g.memory.Load() }

// Idle returns a channel that is closed once no request is in flight.
func (g *Gate) Idle() <-chan struct{} {
	ch := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.requests.Load() == 0 {
		close(ch)
	} else {
		g.idle = append(g.idle, ch)
	}
	return ch
}

// RetryAfter is the time that the bytes in flight take to drain at the measured
// rate: whole seconds, at least one, at most RetryAfterMax.
func (g *Gate) RetryAfter() time.Duration {
	g.mu.Lock()
	rate := g.rate.perSecond(g.o.Now(), g.drained.Load())
	g.mu.Unlock()
	s := 1.0
	if rate > 0 {
		// Capped before it is a Duration, which a rate near zero would overflow.
		s = min(math.Ceil(float64(g.bytes.Load())/rate), math.Ceil(g.o.RetryAfterMax.Seconds()))
	}
	return min(max(time.Duration(s)*time.Second, time.Second), g.o.RetryAfterMax)
}

// rateStale is the longest time between two looks that makes a rate.
const rateStale = 10 * time.Second

// drainRate is an exponentially weighted rate of bytes a second, looked at no
// more often than every 100 ms. Under Gate.mu.
type drainRate struct {
	last    time.Time
	drained int64
	rate    float64
}

func (d *drainRate) perSecond(now time.Time, drained int64) float64 {
	dt := now.Sub(d.last).Seconds()
	if dt < 0.1 {
		return d.rate
	}
	if dt > rateStale.Seconds() { // an idle hour says nothing about the next second
		d.last, d.drained = now, drained
		return d.rate
	}
	current := float64(drained-d.drained) / dt
	w := 1 - math.Exp(-dt) // time constant 1 s
	d.rate += w * (current - d.rate)
	d.last, d.drained = now, drained
	return d.rate
}

// GateStats is a gate at one moment.
type GateStats struct {
	// Bytes and Requests are in flight; Waiting stand in line.
	Bytes, BytesMax       int64
	Requests, RequestsMax int64
	Waiting               int64
	// MemoryBytes is held by the shard's buckets.
	MemoryBytes, MemoryBytesMax int64
	// Refused counts refusals by Reason since the gate was made.
	Refused map[string]int64
}

// Stats reads the gate's counters.
func (g *Gate) Stats() GateStats {
	s := GateStats{Bytes: g.bytes.Load(), BytesMax: g.o.BytesMax, Requests: g.requests.Load(), RequestsMax: g.o.RequestsMax,
		Waiting: g.waiting.Load(), MemoryBytes: g.memory.Load(), MemoryBytesMax: g.o.MemoryBytesMax, Refused: make(map[string]int64)}
	for r := Closing; r <= QueueFull; r++ {
		s.Refused[r.String()] = g.refused[r].Load()
	}
	return s
}

// shutFailed shuts an open gate because the log has failed.
func (g *Gate) shutFailed() { g.shut.CompareAndSwap(uint32(Admitted), uint32(Failed)) }

// openAgain opens a gate that was shut because the log failed.
func (g *Gate) openAgain() { g.shut.CompareAndSwap(uint32(Failed), uint32(Admitted)) }
