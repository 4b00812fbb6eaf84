package disk

import (
	"os"
	"path/filepath"
	"testing"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// What is salvaged of a store without a manifest, and built anew, is the store.
func TestSalvageBuild(t *testing.T) {
	testkit.CheckLeaks(t)
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	s := mustOpen(t, Options{Dir: old})
	for id := point.BucketID(1); id <= 3; id++ {
		b := mustBucket(t, s, id)
		for i := range uint64(5) {
			mustCommit(t, b, &Edit{Add: []*Part{mustPart(t, b, i+1, 6, 300)}, Flushed: i + 1, Definitions: [][]byte{[]byte("chunk")}})
		}
		v := b.Acquire()
		mustCommit(t, b, &Edit{Remove: v.Parts()[:1]})
		v.Release()
	}
	mustClose(t, s)
	names, err := filepath.Glob(filepath.Join(old, "*MANIFEST-*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Salvage(Options{Dir: old})
	if err != nil || len(found.Buckets) != 3 || len(found.Damage) > 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := found.Build(t.Context(), fresh, func(id point.BucketID) bool { return id != 2 }); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Dir: fresh})
	ids, err := s.Buckets()
	if err != nil || len(ids) != 2 {
		t.Fatal(ids, err)
	}
	for _, id := range ids {
		b := mustBucket(t, s, id)
		if b.Flushed() != 5 {
			t.Errorf("flushed %d", b.Flushed())
		}
		chunks := 0
		if err := b.Definitions(func([]byte) error { chunks++; return nil }); err != nil || chunks != 5 {
			t.Error(chunks, err)
		}
		v := b.Acquire()
		if len(v.Parts()) != 4 {
			t.Errorf("%d parts", len(v.Parts()))
		}
		if err := readAll(v); err != nil {
			t.Error(err)
		}
		v.Release()
		mustCommit(t, b, &Edit{Add: []*Part{mustPart(t, b, 9, 2, 100)}})
	}
	mustClose(t, s)
}
