package disk

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func TestBallast(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.Default, vfs.NewMem()} {
		dir := t.TempDir()
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		path := fs.PathJoin(dir, "ballast")
		b := OpenBallast(fs, path)
		if b.Held() != 0 || b.Drop() != nil {
			t.Fatal("there is ballast before any was made")
		}
		const n = 3<<20 + 17
		if err := b.Fill(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if again := OpenBallast(fs, path); b.Held() != n || again.Held() != n {
			t.Fatalf("%d held, and %d when looked at again; want %d", b.Held(), again.Held(), n)
		}
		if err := b.Drop(); err != nil || b.Held() != 0 || OpenBallast(fs, path).Held() != 0 {
			t.Fatalf("%v; %d held after it was dropped", err, b.Held())
		}
	}
}

// TestBallastOfHoles: a file that takes nothing from the disk is no ballast.
func TestBallastOfHoles(t *testing.T) {
	path := t.TempDir() + "/ballast"
	f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Ftruncate(int(f.Fd()), 1<<20); err != nil {
		t.Skip(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if held := OpenBallast(nil, path).Held(); held >= 1<<20 {
		t.Errorf("%d held", held)
	}
}

// TestBallastFails: on a full disk nothing is left behind.
func TestBallastFails(t *testing.T) {
	mem := vfs.NewMem()
	writes := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			if writes++; writes > 2 {
				return syscall.ENOSPC
			}
		}
		return nil
	}))
	b := OpenBallast(fs, "ballast")
	if err := b.Fill(t.Context(), 4*ballastChunk); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want ENOSPC", err)
	}
	if _, err := mem.Stat("ballast"); err == nil || b.Held() != 0 {
		t.Error("half a ballast is left")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Fill(ctx, ballastChunk); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
}
