package actors

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// waitedFor is what wait needs of a bucket.
func waitedFor() *Bucket {
	b := &Bucket{}
	b.state.Store(&State{Unavailable: ErrClosing})
	return b
}

// Each call is given up at its own deadline, whatever came before it, and is off the
// list then.
func TestWaitDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := waitedFor()
		start := time.Now()
		var wg sync.WaitGroup
		for _, after := range []time.Duration{5 * time.Second, time.Second, 9 * time.Second, time.Second, 7 * time.Second} {
			wg.Go(func() {
				err, answered := newCall().wait(t.Context(), start.Add(after), b)
				if answered || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != after {
					t.Errorf("deadline %s: %v, answered %t after %s", after, err, answered, time.Since(start))
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if b.waiters.first != nil || b.waiters.last != nil || !b.waiters.due.IsZero() {
			t.Error("the list is not empty, or its timer is set")
		}
		// The timer works again.
		if _, answered := newCall().wait(t.Context(), time.Now().Add(time.Second), b); answered {
			t.Error("answered")
		}
		b.waiters.stop(ErrClosing)
	})
}

// A context that many wait with is watched once, others each for itself; its end ends
// the waits of its own calls only.
func TestWaitContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := waitedFor()
		shared, cancel := context.WithCancelCause(t.Context())
		own, cancelOwn := context.WithCancel(t.Context())
		wait := func(ctx context.Context) (c *call, result func() (error, bool)) {
			c = newCall()
			var err error
			var answered, ended bool
			go func() {
				err, answered = c.wait(ctx, time.Now().Add(time.Hour), b)
				ended = true
			}()
			synctest.Wait()
			return c, func() (error, bool) {
				synctest.Wait()
				if !ended {
					t.Error("still waits")
				}
				return err, answered
			}
		}
		_, first := wait(shared)
		if b.waiters.unwatch != nil {
			t.Error("a context is watched that was seen once")
		}
		_, second := wait(shared)
		_, third := wait(shared)
		if b.waiters.unwatch == nil {
			t.Error("a context that is used again is not watched")
		}
		_, alone := wait(own)
		answered, kept := wait(context.Background())
		cancelOwn()
		if err, ok := alone(); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("own context: %v, %t", err, ok)
		}
		cancel(nil)
		for i, result := range []func() (error, bool){first, second, third} {
			if err, ok := result(); ok || !errors.Is(err, context.Canceled) {
				t.Errorf("call %d: %v, answered %t", i, err, ok)
			}
		}
		// What has ended already ends the wait at once, watched or not.
		for range 3 {
			_, late := wait(shared)
			if err, ok := late(); ok || !errors.Is(err, context.Canceled) {
				t.Errorf("ended context: %v, answered %t", err, ok)
			}
		}
		answered.complete(nil)
		if err, ok := kept(); !ok || err != nil {
			t.Errorf("the call with no such context: %v, answered %t", err, ok)
		}
		b.waiters.stop(ErrClosing)
	})
}

// A bucket that stops answers who waits, and who comes later, with its state.
func TestWaitStopped(t *testing.T) {
	testkit.CheckLeaks(t)
	b := waitedFor()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			err, answered := newCall().wait(ctx, time.Now().Add(time.Hour), b)
			if !answered || !errors.Is(err, ErrClosing) {
				t.Errorf("%v, answered %t", err, answered)
			}
		})
	}
	b.waiters.stop(b.State().Unavailable) // among them
	wg.Wait()
	if w := &b.waiters; w.timer != nil && w.timer.Stop() || w.unwatch != nil && w.unwatch() {
		t.Error("the timer is set or a context watched after the end")
	}
	c := newCall()
	c.complete(nil) // by the actor, which then stopped
	if err, answered := c.wait(ctx, time.Now().Add(time.Hour), b); !answered || err != nil {
		t.Errorf("completed before: %v, answered %t", err, answered)
	}
}

// Whatever ends first, a wait ends, with the outcome of that.
func TestWaitRaces(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	refused := errors.New("refused by the actor")
	for range 200 {
		b := waitedFor()
		share := NewGate(GateOptions{}).NewShare()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 8 {
			c := newCall()
			if r.IntN(2) == 0 {
				if got := share.Acquire(t.Context(), 7, 0); got != Admitted {
					t.Fatal(got)
				}
				c.share, c.credit = share, 7
			}
			waitCtx, deadline := ctx, time.Now().Add(time.Hour)
			switch r.IntN(3) {
			case 0:
				deadline = time.Now().Add(time.Duration(r.IntN(100)) * time.Microsecond)
			case 1:
				own, cancelOwn := context.WithCancel(ctx)
				waitCtx = own
				wg.Go(cancelOwn)
			}
			wg.Go(func() { c.complete(refused) })
			wg.Go(func() {
				err, answered := c.wait(waitCtx, deadline, b)
				given := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
				if answered == given || answered && !errors.Is(err, refused) && !errors.Is(err, ErrClosing) {
					t.Errorf("%v, answered %t", err, answered)
				}
				if answered && c.share != nil {
					share.Release(c.credit) // it is the waiter's again
				}
			})
		}
		if r.IntN(2) == 0 {
			wg.Go(cancel)
		}
		stops := r.IntN(2) == 0
		if stops {
			wg.Go(func() { b.waiters.stop(ErrClosing) })
		}
		wg.Wait()
		cancel()
		if !stops && (b.waiters.first != nil || b.waiters.last != nil) {
			t.Fatal("all are completed, and the list is not empty")
		}
		b.waiters.stop(ErrClosing)
		for c := b.waiters.first; c != nil; c = c.next {
			if c.share == nil || !c.gaveUp {
				t.Fatal("a call is still on the list")
			}
		}
		if g := share.Gate().Stats(); g.Bytes != 0 || g.Requests != 0 {
			t.Fatalf("%d bytes of %d requests have not come home", g.Bytes, g.Requests)
		}
	}
}

// A write that nobody waits for any more and that an actor never sees, because it has
// stopped, does not keep its credit for ever.
func TestStoppedActorReturnsCredit(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := openTestShard(t, newMemDisk(), func(o *Options) {
		o.testHook = func(point.BucketID, string) {
			once.Do(func() { close(entered); <-leave })
		}
	})
	b := s.open(1)
	busy := make(chan error, 1)
	go func() { busy <- b.Define(context.Background(), &point.Batch{Epoch: b.State().Epoch}, testTimeout) }()
	<-entered
	s.system.Root.Poison(b.pid) // what comes now comes too late
	credit := int64(1000)
	if r := b.Share().Acquire(context.Background(), credit, 0); r != Admitted {
		t.Fatal(r)
	}
	_, reusable, err := b.Append(context.Background(), new(point.Batch), nil, nil, nil, time.Now(), &credit)
	if reusable || credit != 0 || !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("reusable %t, credit %d, error %v; want false, 0, ErrIndeterminate", reusable, credit, err)
	}
	close(leave)
	<-busy
	<-b.stopped
	if g := s.Gate().Stats(); g.Bytes != 0 || g.Requests != 0 {
		t.Errorf("gate counts %d bytes of %d requests of a bucket that has stopped", g.Bytes, g.Requests)
	}
	if _, reusable, err = b.Append(context.Background(), new(point.Batch), nil, nil, nil, time.Now().Add(testTimeout), nil); reusable || !errors.Is(err, ErrClosing) {
		t.Errorf("record reusable %t after %v", reusable, err)
	}
}
