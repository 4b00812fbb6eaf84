package pebblewal

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/testkit"
	"headgate/wal"
	"headgate/wal/fence"
	"headgate/wal/waltest"
)

// untold returns how many of the flips of one byte before an offset checkFiles does
// not tell, and the first that it does not. Every step-th byte is tried.
func (d *memDisk) untold(name string, before, step int) (untold, first int) {
	first = -1
	for at := 0; at < before; at += step {
		d.Flip(name, at, 0x10)
		err := checkFiles(d.mem, "data/log")
		d.Flip(name, at, 0x10)
		if !errors.Is(err, wal.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			untold++
			if first < 0 {
				first = at
			}
		}
	}
	return untold, first
}

// newest returns the name of the last file with an affix.
func (d *memDisk) newest(prefix, suffix string) string {
	newest := ""
	for _, name := range d.Files() {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			newest = max(newest, name)
		}
	}
	return newest
}

// A log that was closed vouches for every byte of the manifest in use but those of the
// last edit, which is empty, and of Pebble's newest log but those of the last mark and
// Pebble's trailer.
func TestCheckFiles(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(t, vfs.NewCrashableMem())
	open := func() *Log { return mustOpen(t, d.options()) }
	const lastEdit = 7
	const lastMark = 19 + (fence.MarkOffset + fence.MarkBytes) + 11 // chunk header, batch, trailer
	fill := func(l *Log, from, to uint64) {
		for seq := from; seq <= to; seq++ {
			mustAppend(t, l, 1, seq, bytes.Repeat([]byte{byte(seq)}, int(seq)*7%900))
		}
	}
	check := func(when string) {
		t.Helper()
		if err := checkFiles(d.mem, "data/log"); err != nil {
			t.Errorf("%s: without damage: %v", when, err)
		}
		name := d.newest("MANIFEST-", "")
		if untold, first := d.untold(name, d.Size(name)-lastEdit, 1+d.Size(name)/120); untold > 0 {
			t.Errorf("%s: %s of %d bytes: %d flips not told, the first at %d", when, name, d.Size(name), untold, first)
		}
		name = d.newest("", ".log")
		if untold, first := d.untold(name, d.Size(name)-lastMark, 1+d.Size(name)/60); untold > 0 {
			t.Errorf("%s: %s of %d bytes: %d flips not told, the first at %d", when, name, d.Size(name), untold, first)
		}
		// Nothing was ever written to what was only filled with zeros.
		for at := d.Size(name); at < len(d.read(name)); at += 1 + len(d.read(name))/30 {
			d.Flip(name, at, 0x10)
			if err := checkFiles(d.mem, "data/log"); err != nil {
				t.Errorf("%s: offset %d of %s, %d bytes after the end: %v", when, at, name, at-d.Size(name), err)
			}
			d.Flip(name, at, 0x10)
		}
	}
	l := open()
	fill(l, 1, 100)
	mustClose(t, l)
	check("closed")
	l = open() // recovers into an sstable
	mustClose(t, l)
	check("opened and closed")
	l = open()
	fill(l, 101, 1000) // rotates
	mustClose(t, l)
	check("rotated and closed")

	// A flush that lasts longer than the log's last group: Pebble's Close waits for it,
	// and it is what writes to the manifest last.
	var hold atomic.Bool
	flush := make(chan struct{})
	o := d.options()
	o.FS = errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hold.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			<-flush
		}
		return nil
	}))
	l = mustOpen(t, o)
	hold.Store(true)
	fill(l, 1001, 1600)
	before := l.fence.Synced()
	go func() {
		<-l.idle // Close's own mark is synced
		close(flush)
	}()
	mustClose(t, l)
	if after := l.fence.Synced(); after.Number == before.Number && after.Length <= before.Length+lastEdit {
		t.Error("nothing was flushed while the log was closed")
	}
	check("closed during a flush")
}

// A tail that was never synced is no damage, even if its blocks reached the disk
// in any order.
func TestUnsyncedTailIsNoDamage(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := waltest.Seed(t)
	mem := vfs.NewCrashableMem()
	d := newMemDisk(t, mem)
	l := mustOpen(t, d.options())
	mustAppend(t, l, 1, 1, []byte("synced"))
	// What two groups in flight can leave behind, several times over.
	var crashes []waltest.Disk
	d.Watch(func() {
		for percent := 10; percent < 100; percent += 20 {
			crashes = append(crashes, d.Crash(percent, seed+uint64(len(crashes))))
		}
	})
	n := newTold()
	for seq := uint64(2); seq <= 9; seq++ {
		if err := l.Append(1, seq, bytes.Repeat([]byte("not synced"), 3000), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.wait(9); err != nil {
		t.Fatal(err)
	}
	d.Watch(nil)
	mustClose(t, l)
	for i, c := range crashes {
		if err := checkFiles(c.(*memDisk).mem, "data/log"); err != nil {
			t.Errorf("crash %d of %d: %v", i, len(crashes), err)
		}
	}
}

// flushedRecord is a log in memory whose one record is in an sstable.
func flushedRecord(t *testing.T) Options {
	t.Helper()
	o := Options{Dir: "data/log", FS: vfs.NewMem(), MemTableBytes: 256 << 10}
	l := mustOpen(t, o)
	mustAppend(t, l, 1, 1, []byte("record"))
	mustClose(t, l)
	mustClose(t, mustOpen(t, o)) // flushes it
	return o
}

// A disk that does not give a record is told from a record that is damaged: the next
// try may work.
func TestUnreadableIsNoDamage(t *testing.T) {
	testkit.CheckLeaks(t)
	o := flushedRecord(t)
	var failing atomic.Bool
	o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return syscall.EIO
		}
		return nil
	}))
	l := mustOpen(t, o)
	defer mustClose(t, l)
	failing.Store(true)
	_, err := seqs(l, 1)
	if !errors.Is(err, wal.ErrUnreadable) || !errors.Is(err, syscall.EIO) || errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("%v, want ErrUnreadable", err)
	}
	if err := l.Failed(); err != nil {
		t.Error(err)
	}
	failing.Store(false)
	got, err := seqs(l, 1)
	for range 1000 {
		if err == nil {
			break
		}
		// Pebble's loader of statistics may have opened the same sstable meanwhile, and
		// shares its error.
		runtime.Gosched()
		got, err = seqs(l, 1)
	}
	if err != nil || !slices.Equal(got, []uint64{1}) {
		t.Errorf("%v, %v when the disk is well again", got, err)
	}
}

// An sstable that cannot be read is told to those who read from it; Pebble does not try
// it again and again on its own account.
func TestDamagedTableIsLeftAlone(t *testing.T) {
	testkit.CheckLeaks(t)
	o := flushedRecord(t)
	names, err := o.FS.List(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		tables++
		f, err := o.FS.OpenReadWrite(o.FS.PathJoin(o.Dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err == nil {
			_, err = f.WriteAt([]byte("XXXXXXXX"), info.Size()-8)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var lines atomic.Int32
	o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		if bytes.Contains(line, []byte("level=ERROR")) {
			lines.Add(1)
		}
		return len(line), nil
	}), nil))
	l := mustOpen(t, o)
	defer mustClose(t, l)
	for seq := range uint64(200) {
		mustAppend(t, l, 2, seq+1, []byte("record"))
	}
	if n := lines.Load(); tables == 0 || n != 0 {
		t.Errorf("%d errors in the log of %d sstables that nobody reads", n, tables)
	}
	if _, err := seqs(l, 1); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A file that is gone does not come back: that is damage.
func TestGoneIsDamage(t *testing.T) {
	testkit.CheckLeaks(t)
	o := flushedRecord(t)
	var gone atomic.Bool
	o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if gone.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead && strings.HasSuffix(op.Path, ".sst") {
			return os.ErrNotExist
		}
		return nil
	}))
	l := mustOpen(t, o)
	defer mustClose(t, l)
	gone.Store(true)
	_, err := seqs(l, 1)
	if corrupt := (*wal.CorruptError)(nil); !errors.As(err, &corrupt) || corrupt.Bucket != 1 || errors.Is(err, wal.ErrUnreadable) {
		t.Errorf("%v, want a CorruptError of bucket 1", err)
	}
}
