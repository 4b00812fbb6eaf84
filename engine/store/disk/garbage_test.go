package disk

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/testkit"
)

// A new part never gets the number of one that is still to be removed: the sweeper
// would take it for that one. What a crash leaves of a bucket without a state, because
// it was dropped or its first commit did not come about, is garbage before the bucket
// is opened again.
func TestNumbersOfGarbage(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	s := mustOpen(t, d.options())
	var mu sync.Mutex
	var crashes []*memDisk
	crash := func() {
		mu.Lock()
		defer mu.Unlock()
		crashes = append(crashes, d.crash(0, 1))
	}
	d.setWatch(crash)
	b := mustBucket(t, s, 1)
	for seq := range uint64(3) {
		p, err := newPart(b, 1+seq, 2, 100)
		if err != nil {
			t.Fatal(err)
		}
		mustCommit(t, b, &Edit{Flushed: 1 + seq, Add: []*Part{p}})
	}
	v := b.Acquire() // so that nothing is removed
	if err := s.DropBucket(1); err != nil {
		t.Fatal(err)
	}
	crash()
	d.setWatch(nil)
	v.Release()
	mustClose(t, s)

	left := 0
	for i, c := range crashes {
		o := c.options()
		o.ReadOnly = true // without a sweeper
		s := mustOpen(t, o)
		extents, err := s.in.extents()
		if err != nil {
			t.Fatal(err)
		}
		w := mustBucket(t, s, 1).NewPart(Part{})
		for _, e := range extents[1] {
			if len(s.garbage) > 0 {
				left++
			}
			if w.ID() <= e.to {
				t.Errorf("crash %d: a new part is number %d, and %d to %d are on disk", i, w.ID(), e.from, e.to)
			}
		}
		w.Abort()
		mustClose(t, s)
	}
	if left == 0 {
		t.Error("no crash has left garbage")
	}
}
