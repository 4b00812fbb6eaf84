package engine

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/store/disk"
	"headgate/wal/pebblewal"
)

// crashDisk is what an engine's files are on: log and data store in a file system in
// memory that knows what has been synced, the catalogue in a directory of its own.
// The catalogue is one file to which one synced record at a time is appended, and its
// own tests tear it, so here it is taken as it is.
type crashDisk struct {
	vfs.FS // of log and data store
	mem    *vfs.MemFS
	dir    string // of the catalogue

	// op, if not nil, is called before and after every operation that changes something,
	// and in the middle of every write. Set before the engine is opened.
	op func()
	// linking keeps cut out of Link: MemFS takes its lock for reading twice there, which
	// hangs when CrashClone wants it for writing in between.
	linking sync.Mutex
	// lies makes syncs of the log's files do nothing. Atomic.
	lies atomic.Bool
}

func newCrashDisk(mem *vfs.MemFS, dir string) *crashDisk {
	return &crashDisk{FS: mem, mem: mem, dir: dir}
}

// options opens an engine on the disk.
func (d *crashDisk) options() Options {
	return Options{
		Dir: d.dir, AuthDisabled: true, BallastBytes: -1, DiskFreeMin: -1, MemoryBytesMax: memoryBytesMin,
		files: func(log *pebblewal.Options, data *disk.Options) {
			log.Dir, log.FS, log.MemTableBytes = filepath.Join("shard-0001", "log"), d, 256<<10
			data.Dir, data.FS = filepath.Join("shard-0001", "data"), d
		},
	}
}

// powerCut is what a disk has after the power failed.
type powerCut struct {
	mem     *vfs.MemFS
	journal []byte
}

// cut takes the disk as a power failure would leave it now: with what has been
// synced, and each unsynced block of 4 KiB and each unsynced name in so many of a
// hundred cases, later ones without earlier ones among them.
func (d *crashDisk) cut(t testing.TB, percent int, rng *rand.Rand) powerCut {
	path := filepath.Join(d.dir, "catalog", "journal")
	for {
		before, _ := os.ReadFile(path) // none: it has not been made yet
		d.linking.Lock()
		mem := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
		d.linking.Unlock()
		after, _ := os.ReadFile(path)
		if bytes.Equal(before, after) { // as it was when the others were taken
			return powerCut{mem, after}
		}
	}
}

// disk makes a disk of it.
func (c powerCut) disk(t testing.TB) *crashDisk {
	t.Helper()
	dir := t.TempDir()
	if c.journal != nil {
		if err := os.Mkdir(filepath.Join(dir, "catalog"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "catalog", "journal"), c.journal, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newCrashDisk(c.mem, dir)
}

// export copies log and data store to the directory of the catalogue, for tools that
// work on directories.
func (d *crashDisk) export(t testing.TB) {
	t.Helper()
	if _, err := vfs.Clone(d.mem, vfs.Default, "shard-0001", filepath.Join(d.dir, "shard-0001")); err != nil {
		t.Fatal(err)
	}
}

func (d *crashDisk) tell() {
	if d.op != nil {
		d.op()
	}
}

func (d *crashDisk) file(name string, f vfs.File, err error) (vfs.File, error) {
	d.tell()
	if err != nil {
		return nil, err
	}
	return &crashFile{File: f, d: d, log: strings.HasSuffix(name, ".log") && strings.Contains(name, "log/")}, nil
}

func (d *crashDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.tell()
	f, err := d.FS.Create(name, c)
	return d.file(name, f, err)
}

func (d *crashDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	d.tell()
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return d.file(name, f, err)
}

func (d *crashDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.tell()
	f, err := d.FS.ReuseForWrite(from, to, c)
	return d.file(to, f, err)
}

func (d *crashDisk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &crashFile{File: f, d: d}, nil
}

func (d *crashDisk) Link(from, to string) error {
	d.tell()
	defer d.tell()
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.FS.Link(from, to)
}

func (d *crashDisk) Rename(from, to string) error {
	d.tell()
	defer d.tell()
	return d.FS.Rename(from, to)
}

func (d *crashDisk) Remove(name string) error {
	d.tell()
	defer d.tell()
	return d.FS.Remove(name)
}

func (d *crashDisk) RemoveAll(name string) error {
	d.tell()
	defer d.tell()
	return d.FS.RemoveAll(name)
}

func (d *crashDisk) MkdirAll(dir string, perm os.FileMode) error {
	d.tell()
	defer d.tell()
	return d.FS.MkdirAll(dir, perm)
}

func (d *crashDisk) Unwrap() vfs.FS { return d.FS }

// crashFile tears writes and, if the disk lies, syncs nothing.
type crashFile struct {
	vfs.File
	d   *crashDisk
	log bool
}

func (f *crashFile) Write(p []byte) (int, error) {
	f.d.tell()
	defer f.d.tell()
	if f.d.op == nil || len(p) < 2 {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	f.d.tell()
	m, err := f.File.Write(p[n:])
	return n + m, err
}

func (f *crashFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.tell()
	defer f.d.tell()
	return f.File.WriteAt(p, off)
}

func (f *crashFile) lies() bool { return f.log && f.d.lies.Load() }

func (f *crashFile) Sync() error {
	f.d.tell()
	defer f.d.tell()
	if f.lies() {
		return nil
	}
	return f.File.Sync()
}

func (f *crashFile) SyncData() error {
	f.d.tell()
	defer f.d.tell()
	if f.lies() {
		return nil
	}
	return f.File.SyncData()
}

func (f *crashFile) SyncTo(n int64) (bool, error) {
	if f.lies() {
		return false, nil
	}
	return f.File.SyncTo(n)
}

// crashSeed is the seed of a random test, printed: HEADGATE_SEED or the clock's.
func crashSeed(t testing.TB) uint64 {
	seed := uint64(envInt(t, "HEADGATE_SEED", int(time.Now().UnixNano())))
	t.Logf("HEADGATE_SEED=%d", seed)
	return seed
}
