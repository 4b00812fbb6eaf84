package actors

import (
	"math"
	"runtime"
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
// Credit is taken through a [Share], one for each bucket, so that no bucket can
// take what the others need. Nothing is set aside for anyone by name: a bucket may
// hold up to shareFactor times what is still free. Alone it can have all but a
// seventeenth, which is there for whoever comes next; and as the others come, what
// is free shrinks, and with it what a greedy bucket may hold, until all who want
// more than there is hold the same. Who wants less gets all of that.
//
// A request that finds no room waits in its bucket's line for a bounded time and in
// bounded numbers. Room goes to the bucket that holds least, and in each line to
// who came first. The lines are behind a mutex that nobody touches while there is room.
type Gate struct {
	o GateOptions

	bytes    atomic.Int64 // admitted and not yet released
	requests atomic.Int64
	memory   atomic.Int64 // held by the buckets; see Share.AddMemory
	shut     atomic.Uint32
	diskFull atomic.Bool  // nearly; written by the disk watch
	drained  atomic.Int64 // bytes released since the gate was made
	freed    atomic.Int64 // bytes of memory that buckets let go of since then

	waiting atomic.Int64 // in all lines; changed under mu, readable without
	refused [QueueFull + 1]atomic.Int64

	mu     sync.Mutex
	lines  []*Share // those with waiters; guarded by mu
	turn   int      // index in lines of who is looked at first; guarded by mu
	spare  *waiter  // waiters for reuse, by next; guarded by mu
	spares int      // how many; guarded by mu
	idle   []chan struct{}
	rate   drainRate // of drained; guarded by mu
	frees  drainRate // of freed; guarded by mu
	pace   pace
}

// shareFactor times what is free is the most that one bucket may hold. Larger, and
// a bucket that is alone uses the gate better; smaller, and there is more room at
// once for who comes next.
const shareFactor = 16

// NewGate returns an open gate.
func NewGate(o GateOptions) *Gate {
	o.EnsureDefaults()
	g := &Gate{o: o}
	g.rate.last = o.Now()
	// What fills memory first is points, and they are flushed soon.
	g.pace.began, g.pace.rate.last = g.rate.last, g.rate.last
	g.pace.limit.Store(o.BytesMax)
	g.frees = drainRate{last: g.rate.last, rate: float64(o.MemoryBytesMax)}
	return g
}

// NewShare returns another bucket's share of the credit. It holds nothing and costs
// nothing until it does.
func (g *Gate) NewShare() *Share { return &Share{gate: g} }

// tellIdleLocked tells those who wait for it that nothing is in flight.
func (g *Gate) tellIdleLocked() {
	if g.requests.Load() == 0 {
		for _, ch := range g.idle {
			close(ch)
		}
		g.idle = nil
	}
}

// noticeIdle makes up for a Release that took a try in vain for one more request.
func (g *Gate) noticeIdle() {
	if g.requests.Load() == 0 {
		g.mu.Lock()
		g.tellIdleLocked()
		g.mu.Unlock()
	}
}

// Shut refuses every request from now on for reason; Admitted opens the gate.
// Requests in line are served or time out by themselves.
func (g *Gate) Shut(reason Reason) { g.shut.Store(uint32(reason)) }

// shutFailed shuts an open gate because the log has failed.
func (g *Gate) shutFailed() { g.shut.CompareAndSwap(uint32(Admitted), uint32(Failed)) }

// openAgain opens a gate that was shut because the log failed.
func (g *Gate) openAgain() { g.shut.CompareAndSwap(uint32(Failed), uint32(Admitted)) }

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
	if rate == 0 {
		return time.Second
	}
	return g.wholeSeconds(float64(g.bytes.Load()) / rate)
}

// RetryAfterMemory is the time until a sixteenth of the memory may be free again, at
// the rate at which it has been freed. Where nothing is, it is RetryAfterMax in the
// end: series stay until they are deleted or expire.
func (g *Gate) RetryAfterMemory() time.Duration {
	g.mu.Lock()
	rate := g.frees.perSecond(g.o.Now(), g.freed.Load())
	g.mu.Unlock()
	excess := g.memory.Load() - g.o.MemoryBytesMax*(shareFactor-1)/shareFactor
	return g.wholeSeconds(float64(max(excess, 1)) / rate)
}

// wholeSeconds rounds up, to one at least and RetryAfterMax at most.
func (g *Gate) wholeSeconds(s float64) time.Duration {
	// Capped before it is a Duration, which a rate near zero would overflow.
	s = min(math.Ceil(s), math.Ceil(g.o.RetryAfterMax.Seconds()))
	return min(max(time.Duration(s)*time.Second, time.Second), g.o.RetryAfterMax)
}

// GateStats is a gate at one moment.
type GateStats struct {
	// Bytes and Requests are in flight; Waiting stand in line. BytesLimit is how many
	// bytes may be just now, for them not to take too long: BytesMax or less.
	BytesLimit            int64
	Bytes, BytesMax       int64
	Requests, RequestsMax int64
	Waiting               int64
	// MemoryBytes is held by the shard's buckets.
	MemoryBytes, MemoryBytesMax int64
	// MemoryFull says that a bucket which holds most of it may not write any more.
	MemoryFull bool
	// Refused counts refusals by Reason since the gate was made.
	Refused map[string]int64
}

// Stats reads the gate's counters.
func (g *Gate) Stats() GateStats {
	s := GateStats{Bytes: g.bytes.Load(), BytesMax: g.o.BytesMax, BytesLimit: g.pace.limit.Load(), Requests: g.requests.Load(), RequestsMax: g.o.RequestsMax,
		Waiting: g.waiting.Load(), MemoryBytes: g.memory.Load(), MemoryBytesMax: g.o.MemoryBytesMax, Refused: make(map[string]int64)}
	s.MemoryFull = s.MemoryBytes > shareFactor*(s.MemoryBytesMax-s.MemoryBytes)
	for r := range g.refused {
		if Reason(r) != Admitted {
			s.Refused[Reason(r).String()] = g.refused[r].Load()
		}
	}
	return s
}

// newTurns makes a gate for what keeps a processor busy: as many at a time as keep
// all of them so, and the buckets in turn. The credit in front of it bounds who waits.
func newTurns() *Gate {
	return NewGate(GateOptions{RequestsMax: int64(2 * min(runtime.GOMAXPROCS(0), runtime.NumCPU())), BytesMax: 1 << 50, WaitersMax: 1 << 30})
}
