package fence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/point"
	"headgate/engine/store/disk"
	"headgate/engine/testkit"
	"headgate/wal/pebblewal"
)

// fault says which operations of a disk fail.
type fault struct {
	name   string
	about  func(errorfs.OpKind) bool
	sticky bool // all from one on, not that one only
}

func isRead(kind errorfs.OpKind) bool  { return kind.ReadOrWrite() == errorfs.OpIsRead }
func isWrite(kind errorfs.OpKind) bool { return !isRead(kind) }
func isList(kind errorfs.OpKind) bool  { return kind == errorfs.OpList }
func isAny(errorfs.OpKind) bool        { return true }

// faultyFS counts the operations that a fault is about and begins with one of them.
type faultyFS struct {
	vfs.FS
	fault
	failAt int

	mu    sync.Mutex
	ops   int
	fired string // the first operation that has failed
}

func newFaultyFS(fs vfs.FS, fault fault, failAt int) *faultyFS {
	f := &faultyFS{fault: fault, failAt: failAt}
	f.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(f.inject))
	return f
}

func (f *faultyFS) inject(op errorfs.Op) error {
	if !f.about(op.Kind) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.ops
	f.ops++
	if n != f.failAt && (n < f.failAt || !f.sticky) {
		return nil
	}
	if f.fired == "" {
		f.fired = fmt.Sprintf("operation %d, kind %d, of %s", n, op.Kind, op.Path)
	}
	return &iofs.PathError{Op: fmt.Sprintf("kind %d", op.Kind), Path: op.Path, Err: syscall.EIO}
}

func (f *faultyFS) first() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

const (
	logDir   = "data/log"
	storeDir = "data/store"
	// Opening again flushes what was written, which makes an sstable; what is written
	// last stays in Pebble's log.
	openings = 4
)

// quiet is a wal.Notifier that nobody asks.
type quiet struct{}

func (quiet) Committed(uint64, error) {}

func openLog(fs vfs.FS) (*pebblewal.Log, error) {
	return pebblewal.Open(pebblewal.Options{Dir: logDir, FS: fs, MemTableBytes: 256 << 10, RecordBytesMax: 1 << 20})
}

func openStore(fs vfs.FS, readOnly bool) (*disk.Store, error) {
	return disk.Open(disk.Options{Dir: storeDir, FS: fs, MemTableBytes: 256 << 10, CacheBytes: 1 << 20, ReadOnly: readOnly})
}

// fillLog appends to a log and truncates it, so that its sstables have range deletions.
// It leaves the last two records.
func fillLog(fs vfs.FS) (io.Closer, error) {
	for seq := uint64(1); ; seq++ {
		l, err := openLog(fs)
		if err != nil {
			return nil, err
		}
		err = l.Append(1, seq, []byte("record"), quiet{})
		if seq > 2 {
			err = errors.Join(err, l.Truncate(1, seq-2))
		}
		if err := errors.Join(err, l.Sync(context.Background())); err != nil || seq == openings {
			return l, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
}

// checkLog opens a log on a sound disk and looks for what fillLog has left.
func checkLog(fs vfs.FS) error {
	l, err := openLog(fs)
	if err != nil {
		return err
	}
	n := 0
	err = l.Replay(context.Background(), 1, openings-2, func(uint64, []byte) error { n++; return nil })
	if n != 2 {
		err = errors.Join(err, fmt.Errorf("%d records of 2", n))
	}
	return errors.Join(err, l.Close())
}

// fillStore commits a part each time.
func fillStore(fs vfs.FS) (io.Closer, error) {
	for seq := uint64(1); ; seq++ {
		s, err := openStore(fs, false)
		if err != nil {
			return nil, err
		}
		if err := addPart(s, seq); err != nil || seq == openings {
			return s, err
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
}

func addPart(s *disk.Store, seq uint64) error {
	b, err := s.Bucket(1)
	if err != nil {
		return err
	}
	w := b.NewPart(disk.Part{WindowMax: 999, SeqMin: seq, SeqMax: seq})
	if err := w.Add(1, disk.BlockMeta{TimeMax: 10, Rows: 5, Values: 10}, []point.SeriesID{0}, []point.FieldID{0}, []byte("block")); err != nil {
		return err
	}
	p, err := w.Finish()
	if err != nil {
		return err
	}
	return b.Commit(context.Background(), &disk.Edit{Flushed: seq, Add: []*disk.Part{p}})
}

// checkStore opens a store on a sound disk and looks for what fillStore has left.
func checkStore(fs vfs.FS) error {
	s, err := openStore(fs, false)
	if err != nil {
		return err
	}
	b, err := s.Bucket(1)
	if err == nil {
		v := b.Acquire()
		if n := len(v.Parts()); n != openings || v.Flushed() != openings {
			err = fmt.Errorf("%d parts of %d, flushed %d", n, openings, v.Flushed())
		}
		v.Release()
	}
	return errors.Join(err, s.Close())
}

// Whatever operation of the disk fails while a store opens, once or from then on: the
// process lives, Open returns and says what has failed, and the next Open finds
// everything. HEADGATE_FAULTS=all tries every operation; else all that list a directory,
// one of which comes when Pebble has work in the background, and some of the others.
func TestOpenOnFailingDisk(t *testing.T) {
	testkit.CheckLeaks(t)
	log := func(fs vfs.FS) (io.Closer, error) { return openLog(fs) }
	reader := func(fs vfs.FS) (io.Closer, error) {
		return pebblewal.OpenReader(context.Background(), pebblewal.Options{Dir: logDir, FS: fs})
	}
	store := func(fs vfs.FS) (io.Closer, error) { return openStore(fs, false) }
	readOnly := func(fs vfs.FS) (io.Closer, error) { return openStore(fs, true) }

	empty := vfs.NewCrashableMem()
	crashedLog, closedLog := leftBy(t, fillLog)
	crashedStore, closedStore := leftBy(t, fillStore)
	for _, tc := range []openCase{
		{"new log", logDir, empty, log, nil, false},
		{"crashed log", logDir, crashedLog, log, checkLog, true},
		{"closed log", logDir, closedLog, log, checkLog, false},
		{"crashed log for reading", logDir, crashedLog, reader, checkLog, false},
		{"new store", storeDir, empty, store, nil, false},
		{"crashed store", storeDir, crashedStore, store, checkStore, true},
		{"closed store", storeDir, closedStore, store, checkStore, false},
		{"crashed store for reading", storeDir, crashedStore, readOnly, checkStore, false},
	} {
		for _, fault := range []fault{
			{"list", isList, false},
			{"read", isRead, false},
			{"read and all after it", isRead, true},
			{"change", isWrite, false},
			{"change and all after it", isWrite, true},
			{"operation and all after it", isAny, true},
		} {
			step := 19
			switch {
			case fault.name == "list" || os.Getenv("HEADGATE_FAULTS") == "all":
				step = 1
			case testkit.RaceEnabled:
				continue // slow, and nothing of ours runs beside it
			case fault.name == "read" && tc.flushes:
				step = 3
			}
			ops, refused, late := tc.failEvery(t, step, fault)
			t.Logf("%s, %s: %d of %d failed, %d opens refused, %d of them late", tc.name, fault.name, (ops+step-1)/step, ops, refused, late)
			if tc.flushes && fault.name == "list" && late == 0 {
				t.Errorf("%s: no list after the flush has failed", tc.name)
			}
		}
	}
}

// openCase is a store that is opened while the disk fails.
type openCase struct {
	name, dir string
	mem       *vfs.MemFS
	open      func(vfs.FS) (io.Closer, error)
	check     func(vfs.FS) error // nil if there is nothing
	flushes   bool               // whether Pebble flushes, and has work in the background
}

// failEvery opens the store over and over with every step-th operation failing, until an
// open needs no more. Late are the errors that come after Pebble's flush.
func (tc *openCase) failEvery(t *testing.T, step int, fault fault) (ops, refused, late int) {
	t.Helper()
	for n := 0; ; n += step {
		mem := tc.mem.CrashClone(vfs.CrashCloneCfg{})
		fs := newFaultyFS(mem, fault, n)
		opened, err := tc.open(fs)
		fired := fs.first()
		if err == nil {
			_ = opened.Close()
		} else {
			refused++
			if strings.Contains(err.Error(), "list "+mem.PathBase(tc.dir)) {
				late++
			}
			if !strings.Contains(err.Error(), tc.dir) || !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, %s: %v", tc.name, fired, err)
			}
		}
		if tc.check != nil {
			err = tc.check(mem)
		} else if opened, err = tc.open(mem); err == nil {
			err = opened.Close()
		}
		if err != nil {
			t.Errorf("%s, opened again after %q: %v", tc.name, fired, err)
		}
		if fired == "" {
			return n, refused, late
		}
	}
}

// leftBy returns what a crash leaves of a store, and what Close does.
func leftBy(t *testing.T, fill func(vfs.FS) (io.Closer, error)) (crashed, closed *vfs.MemFS) {
	t.Helper()
	closed = vfs.NewCrashableMem()
	filled, err := fill(closed)
	if err != nil {
		t.Fatal(err)
	}
	crashed = closed.CrashClone(vfs.CrashCloneCfg{})
	if err := filled.Close(); err != nil {
		t.Fatal(err)
	}
	return crashed, closed
}
