package actors

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateRefusesWhenFullAndServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{BytesMax: 100}).NewShare()
		ctx := context.Background()
		if r := g.Acquire(ctx, 80, 0); r != Admitted {
			t.Fatal(r)
		}
		if r := g.Acquire(ctx, 30, 0); r != QueueFull {
			t.Fatalf("full gate says %s", r)
		}
		start := time.Now()
		if r := g.Acquire(ctx, 30, time.Second); r != QueueFull {
			t.Fatalf("full gate says %s after a wait", r)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Fatalf("waited %s, want 1s", waited)
		}
		order := make(chan int64, 2)
		for _, n := range []int64{30, 20} {
			go func() {
				if r := g.Acquire(ctx, n, time.Minute); r != Admitted {
					t.Errorf("%d bytes: %s", n, r)
				}
				order <- n
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatal("a small request overtook a large one that was first in line")
		}
		g.Release(80)
		synctest.Wait()
		if first, second := <-order, <-order; first+second != 50 {
			t.Fatal("both should have been served")
		}
		g.Release(30)
		g.Release(20)
		if s := g.Gate().Stats(); s.Bytes != 0 || s.Requests != 0 || s.Waiting != 0 || s.Refused["queue_full"] != 2 {
			t.Fatalf("stats after all: %+v", s)
		}
	})
}

func TestGateAdmitsOneLargerThanItself(t *testing.T) {
	g := NewGate(GateOptions{BytesMax: 100}).NewShare()
	if r := g.Acquire(context.Background(), 500, 0); r != Admitted {
		t.Fatalf("nothing in flight, and still %s", r)
	}
	if g.Grow(1) {
		t.Fatal("grew past the limit")
	}
	g.Release(500)
}

func TestGateMemoryAndShut(t *testing.T) {
	gate := NewGate(GateOptions{MemoryBytesMax: 10})
	g := gate.NewShare()
	g.AddMemory(10)
	if r := g.Acquire(context.Background(), 1, time.Hour); r != MemoryFull {
		t.Fatalf("got %s, want memory_full, at once", r)
	}
	if r := g.AcquireToFree(context.Background(), 1, 0); r != Admitted {
		t.Fatalf("what may free memory got %s", r)
	}
	g.Release(1)
	g.AddMemory(-1)
	gate.Shut(Closing)
	if r := g.Acquire(context.Background(), 1, time.Hour); r != Closing {
		t.Fatalf("got %s, want closing, at once", r)
	}
	gate.openAgain()
	if r := g.Acquire(context.Background(), 1, 0); r != Closing {
		t.Fatal("openAgain opened a gate that was not shut for a failed log")
	}
}

func TestGateCancelledWaiterLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{BytesMax: 10}).NewShare()
		g.Acquire(context.Background(), 10, 0)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan Reason, 2)
		go func() { done <- g.Acquire(ctx, 10, time.Hour) }()
		synctest.Wait()
		go func() { done <- g.Acquire(context.Background(), 5, time.Hour) }()
		synctest.Wait()
		cancel()
		if r := <-done; r != QueueFull {
			t.Fatalf("cancelled waiter got %s", r)
		}
		g.Release(10)
		if r := <-done; r != Admitted {
			t.Fatalf("waiter behind a cancelled one got %s", r)
		}
		g.Release(5)
		<-g.Gate().Idle()
	})
}

// TestGateCountsExactly has many goroutines take and give at random; the gate
// never admits more than it has, and everything comes home.
func TestGateCountsExactly(t *testing.T) {
	const bytesMax, goroutines, rounds = 64, 16, 2000
	gate := NewGate(GateOptions{BytesMax: bytesMax, RequestsMax: 8})
	shares := []*Share{gate.NewShare(), gate.NewShare(), gate.NewShare()}
	var inFlight, admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range goroutines {
		g := shares[i%len(shares)]
		wg.Go(func() {
			for k := range rounds {
				n := int64(1 + (i*31+k*17)%40)
				if g.Acquire(context.Background(), n, time.Minute) != Admitted {
					continue
				}
				admitted.Add(1)
				if now := inFlight.Add(n); now > bytesMax {
					t.Errorf("%d bytes in flight, limit %d", now, bytesMax)
				}
				inFlight.Add(-n)
				g.Release(n)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != goroutines*rounds {
		t.Errorf("%d of %d admitted, although everyone could wait", admitted.Load(), goroutines*rounds)
	}
	if s := gate.Stats(); s.Bytes != 0 || s.Requests != 0 || s.Waiting != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// TestGateIsIdleAfterARefusal releases the last request while another is being
// refused, one atomic step at a time.
func TestGateIsIdleAfterARefusal(t *testing.T) {
	gate := NewGate(GateOptions{BytesMax: 10})
	g := gate.NewShare()
	if r := g.Acquire(context.Background(), 10, 0); r != Admitted {
		t.Fatal(r)
	}
	idle := gate.Idle()
	gate.requests.Add(1) // try has counted the request that will be refused
	g.Release(10)
	gate.requests.Add(-1) // try takes it back
	gate.noticeIdle()     // acquire refuses it
	select {
	case <-idle:
	default:
		t.Fatal("nothing is in flight and nobody was told")
	}
}

func TestGateRetryAfterFollowsTheDrainRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(GateOptions{BytesMax: 1000})
		g := gate.NewShare()
		if got := gate.RetryAfter(); got != time.Second {
			t.Fatalf("idle gate advises %s, want 1s", got)
		}
		for range 100 { // 10 bytes a second for 100 s
			g.Acquire(context.Background(), 10, 0)
			time.Sleep(time.Second)
			g.Release(10)
			gate.RetryAfter()
		}
		g.Acquire(context.Background(), 200, 0)
		if got := gate.RetryAfter(); got < 19*time.Second || got > 21*time.Second {
			t.Fatalf("200 bytes at 10 bytes a second: %s, want about 20s", got)
		}
		gate.NewShare().Acquire(context.Background(), 700, 0)
		if got := gate.RetryAfter(); got != 30*time.Second {
			t.Fatalf("%s, want the cap of 30s", got)
		}
		g.Release(700)
		time.Sleep(time.Hour)
		if got := gate.RetryAfter(); got < 19*time.Second || got > 21*time.Second {
			t.Fatalf("%s after an idle hour, want about 20s still", got)
		}
		for range 120 { // nothing drains any more: the rate falls towards zero
			time.Sleep(time.Second)
			if got := gate.RetryAfter(); got != 30*time.Second {
				t.Fatalf("%s while nothing drains, want the cap of 30s", got)
			}
		}
	})
}

func BenchmarkGate(b *testing.B) {
	g := NewGate(GateOptions{}).NewShare()
	b.ReportAllocs()
	for b.Loop() {
		g.Acquire(context.Background(), 100, time.Second)
		g.Release(100)
	}
}

func BenchmarkGateRefuse(b *testing.B) {
	g := NewGate(GateOptions{BytesMax: 100}).NewShare()
	g.Acquire(context.Background(), 100, 0)
	b.ReportAllocs()
	for b.Loop() {
		g.Acquire(context.Background(), 100, 0)
	}
}
