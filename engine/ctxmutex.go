package engine

import (
	"context"
	"time"
)

// ctxMutex is a mutex whose waiters give up: behind one that is held by somebody who
// waits for a disk that hangs, nobody else should. Make it with newCtxMutex.
type ctxMutex struct{ held chan struct{} }

func newCtxMutex() ctxMutex { return ctxMutex{make(chan struct{}, 1)} }

// lock takes the mutex. After limit, or when ctx ends, it returns an error and has not
// taken it.
func (m ctxMutex) lock(ctx context.Context, limit time.Duration) error {
	select {
	case m.held <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case m.held <- struct{}{}:
		return nil
	case <-t.C:
		return &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "an earlier change has not ended within " + limit.String() + "; nothing was changed", Err: context.DeadlineExceeded}
	case <-ctx.Done():
		return &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "request ended before the change was made: " + ctx.Err().Error(), Err: ctx.Err()}
	}
}

// Unlock gives the mutex back.
func (m ctxMutex) Unlock() { <-m.held }
