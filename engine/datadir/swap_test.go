package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A repair that is interrupted between any two of its steps is ended by the next.
func TestInterruptedSwap(t *testing.T) {
	s := swaps{Kept: "repaired-x", Replace: []string{catalogDir, logDir, dataDir}}
	put := func(dir, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Two renames for each directory.
	for done := range 2*len(s.Replace) + 1 {
		dir := t.TempDir()
		for _, name := range s.Replace {
			put(filepath.Join(dir, name), "old")
			put(filepath.Join(dir, s.Kept, newDir, name), "new")
		}
		if err := s.begin(dir); err != nil {
			t.Fatal(err)
		}
		for i := range done {
			name := s.Replace[i/2]
			from, to := filepath.Join(dir, name), filepath.Join(dir, s.Kept, name)
			if i%2 == 1 {
				from, to = filepath.Join(dir, s.Kept, newDir, name), filepath.Join(dir, name)
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		if err := Unfinished(dir); !errors.Is(err, ErrUnfinished) {
			t.Fatalf("after %d renames: %v", done, err)
		}
		if resumed, err := resume(dir); err != nil || !resumed {
			t.Fatalf("after %d renames: %v", done, err)
		}
		for _, name := range s.Replace {
			b, err := os.ReadFile(filepath.Join(dir, name, "f"))
			old, oerr := os.ReadFile(filepath.Join(dir, s.Kept, name, "f"))
			if err != nil || oerr != nil || string(b) != "new" || string(old) != "old" {
				t.Errorf("after %d renames: %s is %q (%v), kept %q (%v)", done, name, b, err, old, oerr)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, s.Kept, newDir)); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		if resumed, err := resume(dir); err != nil || resumed || Unfinished(dir) != nil {
			t.Errorf("again: %v %v", resumed, err)
		}
	}
	dir := t.TempDir()
	for _, bad := range []string{"", "restore\n", `{"kept":"../x"}`, `{"kept":""}`} {
		if err := os.WriteFile(filepath.Join(dir, unfinishedFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := resume(dir); !errors.Is(err, ErrUnfinished) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, unfinishedFile), []byte(`{"kept":"repaired-x","replace":["../../x"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := resume(dir); err == nil {
		t.Error("a directory outside is replaced")
	}
}
