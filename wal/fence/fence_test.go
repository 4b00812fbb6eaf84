package fence

import (
	"io"
	"log/slog"
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Errors inside the directory fail the fence and are hidden; those outside are
// passed through.
func TestFenceEndsAtTheDirectory(t *testing.T) {
	failing := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	for _, tc := range []struct {
		dir, name string
		inside    bool
	}{
		{"data", "data/000001.log", true},
		{"data", "data", true},
		{"data", "data/a/b", true},
		{"data", "database", false},
		{"data", "backup/data", false},
		{"./a//data", "a/data/x", true},
		{"/", "/x", true},
		{".", "x", true},
	} {
		mem := vfs.NewMem()
		var failure error
		f := New(errorfs.Wrap(mem, failing), tc.dir, func(err error) { failure = err })
		if got := f.inside(tc.name); got != tc.inside {
			t.Errorf("%q in %q: %t", tc.name, tc.dir, got)
			continue
		}
		for name, op := range map[string]func() error{
			"mkdir":  func() error { return f.MkdirAll(tc.name, 0o755) },
			"link":   func() error { return f.Link("elsewhere", tc.name) },
			"rename": func() error { return f.Rename("elsewhere", tc.name) },
			"create": func() error {
				file, err := f.Create(tc.name, vfs.WriteCategoryUnspecified)
				if err == nil {
					_, err = file.Write([]byte("x"))
				}
				return err
			},
		} {
			if err := op(); (err == nil) != tc.inside {
				t.Errorf("%s of %q in %q: %v", name, tc.name, tc.dir, err)
			}
		}
		if (failure != nil) != tc.inside || (f.Failed() != nil) != tc.inside {
			t.Errorf("%q in %q: failed with %v, %v", tc.name, tc.dir, failure, f.Failed())
		}
		f.Drain()
	}
}

// A failed fence reads, pretends to write, and keeps the lock until Unlock.
func TestFailedFence(t *testing.T) {
	mem := vfs.NewMem()
	calls := 0
	f := New(mem, "data", func(error) { calls++ })
	if err := f.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lock("data/LOCK"); err != nil {
		t.Fatal(err)
	}
	f.Fail(os.ErrInvalid)
	f.Fail(io.EOF)
	if f.Failed() != os.ErrInvalid || calls != 1 {
		t.Errorf("failed with %v, told %d times", f.Failed(), calls)
	}
	file, err := f.Create("data/x", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := file.Write([]byte("abc")); n != 3 || err != nil {
		t.Error(n, err)
	}
	if err := file.Sync(); err != nil {
		t.Error(err)
	}
	if _, err := file.Read(make([]byte, 1)); err == nil {
		t.Error("read from what was not written")
	}
	if _, err := mem.Stat("data/x"); err == nil {
		t.Error("a failed fence has written")
	}
	f.Drain()
	if _, err := mem.Lock("data/LOCK"); err == nil {
		t.Error("the lock is gone before Unlock")
	}
	if err := f.Unlock(); err != nil {
		t.Error(err)
	}
	if err := f.Unlock(); err != nil {
		t.Error(err)
	}
	if l, err := mem.Lock("data/LOCK"); err != nil {
		t.Error(err)
	} else if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestProtect(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	f := New(vfs.NewMem(), "data", func(error) {})
	if err := f.Protect(log, func() error { return io.EOF }); err != io.EOF || f.Failed() != nil {
		t.Error(err, f.Failed())
	}
	l := &Logger{Slog: log, Fence: f}
	if err := f.Protect(log, func() error { l.Fatalf("no way %s", "on"); return nil }); err == nil || f.Failed() == nil {
		t.Error(err, f.Failed())
	}
	f = New(vfs.NewMem(), "data", func(error) {})
	if err := f.Protect(log, func() error { panic("oh") }); err == nil || f.Failed() == nil {
		t.Error(err, f.Failed())
	}
}
