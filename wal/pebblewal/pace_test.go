package pebblewal

import (
	"runtime"
	"testing"
	"time"

	"headgate/engine/testkit"
)

func TestPace(t *testing.T) {
	p := newPace(time.Hour, func() {})
	take := func(n, queued int) {
		p.taken(n, queued)
		p.answered()
	}
	for range 100 {
		take(crowdMin/2-1, 0)
		if !p.enough(1) {
			t.Fatalf("waits for %d writers", p.writers)
		}
	}
	take(500, 500)
	if p.enough(crowdEnough-1) || !p.enough(crowdEnough) {
		t.Errorf("1000 writers: enough of %d %t, of %d %t", crowdEnough-1, p.enough(crowdEnough-1), crowdEnough, p.enough(crowdEnough))
	}
	for range 30 {
		take(32, 32)
	}
	take(1, 63)
	take(63, 1)
	if p.writers != 64 || p.enough(31) || !p.enough(32) {
		t.Errorf("64 writers: taken for %d, enough of 31 %t, of 32 %t", p.writers, p.enough(31), p.enough(32))
	}
	p.over = true
	if !p.enough(1) {
		t.Error("waits for ever")
	}
	take(1, 0)
	if p.over || p.enough(1) {
		t.Error("the wait of one group counts for the next")
	}
	// All but one go home.
	waits := 0
	for ; !p.enough(1); waits++ {
		if waits > 10 {
			t.Fatalf("still waits for %d writers", p.writers)
		}
		take(1, 0)
	}
	p.timer.Stop()
	if waits == 0 {
		t.Error("one small group made it forget the others")
	}
	p = newPace(-1, nil)
	take(1, 999)
	if !p.enough(1) {
		t.Error("waits although it must not")
	}
}

// The first of a crowd to come back waits for half of it, or for the end of the wait;
// a log that is being closed waits for nobody.
func TestGroupWaitsForCrowd(t *testing.T) {
	testkit.CheckLeaks(t)
	fs := newHeldSyncs()
	l := mustOpen(t, Options{Dir: "log", FS: fs, CrowdWait: time.Hour})
	n := newTold()
	seq := uint64(0)
	appendSome := func(count int) {
		t.Helper()
		for range count {
			seq++
			if err := l.Append(1, seq, []byte("record"), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	told := func() {
		t.Helper()
		if err := n.wait(seq); err != nil {
			t.Fatal(err)
		}
		mustIdle(l)
	}
	waiting := func(queued int) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.called || len(l.inflight) != 0 || l.queue.len() != queued {
			t.Errorf("%d of %d queued, %d groups under way, called %t", l.queue.len(), queued, len(l.inflight), l.called)
		}
	}
	const crowd = 2 * crowdMin
	fs.armed.Store(true)
	appendSome(1)
	<-fs.held
	appendSome(crowd - 1)
	close(fs.release)
	told()

	appendSome(crowd/2 - 1)
	waiting(crowd/2 - 1)
	appendSome(1)
	told()

	appendSome(1)
	waiting(1)
	l.waited()
	told()

	appendSome(1)
	waiting(1)
	mustClose(t, l)
	told()
}

// mustIdle returns when no group is under way.
func mustIdle(l *Log) {
	for {
		if groups, _ := l.underWay(); groups == 0 {
			return
		}
		runtime.Gosched()
	}
}
