package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A repair that replaces the catalog, the log or the data store builds the new one
// aside, and then moves the old one away and the new one into its place. The file
// unfinished says so in between, so that no server starts on half of it, and a
// repair that finds it ends what was begun.

// swaps is what the file unfinished holds during a repair.
type swaps struct {
	// Kept is the folder of the repair, inside the data directory.
	Kept string `json:"kept"`
	// Replace are directories, relative to the data directory. The new one of each is
	// in Kept/new and the old one goes to Kept.
	Replace []string `json:"replace"`
}

const newDir = "new"

// readSwaps reads the file; ok is false if it is none of a repair.
func readSwaps(b []byte) (s swaps, ok bool) {
	err := json.Unmarshal(b, &s)
	return s, err == nil && s.Kept != "" && filepath.IsLocal(s.Kept)
}

// begin writes the file.
func (s swaps) begin(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, unfinishedFile), append(b, '\n'))
}

// finish moves what has not been moved and removes the file.
func (s swaps) finish(dir string) error {
	for _, name := range s.Replace {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s in %s is not inside the data directory", name, unfinishedFile)
		}
		current, old, fresh := filepath.Join(dir, name), filepath.Join(dir, s.Kept, name), filepath.Join(dir, s.Kept, newDir, name)
		if _, err := os.Stat(fresh); errors.Is(err, os.ErrNotExist) {
			continue // it is in its place
		}
		if err := os.MkdirAll(filepath.Dir(old), 0o750); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(current), 0o750); err != nil {
			return err
		}
		if _, err := os.Stat(current); err == nil {
			if err := os.Rename(current, old); err != nil {
				return err
			}
		}
		if err := os.Rename(fresh, current); err != nil {
			return err
		}
		for _, d := range []string{filepath.Dir(current), filepath.Dir(old), filepath.Dir(fresh)} {
			if err := syncDir(d); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, s.Kept, newDir)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, unfinishedFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

// resume ends the repair that was interrupted in dir, if one was.
func resume(dir string) (done bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, unfinishedFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s, ok := readSwaps(b)
	if !ok {
		return false, Unfinished(dir)
	}
	return true, s.finish(dir)
}

// writeSynced writes a file that must not be torn, and its name.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
