package waltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"headgate/engine/testkit"
	"headgate/wal"
)

// workload appends, waits and truncates, the same way for the same seed. It stops
// at the first sign that the log has failed.
func (m *model) workload(log wal.Log, r *rand.Rand, rounds int) {
	for range rounds {
		for range 1 + r.IntN(20) {
			if !m.buckets[r.IntN(len(m.buckets))].append(log) {
				return
			}
		}
		if r.IntN(2) == 0 && !m.wait() {
			return
		}
		if r.IntN(8) == 0 {
			b := m.buckets[r.IntN(len(m.buckets))]
			if s := b.span(); s.acked > s.removing {
				if err := b.truncate(log, s.removing+1+r.Uint64N(s.acked-s.removing)); err != nil {
					if !errors.Is(err, wal.ErrFailed) {
						m.t.Errorf("Truncate: %v", err)
					}
					return
				}
			}
		}
	}
}

// testCrashPoints: whatever the moment of a crash, what was acknowledged is there.
func testCrashPoints(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	d := newDisk(t)
	m := newModel(t, seed, 4)
	r := rand.New(rand.NewPCG(seed, 2))
	type crash struct {
		disk    Disk
		percent int
		spans   []span
	}
	var mu sync.Mutex // operations come from several goroutines
	var crashes []crash
	point := 0
	d.Watch(func() {
		mu.Lock()
		defer mu.Unlock()
		point++
		earlier := m.spans()
		for _, percent := range []int{0, 50} {
			// What has not been synced at all is the case that must never count; a
			// random part of it is tried at every third point.
			if percent == 0 || point%3 == 0 {
				crashes = append(crashes, crash{disk: d.Crash(percent, seed+uint64(point)), percent: percent})
			}
		}
		later := between(earlier, m.spans())
		for i := len(crashes) - 1; i >= 0 && crashes[i].spans == nil; i-- {
			crashes[i].spans = later
		}
	})
	for range 2 {
		log := mustOpen(t, d)
		lasts, err := m.check(log, m.spans())
		if err != nil {
			t.Fatal(err)
		}
		m.resume(lasts)
		m.workload(log, r, 8)
		mustClose(t, log)
		m.answered()
	}
	d.Watch(nil)
	t.Logf("%d operations, %d crashes", point, len(crashes))
	for i, c := range crashes {
		if testkit.RaceEnabled && i%10 != 0 {
			continue
		}
		if _, err := m.verify(c.disk, c.spans); err != nil {
			t.Fatalf("crash %d of %d, with %d%% of what was not synced: %v", i, len(crashes), c.percent, err)
		}
	}
}

// testFaults: an error of any one operation, or of all from some moment on, loses
// nothing acknowledged, answers everything, and is over once the disk is healed
// and the log opened again.
func testFaults(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	for _, sticky := range []bool{false, true} {
		step := 1
		if testkit.RaceEnabled {
			step = 11
		}
		for n := 0; ; n += step {
			m := newModel(t, seed, 3)
			fired, err := m.fault(newDisk(t), n, sticky)
			if err != nil {
				t.Fatalf("operation %d failing, sticky %t: %v", n, sticky, err)
			}
			if !fired {
				t.Logf("%d operations, sticky %t", n, sticky)
				break
			}
			if sticky {
				step = max(step, 3) // the first failure decides; what follows differs little
			}
		}
	}
}

// fault runs a workload on a disk whose n-th operation after opening fails.
func (m *model) fault(d Disk, n int, sticky bool) (fired bool, err error) {
	log, err := d.Open()
	if err != nil {
		return false, err
	}
	d.FailAt(n, sticky)
	m.workload(log, rand.New(rand.NewPCG(m.seed, 3)), 12)
	m.wait()
	failed := log.Failed()
	spans := m.spans()
	err = log.Close()
	fired = d.Heal()
	m.answered()
	switch {
	case err != nil:
		return fired, fmt.Errorf("close: %w", err)
	case failed != nil && !errors.Is(failed, wal.ErrFailed):
		return fired, fmt.Errorf("failed with %w", failed)
	case failed != nil && !fired:
		return fired, fmt.Errorf("failed without a reason: %w", failed)
	}
	if _, err := m.verify(d.Crash(0, m.seed), spans); err != nil {
		return fired, fmt.Errorf("crashed: %w", err)
	}
	if log, err = d.Open(); err != nil {
		return fired, fmt.Errorf("open again: %w", err)
	}
	defer log.Close()
	lasts, err := m.check(log, spans)
	if err != nil {
		return fired, fmt.Errorf("opened again: %w", err)
	}
	// What a reopened log shows must not be lost any more either.
	for i := range spans {
		spans[i].acked = max(spans[i].acked, lasts[i])
	}
	if _, err := m.verify(d.Crash(0, m.seed), spans); err != nil {
		return fired, fmt.Errorf("opened again, crashed: %w", err)
	}
	m.resume(lasts)
	for _, b := range m.buckets {
		b.append(log)
	}
	if !m.wait() {
		return fired, fmt.Errorf("opened again: %w", log.Failed())
	}
	if err := log.Close(); err != nil {
		return fired, err
	}
	_, err = m.verify(d, m.spans())
	return fired, err
}

// testFaultsOpening: an error while a log is opened is returned, and the next
// attempt works.
func testFaultsOpening(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	step := 2
	if testkit.RaceEnabled {
		step = 22 // n still says whether there is something to recover
	}
	for _, sticky := range []bool{false, true} {
		for n := 0; ; n += step {
			d := newDisk(t)
			m := newModel(t, seed, 3)
			if n%4 != 0 { // every other time there is something to recover
				log := mustOpen(t, d)
				m.workload(log, rand.New(rand.NewPCG(seed, 4)), 6)
				m.wait()
				d = d.Crash(0, seed)
				mustClose(t, log)
			}
			d.FailAt(n/2, sticky)
			log, err := d.Open()
			if err == nil {
				// The operation may come later, in the background, or never.
				if cerr := log.Close(); cerr != nil {
					t.Fatalf("operation %d, sticky %t: close: %v", n/2, sticky, cerr)
				}
			}
			fired := d.Heal()
			if err != nil && !fired {
				t.Fatalf("operation %d, sticky %t: Open failed without a reason: %v", n/2, sticky, err)
			}
			if _, err := m.verify(d, m.spans()); err != nil {
				t.Fatalf("operation %d, sticky %t: %v", n/2, sticky, err)
			}
			if !fired && n%4 != 0 {
				break
			}
		}
	}
}
