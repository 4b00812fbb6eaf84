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

	done  chan struct{} // buffered, one completion
	timer *time.Timer
	// state is one of the states below. Atomic; the first change from waiting wins.
	state atomic.Uint32
	// credit is what share, unless nil, gets back when an abandoned call is completed.
	// Written by the waiter before Send.
	share  *Share
	credit int64
	// err, received and committed are written by the actor before done is sent,
	// and read by the waiter after.
	err                 error
	received, committed time.Time
}

const (
	waiting   = iota
	completed // by the actor
	abandoned // by the waiter, and not completed yet
)

var calls = sync.Pool{New: func() any {
	c := &call{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	c.define.call, c.append.call = c, c
	return c
}}

func getCall() *call { return calls.Get().(*call) }

// putCall takes back a call that has been completed and waited for.
func putCall(c *call) {
	c.reset()
	calls.Put(c)
}

func (c *call) reset() {
	c.define.batch, c.append.batch, c.append.packed, c.append.record, c.append.pendings = nil, nil, nil, nil, nil
	c.err = nil
	c.share, c.credit = nil, 0
	c.received, c.committed = time.Time{}, time.Time{}
	c.state.Store(waiting)
}

// complete answers the call. Only the first completion counts.
func (c *call) complete(err error) {
	switch {
	case c.state.CompareAndSwap(waiting, completed):
		c.err = err
		c.done <- struct{}{}
	case c.state.CompareAndSwap(abandoned, completed) && c.share != nil:
		c.share.Release(c.credit)
	}
}

// wait blocks until the call is completed, the timeout has passed or ctx ends.
// answered is false in the latter cases, and then the call belongs to the actor.
// An actor that has stopped has completed every call that it ever got; one that came
// too late for it is answered with what the bucket's state says.
func (c *call) wait(ctx context.Context, timeout time.Duration, b *Bucket) (err error, answered bool) {
	c.timer.Reset(timeout)
	defer c.timer.Stop()
	select {
	case <-c.done:
		return c.err, true
	case <-b.stopped:
		if c.state.CompareAndSwap(waiting, completed) {
			return b.State().Unavailable, true
		}
		<-c.done
		return c.err, true
	case <-c.timer.C:
		err = context.DeadlineExceeded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !c.state.CompareAndSwap(waiting, abandoned) {
		<-c.done // completed at this very moment
		return c.err, true
	}
	return err, false
}

// take hands the batch and its definitions to the caller, who lets go of them.
func (m *appendBatch) take() (*point.Batch, *store.Packed, []*store.Pending) {
	b, packed, p := m.batch, m.packed, m.pendings
	m.batch, m.packed, m.pendings = nil, nil, nil
	return b, packed, p
}
