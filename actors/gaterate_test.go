package actors

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRetryAfterMemoryFollowsTheFlushes: short while memory is being freed, as long
// as it may be once nothing is.
func TestRetryAfterMemoryFollowsTheFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{MemoryBytesMax: 16000})
		s := g.NewShare()
		s.AddMemory(16000)
		if got := g.RetryAfterMemory(); got != time.Second {
			t.Errorf("%s at first, want 1s", got)
		}
		for range 30 { // 100 bytes a second come and go
			time.Sleep(time.Second)
			s.AddMemory(-100)
			s.AddMemory(100)
			g.RetryAfterMemory()
		}
		if got := g.RetryAfterMemory(); got < 9*time.Second || got > 11*time.Second {
			t.Errorf("1000 bytes at 100 a second: %s, want about 10s", got)
		}
		for range 60 {
			time.Sleep(time.Second)
			g.RetryAfterMemory()
		}
		if got := g.RetryAfterMemory(); got != 30*time.Second {
			t.Errorf("%s while nothing is freed, want the cap of 30s", got)
		}
	})
}
