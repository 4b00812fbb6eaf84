package disk

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
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
