package actors

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestFreeAmongRecords: series that a record in flight defines, and nobody uses, are
// freed by a record behind it; the data store keeps that order.
func TestFreeAmongRecords(t *testing.T) {
	fs, log := vfs.NewMem(), newMemDisk()
	s := openTestShard(t, log, withData(t, fs, nil))
	b := s.open(1)
	a, err := parse(b, "m,s=x f=1 1\nm,s=y f=1 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := defineBatch(b, a); err != nil { // and never appended
		t.Fatal(err)
	}
	s.log().holdBack()
	done := make(chan error, 1)
	go func() { done <- write(b, "m,s=x f=1 2") }() // its record defines y as well
	waitFor(t, "the record", func() bool { return s.log().queued() == 1 })
	b.send(&kept{store: b.State().Store, sweep: true})
	waitFor(t, "y to be freed", func() bool { return s.log().queued() == 2 })
	s.log().release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := write(b, "m,s=y f=1 3"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	closeShard(t, s)
	s = openTestShard(t, log, withData(t, fs, nil))
	b = s.open(1)
	if err := b.State().Unavailable; err != nil {
		t.Fatal(err)
	}
	if got := times(t, b); !slices.Equal(got, []int64{2, 3}) {
		t.Fatalf("%v", got)
	}
}
