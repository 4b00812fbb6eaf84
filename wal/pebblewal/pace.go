package pebblewal

import (
	"math"
	"time"
)

// pace makes a group wait a little for its writers when there are many of them.
//
// Writers wait for their answers, and those of one group send their next records in
// the order of the answers. Without a wait the first one to come back is synced alone,
// and nearly all the others by the sync after that: two syncs for one round, the second
// of which leaves nobody with anything to do meanwhile. With the wait one half of the
// writers is synced while the other half makes its records.
//
// A crowd that has gone home costs whoever stays on a few waits, and then none. Few
// writers are never made to wait: they would pay with their latency for syncs that
// nobody else needs the time of.
//
// The idea is that of PostgreSQL's commit_delay and commit_siblings.
type pace struct {
	// writers estimates how many writers there are, by what was in two groups in a row
	// or in one and the queue behind it, of late. Who waits for each answer is once in
	// either.
	writers int
	last    int  // entries of the group before
	over    bool // there has been enough waiting since the group before
	// timer runs from an answer to its end, which calls newPace's end, or to what is
	// taken next.
	timer *time.Timer
	wait  time.Duration // Options.CrowdWait
}

// newPace makes a pace that calls end when it is time to set over.
func newPace(wait time.Duration, end func()) pace {
	t := time.AfterFunc(math.MaxInt64, end)
	t.Stop()
	return pace{timer: t, wait: wait}
}

// crowdMin writers are worth waiting for. With the half of them a sync is shared by
// sixteen, and a tenth of what they cost.
const crowdMin = 32

// crowdEnough entries are never too few: a sync that they share costs each of them
// little, and waiting for half of hundreds costs all of them latency.
const crowdEnough = 32

// enough says whether n queued entries should be made a group now.
func (p *pace) enough(n int) bool {
	return p.writers < crowdMin || p.over || p.wait < 0 || n >= min((p.writers+1)/2, crowdEnough)
}

// taken notes that a group takes n entries and leaves so many queued.
func (p *pace) taken(n, queued int) {
	p.writers = max(p.last+n, n+queued, p.writers-(p.writers+7)/8)
	p.last = n
	p.over = false
	p.timer.Stop()
}

// answered notes that the group has been answered: waiting begins, and ends by itself.
func (p *pace) answered() {
	if p.writers >= crowdMin && !p.over && p.wait > 0 {
		p.timer.Reset(p.wait)
	}
}
