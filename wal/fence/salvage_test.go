package fence

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal/waltest"
)

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
