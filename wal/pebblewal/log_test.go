package pebblewal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/testkit"
	"headgate/wal"
	"headgate/wal/fence"
)

// told is a notifier that keeps what it hears.
type told struct {
	mu   sync.Mutex
	cond sync.Cond
	upto uint64
	errs []error
}

func newTold() *told {
	n := &told{}
	n.cond.L = &n.mu
	return n
}

func (n *told) Committed(upto uint64, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.upto = upto
	if err != nil {
		n.errs = append(n.errs, err)
	}
	n.cond.Broadcast()
}

// wait waits for an answer up to seq.
func (n *told) wait(seq uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.upto < seq {
		n.cond.Wait()
	}
	return errors.Join(n.errs...)
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t testing.TB, l *Log, bucket, seq uint64, record []byte) {
	t.Helper()
	n := newTold()
	if err := l.Append(bucket, seq, record, n); err != nil {
		t.Fatal(err)
	}
	if err := n.wait(seq); err != nil {
		t.Fatal(err)
	}
}

// seqs returns the sequence numbers that Replay finds.
func seqs(l *Log, bucket uint64) (found []uint64, err error) {
	err = l.Replay(context.Background(), bucket, 0, func(seq uint64, _ []byte) error {
		found = append(found, seq)
		return nil
	})
	return found, err
}

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		o    Options
		want string // part of the error
	}{
		{Options{Dir: "x"}, ""},
		{Options{}, "Options.Dir is empty"},
		{Options{Dir: "x", MemTableBytes: 1}, "Options.MemTableBytes is 1"},
		{Options{Dir: "x", GroupBytesMax: 9 << 20}, "Options.GroupBytesMax is 9437184"},
		{Options{Dir: "x", GroupBytesMax: -1}, "Options.GroupBytesMax is -1"},
		{Options{Dir: "x", RecordBytesMax: 4 << 30}, "Options.RecordBytesMax is 4294967296"},
		{Options{Dir: "x", SyncIntervalMin: -1}, "Options.SyncIntervalMin is -1ns"},
		{Options{Dir: "x", CloseTimeout: -1}, "Options.CloseTimeout is -1ns"},
	} {
		tc.o.EnsureDefaults()
		err := tc.o.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Validate: %v, want %q", err, tc.want)
		}
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("Open took empty options")
	}
}

func TestOpenTwice(t *testing.T) {
	for name, o := range map[string]Options{
		"memory": {Dir: "log", FS: vfs.NewMem()},
		"disk":   {Dir: filepath.Join(t.TempDir(), "shard", "log")},
	} {
		testkit.CheckLeaks(t)
		l := mustOpen(t, o)
		if second, err := Open(o); err == nil {
			t.Errorf("%s: opened twice", name)
			mustClose(t, second)
		}
		mustAppend(t, l, 1, 1, []byte("x"))
		mustClose(t, l)
		mustClose(t, mustOpen(t, o))
	}
}

// A record over half of the memtable takes Pebble's path for large batches, and
// shares no group.
func TestLargeRecords(t *testing.T) {
	testkit.CheckLeaks(t)
	mem := vfs.NewCrashableMem()
	o := Options{Dir: "log", FS: mem, MemTableBytes: 256 << 10, RecordBytesMax: 4 << 20}
	l := mustOpen(t, o)
	sizes := []int{10, 64 << 10, 100, 129 << 10, 10, 300 << 10, 4 << 20, 10, 10}
	n := newTold()
	for i, size := range sizes {
		if err := l.Append(1, uint64(i+1), bytes.Repeat([]byte{byte(i + 1)}, size), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.wait(uint64(len(sizes))); err != nil {
		t.Fatal(err)
	}
	err := l.Append(1, uint64(len(sizes)+1), make([]byte, 4<<20+1), n)
	if !errors.Is(err, wal.ErrRecordTooLarge) || !strings.Contains(err.Error(), "4194305 bytes, over Options.RecordBytesMax 4194304") {
		t.Errorf("a record over the limit: %v", err)
	}
	check := func(l *Log) {
		t.Helper()
		i := 0
		err := l.Replay(context.Background(), 1, 0, func(seq uint64, record []byte) error {
			if len(record) != sizes[i] || bytes.Count(record, []byte{byte(seq)}) != len(record) {
				return fmt.Errorf("record %d has %d bytes, want %d", seq, len(record), sizes[i])
			}
			i++
			return nil
		})
		if err != nil || i != len(sizes) {
			t.Errorf("%d records, %v", i, err)
		}
		mustClose(t, l)
	}
	crashed := o
	crashed.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	check(l)
	check(mustOpen(t, crashed))
}

// What is wrong inside Pebble's own checksums is found by ours, and named.
func TestCorruptRecords(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(l *Log) error
		seq    uint64
		reason string
	}{
		{"flipped", func(l *Log) error { return rewrite(l, 2, 3, func(v []byte) []byte { v[7] ^= 1; return v }) }, 3, "checksum is"},
		{"checksum", func(l *Log) error { return rewrite(l, 2, 3, func(v []byte) []byte { v[2] ^= 1; return v }) }, 3, "checksum is"},
		{"version", func(l *Log) error { return rewrite(l, 2, 3, func(v []byte) []byte { v[0] = 9; return v }) }, 3, "version 9, this program reads 1"},
		{"short", func(l *Log) error { return rewrite(l, 2, 3, func(v []byte) []byte { return v[:4] }) }, 3, "4 bytes is too short"},
		{"cut", func(l *Log) error { return rewrite(l, 2, 3, func(v []byte) []byte { return v[:len(v)-1] }) }, 3, "checksum is"},
		{"missing", func(l *Log) error { return l.db.Delete(makeKey(2, 3), pebble.Sync) }, 3, "record is missing"},
		{"swapped", func(l *Log) error {
			v, err := value(l, 2, 4)
			return errors.Join(err, l.db.Set(makeKey(2, 3), v, pebble.Sync))
		}, 3, "checksum is"},
		{"key", func(l *Log) error { return l.db.Set(append(makeKey(2, 3), 0), []byte("x"), pebble.Sync) }, 4, "damaged key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			l := mustOpen(t, Options{Dir: "log", FS: vfs.NewMem()})
			defer mustClose(t, l)
			for seq := uint64(1); seq <= 5; seq++ {
				for bucket := uint64(1); bucket <= 3; bucket++ {
					mustAppend(t, l, bucket, seq, fmt.Appendf(nil, "record %d of bucket %d", seq, bucket))
				}
			}
			if err := tc.damage(l); err != nil {
				t.Fatal(err)
			}
			found, err := seqs(l, 2)
			var corrupt *wal.CorruptError
			if !errors.As(err, &corrupt) || !errors.Is(err, wal.ErrCorrupt) || corrupt.Bucket != 2 || corrupt.Seq != tc.seq || !strings.Contains(corrupt.Reason, tc.reason) {
				t.Errorf("Replay: %v, want bucket 2, record %d, %q", err, tc.seq, tc.reason)
			}
			if uint64(len(found)) != tc.seq-1 {
				t.Errorf("Replay found %d before %v", found, err)
			}
			for _, bucket := range []uint64{1, 3} {
				if found, err := seqs(l, bucket); err != nil || len(found) != 5 {
					t.Errorf("bucket %d: %d, %v", bucket, found, err)
				}
			}
			// What is cut out, up to the damage, heals the bucket.
			if err := l.Truncate(2, tc.seq); err != nil {
				t.Fatal(err)
			}
			if found, err := seqs(l, 2); err != nil || !slices.Equal(found, []uint64{4, 5}[tc.seq-3:]) {
				t.Errorf("truncated: %d, %v", found, err)
			}
		})
	}
}

func value(l *Log, bucket, seq uint64) ([]byte, error) {
	v, closer, err := l.db.Get(makeKey(bucket, seq))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(v), nil
}

func rewrite(l *Log, bucket, seq uint64, change func([]byte) []byte) error {
	v, err := value(l, bucket, seq)
	if err != nil {
		return err
	}
	return l.db.Set(makeKey(bucket, seq), change(v), pebble.Sync)
}

// A torn tail on a real disk: whatever length the newest file is cut to, a prefix
// is there and the log goes on.
func TestTornTail(t *testing.T) {
	testkit.CheckLeaks(t)
	dir := t.TempDir()
	o := Options{Dir: filepath.Join(dir, "log"), MemTableBytes: 256 << 10}
	l := mustOpen(t, o)
	record := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq)}, int(seq*197%1500)) }
	const records = 60
	for seq := uint64(1); seq <= records; seq++ {
		mustAppend(t, l, 1, seq, record(seq))
	}
	// As kill -9 would leave it: the files of a log that is still open.
	killed := filepath.Join(dir, "killed")
	if err := os.CopyFS(killed, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	logs, err := filepath.Glob(filepath.Join(killed, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	newest := filepath.Base(slices.Max(logs))
	whole, err := os.ReadFile(filepath.Join(killed, newest))
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00"))
	last := -1
	for cut := 0; ; cut += 1 + used/testkit.Rounds(40) {
		cut = min(cut, used)
		torn := filepath.Join(dir, fmt.Sprintf("torn%d", cut))
		if err := os.CopyFS(torn, os.DirFS(killed)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(torn, newest), int64(cut)); err != nil {
			t.Fatal(err)
		}
		l := mustOpen(t, Options{Dir: torn, MemTableBytes: 256 << 10})
		n := 0
		err := l.Replay(context.Background(), 1, 0, func(seq uint64, got []byte) error {
			n++
			if seq != uint64(n) || !bytes.Equal(got, record(seq)) {
				return fmt.Errorf("record %d is not the %d-th that was appended", seq, n)
			}
			return nil
		})
		if err != nil || n < last {
			t.Fatalf("cut to %d of %d: %d records after %d, %v", cut, used, n, last, err)
		}
		last = n
		mustAppend(t, l, 1, uint64(n+1), []byte("goes on"))
		mustClose(t, l)
		if err := os.RemoveAll(torn); err != nil {
			t.Fatal(err)
		}
		if cut == used {
			break
		}
	}
	if last != records {
		t.Errorf("%d records of %d in a log that was cut nowhere", last, records)
	}
}

// A disk that hangs: Close gives up after its timeout, the directory stays locked
// while the disk may still change it, and everything was answered long before.
func TestStuckDisk(t *testing.T) {
	testkit.CheckLeaks(t)
	fs := newHeldSyncs()
	o := Options{Dir: "log", FS: fs, CloseTimeout: 10 * time.Millisecond}
	l := mustOpen(t, o)
	mustAppend(t, l, 1, 1, []byte("durable"))
	fs.armed.Store(true)
	n := newTold()
	for seq := uint64(2); seq <= 4; seq++ {
		if err := l.Append(1, seq, []byte("who knows"), n); err != nil {
			t.Fatal(err)
		}
	}
	<-fs.held
	l.fence.Fail(syscall.EIO) // as an operation elsewhere would
	if err := n.wait(4); !errors.Is(err, wal.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("told %v", err)
	}
	for name, err := range map[string]error{
		"Failed": l.Failed(), "Append": l.Append(1, 5, nil, n), "Sync": l.Sync(context.Background()), "Drop": l.Drop(1),
	} {
		if !errors.Is(err, wal.ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s of a failed log: %v", name, err)
		}
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "still holds an operation") {
		t.Errorf("Close while the disk is stuck: %v", err)
	}
	if second, err := Open(o); err == nil {
		t.Error("opened while the disk is stuck")
		mustClose(t, second)
	}
	close(fs.release)
	<-l.released
	again := mustOpen(t, o)
	if found, err := seqs(again, 1); err != nil || len(found) == 0 {
		t.Errorf("opened again: %d, %v", found, err)
	}
	mustClose(t, again)
	mustClose(t, l)
}

// Pebble's fatal errors end neither the process nor the wait of anyone.
func TestFatal(t *testing.T) {
	testkit.CheckLeaks(t)
	o := Options{Dir: "log", FS: vfs.NewMem()}
	for _, tc := range []struct {
		name string
		call func(l *Log, logger *fence.Logger) error
	}{
		{"fatal", func(l *Log, logger *fence.Logger) error {
			return l.protect(func() error { logger.Fatalf("no way %s", "on"); return nil })
		}},
		{"panic", func(l *Log, logger *fence.Logger) error {
			return l.protect(func() error { panic(io.ErrClosedPipe) })
		}},
	} {
		l := mustOpen(t, o)
		err := tc.call(l, &fence.Logger{Slog: l.o.Logger, Fence: l.fence})
		if err == nil || l.Failed() == nil {
			t.Errorf("%s: %v, Failed %v", tc.name, err, l.Failed())
		}
		if err := l.Sync(context.Background()); !errors.Is(err, wal.ErrFailed) {
			t.Errorf("%s: Sync: %v", tc.name, err)
		}
		mustClose(t, l)
		mustClose(t, mustOpen(t, o))
	}
}

func mustSync(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestSyncContext(t *testing.T) {
	testkit.CheckLeaks(t)
	l := mustOpen(t, Options{Dir: "log", FS: vfs.NewMem()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// Either answer is right; not waiting is not.
	if err := l.Sync(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := l.Sync(context.Background()); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
}
