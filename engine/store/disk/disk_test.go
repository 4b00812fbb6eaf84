package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustBucket(t testing.TB, s *Store, id point.BucketID) *Bucket {
	t.Helper()
	b, err := s.Bucket(id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// blockOf is what the tests put into a block.
func blockOf(part uint64, n, size int) []byte {
	b := fmt.Appendf(nil, "part %d block %d ", part, n)
	x := uint32(part)*2654435761 + uint32(n)
	for len(b) < size {
		x = x*1664525 + 1013904223
		b = append(b, byte(x>>24))
	}
	return b
}

func newBitmap(n uint64) *roaring.Bitmap {
	b := roaring.New()
	b.AddRange(0, n)
	return b
}

// newPart finishes a part of one measurement with a block for each series.
func newPart(b *Bucket, seq uint64, blocks, size int) (*Part, error) {
	w := b.NewPart(Part{WindowMin: 0, WindowMax: 999_999, SeqMin: seq, SeqMax: seq})
	for i := range blocks {
		meta := BlockMeta{SeriesMin: point.SeriesID(i), SeriesMax: point.SeriesID(i), TimeMin: int64(seq), TimeMax: int64(seq) + 10, Rows: 5, Values: 10}
		err := w.Add(1, meta, []point.SeriesID{point.SeriesID(i)}, []point.FieldID{0, point.FieldID(i % 3)}, blockOf(w.ID(), i, size))
		if err != nil {
			w.Abort()
			return nil, err
		}
	}
	return w.Finish()
}

func mustPart(t testing.TB, b *Bucket, seq uint64, blocks, size int) *Part {
	t.Helper()
	p, err := newPart(b, seq, blocks, size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustCommit(t testing.TB, b *Bucket, e *Edit) {
	t.Helper()
	if err := b.Commit(context.Background(), e); err != nil {
		t.Fatal(err)
	}
}

// readAll compares every block of a version with what was written.
func readAll(v *Version) error {
	var buf []byte
	for _, p := range v.Parts() {
		for _, m := range p.Measurements {
			for _, meta := range m.Blocks {
				var err error
				buf, err = v.ReadBlock(p, meta.Number, buf[:0])
				if err != nil {
					return fmt.Errorf("part %d block %d: %w", p.ID, meta.Number, err)
				}
				if want := blockOf(p.ID, int(meta.Number), int(meta.Bytes)); string(buf) != string(want) {
					return fmt.Errorf("part %d block %d: got %q", p.ID, meta.Number, buf[:min(len(buf), 40)])
				}
			}
		}
	}
	return nil
}

func TestCommitAndOpen(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{Dir: "data", FS: mem}
	s := mustOpen(t, o)
	b := mustBucket(t, s, 7)
	p := mustPart(t, b, 1, 5, 1000)
	mustCommit(t, b, &Edit{Flushed: 3, Definitions: [][]byte{[]byte("a"), []byte("b")}, Add: []*Part{p, nil}})
	mustCommit(t, b, &Edit{Flushed: 4, Definitions: [][]byte{[]byte("c")}, Add: []*Part{mustPart(t, b, 4, 300, 100)}})
	for range 2 {
		v := b.Acquire()
		if n := len(v.Parts()); n != 2 {
			t.Fatalf("%d parts", n)
		}
		if err := readAll(v); err != nil {
			t.Fatal(err)
		}
		p := v.Parts()[0]
		if p.Rows != 25 || p.Values != 50 || p.Bytes != 5000 || p.TimeMin != 1 || p.TimeMax != 11 || p.Measurements[0].Series.GetCardinality() != 5 {
			t.Errorf("part is %+v", *p)
		}
		v.Release()
		defs := ""
		if err := b.Definitions(func(c []byte) error { defs += string(c); return nil }); err != nil || defs != "abc" {
			t.Errorf("definitions %q, %v", defs, err)
		}
		if b.Flushed() != 4 {
			t.Errorf("flushed %d", b.Flushed())
		}
		mustClose(t, s)
		s = mustOpen(t, o)
		b = mustBucket(t, s, 7)
	}
	if err := s.DropBucket(7); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(context.Background(), &Edit{Flushed: 9}); !errors.Is(err, ErrDropped) {
		t.Error(err)
	}
	if ids, err := s.Buckets(); err != nil || len(ids) > 0 {
		t.Errorf("%v, %v", ids, err)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	if st := s.Stats(); st.DiskBytes > 20_000 {
		t.Errorf("%+v", st)
	}
	mustClose(t, s)
}

// waitFor waits for what happens in the background.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

// Pebble writes neither blocks nor much else again, however many parts come.
func TestWrittenOnce(t *testing.T) {
	testkit.CheckLeaks(t)
	s := mustOpen(t, Options{Dir: "data", FS: vfs.NewMem(), MemTableBytes: 256 << 10})
	defer mustClose(t, s)
	const rounds, blocks, size = 400, 16, 2000
	for i := range uint64(rounds) {
		b := mustBucket(t, s, point.BucketID(i%5))
		mustCommit(t, b, &Edit{Flushed: i + 1, Definitions: [][]byte{make([]byte, 500)}, Add: []*Part{mustPart(t, b, i+1, blocks, size)}})
	}
	st := s.Stats()
	if want := int64(rounds * blocks * size); st.IngestedBytes != want || st.BlockBytes != want || st.Parts != rounds || st.Blocks != rounds*blocks {
		t.Errorf("%+v", st)
	}
	t.Logf("%d bytes of blocks; Pebble's log %d, flushes %d, compactions %d", st.BlockBytes, st.LogBytes, st.FlushedBytes, st.CompactedBytes)
	if over := st.FlushedBytes + st.CompactedBytes; over > st.BlockBytes/20 || st.LogBytes > st.BlockBytes/10 {
		t.Errorf("%d bytes of blocks: Pebble's log %d, flushes %d, compactions %d", st.BlockBytes, st.LogBytes, st.FlushedBytes, st.CompactedBytes)
	}
	levels, err := s.in.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	for level, tables := range levels {
		for i := range tables {
			lo, hi := tables[i].Smallest.UserKey[0], tables[i].Largest.UserKey[0]
			if (lo == kindBlock || hi == kindBlock) && (lo != hi || level != len(levels)-1) {
				t.Errorf("an sstable from %x to %x is in level %d", tables[i].Smallest.UserKey, tables[i].Largest.UserKey, level)
			}
		}
	}
}

// The space of removed parts comes back once no version has them.
func TestSpaceComesBack(t *testing.T) {
	testkit.CheckLeaks(t)
	s := mustOpen(t, Options{Dir: "data", FS: vfs.NewMem(), MemTableBytes: 256 << 10})
	defer mustClose(t, s)
	b := mustBucket(t, s, 1)
	for i := range uint64(40) {
		mustCommit(t, b, &Edit{Flushed: i + 1, Add: []*Part{mustPart(t, b, i+1, 10, 5000)}})
	}
	full := s.Stats().DiskBytes
	held := b.Acquire()
	mustCommit(t, b, &Edit{Remove: held.Parts()[:30]})
	again := held.Retain()
	held.Release()
	if err := readAll(held); err != nil {
		t.Errorf("held version: %v", err)
	}
	// What came and went while the version was held does not wait for it.
	p := mustPart(t, b, 41, 10, 5000)
	mustCommit(t, b, &Edit{Add: []*Part{p}})
	mustCommit(t, b, &Edit{Remove: []*Part{p}})
	waitFor(t, "removal of what nobody holds", func() bool { return s.Stats().GarbageParts == 30 })
	if now := s.Stats(); now.GarbageBytes != 30*10*5000 || now.DiskBytes < full {
		t.Errorf("with a version held: %+v, %d before", now, full)
	}
	again.Release()
	waitFor(t, "removal", func() bool { st := s.Stats(); return st.GarbageParts == 0 && st.DiskBytes < full*2/5 })
	st := s.Stats()
	t.Logf("%d bytes, then %d; compacted %d", full, st.DiskBytes, st.CompactedBytes)
	if st.CompactedBytes > full/20 {
		t.Errorf("removing has Pebble compact %d bytes", st.CompactedBytes)
	}
	v := b.Acquire()
	defer v.Release()
	if err := readAll(v); err != nil {
		t.Error(err)
	}
}

// The ID of a part that was ingested and never committed is not given out while its
// blocks may still be there: they are removed in the background.
func TestOrphanKeepsItsID(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 1)
	mustCommit(t, b, &Edit{Flushed: 1, Add: []*Part{mustPart(t, b, 1, 3, 50)}})
	orphan := mustPart(t, b, 2, 3, 50)
	if err := s.in.db.Ingest(context.Background(), []string{orphan.file.path}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, d.options())
	b = mustBucket(t, s, 1)
	if w := b.NewPart(Part{}); w.ID() <= orphan.ID {
		t.Errorf("part %d after orphan %d", w.ID(), orphan.ID)
	}
	mustClose(t, s)
	if err := verifyClean(d); err != nil {
		t.Error(err)
	}
}

// A part with many trimmed blocks is written anew, but not under a reader's feet.
func TestTrimGivesBack(t *testing.T) {
	testkit.CheckLeaks(t)
	mem := vfs.NewMem()
	o := Options{Dir: "data", FS: mem}
	s := mustOpen(t, o)
	b := mustBucket(t, s, 1)
	p := mustPart(t, b, 1, 100, 5000)
	mustCommit(t, b, &Edit{Flushed: 1, Add: []*Part{p}})
	full := s.Stats().DiskBytes
	trim := func(p *Part, keep func(n int) bool) Trim {
		m := p.Measurements[0]
		m.Blocks = slices.Clone(m.Blocks)
		m.Blocks = slices.DeleteFunc(m.Blocks, func(b BlockMeta) bool { return !keep(int(b.Number)) })
		return Trim{Part: p, Measurements: []Measurement{m}}
	}
	before := b.Acquire()
	mustCommit(t, b, &Edit{Trim: []Trim{trim(p, func(n int) bool { return n%2 == 0 })}})
	middle := b.Acquire()
	p = middle.Parts()[0]
	if p.blocks != 50 || p.Bytes != 50*5000 {
		t.Errorf("trimmed to %+v", p)
	}
	mustCommit(t, b, &Edit{Trim: []Trim{trim(p, func(n int) bool { return n%4 == 0 })}})
	last := b.Acquire()
	for _, v := range []*Version{before, middle, last} {
		if err := readAll(v); err != nil {
			t.Error(err)
		}
	}
	if st := s.Stats(); st.RewrittenBytes != 0 {
		t.Errorf("rewritten while a version had the blocks: %+v", st)
	}
	middle.Release() // the oldest still has all
	if err := readAll(before); err != nil {
		t.Error(err)
	}
	before.Release()
	waitFor(t, "squeezing", func() bool { st := s.Stats(); return st.RewrittenBytes == 25*5000 && st.DiskBytes < full/2 })
	if err := readAll(last); err != nil {
		t.Error(err)
	}
	last.Release()
	mustClose(t, s)
	s = mustOpen(t, o)
	b = mustBucket(t, s, 1)
	v := b.Acquire()
	if err := readAll(v); err != nil {
		t.Error(err)
	}
	p = v.Parts()[0]
	if p.blocks != 25 || p.Measurements[0].Blocks[24].Number != 96 {
		t.Errorf("trimmed to %+v", p)
	}
	// Little slack stays, and a held version at Close leaves work for the next Open.
	mustCommit(t, b, &Edit{Trim: []Trim{trim(p, func(n int) bool { return n > 80 })}})
	mustClose(t, s)
	if _, err := v.ReadBlock(p, 96, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	v.Release()
	s = mustOpen(t, o)
	mustBucket(t, s, 1)
	waitFor(t, "squeezing after Open", func() bool { return s.Stats().RewrittenBytes == 4*5000 })
	mustClose(t, s)
	s = mustOpen(t, o)
	mustBucket(t, s, 1)
	mustClose(t, s)
	if st := s.Stats(); st.RewrittenBytes != 0 {
		t.Errorf("a squeezed part is squeezed again: %+v", st)
	}
}

// Replacing a part by a smaller one is nothing that a reader can see.
func TestReadWhileSqueezing(t *testing.T) {
	testkit.CheckLeaks(t)
	s := mustOpen(t, Options{Dir: "data", FS: vfs.NewMem()})
	b := mustBucket(t, s, 1)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			v := b.Acquire()
			if err := readAll(v); err != nil {
				t.Error(err)
			}
			v.Release()
		}
	})
	r := rand.New(rand.NewPCG(seedOf(t), 3))
	for i := range uint64(150) {
		mustCommit(t, b, &Edit{Add: []*Part{mustPart(t, b, i+1, 20, 1000)}})
		v := b.Acquire()
		parts := v.Parts()
		e := &Edit{Trim: []Trim{trimHalf(parts[len(parts)-1], r)}}
		if len(parts) > 3 {
			e.Remove = parts[:1]
		}
		v.Release()
		mustCommit(t, b, e)
	}
	close(done)
	wg.Wait()
	if st := s.Stats(); st.RewrittenBytes == 0 {
		t.Errorf("nothing was squeezed: %+v", st)
	}
	mustClose(t, s)
}

// A version of a dropped bucket can be read, and the name used for another.
func TestDropWhileHeld(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 1)
	mustCommit(t, b, &Edit{Flushed: 1, Definitions: [][]byte{[]byte("old")}, Add: []*Part{mustPart(t, b, 1, 5, 50), mustPart(t, b, 1, 5, 50)}})
	v := b.Acquire()
	if err := s.DropBucket(1); err != nil {
		t.Fatal(err)
	}
	if err := s.DropBucket(2); err != nil { // of which there is nothing
		t.Fatal(err)
	}
	again := mustBucket(t, s, 1)
	if c, err := contentOf(again); err != nil || c.flushed != 0 || c.defs != "" || len(c.parts) != 0 {
		t.Errorf("dropped: %v, %v", c, err)
	}
	mustCommit(t, again, &Edit{Flushed: 1, Add: []*Part{mustPart(t, again, 1, 5, 50)}})
	s.in.fence.Fail(syscall.EIO)
	if err := s.Reopen(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := readAll(v); err != nil {
		t.Errorf("held version: %v", err)
	}
	if st := s.Stats(); st.GarbageParts != 2 {
		t.Errorf("%+v", st)
	}
	v.Release()
	mustClose(t, s)
	if err := verifyClean(d); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, d.options())
	if c, err := contentOf(mustBucket(t, s, 1)); err != nil || len(c.parts) != 1 {
		t.Errorf("%v, %v", c, err)
	}
	mustClose(t, s)
}

func TestCheckpoint(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 1)
	mustCommit(t, b, &Edit{Flushed: 1, Definitions: [][]byte{[]byte("a")}, Add: []*Part{mustPart(t, b, 1, 5, 50)}})
	want, err := contentOf(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint("backup/data"); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint("backup/data"); err == nil || s.Failed() != nil {
		t.Errorf("to a directory that is there: %v, %v", err, s.Failed())
	}
	d.only = "backup/more"
	d.fail(1, true)
	if err := s.Checkpoint("backup/more"); err == nil || s.Failed() != nil {
		t.Errorf("to a disk that is full: %v, %v", err, s.Failed())
	}
	d.heal()
	v := b.Acquire()
	mustCommit(t, b, &Edit{Flushed: 2, Remove: v.Parts()})
	v.Release()
	mustClose(t, s)
	o := d.options()
	o.Dir = "backup/data"
	copied := mustOpen(t, o)
	if got, err := contentOf(mustBucket(t, copied, 1)); err != nil || got.String() != want.String() {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
	mustClose(t, copied)
}

func TestReadOnly(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewCrashableMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 1)
	mustCommit(t, b, &Edit{Flushed: 1, Add: []*Part{mustPart(t, b, 1, 5, 50)}})
	want, err := contentOf(b)
	if err != nil {
		t.Fatal(err)
	}
	o := d.options()
	o.ReadOnly = true
	if _, err := Open(o); err == nil {
		t.Error("opened while it was open")
	}
	crashed := d.crash(0, 1)
	mustClose(t, s)
	o.FS = crashed.fs
	s = mustOpen(t, o)
	writes := 0
	crashed.setWatch(func() { writes++ })
	b = mustBucket(t, s, 1)
	if got, err := contentOf(b); err != nil || got.String() != want.String() {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
	if err := b.Commit(context.Background(), &Edit{Flushed: 2}); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if _, err := newPart(b, 2, 1, 10); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if err := s.DropBucket(1); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	mustClose(t, s)
	if writes > 0 {
		t.Errorf("%d writes", writes)
	}
	o.Dir = "elsewhere"
	if _, err := Open(o); err == nil {
		t.Error("opened what is not there")
	}
}

// Everything at once, for the race detector.
func TestConcurrency(t *testing.T) {
	testkit.CheckLeaks(t)
	s := mustOpen(t, Options{Dir: "data", FS: vfs.NewMem(), MemTableBytes: 256 << 10, CacheBytes: 1 << 20})
	var wg sync.WaitGroup
	done := make(chan struct{})
	for id := range point.BucketID(3) {
		b := mustBucket(t, s, id)
		wg.Go(func() {
			for seq := uint64(1); seq <= 60; seq++ {
				p, err := newPart(b, seq, 4, 300)
				if err != nil {
					t.Error(err)
					return
				}
				v := b.Acquire()
				e := Edit{Flushed: seq, Add: []*Part{p}, Definitions: [][]byte{[]byte("x")}}
				if parts := v.Parts(); len(parts) > 5 {
					e.Remove = parts[:3]
				}
				v.Release()
				if err := b.Commit(context.Background(), &e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for id := range point.BucketID(3) {
					b, err := s.Bucket(id)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := contentOf(b); err != nil {
						t.Error(err)
						return
					}
					b.MemoryBytes()
				}
				s.Stats()
			}
		})
	}
	readers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if err := s.Check(context.Background(), Checks{Problem: func(p Problem) { t.Error(p) }}); err != nil {
				t.Error(err)
			}
			if err := s.Checkpoint(fmt.Sprint("copy", i)); err != nil {
				t.Error(err)
			}
			s.in.fence.Failed()
		}
	})
	wg.Wait()
	close(done)
	readers.Wait()
	mustClose(t, s)
}

// VerifyFile is what a backup costs more than copying.
func BenchmarkVerifyFile(b *testing.B) {
	s := mustOpen(b, Options{Dir: b.TempDir()})
	defer mustClose(b, s)
	k := mustBucket(b, s, 1)
	mustCommit(b, k, &Edit{Add: []*Part{mustPart(b, k, 1, 1000, 60_000)}})
	names, err := filepath.Glob(filepath.Join(s.o.Dir, "*.sst"))
	if err != nil || len(names) != 1 {
		b.Fatal(names, err)
	}
	info, err := os.Stat(names[0])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		if err := s.VerifyFile(names[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadBlock(b *testing.B) {
	for _, cached := range []bool{true, false} {
		b.Run(fmt.Sprintf("cached=%t", cached), func(b *testing.B) {
			o := Options{Dir: b.TempDir() + "/data"}
			if !cached {
				o.CacheBytes = 1 << 20
			}
			s := mustOpen(b, o)
			defer mustClose(b, s)
			const blocks, size = 200, 60_000
			bk := mustBucket(b, s, 1)
			mustCommit(b, bk, &Edit{Add: []*Part{mustPart(b, bk, 1, blocks, size)}})
			v := bk.Acquire()
			defer v.Release()
			var buf []byte
			b.SetBytes(size)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				var err error
				if buf, err = v.ReadBlock(v.Parts()[0], uint32(i%blocks), buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
