package pebblewal

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headgate/engine/testkit"
	"headgate/wal/waltest"
)

// diskOptions are those of a small log on the disk, which rotates often.
func diskOptions(dir string) Options { return Options{Dir: dir, MemTableBytes: 256 << 10} }

// readAll returns the records of a reader by bucket and sequence number.
func readAll(t *testing.T, r *Reader) map[string]string {
	t.Helper()
	found := make(map[string]string)
	buckets, err := r.Buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets {
		last := uint64(0)
		err := r.Records(t.Context(), b, 0, func(seq uint64, record []byte, damage error) error {
			if seq <= last {
				return fmt.Errorf("record %d follows %d", seq, last)
			}
			last = seq
			if damage == nil {
				found[fmt.Sprint(b, "/", seq)] = string(record)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func openReader(t *testing.T, dir string) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), diskOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// A reader sees what Open would, and whatever a byte is damaged, nothing else, and
// all but what the damaged place has.
func TestReader(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := waltest.Seed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := filepath.Join(t.TempDir(), "log")
	want := make(map[string]string)
	var kept []uint64
	for range 3 {
		l := mustOpen(t, diskOptions(dir))
		for bucket := uint64(1); bucket <= 3; bucket++ {
			first := uint64(len(kept))*80 + 1
			for seq := first; seq < first+80; seq++ {
				rec := bytes.Repeat([]byte{byte(rng.Uint32())}, 1+rng.IntN(2000))
				mustAppend(t, l, bucket, seq, rec)
				want[fmt.Sprint(bucket, "/", seq)] = string(rec)
			}
		}
		kept = append(kept, 0)
		if err := l.Truncate(2, 40); err != nil {
			t.Fatal(err)
		}
		if err := l.Drop(3); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if err := l.Copy(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		maps.DeleteFunc(want, func(k, _ string) bool {
			var b, seq uint64
			fmt.Sscanf(strings.Replace(k, "/", " ", 1), "%d %d", &b, &seq)
			return b == 3 || b == 2 && seq <= 40
		})
		for _, d := range []string{dir, copied} {
			r := openReader(t, d)
			if len(r.Damage()) > 0 {
				t.Fatalf("%s: %v", d, r.Damage())
			}
			if got := readAll(t, r); !maps.Equal(got, want) {
				t.Fatalf("%s: %d records, want %d", d, len(got), len(want))
			}
			_ = r.Close()
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	named, harmless, missing := 0, 0, 0
	for range 40 {
		name := files[rng.IntN(len(files))].Name()
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil || len(whole) == 0 {
			continue
		}
		at := rng.IntN(len(whole))
		bad := slices.Clone(whole)
		bad[at] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r := openReader(t, dir)
		got := readAll(t, r)
		for k, v := range got {
			if w, ok := want[k]; ok && w != v {
				t.Fatalf("%s at %d: record %s is not what was appended", name, at, k)
			}
		}
		lost := 0
		for k := range want {
			if _, ok := got[k]; !ok {
				lost++
			}
		}
		switch {
		case len(r.Damage()) > 0:
			named++
			// One place is damaged: it is told once, and with the file that it is in.
			if d := r.Damage(); len(d) > 1 || strings.Contains(d[0].Error(), "000000") {
				t.Errorf("%s at %d: %q", name, at, d)
			}
			missing += lost
		case lost == 0:
			harmless++
		default:
			// The end of a log or manifest that was closed: only its last marks.
			t.Errorf("%s of %d bytes at %d: %d records lost in silence", name, len(whole), at, lost)
		}
		_ = r.Close()
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d flips named, %d harmless; %d of %d records lost each time", named, harmless, missing/max(named, 1), len(want))
	if named == 0 {
		t.Error("no flip was named")
	}
}
