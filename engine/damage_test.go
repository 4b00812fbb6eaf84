package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"headgate/engine/datadir"
	"headgate/engine/testkit"
	"headgate/wal"
	"headgate/wal/pebblewal"
)

// TestOpenSaysWhatToDoAboutDamage: damage that is no bucket's alone makes Open fail, and the
// error says with which commands to go on.
func TestOpenSaysWhatToDoAboutDamage(t *testing.T) {
	testkit.CheckLeaks(t)
	whole := filepath.Join(t.TempDir(), "whole")
	t.Run("write", func(t *testing.T) {
		e := openTest(t, filepath.Join(t.TempDir(), "data"), nil).create("b", 0)
		for range 3 {
			if err := e.write("m f=1 1\nm s=\"needle\" 2"); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Compact(t.Context(), e.Operator()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := e.write("m s=\"needle\" 3"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.CopyFS(whole, os.DirFS(e.o.Dir)); err != nil { // as a crash leaves it
			t.Fatal(err)
		}
	})
	flip := func(at int, mark string) func(b []byte) []byte {
		return func(b []byte) []byte {
			if mark != "" {
				at = bytes.Index(b, []byte(mark))
			}
			b[at] ^= 1
			return b
		}
	}
	remove := func([]byte) []byte { return nil }
	half := func(b []byte) []byte { return b[:len(b)/2] }
	for _, tt := range []struct {
		name, file string
		change     func(b []byte) []byte
		want       string
	}{
		{"log", "shard-0001/log/*.log", flip(0, "needle"), "is damaged at offset"},
		{"log's manifest", "shard-0001/log/MANIFEST-*", flip(20, ""), "MANIFEST-000001 is damaged"},
		{"data store's log", "shard-0001/data/*.log", flip(20, ""), "is damaged at offset"},
		{"data store's manifest", "shard-0001/data/MANIFEST-*", flip(20, ""), "MANIFEST-000001 is damaged"},
		{"part", "shard-0001/data/*.sst", remove, "file does not exist"},
		{"half a part", "shard-0001/data/*.sst", half, "disk: store is corrupt"},
		{"no log", "shard-0001/log", nil, "shard-0001/log is missing"},
		{"no file of the log", "shard-0001/log/*.log", remove, "there is no log beside it"},
		{"no data store", "shard-0001/data", nil, "shard-0001/data is missing"},
		{"no log of the data store", "shard-0001/data/*.log", remove, "there is no log beside it"},
		{"no shard", "shard-0001", nil, "shard-0001/data is missing"},
		{"catalog", "catalog/journal", flip(20, ""), "corrupt journal"},
		{"no catalog", "catalog/journal", remove, "which the catalogue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			names, err := filepath.Glob(filepath.Join(dir, tt.file))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			var b []byte
			if tt.change != nil {
				if b, err = os.ReadFile(names[0]); err != nil {
					t.Fatal(err)
				}
				b = tt.change(b)
			}
			if b == nil {
				err = os.RemoveAll(names[0])
			} else {
				err = os.WriteFile(names[0], b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			e, err := Open(t.Context(), Options{Dir: dir, BallastBytes: -1})
			if err == nil {
				_ = e.Close()
				t.Fatal("it is opened")
			}
			for _, want := range []string{tt.want, "`headgate repair --data-dir " + dir + "`"} {
				if strings.Count(err.Error(), want) != 1 {
					t.Errorf("%v\ndoes not say %q once", err, want)
				}
			}
			if tt.name != "no catalog" && !strings.Contains(err.Error(), "`headgate check --data-dir "+dir+"`") {
				t.Errorf("%v\ndoes not name headgate check", err)
			}
			// The advice is good.
			if _, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}}); err != nil {
				t.Fatal(err)
			}
			if e, err = Open(t.Context(), Options{Dir: dir, BallastBytes: -1}); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	// What is no damage is not called so.
	for _, dir := range []string{filepath.Join(whole, "catalog", "journal"), filepath.Join(whole, "catalog", "journal", "x")} {
		if _, err := Open(t.Context(), Options{Dir: dir, BallastBytes: -1}); err == nil || strings.Contains(err.Error(), "headgate repair") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// TestDamagedBucketSaysWhatToDo: a bucket whose log is damaged is named in the log of the
// engine together with what to do.
func TestDamagedBucketSaysWhatToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var id BucketID
	t.Run("write", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		id = e.bucket.ID
		if err := e.write("m f=1 1"); err != nil {
			t.Fatal(err)
		}
	})
	log, err := pebblewal.Open(pebblewal.Options{Dir: filepath.Join(dir, "shard-0001", "log")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Append(uint64(id), 2, []byte("not a record"), new(ignore)), log.Sync(context.Background()), log.Close()); err != nil {
		t.Fatal(err)
	}
	t.Run("open", func(t *testing.T) {
		var lines bytes.Buffer
		e, err := Open(t.Context(), Options{Dir: dir, BallastBytes: -1, AuthDisabled: true, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if text := lines.String(); !strings.Contains(text, id.String()) || !strings.Contains(text, "headgate check --data-dir "+dir) {
			t.Errorf("%s", text)
		}
	})
}

// damagedStore makes a data directory whose points are in a part that cannot be read: its
// footer is damaged, or only a block.
func damagedStore(t *testing.T, footer bool) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	t.Run("write", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		if err := e.write("m f=1 1"); err != nil {
			t.Fatal(err)
		}
		if err := e.Compact(t.Context(), e.Operator()); err != nil {
			t.Fatal(err)
		}
	})
	names, err := filepath.Glob(filepath.Join(dir, "shard-0001", "data", "*.sst"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if footer {
		copy(b[len(b)-8:], "XXXXXXXX")
	} else {
		b[20] ^= 1
	}
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, "shard-0001/data/" + filepath.Base(names[0])
}

// TestDamagedStoreFile: a file of the data store that is damaged is named in the log once,
// by health and by each query that needs it, with what to do; and writes are taken.
func TestDamagedStoreFile(t *testing.T) {
	dir, file := damagedStore(t, true)
	var lines syncBuffer
	e := openTest(t, dir, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&lines, nil)) })
	e.find("b")
	const next = "stop the server; `headgate check` says what is lost with it, and `headgate repair` cuts it out"
	names := func(what, text string, wants ...string) {
		t.Helper()
		for _, want := range append(wants, next) {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s: %q does not say %q once", what, text, want)
			}
		}
		if strings.Contains(text, "\n") {
			t.Errorf("%s: %q has several lines", what, text)
		}
	}
	for range 2 {
		var errs []error
		err := e.Query(t.Context(), nil, Query{Text: "SELECT f FROM m", Database: "b"}, func(r Result) error {
			errs = append(errs, r.Err)
			return nil
		})
		if err != nil || len(errs) != 1 || errs[0] == nil {
			t.Fatal(err, errs)
		}
		names("InfluxQL", errs[0].Error(), "bucket "+e.bucket.ID.String()+", part 1, block 0", "backing file "+strings.TrimSuffix(filepath.Base(file), ".sst"))
		err = e.Flux(t.Context(), nil, e.bucket.OrgID, FluxQuery{Text: `from(bucket: "b") |> range(start: 0)`}, io.Discard)
		var own *Error
		if !errors.As(err, &own) || own.Kind != Internal {
			t.Fatalf("%v, want an internal error", err)
		}
		names("Flux", own.Message, "bucket "+e.bucket.ID.String()+", part 1, block 0")
	}
	if err := e.write("m f=2 2"); err != nil {
		t.Error(err)
	}
	h := e.Health(t.Context())
	if h.Status != statusPass || len(h.Checks) != 1 || h.Checks[0].Name != "damage" || h.Checks[0].Status != statusFail {
		t.Fatalf("%+v", h)
	}
	names("health", h.Message, "ready for queries and writes", file)
	names("check", h.Checks[0].Message, file)
	if n := e.Stats().Data.DamagedFiles; n != 1 {
		t.Errorf("%d damaged files", n)
	}
	text := lines.String()
	if strings.Count(text, "level=ERROR") != 1 || strings.Count(text, file) != 1 || !strings.Contains(text, "`headgate repair --data-dir "+dir+"`") {
		t.Errorf("%s", text)
	}
}

// TestBackupOfDamage: a backup that meets damage is none, and says so to whoever has it;
// from then on it is known, and none is begun.
func TestBackupOfDamage(t *testing.T) {
	dir, file := damagedStore(t, false)
	e := openTest(t, dir, nil)
	if found := e.data.Damaged(); len(found) > 0 {
		t.Fatalf("%v is known before it is read", found)
	}
	for i := range 2 {
		var archive bytes.Buffer
		_, err := e.Backup(t.Context(), nil, "test", &archive)
		var own *Error
		if !errors.As(err, &own) || own.Kind != Internal || strings.Count(own.Message, file) != 1 || strings.Count(own.Message, damageNext) != 1 {
			t.Errorf("backup %d: %v", i, err)
		}
		if i > 0 {
			if archive.Len() > 0 {
				t.Errorf("backup %d has %d bytes", i, archive.Len())
			}
			continue
		}
		_, err = datadir.Verify(t.Context(), &archive)
		if !errors.Is(err, datadir.ErrArchive) || strings.Count(err.Error(), file) != 1 || strings.Count(err.Error(), damageNext) != 1 {
			t.Errorf("what it has written: %v", err)
		}
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestLogIsMadeOnce: a log that is gone when it is opened again after a failure is damage, also
// where the engine made it itself.
func TestLogIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	open := logOpener(pebblewal.Options{Dir: dir})
	for range 2 {
		log, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if log, err := open(); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("a new log is made: %v", errors.Join(err, log.Close()))
	}
}
