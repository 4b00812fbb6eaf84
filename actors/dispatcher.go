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
	// Both guarded by mu. The last of idle was the last to work, whose stack is the
	// warmest.
	idle   []*dispatchWorker
	closed bool
}

// dispatchWorker is one goroutine that runs mailboxes, one after the other.
type dispatchWorker struct {
	// next is what to run next, nil to end. It has room for one, so that handing over
	// never blocks: only a worker that has been taken from idle is sent something.
	next chan func()
}

// dispatchWorkersMax workers wait for something to do. Those who would be more end:
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
		go d.work(&dispatchWorker{next: make(chan func(), 1)}, fn)
		return
	}
	w := d.idle[n-1]
	d.idle[n-1] = nil
	d.idle = d.idle[:n-1]
	d.mu.Unlock()
	w.next <- fn
}

func (d *dispatcher) work(w *dispatchWorker, fn func()) {
	for fn != nil {
		fn()
		d.mu.Lock()
		if d.closed || len(d.idle) == dispatchWorkersMax {
			d.mu.Unlock()
			return
		}
		d.idle = append(d.idle, w)
		d.mu.Unlock()
		fn = <-w.next
	}
}

// close ends the workers that wait. What is scheduled later is run all the same.
func (d *dispatcher) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, w := range d.idle {
		close(w.next)
	}
	d.idle = nil
}
