package actors

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// fairParts is the model: what each gets of total when nobody can get more without
// somebody who has no more getting less.
func fairParts(total float64, demands []float64) []float64 {
	order := make([]int, len(demands))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(demands[a] - demands[b]) })
	parts := make([]float64, len(demands))
	for i, d := range order {
		parts[d] = min(demands[d], total/float64(len(order)-i))
		total -= parts[d]
	}
	return parts
}

// TestShareIsMaxMinFair has buckets that want much or little, in requests of any
// size that are held for any time, and compares what each holds on average with the
// model. A seventeenth of the gate, and a request, may be missing.
func TestShareIsMaxMinFair(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 8 {
		const bytesMax, run = 10_000, 20 * time.Second
		synctest.Test(t, func(t *testing.T) {
			g := NewGate(GateOptions{BytesMax: bytesMax})
			ctx, cancel := context.WithTimeout(context.Background(), run)
			defer cancel()
			demands := make([]float64, 2+rng.IntN(5))
			shares := make([]*Share, len(demands))
			held := make([]float64, len(demands)) // byte seconds
			for i := range demands {
				shares[i] = g.NewShare()
				size := int64(1 + rng.IntN(200))
				hold := time.Duration(1+rng.IntN(500)) * time.Millisecond
				clients := 1 + rng.IntN(100)
				demands[i] = float64(size) * float64(clients)
				for range clients {
					go func() {
						for ctx.Err() == nil {
							if shares[i].Acquire(ctx, size, time.Hour) == Admitted {
								time.Sleep(hold)
								shares[i].Release(size)
							}
						}
					}()
				}
			}
			const looks = 1000
			for range looks {
				time.Sleep(run / looks)
				for i, s := range shares {
					held[i] += float64(s.bytes.Load()) / looks
				}
			}
			synctest.Wait()
			for i, want := range fairParts(bytesMax, demands) {
				if held[i] < want*0.85-400 {
					t.Errorf("demands %v: bucket %d holds %.0f of %d on average, its fair part is %.0f", demands, i, held[i], bytesMax, want)
				}
			}
			time.Sleep(time.Second)
			if s := g.Stats(); s.Bytes != 0 || s.Requests != 0 || s.Waiting != 0 || len(g.lines) != 0 {
				t.Errorf("left behind: %+v", s)
			}
		})
	}
}

func TestShareAloneTakesNearlyAll(t *testing.T) {
	g := NewGate(GateOptions{BytesMax: 1700, RequestsMax: 100})
	greedy := g.NewShare()
	n := 0
	for greedy.Acquire(context.Background(), 1, 0) == Admitted {
		n++
	}
	if n != 95 {
		t.Errorf("%d requests of 100, want 95", n)
	}
	for range n {
		greedy.Release(1)
	}
	for greedy.Acquire(context.Background(), 100, 0) == Admitted {
	}
	if got := greedy.bytes.Load(); got != 1600 {
		t.Errorf("%d bytes of 1700, want 1600", got)
	}
}

// TestShareLeavesRoom fills the gate, and its lines, with requests of a bucket that
// never gives anything back. Another bucket is served all the same, at once.
func TestShareLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{BytesMax: 1000, RequestsMax: 200, WaitersMax: 34})
		greedy, modest := g.NewShare(), g.NewShare()
		ctx, cancel := context.WithCancel(context.Background())
		for range 1000 {
			go greedy.Acquire(ctx, 10, time.Hour)
		}
		synctest.Wait()
		if n := g.Stats().Waiting; n < 30 || n > 33 {
			t.Errorf("%d requests in line, which has room for 34", n)
		}
		start := time.Now()
		for range 10 {
			if r := modest.Acquire(ctx, 10, time.Second); r != Admitted {
				t.Fatalf("modest bucket got %s", r)
			}
			modest.Release(10)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("modest bucket waited %s", took)
		}
		if greedy.Grow(10) {
			t.Error("the greedy bucket grew past its share")
		}
		cancel()
	})
}

// TestShareLeastFirst: what comes home goes to the bucket that holds least, not to
// who has waited longest.
func TestShareLeastFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{BytesMax: 1000})
		greedy, modest := g.NewShare(), g.NewShare()
		ctx := context.Background()
		for greedy.Acquire(ctx, 100, 0) == Admitted {
		}
		served := make(chan string, 10)
		for range 5 {
			go func() {
				if greedy.Acquire(ctx, 100, time.Minute) == Admitted {
					served <- "greedy"
				}
			}()
		}
		synctest.Wait()
		go func() {
			if modest.Acquire(ctx, 200, time.Minute) == Admitted {
				served <- "modest"
			}
		}()
		synctest.Wait()
		greedy.Release(100)
		greedy.Release(100)
		synctest.Wait()
		if len(served) != 1 || <-served != "modest" {
			t.Error("the bucket that holds nothing was not served first")
		}
		for range 7 {
			greedy.Release(100)
		}
		synctest.Wait()
		if len(served) != 5 {
			t.Errorf("%d of 5 served afterwards", len(served))
		}
	})
}

// TestShrink: what a request gives back goes to those in line, and the rest comes home
// with it.
func TestShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{BytesMax: 1000})
		large, small := g.NewShare(), g.NewShare()
		ctx := context.Background()
		if r := large.Acquire(ctx, 900, 0); r != Admitted {
			t.Fatal(r)
		}
		served := make(chan Reason, 1)
		go func() { served <- small.Acquire(ctx, 300, time.Hour) }()
		synctest.Wait()
		began := time.Now()
		large.Shrink(850)
		if r := <-served; r != Admitted || time.Since(began) != 0 {
			t.Errorf("%s after %s, with room for it", r, time.Since(began))
		}
		if n := g.drained.Load(); n != 850 {
			t.Errorf("%d bytes count as drained, which Retry-After is made of", n)
		}
		if s := g.Stats(); s.Bytes != 350 || s.Requests != 2 || large.bytes.Load() != 50 {
			t.Errorf("%+v, and %d bytes of who gave back", s, large.bytes.Load())
		}
		large.Release(50)
		small.Release(300)
		if s := g.Stats(); s.Bytes != 0 || s.Requests != 0 || large.bytes.Load() != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestShareMemory(t *testing.T) {
	g := NewGate(GateOptions{MemoryBytesMax: 1700})
	greedy, modest := g.NewShare(), g.NewShare()
	greedy.AddMemory(1601)
	if r := greedy.Acquire(context.Background(), 1, time.Hour); r != MemoryFull || !g.Stats().MemoryFull {
		t.Errorf("the bucket that holds nearly all memory got %s", r)
	}
	if r := modest.Acquire(context.Background(), 1, 0); r != Admitted {
		t.Errorf("the bucket that holds none got %s", r)
	}
	modest.AddMemory(99)
	if r := modest.Acquire(context.Background(), 1, 0); r != MemoryFull {
		t.Errorf("with all memory taken a bucket got %s", r)
	}
}

// TestRefusingAllocatesNothing, not even after a wait.
func TestRefusingAllocatesNothing(t *testing.T) {
	g := NewGate(GateOptions{BytesMax: 100})
	greedy := g.NewShare()
	ctx := context.Background()
	greedy.Acquire(ctx, 100, 0)
	for _, wait := range []time.Duration{0, time.Microsecond} {
		if n := testing.AllocsPerRun(100, func() { greedy.Acquire(ctx, 10, wait) }); n != 0 {
			t.Errorf("refusing after %s allocates %v times", wait, n)
		}
	}
}

// BenchmarkGateWait is admission while others wait: all go through the lines.
func BenchmarkGateWait(b *testing.B) {
	g := NewGate(GateOptions{BytesMax: 1000})
	b.ReportAllocs()
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		s := g.NewShare()
		for pb.Next() {
			if s.Acquire(context.Background(), 100, time.Minute) == Admitted {
				s.Release(100)
			}
		}
	})
}
