package engine

import (
	"context"
	"sync/atomic"
	"time"

	"headgate/actors"
)

// Admission is the credit that one write holds from before its body is read
// until it has been answered. It is used by one goroutine.
type Admission struct {
	e      *Engine
	bucket *bucket
	bytes  int64
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
	if r := acquire(b.Share(), ctx, n, e.o.AdmissionWait); r != actors.Admitted {
		return nil, e.refuse(id, r, nil)
	}
	return &Admission{e: e, bucket: b, bytes: n}, nil
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

// charge takes n more bytes whether there is room or not.
func (a *Admission) charge(n int64) {
	a.bucket.Share().Charge(n)
	a.bytes += n
}

// Release gives the credit back. Calls after the first do nothing.
func (a *Admission) Release() {
	if a.bytes > 0 {
		a.bucket.Share().Release(a.bytes)
		a.bytes = 0
	}
}

// refuse makes the error for a refused write, and says it to the log: once a
// second at most, since a client that is refused comes back soon.
func (e *Engine) refuse(id BucketID, r actors.Reason, cause error) *Error {
	err := &Error{Kind: Unavailable, RetryAfter: e.shard.Gate().RetryAfter(), Err: cause}
	switch r {
	case actors.QueueFull:
		err.Kind = Overloaded
		err.Message = "write queue is full; nothing was written"
	case actors.MemoryFull:
		err.Kind = Overloaded
		err.RetryAfter = memoryRetryAfter
		err.Message = "memory budget (Options.MemoryBytesMax, --memory) is spent; nothing was written"
	case actors.Recovering:
		err.Message = "recovering after start; nothing was written"
	case actors.Closing:
		err.Message = "shutting down; nothing was written"
	case actors.Quarantined:
		err.RetryAfter = memoryRetryAfter
		err.Message = "bucket is quarantined after repeated failures; nothing was written"
	default:
		err.Message = "the log cannot be written; nothing was written"
	}
	e.refused.note(e, r, err)
	e.o.Events.WriteRefused(RefuseInfo{Bucket: id, Reason: r.String(), RetryAfter: err.RetryAfter})
	return err
}

// memoryRetryAfter is the advice when nothing but an operator, or expiry, makes room.
const memoryRetryAfter = 30 * time.Second

// refusals rate-limits the log lines about refused writes.
type refusals struct {
	last [actors.QueueFull + 1]atomic.Int64
}

func (f *refusals) note(e *Engine, r actors.Reason, err *Error) {
	now := e.o.Now().UnixNano()
	last := f.last[r].Load()
	if now-last >= int64(time.Second) && f.last[r].CompareAndSwap(last, now) {
		e.o.Logger.Warn("refusing writes", "reason", r.String(), "message", err.Message, "retry_after", err.RetryAfter)
	}
}
