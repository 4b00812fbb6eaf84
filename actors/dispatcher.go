package actors

import "sync"

// dispatcher runs mailboxes on goroutines that it keeps, implementing protoactor's
// Dispatcher. A bucket's mailbox becomes busy and idle again with nearly every write of
// one line, and a goroutine that is made for each of these times has to grow its
// stack anew, by copying it, which took longer than what it then did.
//
// The zero value is ready to use. It must be closed.
type dispatcher struct {
	mu sync.Mutex
	// Both guarded by mu. idle is what the goroutines that wait are sent their next
	// mailbox by, nil to end; the last was the last to work, and its stack is the
	// warmest. Each has room for one, so that handing over never blocks: only one that
	// has been taken from idle is sent something.
	idle   []chan func()
	closed bool
}

// dispatchWorkersMax goroutines wait for something to do. Those that would be more end:
// that many mailboxes at once is a burst.
const dispatchWorkersMax = 16

// throughput is how many messages of one mailbox are processed until other
// goroutines get a chance: protoactor's own default.
const throughput = 300

// Throughput implements actor.Dispatcher.
func (*dispatcher) Throughput() int { return throughput }

// Schedule implements actor.Dispatcher: fn runs soon, on another goroutine.
func (d *dispatcher) Schedule(fn func()) {
	d.mu.Lock()
	n := len(d.idle)
	if n == 0 {
		d.mu.Unlock()
		go d.work(make(chan func(), 1), fn)
		return
	}
	next := d.idle[n-1]
	d.idle[n-1] = nil
	d.idle = d.idle[:n-1]
	d.mu.Unlock()
	next <- fn
}

// work is one goroutine: it runs fn, and then what it is sent by next.
func (d *dispatcher) work(next chan func(), fn func()) {
	for fn != nil {
		fn()
		d.mu.Lock()
		if d.closed || len(d.idle) == dispatchWorkersMax {
			d.mu.Unlock()
			return
		}
		d.idle = append(d.idle, next)
		d.mu.Unlock()
		fn = <-next
	}
}

// close ends the goroutines that wait. What is scheduled later is run all the same.
func (d *dispatcher) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, next := range d.idle {
		close(next)
	}
	d.idle = nil
}
