package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

func readFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A flipped bit in a block is named; the other blocks can be read.
func TestDamagedBlock(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 3)
	mustCommit(t, b, &Edit{Add: []*Part{mustPart(t, b, 1, 8, 6000), mustPart(t, b, 2, 8, 6000)}})
	mustClose(t, s)
	names, err := d.fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	flipped := false
	for _, name := range names {
		data := []byte(nil)
		if strings.HasSuffix(name, ".sst") {
			data = readFile(t, d.mem, "data/"+name)
		}
		if at := bytes.Index(data, []byte("part 2 block 5")); at >= 0 {
			data[at+3000] ^= 1
			writeFile(t, d.mem, "data/"+name, data)
			flipped = true
		}
	}
	if !flipped {
		t.Fatal("no block to flip")
	}
	s = mustOpen(t, d.options())
	b = mustBucket(t, s, 3)
	v := b.Acquire()
	for _, p := range v.Parts() {
		for i := range p.Measurements[0].Blocks {
			_, err := v.ReadBlock(p, uint32(i), []byte("before"))
			damage := (*CorruptError)(nil)
			switch bad := p.ID == 2 && i == 5; {
			case !bad && err != nil:
				t.Errorf("part %d block %d: %v", p.ID, i, err)
			case bad && (!errors.As(err, &damage) || !errors.Is(err, ErrCorrupt) || damage.Bucket != 3 || damage.Part != 2 || damage.Block != 5 || !damage.InBlock):
				t.Errorf("the damaged block: %v", err)
			}
		}
		if _, err := v.ReadBlock(p, 8, nil); err == nil || errors.Is(err, ErrCorrupt) {
			t.Errorf("a block that never was: %v", err)
		}
	}
	v.Release()
	var found []string
	progress := CheckProgress{}
	err = s.Check(context.Background(), Checks{
		Problem:  func(p Problem) { found = append(found, fmt.Sprint(p.Bucket, p.Part.ID, p.Meta.Number, p.Orphan)) },
		Progress: func(p CheckProgress) { progress = p },
		Block: func(_ point.BucketID, p *Part, m *Measurement, meta *BlockMeta, block []byte) error {
			if p.ID == 1 && meta.Number == 7 {
				return errors.New("means nothing")
			}
			return nil
		},
	})
	want := []string{fmt.Sprint(point.BucketID(3), 1, 7, false), fmt.Sprint(point.BucketID(3), 2, 5, false)}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("found %v, want %v, %v", found, want, err)
	}
	if progress.Blocks != 16 || progress.BlocksTotal != 16 || progress.BlockBytes != progress.TotalBytes {
		t.Errorf("%+v", progress)
	}
	mustClose(t, s)
}

// Damage to what is not a block stops its bucket only.
func TestDamagedBucket(t *testing.T) {
	testkit.CheckLeaks(t)
	for _, tc := range []struct {
		name   string
		damage func(db *pebble.DB) error
		lazy   bool // found by Definitions
	}{
		{"state", func(db *pebble.DB) error { return db.Set(bucketKey(kindState, 1), []byte("\x01nonsense"), pebble.Sync) }, false},
		{"short state", func(db *pebble.DB) error { return db.Set(bucketKey(kindState, 1), nil, pebble.Sync) }, false},
		{"later version", func(db *pebble.DB) error {
			key := bucketKey(kindState, 1)
			return db.Set(key, seal(key, []byte{valueVersion + 1, 0}), pebble.Sync)
		}, false},
		{"swapped directories", func(db *pebble.DB) error {
			value, closer, err := db.Get(numberKey(kindDirectory, 1, 1))
			if err != nil {
				return err
			}
			defer closer.Close()
			return db.Set(numberKey(kindDirectory, 1, 2), value, pebble.Sync)
		}, false},
		{"lost directory", func(db *pebble.DB) error { return db.Delete(numberKey(kindDirectory, 1, 2), pebble.Sync) }, false},
		{"lost chunk", func(db *pebble.DB) error { return db.Delete(numberKey(kindDefinition, 1, 1), pebble.Sync) }, true},
		{"lost last chunk", func(db *pebble.DB) error { return db.Delete(numberKey(kindDefinition, 1, 2), pebble.Sync) }, true},
		{"damaged chunk", func(db *pebble.DB) error {
			return db.Set(numberKey(kindDefinition, 1, 1), []byte("nonsense"), pebble.Sync)
		}, true},
	} {
		o := Options{Dir: "data", FS: vfs.NewMem()}
		s := mustOpen(t, o)
		for id := range point.BucketID(3) {
			b := mustBucket(t, s, id)
			mustCommit(t, b, &Edit{Flushed: 1, Definitions: [][]byte{[]byte("a"), []byte("b"), []byte("c")}, Add: []*Part{mustPart(t, b, 1, 3, 50), mustPart(t, b, 2, 3, 50)}})
		}
		if err := tc.damage(s.in.db); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		s = mustOpen(t, o)
		for id := range point.BucketID(3) {
			b, err := s.Bucket(id)
			if tc.lazy && err == nil {
				err = b.Definitions(func([]byte) error { return nil })
			}
			damage := (*CorruptError)(nil)
			if id != 1 && err != nil || id == 1 && (!errors.As(err, &damage) || damage.Bucket != 1) {
				t.Errorf("%s: bucket %d: %v", tc.name, id, err)
			}
		}
		problems := 0
		if err := s.Check(context.Background(), Checks{Problem: func(p Problem) {
			problems++
			if p.Bucket != 1 || p.Orphan {
				t.Errorf("%s: %v", tc.name, p)
			}
		}}); err != nil || problems != 1 {
			t.Errorf("%s: %d problems, %v", tc.name, problems, err)
		}
		if err := s.DropBucket(1); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if c, err := contentOf(mustBucket(t, s, 1)); err != nil || len(c.parts) > 0 {
			t.Errorf("%s: dropped: %v, %v", tc.name, c, err)
		}
		mustClose(t, s)
		s = mustOpen(t, o)
		if st := s.Stats(); st.GarbageParts != 0 {
			t.Errorf("%s: dropped: %+v", tc.name, st)
		}
		mustClose(t, s)
	}
}

// A flipped bit in Pebble's own log or manifest is told; it never brings back an
// earlier state.
func TestDamagedLog(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 1)
	for i := range uint64(6) {
		mustCommit(t, b, &Edit{Flushed: i + 1, Definitions: [][]byte{make([]byte, 100)}, Add: []*Part{mustPart(t, b, i+1, 2, 50)}})
	}
	want, err := contentOf(b)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	names, err := d.fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	flips, told := 0, 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") && !strings.HasPrefix(name, "MANIFEST") {
			continue
		}
		data := readFile(t, d.mem, "data/"+name)
		for at := 0; at < len(data); at += 1 + len(data)/150 {
			c := newMemDisk(vfs.NewMem())
			if _, err := vfs.Clone(d.mem, c.mem, "data", "data"); err != nil {
				t.Fatal(err)
			}
			flipped := bytes.Clone(data)
			flipped[at] ^= 0x10
			writeFile(t, c.mem, "data/"+name, flipped)
			flips++
			s, err := Open(c.options())
			if err != nil {
				told++
				continue
			}
			b, err := s.Bucket(1)
			if err != nil {
				told++
			} else if got, err := contentOf(b); err != nil || got.String() != want.String() {
				t.Errorf("%s at %d of %d: %v, %v", name, at, len(data), got, err)
			}
			mustClose(t, s)
		}
	}
	t.Logf("%d flips, %d told, the others without effect", flips, told)
}
