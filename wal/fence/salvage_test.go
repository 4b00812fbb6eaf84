package fence

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal/waltest"
)

// What Salvage says of a damaged sstable is where in which file it is.
func TestSalvageNamesDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(waltest.Seed(t), 2))
	fs := vfs.NewMem()
	db, err := pebble.Open("d", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: &Logger{Slog: slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 500)
	for i := range 400 {
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		if err := db.Set(fmt.Appendf(nil, "%016d", i), value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("d")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ".sst") })
	path := fs.PathJoin("d", names[at])
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	number := "file " + strings.TrimSuffix(names[at], ".sst")
	for _, tt := range []struct {
		at    int64
		exact bool
	}{{info.Size() / 2, true}, {info.Size() - 20, false}} { // a block, the footer
		flip := func() {
			var b [1]byte
			if _, err := f.ReadAt(b[:], tt.at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 1
			if _, err := f.WriteAt(b[:], tt.at); err != nil {
				t.Fatal(err)
			}
		}
		flip()
		c, err := Salvage(fs, "d", nil)
		if err != nil || len(c.Damage) != 1 {
			t.Fatalf("at %d: %v, %v", tt.at, c.Damage, err)
		}
		var d *DamageError
		if !errors.As(c.Damage[0], &d) || d.File != names[at] || strings.Contains(d.Error(), "000000") {
			t.Errorf("at %d: %v", tt.at, c.Damage[0])
		} else if tt.exact && (d.Offset > tt.at || d.Offset < tt.at-8192 || !strings.Contains(d.Error(), number)) {
			t.Errorf("at %d: %v, want it in %s and up to a block before", tt.at, d, number)
		} else if !tt.exact && strings.Contains(d.Error(), "offset") {
			t.Errorf("at %d: %v", tt.at, d)
		}
		// CheckTable looks at the end only.
		if err := CheckTable(fs, path); tt.exact && err != nil || !tt.exact && (!errors.As(err, &d) || d.File != names[at] || strings.Contains(err.Error(), "\n")) {
			t.Errorf("at %d: %v", tt.at, err)
		}
		if err := VerifyTable(fs, path); !errors.As(err, &d) || d.File != names[at] || strings.Contains(err.Error(), "\n") {
			t.Errorf("at %d: %v", tt.at, err)
		}
		flip()
		if err := errors.Join(CheckTable(fs, path), VerifyTable(fs, path)); err != nil {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever places of an sstable are damaged, neighbours too, all entries elsewhere
// are read, once and in order.
func TestWalkPastDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(waltest.Seed(t), 1))
	fs := vfs.NewMem()
	f, err := fs.Create("t", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	o := new(pebble.Options)
	o.EnsureDefaults()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, sstable.TableFormatMax))
	const keys, blockBytes = 400, 1000
	value := make([]byte, blockBytes/2)
	for i := range keys {
		for j := range value {
			value[j] = byte(rng.Uint32()) // not to be compressed
		}
		if err := w.Set(fmt.Appendf(nil, "%016d", i), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = fs.Open("t")
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, info.Size())
	if _, err := f.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for range 15 {
		bad := bytes.Clone(whole)
		at := rng.IntN(len(bad) / 2)
		for range 1 + rng.IntN(4) {
			bad[at] ^= 1
			at += rng.IntN(10_000) // within the data: the index is far behind
		}
		f, err := fs.Create("t", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bad); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		table, err := OpenTable(fs, "t")
		if err != nil {
			t.Fatal(err)
		}
		read, last := 0, ""
		damage := table.Walk(func(key, _ []byte) bool {
			if string(key) <= last {
				t.Fatalf("key %s after %s", key, last)
			}
			last = string(key)
			read++
			return true
		})
		// A block of Pebble's has some 4 KiB, so at most 9 keys.
		if len(damage) == 0 || read < keys-9*len(damage) || read == keys {
			t.Errorf("%d places are damaged, %d of %d keys are read", len(damage), read, keys)
		}
		if last != fmt.Sprintf("%016d", keys-1) && len(damage) == 0 {
			t.Errorf("ends at %s", last)
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
