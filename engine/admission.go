package engine

import (
	"context"
	"time"

	"headgate/actors"
)

// Admission is the credit that one write holds from before its body is read
// until it has been answered. It is used by one goroutine.
type Admission struct {
	e      *Engine
	bucket *bucket
	bytes  int64
	// turn is set between TakeTurn and EndTurn.
	turn bool
	// asked and admitted are when credit was asked for and given.
	asked, admitted time.Time
}

// requestBytes is charged for each request beside its body: buffers, batch
// headers, the goroutine.
const requestBytes = 16 << 10

// Admit takes credit for a write of bodyBytes (0 when unknown) into bucket. It
// waits at most Options.AdmissionWait for room. Errors are Overloaded or
// Unavailable, both with RetryAfter, or NotFound. The caller must Release it.
func (e *Engine) Admit(ctx context.Context, id BucketID, bodyBytes int64) (*Admission, error) {
	return e.admit(ctx, id, bodyBytes, (*actors.Share).Acquire)
}

// admitDelete is Admit for a deletion, which is what helps when series have spent the
// memory budget.
func (e *Engine) admitDelete(ctx context.Context, id BucketID) (*Admission, error) {
	return e.admit(ctx, id, 0, (*actors.Share).AcquireToFree)
}

func (e *Engine) admit(ctx context.Context, id BucketID, bodyBytes int64, acquire func(*actors.Share, context.Context, int64, time.Duration) actors.Reason) (*Admission, error) {
	b, err := e.writable(id)
	if err != nil {
		return nil, err
	}
	n := requestBytes + bodyBytes
	asked := time.Now()
	if r := acquire(b.Share(), ctx, n, e.o.AdmissionWait); r != actors.Admitted {
		return nil, e.refuse(id, r, nil)
	}
	return &Admission{e: e, bucket: b, bytes: n, asked: asked, admitted: time.Now()}, nil
}

// writable finds a bucket that takes writes.
func (e *Engine) writable(id BucketID) (*bucket, error) {
	b := e.bucket(id)
	if b == nil {
		if !e.recovered.Load() {
			return nil, e.refuse(id, actors.Recovering, nil)
		}
		return nil, Errorf(NotFound, "bucket %q not found", id.String())
	}
	if err := b.State().Unavailable; err != nil {
		return nil, e.errorOf(err)
	}
	return b, nil
}

// Grow takes n more bytes, for a body that is longer than it was said to be or
// that grows when it is decompressed. It never waits. The error is Overloaded.
func (a *Admission) Grow(n int64) error {
	if !a.bucket.Share().Grow(n) {
		return a.e.refuse(a.bucket.id, actors.QueueFull, nil)
	}
	a.bytes += n
	return nil
}

// Shrink gives back n of the bytes that were admitted or grown: less than there are.
func (a *Admission) Shrink(n int64) {
	a.bucket.Share().Shrink(n)
	a.bytes -= n
}

// charge takes n more bytes whether there is room or not.
func (a *Admission) charge(n int64) {
	a.bucket.Share().Charge(n)
	a.bytes += n
}

// Release gives the credit back. Calls after the first do nothing.
func (a *Admission) Release() {
	a.EndTurn()
	if a.bytes > 0 {
		a.bucket.Share().Release(a.bytes)
		a.bytes = 0
	}
}

// refuse makes the error for a refused write. It is not logged here: who is refused
// comes back soon, and events say it.
func (e *Engine) refuse(id BucketID, r actors.Reason, cause error) *Error {
	err := &Error{Kind: Unavailable, Reason: r.String(), Err: cause}
	switch r {
	case actors.QueueFull:
		err.Kind = Overloaded
		err.RetryAfter = e.shard.Gate().RetryAfter()
		err.Message = "write queue is full; nothing was written"
	case actors.DiskFull:
		err.RetryAfter = min(diskRetryAfter, e.o.RetryAfterMax)
		err.Message = e.shard.Disk().Error() + "; nothing was written"
	case actors.MemoryFull:
		err.Kind = Overloaded
		err.RetryAfter = e.shard.Gate().RetryAfterMemory()
		err.Message = "memory budget (Options.MemoryBytesMax, --memory) is spent; nothing was written"
	case actors.Recovering:
		err.RetryAfter = time.Second
		err.Message = "recovering after start; nothing was written"
	case actors.Closing:
		err.RetryAfter = time.Second
		err.Message = "shutting down; nothing was written"
	case actors.Quarantined:
		err.RetryAfter = e.o.RetryAfterMax // nothing but an operator helps
		err.Message = "bucket is quarantined after repeated failures; nothing was written"
	default:
		err.RetryAfter = e.shard.Gate().RetryAfter()
		err.Message = "the log cannot be written; nothing was written"
	}
	e.o.Events.WriteRefused(RefuseInfo{Bucket: id, Reason: r.String(), RetryAfter: err.RetryAfter})
	return err
}

// turnBytesMin is the length from which on a body has to wait for its turn to be
// inflated or parsed. Shorter ones are done with in some tens of microseconds.
const turnBytesMin = 32 << 10

// TakeTurn waits until it is the bucket's turn to keep a processor busy with n bytes.
// While many large bodies are to be parsed, as many as there are processors for are, and the
// buckets take turns, so that a bucket that sends much does not hold up the others'
// few. It must be followed by EndTurn, before waiting for anything else. The error is
// Overloaded.
func (a *Admission) TakeTurn(ctx context.Context, n int) error {
	if n < turnBytesMin {
		return nil
	}
	if r := a.bucket.Turn().Acquire(ctx, 1, a.e.o.WriteTimeout); r != actors.Admitted {
		return a.e.refuse(a.bucket.id, r, nil)
	}
	a.turn = true
	return nil
}

// EndTurn lets others have their turn. Without a turn taken it does nothing.
func (a *Admission) EndTurn() {
	if a.turn {
		a.turn = false
		a.bucket.Turn().Release(1)
	}
}

// diskRetryAfter is the advice when the disk is nearly full: compactions and expiry
// make room within seconds or not at all, and then whoever deletes is not waited for long.
const diskRetryAfter = 10 * time.Second
