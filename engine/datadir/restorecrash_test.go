package datadir_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"headgate/engine"
	"headgate/engine/datadir"
)

// crashReader calls fn before it hands out each few bytes.
type crashReader struct {
	r  io.Reader
	fn func()
}

func (c crashReader) Read(p []byte) (int, error) {
	c.fn()
	return c.r.Read(p[:min(len(p), 512)])
}

// What a restore has made when it is killed while it reads the archive, no engine opens.
func TestRestoreKilled(t *testing.T) {
	s := openSite(t, filepath.Join(t.TempDir(), "data"))
	s.write("b", fmt.Sprintf("m v=1 %d", start))
	s.close()
	var archive bytes.Buffer
	if _, err := datadir.Backup(t.Context(), datadir.Options{Dir: s.dir}, "test", &archive); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	moments := 0
	killed := crashReader{&archive, func() {
		moments++
		if e, err := engine.Open(t.Context(), engine.Options{Dir: dir, AuthDisabled: true}); !errors.Is(err, datadir.ErrUnfinished) {
			t.Errorf("read %d: a half restored directory is opened: %v", moments, err)
			if err == nil {
				_ = e.Close()
			}
		}
	}}
	if _, err := datadir.Restore(t.Context(), datadir.Options{Dir: dir}, killed); err != nil {
		t.Fatal(err)
	}
	if moments < 3 {
		t.Errorf("only %d moments", moments)
	}
	if err := datadir.Unfinished(dir); err != nil {
		t.Error(err)
	}
	t.Logf("%d moments", moments)
}
