package fence

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// fakeDB always has a compaction, which ends as end says.
type fakeDB struct {
	s      *Scheduler
	end    func(n int) error
	begun  []time.Duration
	since  time.Time
	wants  int // how many compactions it has
	denies int // how many grants it does not take
}

func (d *fakeDB) GetAllowedWithoutPermission() int { return 1 }

func (d *fakeDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return d.wants > 0, pebble.WaitingCompaction{}
}

func (d *fakeDB) Schedule(h pebble.CompactionGrantHandle) bool {
	if d.denies > 0 {
		d.denies--
		return false
	}
	d.wants--
	d.run(h)
	return true
}

func (d *fakeDB) run(h pebble.CompactionGrantHandle) {
	d.begun = append(d.begun, time.Since(d.since).Round(time.Millisecond))
	n := len(d.begun)
	go func() {
		d.s.Ended(pebble.CompactionInfo{Err: d.end(n)})
		h.Done()
	}()
}

// After a compaction that has failed, the next waits, and longer each time until one
// works.
func TestSchedulerRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler()
		d := &fakeDB{s: s, since: time.Now(), wants: 7, denies: 1, end: func(n int) error {
			switch n {
			case 1, 2, 3, 6:
				return errors.New("damaged")
			case 4:
				return pebble.ErrCancelledCompaction
			}
			return nil
		}}
		s.Register(2, d)
		ok, h := s.TrySchedule()
		if !ok {
			t.Fatal("refused")
		}
		if ok, _ := s.TrySchedule(); ok {
			t.Fatal("two at a time")
		}
		d.run(h)
		synctest.Wait()
		if ok, _ := s.TrySchedule(); ok {
			t.Fatal("began while it rests")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 7 * time.Second, 7 * time.Second, 8 * time.Second, 8 * time.Second}
		if len(d.begun) != len(want) {
			t.Fatalf("began at %v, want %v", d.begun, want)
		}
		for i := range want {
			if d.begun[i] != want[i] {
				t.Fatalf("began at %v, want %v", d.begun, want)
			}
		}
		s.Unregister()
		if ok, _ := s.TrySchedule(); ok {
			t.Error("began after the end")
		}
	})
}

// A scheduler that is unregistered while it rests leaves nothing behind.
func TestSchedulerEndsWhileResting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler()
		d := &fakeDB{s: s, since: time.Now(), wants: 1, end: func(int) error { return errors.New("damaged") }}
		s.Register(2, d)
		_, h := s.TrySchedule()
		d.run(h)
		synctest.Wait()
		s.Unregister()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(d.begun) != 1 {
			t.Errorf("began at %v", d.begun)
		}
	})
}
