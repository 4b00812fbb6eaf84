package fence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is the file system that Pebble gets. It lets no write error through.
//
// Pebble answers a failed write of its own log or manifest with Logger.Fatalf,
// or with a panic while it holds its mutexes: a full disk at the moment a log
// file is rotated ends in "unlock of unlocked mutex", which no recover catches.
// So the first operation that fails to change the directory fails the store, and
// from then on the fence pretends: every change "succeeds" and does nothing.
// Pebble runs on into its Close without noticing, and nobody believes it, because
// the store is marked as failed before the pretended success returns.
//
// The fence also makes it safe to open the directory again while the old store
// is still shutting down: once Drain has returned, nothing of it touches the
// directory any more. Reading stays possible throughout; errors of reading and of
// removing files pass through, since Pebble handles them, but for one: see List. So
// does everything outside the directory, such as the files of a checkpoint.
//
// Passing errors through and parking or unwinding the goroutines that hit Fatalf
// was considered and given up: it leaks a store's memory for every failure.
type FS struct {
	vfs.FS // the real one, for what needs no fencing
	dir    string
	prefix string // of the names in dir
	onFail func(error)

	// mu is held for reading by every operation that changes the directory, and for
	// writing by Drain.
	mu sync.RWMutex
	// failure is the first error. Atomic; set once.
	failure atomic.Pointer[error]
	// created says that Pebble has begun to create files. Atomic; never unset.
	created atomic.Bool
	// synced is what is known of the manifest. Atomic; written by the file's Sync,
	// read by anyone. Never nil once a manifest has been synced.
	synced atomic.Pointer[Manifest]
	// lock is the directory's lock, taken by Pebble's Open and released by us.
	// Guarded by lockMu.
	lockMu sync.Mutex
	lock   io.Closer
}

// New returns a fence around dir in fs. It calls onFail at the first failure, from
// any goroutine.
func New(fs vfs.FS, dir string, onFail func(error)) *FS {
	return &FS{FS: fs, dir: dir, prefix: strings.TrimSuffix(fs.PathJoin(dir, "x"), "x"), onFail: onFail}
}

// inside reports whether name is the directory or in it.
func (f *FS) inside(name string) bool {
	return name == f.dir || strings.HasPrefix(name, f.prefix)
}

// begin reports whether an operation may touch the disk; if so, end must follow.
func (f *FS) begin() bool {
	if f.failure.Load() != nil {
		return false
	}
	f.mu.RLock()
	if f.failure.Load() != nil {
		f.mu.RUnlock()
		return false
	}
	return true
}

// end ends an operation. It reports whether it has gone well.
func (f *FS) end(op, name string, err error) bool {
	if err != nil {
		f.Fail(fmt.Errorf("%s %s: %w", op, f.PathBase(name), err))
	}
	f.mu.RUnlock()
	return err == nil
}

// do runs one operation whose only result is an error.
func (f *FS) do(op, name string, fn func() error) {
	if f.begin() {
		f.end(op, name, fn())
	}
}

// Fail closes the fence: whatever begins from now on is pretended.
func (f *FS) Fail(err error) {
	if f.failure.CompareAndSwap(nil, &err) {
		f.onFail(err)
	}
}

// Synced says how much of which manifest has been synced; zero if none has.
func (f *FS) Synced() Manifest {
	if m := f.synced.Load(); m != nil {
		return *m
	}
	return Manifest{}
}

// Failed returns the first error, if any.
func (f *FS) Failed() error {
	if err := f.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Drain waits until no operation that began before the failure is under way.
func (f *FS) Drain() {
	f.mu.Lock()
	//lint:ignore SA2001 having had the lock is the point
	f.mu.Unlock()
}

// Unlock releases the directory.
func (f *FS) Unlock() error {
	f.lockMu.Lock()
	defer f.lockMu.Unlock()
	if f.lock == nil {
		return nil
	}
	err := f.lock.Close()
	f.lock = nil
	return err
}

// heldByUs is what Pebble closes instead of the lock.
type heldByUs struct{}

func (heldByUs) Close() error { return nil }

func (f *FS) Lock(name string) (io.Closer, error) {
	l, err := f.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	f.lockMu.Lock()
	f.lock = l
	f.lockMu.Unlock()
	return heldByUs{}, nil
}

// open runs an operation that yields a file for writing.
func (f *FS) open(op, name string, fn func() (vfs.File, error)) (vfs.File, error) {
	if !f.begin() {
		return &hole{name: f.PathBase(name)}, nil
	}
	file, err := fn()
	if !f.end(op, name, err) {
		return &hole{name: f.PathBase(name)}, nil
	}
	return &fencedFile{File: file, fence: f, name: name, manifest: manifestNumber(f.PathBase(name))}, nil
}

// Create creates a file. A file of Pebble's log is filled with zeros a little ahead of
// what is written; one that Pebble uses again has its length already.
func (f *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if !f.inside(name) {
		return f.FS.Create(name, c)
	}
	f.created.Store(true)
	file, err := f.open("create", name, func() (vfs.File, error) { return f.FS.Create(name, c) })
	if ff, ok := file.(*fencedFile); ok && strings.HasSuffix(name, ".log") {
		ff.fills = true
	}
	return file, err
}

func (f *FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if !f.inside(name) {
		return f.FS.OpenReadWrite(name, c, opts...)
	}
	return f.open("open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

func (f *FS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if !f.inside(newname) {
		return f.FS.ReuseForWrite(oldname, newname, c)
	}
	return f.open("reuse", newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

func (f *FS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil || !f.inside(name) {
		return file, err
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

func (f *FS) Link(oldname, newname string) error {
	if !f.inside(newname) {
		return f.FS.Link(oldname, newname)
	}
	f.do("link", newname, func() error { return f.FS.Link(oldname, newname) })
	return nil
}

func (f *FS) Rename(oldname, newname string) error {
	if !f.inside(newname) {
		return f.FS.Rename(oldname, newname)
	}
	f.do("rename", newname, func() error { return f.FS.Rename(oldname, newname) })
	return nil
}

func (f *FS) MkdirAll(dir string, perm os.FileMode) error {
	if !f.inside(dir) {
		return f.FS.MkdirAll(dir, perm)
	}
	f.do("mkdir", dir, func() error { return f.FS.MkdirAll(dir, perm) })
	return nil
}

func (f *FS) Remove(name string) error {
	if !f.inside(name) {
		return f.FS.Remove(name)
	}
	if !f.begin() {
		return nil
	}
	err := f.FS.Remove(name)
	f.end("remove", name, nil)
	return err
}

func (f *FS) RemoveAll(name string) error {
	if !f.inside(name) {
		return f.FS.RemoveAll(name)
	}
	if !f.begin() {
		return nil
	}
	err := f.FS.RemoveAll(name)
	f.end("remove", name, nil)
	return err
}

func (f *FS) Unwrap() vfs.FS { return f.FS }

// List lists a directory. Pebble's Open flushes what it has replayed and then lists the
// directory again. An error of that would have it close its caches while the flush's
// heirs, which load the statistics of the new sstables or compact them, are still using
// them: they panic in goroutines of Pebble's, and the process ends. So once Pebble has
// created a file an error fails the store, and Open runs on to its end, which removes
// nothing any more. Before that nothing runs beside Open, and it may have the error.
func (f *FS) List(dir string) ([]string, error) {
	names, err := f.FS.List(dir)
	if err == nil || !f.inside(dir) || !f.created.Load() {
		return names, err
	}
	f.Fail(fmt.Errorf("list %s: %w", f.PathBase(dir), err))
	return nil, nil
}

// fencedFile is a file that was opened for writing, or a directory.
type fencedFile struct {
	vfs.File
	fence *FS
	name  string

	// manifest is the number of the manifest that this is, or 0, and written its
	// length. Owned by whoever writes the file: Pebble has one writer at a time.
	manifest uint64
	written  uint64
	linked   bool // the directory has been synced since the manifest was created

	fills  bool   // whether zeros are written ahead; see fill
	filled uint64 // up to where
}

func (f *fencedFile) Write(p []byte) (int, error) {
	if f.fence.begin() {
		_, err := f.File.Write(p)
		f.written += uint64(len(p))
		if err == nil {
			f.fill(len(p))
		}
		f.fence.end("write", f.name, err)
	}
	return len(p), nil
}

const (
	// fillBytes is how much of a log file is filled with zeros at a time.
	fillBytes = 256 << 10
	// fillWriteMax is the largest write that zeros are worth writing for.
	fillWriteMax = fillBytes / 8
)

var zeros [fillBytes]byte

// fill writes zeros behind what has been written, so that most syncs find the file's
// length and its place on the disk settled: fdatasync then writes data only, and not
// the journal of the file system as well, which takes about twice as long. For large
// writes the data are what takes the time. Pebble reads zeros as the end of its log,
// as it does what else it finds in a file that it uses again.
func (f *fencedFile) fill(n int) {
	if !f.fills || n > fillWriteMax || f.written <= f.filled {
		return
	}
	room := fillBytes - f.written%fillBytes
	if _, err := f.File.WriteAt(zeros[:room], int64(f.written)); err != nil {
		f.fills = false // only a favour: should the disk be full, writing will say so
		return
	}
	f.filled = f.written + room
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fence.begin() {
		_, err := f.File.WriteAt(p, off)
		f.fence.end("write", f.name, err)
	}
	return len(p), nil
}

// preallocateMax bounds what is taken from the disk ahead of writing. Pebble would
// take a whole memtable's worth for each file of its log, also for the first ones,
// which stay small: 440 MB for a log of ten.
const preallocateMax = 256 << 10

// Preallocate is only a hint: should the disk be full, writing will say so.
func (f *fencedFile) Preallocate(offset, length int64) error {
	if f.fence.begin() {
		_ = f.File.Preallocate(offset, min(length, preallocateMax))
		f.fence.end("preallocate", f.name, nil)
	}
	return nil
}

func (f *fencedFile) Sync() error { return f.sync(f.File.Sync) }

func (f *fencedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *fencedFile) sync(sync func() error) error {
	if !f.fence.begin() {
		return nil
	}
	err := sync()
	if err == nil && f.manifest > 0 && !f.linked {
		// Pebble's marker names the manifest before the directory is synced: after a
		// crash the marker could be there and the manifest not.
		err = syncDir(f.fence.FS, f.fence.PathDir(f.name))
		f.linked = err == nil
	}
	if f.fence.end("sync", f.name, err) && f.manifest > 0 {
		f.fence.synced.Store(&Manifest{f.manifest, f.written})
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *fencedFile) SyncTo(length int64) (fullSync bool, err error) {
	if f.fence.begin() {
		fullSync, err = f.File.SyncTo(length)
		f.fence.end("sync", f.name, err)
	}
	return fullSync, nil
}

// Close closes the file even behind a closed fence: the descriptor must go. A
// manifest gets its end first: Pebble has written its last edit, also that of a flush
// which its own Close has waited for, and no mark can follow any more.
func (f *fencedFile) Close() error {
	if f.manifest > 0 && f.written > 0 {
		_, _ = f.Write(emptyEdit(f.written))
		_ = f.Sync()
	}
	if f.fence.begin() {
		f.fence.end("close", f.name, f.File.Close())
		return nil
	}
	_ = f.File.Close()
	return nil
}

// hole is a file that never was: it takes everything and has nothing.
type hole struct{ name string }

func (h *hole) Close() error                           { return nil }
func (h *hole) Read([]byte) (int, error)               { return 0, h.gone() }
func (h *hole) ReadAt([]byte, int64) (int, error)      { return 0, h.gone() }
func (h *hole) Write(p []byte) (int, error)            { return len(p), nil }
func (h *hole) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (h *hole) Preallocate(int64, int64) error         { return nil }
func (h *hole) Stat() (vfs.FileInfo, error)            { return holeInfo{h.name}, nil }
func (h *hole) Sync() error                            { return nil }
func (h *hole) SyncTo(int64) (bool, error)             { return false, nil }
func (h *hole) SyncData() error                        { return nil }
func (h *hole) Prefetch(int64, int64) error            { return nil }
func (h *hole) Fd() uintptr                            { return vfs.InvalidFd }
func (h *hole) gone() error                            { return fmt.Errorf("fence: %s was not written: store failed", h.name) }

type holeInfo struct{ name string }

func (i holeInfo) Name() string           { return i.name }
func (i holeInfo) Size() int64            { return 0 }
func (i holeInfo) Mode() fs.FileMode      { return 0o600 }
func (i holeInfo) ModTime() time.Time     { return time.Time{} }
func (i holeInfo) IsDir() bool            { return false }
func (i holeInfo) Sys() any               { return nil }
func (i holeInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
