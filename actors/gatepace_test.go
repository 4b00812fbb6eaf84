package actors

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPaceBoundsResidence has a server that does one request after the other, and far
// more clients than it serves within the admission wait, though there is memory for all
// of them. Who is admitted is done within a second, and the server is never idle. Once
// it is fast enough, everything is admitted again.
func TestPaceBoundsResidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, size, service = 400, 1000, 10 * time.Millisecond
		g := NewGate(GateOptions{BytesMax: 1 << 20})
		share := g.NewShare()
		turn := make(chan struct{}, 1)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var longest time.Duration // under turn
		var done, refused int
		for range clients {
			go func() {
				for ctx.Err() == nil {
					if share.Acquire(ctx, size, time.Second) != Admitted {
						turn <- struct{}{}
						refused++
						<-turn
						continue
					}
					admitted := time.Now()
					share.Ready(size)
					turn <- struct{}{}
					time.Sleep(service)
					if time.Since(start) > 10*time.Second {
						longest = max(longest, time.Since(admitted))
					}
					done++
					<-turn
					share.Done(size)
					share.Release(size)
				}
			}()
		}
		<-ctx.Done()
		if limit := g.Stats().BytesLimit; limit > 200*size {
			t.Errorf("%d bytes may be admitted, at %d a second", limit, size*time.Second/service)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if longest > time.Second || longest < 100*time.Millisecond {
			t.Errorf("a request took %s once it was admitted", longest)
		}
		if want := int(30 * time.Second / service); done < want*95/100 {
			t.Errorf("%d requests done, want %d: the server had nothing to do", done, want)
		}
		if refused == 0 {
			t.Error("nobody was refused")
		}
		share.Acquire(context.Background(), size, 0)
		share.Ready(size)
		if s := g.Stats(); s.BytesLimit != s.BytesMax || s.Requests != 1 {
			t.Errorf("limit %d of %d afterwards, %d requests", s.BytesLimit, s.BytesMax, s.Requests)
		}
	})
}

// TestPaceIgnoresSlowBodies: what is admitted and still being received is no reason
// to keep others out.
func TestPaceIgnoresSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{BytesMax: 1 << 20})
		slow, fast := g.NewShare(), g.NewShare()
		for range 500 {
			slow.Acquire(context.Background(), 1000, 0)
		}
		for range 100 {
			if r := fast.Acquire(context.Background(), 1000, 0); r != Admitted {
				t.Fatal(r)
			}
			fast.Ready(1000)
			time.Sleep(50 * time.Millisecond)
			fast.Done(1000)
			fast.Release(1000)
		}
		if s := g.Stats(); s.BytesLimit != s.BytesMax {
			t.Errorf("limit %d of %d", s.BytesLimit, s.BytesMax)
		}
	})
}
