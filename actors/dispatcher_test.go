package actors

import (
	"runtime"
	"sync"
	"testing"

	"headgate/engine/testkit"
)

// What is scheduled runs, by goroutines that are used again and that end with the
// dispatcher; a burst leaves no more of them than it may, and what comes after the end
// runs as well.
func TestDispatcher(t *testing.T) {
	testkit.CheckLeaks(t)
	var d dispatcher
	idle := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.idle)
	}
	for range 100 { // one at a time
		done := make(chan struct{})
		d.Schedule(func() { close(done) })
		<-done
		for idle() != 1 {
			runtime.Gosched()
		}
	}
	var begun, ended sync.WaitGroup
	release := make(chan struct{})
	for range 3 * dispatchWorkersMax { // all at once
		begun.Add(1)
		ended.Add(1)
		d.Schedule(func() {
			begun.Done()
			<-release
			ended.Done()
		})
	}
	begun.Wait()
	if n := idle(); n != 0 {
		t.Errorf("%d workers idle while there is work for more than there may be", n)
	}
	close(release)
	ended.Wait()
	for idle() != dispatchWorkersMax {
		runtime.Gosched()
	}
	d.close()
	done := make(chan struct{})
	d.Schedule(func() { close(done) })
	<-done // and CheckLeaks sees that nobody waits for more
}
