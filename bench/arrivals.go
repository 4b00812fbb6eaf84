package bench

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Arrivals names how the requests of an open loop are spread over time.
type Arrivals string

// The arrival processes.
const (
	// Poisson leaves exponentially distributed gaps, as many independent clients do.
	Poisson Arrivals = "poisson"
	// Fixed leaves the same gap always.
	Fixed Arrivals = "fixed"
)

// ArrivalProcesses lists every arrival process.
func ArrivalProcesses() []Arrivals { return []Arrivals{Poisson, Fixed} }

// arrivals is the schedule of an open loop, shared by its connections. What is
// due waits in a queue until a connection is free; when the queue is full new
// arrivals are turned away and counted. All times are since the run began. Safe
// for concurrent use.
type arrivals struct {
	mu sync.Mutex
	// next is the first arrival that is neither queued nor handed out.
	next time.Duration
	gap  func() time.Duration
	// queue[head:] is due and waits. It is brought up to date when somebody takes
	// from it: in between it could only have grown.
	queue      []time.Duration
	head       int
	backlogMax int
	turnedAway int64
	longest    int
}

func newArrivals(kind Arrivals, perSecond float64, backlogMax int, seed uint64) *arrivals {
	mean := float64(time.Second) / perSecond
	a := &arrivals{backlogMax: backlogMax, gap: func() time.Duration { return time.Duration(mean) }}
	if kind == Poisson {
		rng := rand.New(rand.NewPCG(seed, 1<<62))
		a.gap = func() time.Duration { return time.Duration(mean * rng.ExpFloat64()) }
	}
	return a
}

// take returns when the next request is, or was, to be sent. The caller alone
// sends it, and waits until then if that is after now.
func (a *arrivals) take(now time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	if a.head < len(a.queue) {
		at := a.queue[a.head]
		if a.head++; a.head == len(a.queue) {
			a.queue, a.head = a.queue[:0], 0
		}
		return at
	}
	at := a.next
	a.next += a.gap()
	return at
}

// advance lets everything arrive until now.
func (a *arrivals) advance(now time.Duration) {
	for ; a.next <= now; a.next += a.gap() {
		if len(a.queue)-a.head >= a.backlogMax {
			a.turnedAway++
			continue
		}
		if len(a.queue) == cap(a.queue) && a.head > 0 {
			a.queue = a.queue[:copy(a.queue, a.queue[a.head:])]
			a.head = 0
		}
		a.queue = append(a.queue, a.next)
	}
	a.longest = max(a.longest, len(a.queue)-a.head)
}

// close returns how many arrivals until the end found the backlog full, how many
// were still waiting, and the longest backlog.
func (a *arrivals) close(end time.Duration) (turnedAway, waiting int64, longest int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(end)
	return a.turnedAway, int64(len(a.queue) - a.head), a.longest
}
