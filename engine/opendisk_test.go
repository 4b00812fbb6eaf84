package engine

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/datadir"
	"headgate/engine/store/disk"
	"headgate/wal/pebblewal"
)

// TestOpenOnAFullDisk: a directory that cannot be opened for want of space is given its
// ballast's; when that is not enough, one error says what to do.
func TestOpenOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	var lines strings.Builder
	enough := true // the ballast's room
	options := Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&lines, nil)), BallastBytes: -1,
		files: func(log *pebblewal.Options, data *disk.Options) {
			data.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind != errorfs.OpCreate {
					return nil
				}
				if _, err := os.Stat(datadir.Ballast(dir)); err == nil || !enough {
					return syscall.ENOSPC
				}
				return nil
			}))
		}}
	for _, enough = range []bool{true, false} {
		lines.Reset()
		if err := os.WriteFile(datadir.Ballast(dir), make([]byte, 1<<16), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := Open(t.Context(), options)
		if enough {
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(datadir.Ballast(dir)); err == nil {
			t.Errorf("enough=%t: the ballast is still there", enough)
		}
		if s := lines.String(); !strings.Contains(s, "its ballast has been given up") || strings.Contains(s, "corrupt") {
			t.Errorf("enough=%t: the log says\n%s", enough, s)
		}
	}
}
