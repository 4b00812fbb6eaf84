package pebblewal

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/wal"
	"headgate/wal/waltest"
)

// memDisk is a waltest.Disk in Pebble's crashable memory file system.
type memDisk struct {
	t   *testing.T
	mem *vfs.MemFS
	fs  vfs.FS

	mu     sync.Mutex
	watch  func()
	failAt int // -1: never
	sticky bool
	fired  bool
	ops    int
}

func newMemDisk(t *testing.T, mem *vfs.MemFS) *memDisk {
	d := &memDisk{t: t, mem: mem, failAt: -1}
	d.fs = errorfs.Wrap(mem, errorfs.InjectorFunc(d.inject))
	return d
}

// options are small enough that memtables rotate and flush in every test.
func (d *memDisk) options() Options {
	return Options{Dir: "data/log", FS: d.fs, MemTableBytes: 256 << 10, RecordBytesMax: 4 << 20}
}

func (d *memDisk) Open() (wal.Log, error) {
	l, err := Open(d.options())
	if err != nil {
		return nil, err
	}
	return l, nil
}

// inject is called before every operation.
func (d *memDisk) inject(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFilePreallocate, errorfs.OpFileClose, errorfs.OpOpenDir, errorfs.OpRemove, errorfs.OpRemoveAll:
		return nil // nobody relies on these
	}
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	d.mu.Lock()
	watch := d.watch
	n := d.ops
	d.ops++
	fail := d.failAt >= 0 && (n == d.failAt || n > d.failAt && d.sticky)
	d.fired = d.fired || fail
	d.mu.Unlock()
	if watch != nil {
		watch()
	}
	if fail {
		return syscall.ENOSPC
	}
	return nil
}

func (d *memDisk) Crash(unsyncedPercent int, seed uint64) waltest.Disk {
	return newMemDisk(d.t, d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rand.New(rand.NewPCG(seed, 6))}))
}

func (d *memDisk) Watch(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch = fn
}

func (d *memDisk) FailAt(n int, sticky bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops, d.failAt, d.sticky, d.fired = 0, n, sticky, false
}

func (d *memDisk) Heal() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failAt = -1
	return d.fired
}

func (d *memDisk) path(name string) string { return d.fs.PathJoin("data/log", name) }

func (d *memDisk) Files() []string {
	names, err := d.mem.List("data/log")
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return d.Size(name) == 0 })
}

func (d *memDisk) read(name string) []byte {
	f, err := d.mem.Open(d.path(name))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		d.t.Fatal(err)
	}
	return data
}

// Size is how much has been written to a file, without the zeros ahead of that in a
// file of Pebble's log. The last thing there, if it was closed, is a trailer that ends
// in a log number, which is below 256 here.
func (d *memDisk) Size(name string) int {
	data := d.read(name)
	if !strings.HasSuffix(name, ".log") {
		return len(data)
	}
	end := len(bytes.TrimRight(data, "\x00"))
	if end == 0 {
		return 0
	}
	return min(len(data), end+3)
}

func (d *memDisk) Flip(name string, offset int, bits byte) {
	data := d.read(name)
	data[offset] ^= bits
	writeFile(d.t, d.mem, d.path(name), data)
}

// writeFile writes a whole file and syncs it and its directory.
func writeFile(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.OpenDir(fs.PathDir(path))
	if err == nil {
		err = dir.Sync()
	}
	if err == nil {
		err = dir.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	waltest.Run(t, func(t *testing.T) waltest.Disk { return newMemDisk(t, vfs.NewCrashableMem()) })
}
