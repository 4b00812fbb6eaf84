package disk

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// What the store refuses, and what is left of it when the disk fails.

func TestEditRefused(t *testing.T) {
	testkit.CheckLeaks(t)
	s := mustOpen(t, Options{Dir: "data", FS: vfs.NewMem()})
	defer mustClose(t, s)
	b, other := mustBucket(t, s, 1), mustBucket(t, s, 2)
	p := mustPart(t, b, 1, 3, 100)
	mustCommit(t, b, &Edit{Flushed: 5, Add: []*Part{p}})
	m := p.Measurements[0]
	gone := mustPart(t, b, 2, 1, 10)
	mustCommit(t, b, &Edit{Add: []*Part{gone}})
	mustCommit(t, b, &Edit{Remove: []*Part{gone}})
	want, err := contentOf(b)
	if err != nil {
		t.Fatal(err)
	}
	aborted := b.NewPart(Part{SeqMin: 1, SeqMax: 1})
	if err := aborted.Add(1, BlockMeta{Rows: 1}, []point.SeriesID{0}, nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	abortedPart, err := aborted.Finish()
	if err != nil {
		t.Fatal(err)
	}
	aborted.Abort()
	aborted.Abort()
	for _, tc := range []struct {
		name string
		b    *Bucket
		e    Edit
	}{
		{"flushed goes back", b, Edit{Flushed: 4}},
		{"part is in use", b, Edit{Add: []*Part{p}}},
		{"part was aborted", b, Edit{Add: []*Part{abortedPart}}},
		{"part of another bucket", other, Edit{Add: []*Part{mustPart(t, b, 6, 1, 10)}}},
		{"removed before", b, Edit{Remove: []*Part{gone}}},
		{"removed twice", b, Edit{Remove: []*Part{p, p}}},
		{"not a part", b, Edit{Remove: []*Part{{ID: 99}}}},
		{"trimmed of nothing", b, Edit{Trim: []Trim{{Part: p, Measurements: []Measurement{m}}}}},
		{"trimmed of all", b, Edit{Trim: []Trim{{Part: p}}}},
		{"trimmed to others", b, Edit{Trim: []Trim{{Part: p, Measurements: []Measurement{{ID: 1, Series: m.Series, Blocks: []BlockMeta{{Rows: 1}}}}}}}},
		{"with a good part", b, Edit{Flushed: 1, Add: []*Part{mustPart(t, b, 7, 1, 10)}}},
	} {
		if err := tc.b.Commit(context.Background(), &tc.e); err == nil || errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.Commit(ctx, &Edit{Add: []*Part{mustPart(t, b, 8, 1, 10)}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, err := contentOf(b); err != nil || got.String() != want.String() {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
	if names, err := s.o.FS.List("data/staging"); err != nil || len(names) > 0 {
		t.Errorf("left in staging: %v, %v", names, err)
	}
}

// What cannot be a part is refused when it is finished.
func TestPartRefused(t *testing.T) {
	testkit.CheckLeaks(t)
	s := mustOpen(t, Options{Dir: "data", FS: vfs.NewMem()})
	defer mustClose(t, s)
	b := mustBucket(t, s, 1)
	good := BlockMeta{SeriesMin: 1, SeriesMax: 1, TimeMin: 10, TimeMax: 20, Rows: 1}
	with := func(fn func(m *BlockMeta)) BlockMeta { m := good; fn(&m); return m }
	type add struct {
		m    point.MeasurementID
		meta BlockMeta
	}
	for _, tc := range []struct {
		name string
		part Part
		adds []add
	}{
		{"window", Part{WindowMin: 5, WindowMax: 15}, []add{{1, good}}},
		{"sequence", Part{WindowMax: 100, SeqMin: 2, SeqMax: 1}, []add{{1, good}}},
		{"measurements", Part{WindowMax: 100}, []add{{2, good}, {1, good}}},
		{"series", Part{WindowMax: 100}, []add{{1, good}, {1, with(func(m *BlockMeta) { m.SeriesMin = 0 })}}},
		{"rows", Part{WindowMax: 100}, []add{{1, with(func(m *BlockMeta) { m.Rows = 0 })}}},
	} {
		w := b.NewPart(tc.part)
		for _, a := range tc.adds {
			if err := w.Add(a.m, a.meta, []point.SeriesID{1}, []point.FieldID{1}, []byte("x")); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
		if p, err := w.Finish(); err == nil || p != nil {
			t.Errorf("%s: finished", tc.name)
		}
		if err := w.Add(1, good, []point.SeriesID{1}, nil, []byte("x")); err == nil {
			t.Errorf("%s: added after the end", tc.name)
		}
	}
	if names, err := s.o.FS.List("data/staging"); err != nil || len(names) > 0 {
		t.Errorf("left in staging: %v, %v", names, err)
	}
	if p, err := b.NewPart(Part{}).Finish(); p != nil || err != nil {
		t.Errorf("an empty part is %v, %v", p, err)
	}
}

// A disk that is full while a part is written is an error of that part only.
func TestStagingFails(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 1)
	d.fail(0, true)
	if _, err := newPart(b, 1, 50, 5000); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	d.heal()
	if err := s.Failed(); err != nil {
		t.Error(err)
	}
	mustCommit(t, b, &Edit{Add: []*Part{mustPart(t, b, 1, 5, 50)}})
	mustClose(t, s)
	if err := verifyClean(d); err != nil {
		t.Error(err)
	}
}

// A part that was finished before a failure can be committed after it.
func TestPartOutlivesFailure(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	o := d.options()
	failures := make(chan error, 1)
	o.OnFailure = func(err error) { failures <- err }
	s := mustOpen(t, o)
	b := mustBucket(t, s, 1)
	p := mustPart(t, b, 1, 5, 50)
	w := b.NewPart(Part{SeqMin: 2, SeqMax: 2})
	block := blockOf(w.ID(), 0, 100)
	d.fail(0, true)
	if err := b.Commit(context.Background(), &Edit{Flushed: 9}); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := <-failures; !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if err := s.Reopen(context.Background()); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("reopen on a full disk: %v", err)
	}
	if err := w.Add(1, BlockMeta{Rows: 1}, []point.SeriesID{1}, nil, block); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if err := s.DropBucket(1); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if err := s.Checkpoint("copy"); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	d.heal()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Reopen(canceled); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Reopen(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b, &Edit{Add: []*Part{p}})
	if c, err := contentOf(b); err != nil || len(c.parts) != 1 || c.flushed != 0 {
		t.Errorf("%v, %v", c, err)
	}
	mustClose(t, s)
	if err := s.Reopen(context.Background()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := verifyClean(d); err != nil {
		t.Error(err)
	}
}

// Close of a store that has failed says nothing new and frees the directory.
func TestCloseFailed(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	s := mustOpen(t, d.options())
	s.in.fence.Fail(syscall.EIO)
	mustClose(t, s)
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	mustClose(t, mustOpen(t, d.options()))
}

// A store that has been open is not made anew when it is opened again after a failure.
func TestReopenMakesNoStore(t *testing.T) {
	testkit.CheckLeaks(t)
	fs := vfs.NewMem()
	s := mustOpen(t, Options{Dir: "data", FS: fs})
	mustCommit(t, mustBucket(t, s, 1), &Edit{Flushed: 1})
	s.in.fence.Fail(syscall.EIO)
	<-s.in.failed
	if err := fs.RemoveAll("data"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reopened without its files: %v", err)
	}
	mustClose(t, s)
}
