package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headgate/actors"
)

// TestProbeIsShared: however many ask, it is tried once, and one that hangs holds
// nobody up for longer than the limit, all together.
func TestProbeIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 5 * time.Second
		var tries atomic.Int32
		hang := make(chan struct{})
		p := probe{try: func(context.Context) error {
			tries.Add(1)
			<-hang
			return nil
		}}
		begin := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := p.start(t.Context(), limit).outcome(t.Context(), limit); err == nil || !strings.Contains(err.Error(), "no answer for 5s") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != limit || tries.Load() != 1 {
			t.Errorf("%d tries, %s", tries.Load(), took)
		}
		// From now on nobody waits at all.
		begin = time.Now()
		if err := p.start(t.Context(), limit).outcome(t.Context(), limit); err == nil || time.Since(begin) != 0 {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		close(hang)
		synctest.Wait()
		// What hung has ended: another is tried, whose outcome is good for a second.
		for range 10 {
			if err := p.start(t.Context(), limit).outcome(t.Context(), limit); err != nil {
				t.Error(err)
			}
		}
		if tries.Load() != 2 {
			t.Errorf("%d tries, want 2", tries.Load())
		}
		time.Sleep(probeEvery)
		_ = p.start(t.Context(), limit).outcome(t.Context(), limit)
		if tries.Load() != 3 {
			t.Errorf("%d tries, want 3", tries.Load())
		}
	})
}

// TestHealthNamesTheCulprit: each part that hangs or fails is told apart, and passes
// when it works again.
func TestHealthNamesTheCulprit(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.HealthTimeout = 50 * time.Millisecond }).create("b", 0)
	if h := e.Health(t.Context()); h.Status != statusPass {
		t.Fatalf("%+v", h)
	}
	for i := range e.probes {
		p := &e.probes[i]
		real := p.try
		hang := make(chan struct{})
		p.latest, p.try = nil, func(context.Context) error {
			<-hang
			return nil
		}
		h := e.Health(t.Context())
		if h.Status != statusFail || len(h.Checks) != 1 || h.Checks[0].Name != p.name || !strings.Contains(h.Message, "no answer") {
			t.Errorf("%s hangs: %+v", p.name, h)
		}
		close(hang)
		<-p.latest.done
		p.latest, p.try = nil, func(context.Context) error { return errors.New("out of order") }
		if h := e.Health(t.Context()); h.Status != statusFail || len(h.Checks) != 1 || h.Checks[0].Name != p.name || !strings.Contains(h.Message, "out of order") {
			t.Errorf("%s fails: %+v", p.name, h)
		}
		p.latest, p.try = nil, real
		if h := e.Health(t.Context()); h.Status != statusPass {
			t.Errorf("%s works again: %+v", p.name, h)
		}
	}
}

// TestDiskNearlyFull: a mark above what is free has writes refused, with that reason
// and when to try again, and health fail; deletes and reads go on.
func TestDiskNearlyFull(t *testing.T) {
	dir := t.TempDir()
	{
		e := openTest(t, dir, nil).create("b", 0)
		if err := e.write("m f=1 1\nm f=1 2"); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Dir: dir, AuthDisabled: true, DiskFreeMin: 1 << 50}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	id := e.catalog.View().Buckets(0)[0].ID
	_, err = e.Admit(t.Context(), id, 0)
	var own *Error
	if !errors.As(err, &own) || own.Kind != Unavailable || own.RetryAfter < time.Second || !strings.Contains(own.Message, "disk nearly full") || !strings.Contains(own.Message, "--disk-free-min") {
		t.Errorf("%v", err)
	}
	if h := e.Health(t.Context()); h.Status != statusFail || h.Checks[0].Name != "disk" {
		t.Errorf("%+v", h)
	}
	if n := e.Stats().Gate.Refused[actors.DiskFull.String()]; n != 1 {
		t.Errorf("%d refusals are counted", n)
	}
	if err := e.Delete(t.Context(), e.Operator(), DeleteRequest{Bucket: id, Min: 1, Max: 1}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if st := e.Stats(); st.Points != 1 {
		t.Errorf("%d points are left, want 1", st.Points)
	}
}

// TestLockGivesUp: nobody waits for ever behind a change that hangs.
func TestLockGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCtxMutex()
		if err := m.lock(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		var own *Error
		if err := m.lock(t.Context(), time.Second); !errors.As(err, &own) || own.Kind != Unavailable || own.RetryAfter == 0 {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.lock(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		m.Unlock()
		if err := m.lock(ctx, time.Second); err != nil {
			t.Errorf("it is free: %v", err)
		}
	})
}
