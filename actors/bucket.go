package actors

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"headgate/engine/lineproto"
	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store"
	"headgate/wal"
)

// Bucket is one bucket as request goroutines see it: a state to resolve batches
// against and to read from, and the way to its actor.
type Bucket struct {
	id    point.BucketID
	shard *Shard
	pid   *actor.PID // set before the actor runs
	// share is the bucket's part of the gate's credit, turn that of the turns at parsing.
	share, turn *Share

	// waiters are the calls that the actor has not answered.
	waiters waiters

	// state is what the bucket is now. Atomic; written by the bucket actor, read
	// by anyone. Never nil.
	state atomic.Pointer[State]
	// opened is closed when the bucket has left Recovering for the first time.
	opened chan struct{}
	// stopped is closed by the actor when it has stopped: our own latch, since
	// PoisonFuture gives up after ten seconds.
	stopped chan struct{}

	// drained is closed by the actor when it has been told to drain and nothing is in
	// flight any more.
	drained chan struct{}

	// What must outlive an incarnation of the actor. Owned by whichever
	// incarnation runs; there is never more than one.
	inflight  inflight
	committed uint64 // the highest sequence number that the log has reported
	epoch     uint64
	panics    []time.Time
	draining  bool
	dropped   bool // drained has been closed
	// store is the latest store, also while the bucket is unavailable: it must be
	// closed before another is opened.
	store *store.Bucket
	// deletes are the calls whose delete is in line to be applied, by sequence number.
	deletes map[uint64]*call

	// retention is the retention period in nanoseconds. Atomic; written by
	// SetRetention, read by retain.
	retention atomic.Int64
	// logBytes is how much the log has gained since the last freeze. Atomic;
	// written by the actor, read by the keeper.
	logBytes atomic.Int64
	// frozenBytes is how much of the log is in memtables that wait to be flushed.
	// Atomic; written by the actor, read by the keeper and the disk watch.
	frozenBytes atomic.Int64
	// replayed counts the records of the log that have been replayed. Atomic;
	// written by the actor, read by anyone.
	replayed atomic.Int64
	// heals asks the keeper for another try to recover. Atomic; set by the actor,
	// taken by the keeper.
	heals atomic.Bool
	// flushed says that there may be something to compact. Atomic; the keeper's.
	flushed atomic.Bool
}

// isStopped reports whether the bucket's actor has stopped for good.
func isStopped(b *Bucket) bool {
	select {
	case <-b.stopped:
		return true
	default:
		return false
	}
}

// State is one moment of a bucket. With Unavailable set it takes no writes, and
// Store may be nil; otherwise Store and Index are set.
type State struct {
	// Unavailable says why there are no writes.
	Unavailable error
	// Store answers reads. It outlives the log's failure.
	Store *store.Bucket
	Index *lineproto.Index
	// Epoch numbers the ids: a batch that was resolved with this state says so.
	// Ids stop being good when series or measurements are freed.
	Epoch uint64
	// Recovered describes how the state came about.
	Recovered Recovery
}

// Recovery says what was replayed to build a bucket's state.
type Recovery struct {
	Records int
	Took    time.Duration
}

// ID is the bucket's id.
func (b *Bucket) ID() point.BucketID { return b.id }

// Share is the bucket's part of what the shard's gate has to give.
func (b *Bucket) Share() *Share { return b.share }

// Turn is the bucket's part of the shard's turns: whoever is about to keep a processor
// busy for long acquires 1 from it before, and releases it before waiting for anything.
func (b *Bucket) Turn() *Share { return b.turn }

// State is the bucket's state now; State.Unavailable is nil when it can be used.
func (b *Bucket) State() *State { return b.state.Load() }

// WaitOpen waits until the bucket has been recovered or has failed to be.
func (b *Bucket) WaitOpen(ctx context.Context) error {
	select {
	case <-b.opened:
		return b.State().Unavailable
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Replayed is how many records of the log the bucket has replayed since the shard
// was opened: how far its recovery has come.
func (b *Bucket) Replayed() int64 { return b.replayed.Load() }

// Define asks the actor for ids of everything in batch that has none. The
// batch must have been resolved under Epoch. On error nothing has changed.
// When ctx or the timeout ends first, the batch may not be used any more.
func (b *Bucket) Define(ctx context.Context, batch *point.Batch, timeout time.Duration) error {
	c := getCall()
	c.define.batch = batch
	b.send(&c.define)
	err, answered := c.wait(ctx, time.Now().Add(timeout), b)
	if answered {
		putCall(c)
	}
	return err
}

// Delete deletes points and waits until that is durable and visible. On
// ErrStale the series must be looked up again. When ctx or the timeout ends first
// the error is ErrIndeterminate: the delete may yet be applied.
func (b *Bucket) Delete(ctx context.Context, d Delete, timeout time.Duration) error {
	c := getCall()
	b.send(&deletePoints{delete: &d, call: c})
	err, answered := c.wait(ctx, time.Now().Add(timeout), b)
	if !answered {
		return errors.Join(ErrIndeterminate, err)
	}
	putCall(c)
	return err
}

// SetRetention sets the retention period, 0 for ever. It takes effect at once for
// reading; what has expired is removed from the disk soon after.
func (b *Bucket) SetRetention(period time.Duration) {
	b.retention.Store(int64(period))
	b.retain(b.State().Store)
	b.shard.keeper.expireSoon()
}

// retain tells a store, unless it is nil, the retention period. It is called by those
// who change the period after they have, and by the actor when it has published a
// store: whoever comes later sees what the other has done.
func (b *Bucket) retain(st *store.Bucket) {
	for st != nil {
		period := b.retention.Load()
		st.SetRetention(period)
		if b.retention.Load() == period {
			return
		}
	}
}

// Timing says where an append spent its time.
type Timing struct{ Queue, Sync time.Duration }

// Append hands a batch, what store.Pack has taken out of it, and its record to the
// actor and waits until the batch is durable and visible, or the deadline has passed.
// Both belong to the actor from now on, whatever is returned. reusable reports whether
// record may be used again.
//
// credit, unless nil, is what the caller has acquired from the bucket's share. When
// Append gives up waiting it takes that over, leaving 0, until batch and record
// have been let go: else a disk that hangs would fill the memory.
func (b *Bucket) Append(ctx context.Context, batch *point.Batch, packed *store.Packed, record []byte, pendings []*store.Pending, deadline time.Time, credit *int64) (t Timing, reusable bool, err error) {
	c := getCall()
	c.append.batch, c.append.packed, c.append.record, c.append.pendings = batch, packed, record, pendings
	if credit != nil {
		c.share, c.credit = b.share, *credit
	}
	sent := time.Now()
	b.send(&c.append)
	err, reusable = c.wait(ctx, deadline, b)
	if !reusable {
		if credit != nil {
			*credit = 0
		}
		return t, false, errors.Join(ErrIndeterminate, err)
	}
	if !c.received.IsZero() {
		t.Queue = c.received.Sub(sent)
		if !c.committed.IsZero() {
			t.Sync = c.committed.Sub(c.received)
		}
	}
	// After a failure of the log nobody knows whether it still reads the record.
	reusable = err == nil
	putCall(c)
	return t, reusable, err
}

func (b *Bucket) send(message any) { b.shard.system.Root.Send(b.pid, message) }

// notifier tells a bucket's actor what one log has committed.
type notifier struct {
	b   *Bucket
	log wal.Log
}

// Committed implements wal.Notifier. It is called from the log's goroutine.
func (n *notifier) Committed(upto uint64, err error) {
	n.b.send(&committed{log: n.log, upto: upto, err: err})
}

// inflight is the calls whose records are in the log and not yet known to be
// durable, in order of their sequence numbers: a ring that grows. The gate
// bounds how many there can be.
type inflight struct {
	ring []inflightAppend
	head int
	n    int
}

type inflightAppend struct {
	seq    uint64
	batch  *point.Batch  // nil once an incarnation has replayed it from the log
	packed *store.Packed // likewise
	call   *call         // nil if nobody waits
	// pendings are the definitions that the record carries.
	pendings []*store.Pending
	delete   *Delete      // nil for a batch, and once it has been replayed
	free     *record.Free // likewise
}

func (q *inflight) push(a inflightAppend) {
	if q.n == len(q.ring) {
		ring := make([]inflightAppend, max(16, 2*len(q.ring)))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = a
	q.n++
}

// peek returns the oldest if its sequence number is at most upto.
func (q *inflight) peek(upto uint64) (inflightAppend, bool) {
	if q.n == 0 || q.ring[q.head].seq > upto {
		return inflightAppend{}, false
	}
	return q.ring[q.head], true
}

// pop removes the oldest, which there must be.
func (q *inflight) pop() {
	q.ring[q.head] = inflightAppend{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
}

// forgetBatches lets go of what is in line: it has been replayed from the log.
func (q *inflight) forgetBatches() {
	for i := range q.n {
		in := &q.ring[(q.head+i)&(len(q.ring)-1)]
		in.batch, in.packed, in.pendings, in.delete, in.free = nil, nil, nil, nil, nil
	}
}

// each calls fn for every batch in line.
func (q *inflight) each(fn func(*point.Batch)) {
	for i := range q.n {
		if b := q.ring[(q.head+i)&(len(q.ring)-1)].batch; b != nil {
			fn(b)
		}
	}
}
