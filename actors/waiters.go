package actors

import (
	"context"
	"sync"
	"time"
)

// waiters are the calls whose request goroutines wait for a bucket's actor. A
// goroutine waits for its own channel only: a select that also watches the bucket's
// end, a timer and a context takes the locks of channels that all the others watch
// too, and that was a twentieth of what a small write costs. So the list watches for
// all of them and ends the waits of those that are concerned. A write that was given
// up stays on the list until it is completed, since it has credit to give back.
//
// The zero value is ready to use.
type waiters struct {
	mu sync.Mutex
	// All guarded by mu.
	first, last *call // linked by call.next and call.prev, oldest first
	stopped     bool

	// timer, once made, fires at due, the first deadline when it was set; due is zero
	// while it is not set.
	timer *time.Timer
	due   time.Time

	// watched is the Done channel of the one context that is watched for all calls
	// which wait with it, and unwatch stops that. seen is the Done channel of the last
	// context that was not watched.
	watched, seen <-chan struct{}
	unwatch       func() bool
}

// add lists a call that is to be given up at the deadline. listed is false when the
// bucket has stopped: the actor may have completed the call or never seen it. watched
// says that the end of ctx need not be looked out for.
func (w *waiters) add(c *call, ctx context.Context, deadline time.Time) (listed, watched bool) {
	done := ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false, false
	}
	c.deadline, c.waiters = deadline, w
	if watched = w.watches(ctx, done); watched {
		c.ctxDone = done
	}
	c.prev, c.next = w.last, nil
	if w.last == nil {
		w.first = c
	} else {
		w.last.next = c
	}
	w.last = c
	if w.due.IsZero() || deadline.Before(w.due) {
		w.arm(deadline)
	}
	return true, watched
}

// watches reports whether somebody watches ctx. A server calls with the same context
// for all of its requests, which is worth one watch; others make one for each. The
// caller holds mu.
func (w *waiters) watches(ctx context.Context, done <-chan struct{}) bool {
	switch {
	case done == nil || done == w.watched:
		return true
	case w.watched == nil && done == w.seen:
		w.watched, w.seen = done, nil
		w.unwatch = context.AfterFunc(ctx, func() { w.interrupt(done, ctx.Err()) })
		return true
	}
	w.seen = done
	return false
}

// arm sets the timer. The caller holds mu.
func (w *waiters) arm(deadline time.Time) {
	w.due = deadline
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(deadline), w.expire)
		return
	}
	w.timer.Reset(time.Until(deadline))
}

// remove takes a call off the list whose wait is over.
func (w *waiters) remove(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.prev == nil {
		w.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		w.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next, c.ctxDone = nil, nil, nil
}

// expire gives up the calls whose deadlines have passed.
func (w *waiters) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	now := time.Now()
	var due time.Time
	for c := w.first; c != nil; c = c.next {
		switch {
		case !c.deadline.After(now):
			c.abandon(context.DeadlineExceeded)
		case due.IsZero() || c.deadline.Before(due):
			due = c.deadline
		}
	}
	if w.due = due; !due.IsZero() {
		w.arm(due)
	}
}

// interrupt gives up the calls that wait with the watched context, which has ended.
func (w *waiters) interrupt(done <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched == done {
		w.watched, w.unwatch = nil, nil
	}
	for c := w.first; c != nil; c = c.next {
		if c.ctxDone == done {
			c.abandon(err)
		}
	}
}

// stop answers the calls that came too late for an actor that has stopped with err,
// and has the credit come home of those that were given up before.
func (w *waiters) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for c := w.first; c != nil; c = c.next {
		c.settle(err)
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.unwatch != nil {
		w.unwatch()
	}
}
