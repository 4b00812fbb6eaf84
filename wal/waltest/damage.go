package waltest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"headgate/engine/testkit"
	"headgate/wal"
)

// lastGroups is how many groups at the end of a log that was not closed may be
// taken for its torn end when they are damaged.
const lastGroups = 4

// testDamage: a flipped byte is detected or harmless, also in a log that was not
// closed unless it hits the last groups.
func testDamage(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	for _, state := range []string{"crashed", "closed", "reopened"} {
		d := newDisk(t)
		m := newModel(t, seed, 4)
		m.small = true // some backends search a damaged block for the bit, in quadratic time
		r := rand.New(rand.NewPCG(seed, 5))
		log := mustOpen(t, d)
		m.workload(log, r, 60)
		m.wait()
		spans := m.spans()
		for range lastGroups {
			for _, b := range m.buckets {
				b.append(log)
			}
			m.wait()
		}
		crashed := d.Crash(0, seed)
		mustClose(t, log)
		switch state {
		case "crashed":
			d, spans = crashed, between(spans, m.spans())
		case "closed":
			spans = m.spans()
		case "reopened": // recovery may have moved everything elsewhere
			spans = m.spans()
			mustClose(t, mustOpen(t, d))
		}
		var harmless, detected, named int
		for _, name := range d.Files() {
			size := d.Size(name)
			for range min(size, testkit.Rounds(12)) {
				offset := r.IntN(size)
				damaged := d.Crash(100, seed)
				damaged.Flip(name, offset, byte(1+r.IntN(255)))
				_, err := m.verify(damaged, spans)
				var corrupt *wal.CorruptError
				switch {
				case err == nil:
					harmless++
				case errors.As(err, &corrupt) && corrupt.Bucket >= 1 && corrupt.Bucket <= uint64(len(m.buckets)):
					named++
				case errors.Is(err, errOpen):
					detected++
				default:
					t.Errorf("%s: %s, offset %d of %d: %v", state, name, offset, size, err)
				}
			}
		}
		t.Logf("%s: of the flips %d did no harm, %d kept the log from opening, %d named a record", state, harmless, detected, named)
	}
}

// testCloseWhileAppending: every append that was taken is answered with success.
func testCloseWhileAppending(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64) {
	for round := range 3 {
		d := newDisk(t)
		log := mustOpen(t, d)
		m := newModel(t, seed+uint64(round), 16)
		m.small = true
		var wg sync.WaitGroup
		started := make(chan struct{}, len(m.buckets))
		for _, b := range m.buckets {
			wg.Go(func() {
				for n := 0; b.append(log); n++ {
					if n == 5*round {
						started <- struct{}{}
					}
					b.waitInFlight(50)
				}
			})
		}
		for range m.buckets {
			<-started
		}
		for range 3 {
			wg.Go(func() {
				if err := log.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		m.answered()
		if !m.wait() {
			t.Error("a healthy log answered with an error")
		}
		if _, err := m.verify(d, m.spans()); err != nil {
			t.Error(err)
		}
	}
}
