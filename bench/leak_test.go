package bench

import (
	"runtime"
	"testing"
	"time"
)

// checkGoroutines fails the test when it ends with more goroutines than it began.
func checkGoroutines(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for begin := time.Now(); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Since(begin) > 10*time.Second {
				buf := make([]byte, 1<<20)
				t.Fatalf("goroutines leaked: %d, were %d\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
			}
		}
	})
}
