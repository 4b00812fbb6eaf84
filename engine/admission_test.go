package engine

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// TestTurnsLeaveRoomForOthers has a bucket take every turn at parsing and stand in
// line for more. Another bucket's large body is next all the same, a small one does not
// wait at all, and the turn is the admission's to give back.
func TestTurnsLeaveRoomForOthers(t *testing.T) {
	e := openTest(t, t.TempDir(), nil)
	greedy := e.create("greedy", 0).bucket
	modest := e.create("modest", 0).bucket
	admit := func(id BucketID) *Admission {
		t.Helper()
		a, err := e.Admit(t.Context(), id, turnBytesMin)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var held []*Admission
	for range 2 * runtime.GOMAXPROCS(0) {
		a := admit(greedy.ID)
		if err := a.TakeTurn(t.Context(), turnBytesMin); err != nil {
			t.Fatal(err)
		}
		held = append(held, a)
	}
	if err := admit(modest.ID).take(t, turnBytesMin-1); err != nil {
		t.Errorf("a small body: %v", err)
	}
	served := make(chan string, 2)
	wait := func(name string, a *Admission) {
		turn := a.bucket.Turn()
		before := turn.Gate().Stats().Waiting
		go func() {
			if a.TakeTurn(t.Context(), turnBytesMin) == nil {
				served <- name
			}
			a.Release()
		}()
		for begin := time.Now(); turn.Gate().Stats().Waiting == before; runtime.Gosched() {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("%s does not wait for its turn", name)
			}
		}
	}
	wait("greedy", admit(greedy.ID))
	wait("modest", admit(modest.ID))
	held[0].EndTurn()
	if first, second := <-served, <-served; first != "modest" || second != "greedy" {
		t.Errorf("%s was first, then %s", first, second)
	}
	for _, a := range held {
		a.Release()
	}
	if s := e.shard.Gate().Stats(); s.Requests != 0 || s.Bytes != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// take takes a turn and gives all back.
func (a *Admission) take(t *testing.T, n int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	defer a.Release()
	return a.TakeTurn(ctx, n)
}

// TestShrunkAdmission: whatever an admission has taken and given back, the gate counts
// what it holds, and nothing when it is over.
func TestShrunkAdmission(t *testing.T) {
	e := openTest(t, t.TempDir(), nil)
	a, err := e.Admit(t.Context(), e.create("b", 0).bucket.ID, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	holds := func(want int64) {
		t.Helper()
		if s := e.shard.Gate().Stats(); s.Bytes != want {
			t.Errorf("the gate counts %d bytes, want %d", s.Bytes, want)
		}
	}
	holds(requestBytes + 1<<20)
	a.Shrink(1 << 20)
	holds(requestBytes)
	if err := a.Grow(7); err != nil {
		t.Fatal(err)
	}
	a.Shrink(3)
	holds(requestBytes + 4)
	a.Release()
	a.Release()
	holds(0)
}

func TestRetryAfterMaxIsChecked(t *testing.T) {
	o := Options{Dir: t.TempDir(), RetryAfterMax: time.Millisecond}
	if _, err := Open(t.Context(), o); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Options.RetryAfterMax of a millisecond: %v", err)
	}
}
