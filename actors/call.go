package actors

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"headgate/engine/point"
	"headgate/engine/store"
)

// call is one request goroutine's wait for one answer. It carries its own
// messages, so that a write in the steady state allocates none.
//
// The waiter owns the call; the actor borrows it from Send until complete. A
// call whose waiter gave up is never pooled: the actor may still complete it.
type call struct {
	define define
	append appendBatch

	done chan struct{} // buffered, one completion or abandonment
	// state is one of the states below. Atomic; the first change from waiting wins.
	state atomic.Uint32
	// credit is what share, unless nil, gets back when an abandoned call is completed.
	// Written by the waiter before Send.
	share  *Share
	credit int64
	// err is written by whoever changes state from waiting, before done is sent, and
	// read by the waiter after; gaveUp likewise, which says that this was not complete.
	// received and committed are the actor's, before it completes.
	err                 error
	gaveUp              bool
	received, committed time.Time

	// waiters is the list. Written when the call is listed, before it can be abandoned.
	waiters *waiters
	// Guarded by the mutex of waiters.
	prev, next *call
	deadline   time.Time
	ctxDone    <-chan struct{} // of the context, if it is watched for all
}

const (
	waiting   = iota
	completed // by the actor
	abandoned // by the waiter or for it, and not completed yet
)

var calls = sync.Pool{New: func() any { return newCall() }}

func newCall() *call {
	c := &call{done: make(chan struct{}, 1)}
	c.define.call, c.append.call = c, c
	return c
}

func getCall() *call { return calls.Get().(*call) }

// putCall takes back a call that has been completed and waited for.
func putCall(c *call) {
	c.reset()
	calls.Put(c)
}

func (c *call) reset() {
	c.define.batch, c.append.batch, c.append.packed, c.append.record, c.append.pendings = nil, nil, nil, nil, nil
	c.err = nil
	c.share, c.credit, c.waiters = nil, 0, nil
	c.received, c.committed = time.Time{}, time.Time{}
	c.state.Store(waiting)
}

// complete answers the call. Only the first completion counts.
func (c *call) complete(err error) {
	if c.settle(err) {
		c.waiters.remove(c)
	}
}

// settle is complete for a caller that holds the mutex of the waiters. It reports
// whether the call was an abandoned one that is listed for its credit's sake.
func (c *call) settle(err error) (listed bool) {
	switch {
	case c.state.CompareAndSwap(waiting, completed):
		c.err = err
		c.done <- struct{}{}
	case c.state.CompareAndSwap(abandoned, completed) && c.share != nil:
		c.share.Release(c.credit)
		return true
	}
	return false
}

// abandon ends the wait for a call that has not been completed. It belongs to the
// actor then.
func (c *call) abandon(err error) {
	if c.state.CompareAndSwap(waiting, abandoned) {
		c.err, c.gaveUp = err, true
		c.done <- struct{}{}
	}
}

// wait blocks until the call is completed, the deadline has passed or ctx ends.
// answered is false in the latter cases, and then the call belongs to the actor.
// An actor that has stopped has completed every call that it ever got; one that came
// too late for it is answered with what the bucket's state says.
func (c *call) wait(ctx context.Context, deadline time.Time, b *Bucket) (err error, answered bool) {
	listed, watched := b.waiters.add(c, ctx, deadline)
	if !listed {
		c.complete(b.State().Unavailable)
		<-c.done
		return c.err, true
	}
	if watched {
		<-c.done
	} else {
		select {
		case <-c.done:
		case <-ctx.Done():
			c.abandon(ctx.Err())
			<-c.done
		}
	}
	if c.gaveUp && c.share != nil {
		return c.err, false // it stays listed until its credit has come home
	}
	b.waiters.remove(c)
	return c.err, !c.gaveUp
}

// take hands the batch and its definitions to the caller, who lets go of them.
func (m *appendBatch) take() (*point.Batch, *store.Packed, []*store.Pending) {
	b, packed, p := m.batch, m.packed, m.pendings
	m.batch, m.packed, m.pendings = nil, nil, nil
	return b, packed, p
}
