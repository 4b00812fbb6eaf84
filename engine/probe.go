package engine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// probe tries one part of the write path for real. However many ask at one time, it
// is tried once; and no more than once in probeEvery, so that a storm of health checks
// does not become a storm of syncs.
type probe struct {
	name string
	// failure says, with the error, what it means when it does not work.
	failure string
	// try does it. It may hang; its context ends after a while.
	try func(ctx context.Context) error

	mu     sync.Mutex
	latest *attempt // guarded by mu; nil before the first
}

// attempt is one try. done is closed when it has ended, with err set.
type attempt struct {
	began time.Time
	done  chan struct{}
	err   error
}

// probeEvery is how long one attempt's outcome is good for.
const probeEvery = time.Second

// start returns the attempt that is under way or has just ended, or a new one.
func (p *probe) start(ctx context.Context, limit time.Duration) *attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.latest; a != nil {
		select {
		case <-a.done:
			if time.Since(a.began) < probeEvery {
				return a
			}
		default:
			return a // if it hangs, another would too
		}
	}
	a := &attempt{began: time.Now(), done: make(chan struct{})}
	p.latest = a
	go func() {
		defer close(a.done)
		trying, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		a.err = p.try(trying)
	}()
	return a
}

// outcome waits for the attempt until it is limit old, or ctx ends.
func (a *attempt) outcome(ctx context.Context, limit time.Duration) error {
	t := time.NewTimer(limit - time.Since(a.began))
	defer t.Stop()
	select {
	case <-a.done:
		if a.err == nil || a.err != context.DeadlineExceeded {
			return a.err
		}
	case <-t.C:
		// Both may be true: then it has answered.
		select {
		case <-a.done:
			return a.err
		default:
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return fmt.Errorf("no answer for %s", time.Since(a.began).Round(time.Millisecond))
}
