package actors

import (
	"math"
	"sync/atomic"
	"time"
)

// pace keeps what has been admitted from waiting long for its turn. Credit bounds
// memory, not time: on a machine that is slow just then, what fits into memory may
// take many seconds. So where requests whose body is complete take longer than
// residenceMax, less is admitted, and the others wait in line, where they may give
// up, or are refused.
//
// Bodies that are still being received do not count: slow clients are no reason to
// keep others out.
type pace struct {
	// ready is the bytes of requests whose body is complete, done what has been
	// released of them.
	ready, done atomic.Int64
	// limit is how many bytes may be admitted now, BytesMax or less.
	limit atomic.Int64
	// looked is when the pace was last looked at, in ns since began.
	looked atomic.Int64
	began  time.Time

	// rate is that of done while there was something to do; busy says whether there
	// was at the last look. Guarded by Gate.mu.
	rate drainRate
	busy bool
}

const (
	// residenceMax is how long requests may take on average once they are complete.
	// With the admission wait it makes what the slowest of them take.
	residenceMax = 500 * time.Millisecond
	// paceEvery is how often the pace is looked at, paceGrowth what the limit grows by
	// each time as long as there is no reason for one.
	paceEvery  = 100 * time.Millisecond
	paceGrowth = 1.25
	// paceShareMin of BytesMax are admitted in any case: a disk that answers late, but
	// much at a time, must get much at a time.
	paceShareMin = 1.0 / 32
)

// Ready says that the body of a request with a credit of n bytes is complete. It must
// be followed by Done, with the same n.
func (s *Share) Ready(n int64) {
	s.gate.pace.ready.Add(n)
	s.gate.lookAtPace()
}

// Done says that a request that was Ready is over.
func (s *Share) Done(n int64) {
	s.gate.pace.ready.Add(-n)
	s.gate.pace.done.Add(n)
	s.gate.lookAtPace()
}

// lookAtPace sets the pace if nobody has lately. Requests that begin and that end do:
// while nobody may begin, the others end.
func (g *Gate) lookAtPace() {
	now := int64(g.o.Now().Sub(g.pace.began))
	last := g.pace.looked.Load()
	if now-last < int64(paceEvery) || !g.pace.looked.CompareAndSwap(last, now) {
		return
	}
	g.mu.Lock()
	g.setPaceLocked(time.Duration(now - last))
	g.serveLocked()
	g.mu.Unlock()
}

// setPaceLocked sets the limit by what has come of the requests since the last look.
func (g *Gate) setPaceLocked(since time.Duration) {
	p := &g.pace
	ready, done := p.ready.Load(), p.done.Load()
	if !p.busy || since > time.Second { // pauses say nothing of how fast it is
		p.rate.last, p.rate.drained = g.o.Now(), done
	}
	p.busy = ready > 0
	rate := p.rate.perSecond(g.o.Now(), done)
	most := float64(g.o.BytesMax)
	residence := float64(ready) / rate // seconds
	limit := float64(p.limit.Load())
	switch {
	case rate > 0 && residence > residenceMax.Seconds():
		limit = min(limit, float64(g.bytes.Load())) * residenceMax.Seconds() / residence
	case limit < most:
		limit *= math.Pow(paceGrowth, min(since.Seconds()/paceEvery.Seconds(), 100))
	}
	p.limit.Store(int64(min(max(limit, most*paceShareMin), most)))
}
