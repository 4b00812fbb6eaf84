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
	"headgate/engine/testkit"
	"headgate/wal/pebblewal"
)

// TestOpenOnAFullDisk: a directory that cannot be opened for want of space is given its
// ballast's; when that is not enough, one error says what to do.
func TestOpenOnAFullDisk(t *testing.T) {
	testkit.CheckLeaks(t)
	for _, store := range []string{"log", "data"} {
		t.Run(store, func(t *testing.T) { testOpenOnAFullDisk(t, store) })
	}
}

func testOpenOnAFullDisk(t *testing.T, store string) {
	dir := t.TempDir()
	var lines strings.Builder
	enough := true // the ballast's room
	options := Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&lines, nil)), BallastBytes: -1,
		files: func(log *pebblewal.Options, data *disk.Options) {
			full := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind != errorfs.OpCreate {
					return nil
				}
				if _, err := os.Stat(datadir.Ballast(dir)); err == nil || !enough {
					return syscall.ENOSPC
				}
				return nil
			}))
			if store == "log" {
				log.FS = full
			} else {
				data.FS = full
			}
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
			if err := os.WriteFile(datadir.Ballast(dir), make([]byte, 1<<16), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), options); err == nil || errors.Is(err, syscall.ENOSPC) {
				t.Errorf("opening what is open: %v", err)
			}
			if err := os.Remove(datadir.Ballast(dir)); err != nil {
				t.Errorf("the ballast of a directory that another has open was given up: %v", err)
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
