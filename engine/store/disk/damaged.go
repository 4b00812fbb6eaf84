package disk

import (
	"errors"
	iofs "io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"headgate/wal/fence"
)

// damaged is which of the store's files have been found to be damaged. Whoever reads
// one gets an error each time; here it is known once.
type damaged struct {
	mu    sync.Mutex
	files map[string]*DamageError // by name; guarded by mu
}

// Damaged returns what is known of damage to the store's files, in the order of their
// names: files that could not be read where that was tried, and the footers and indexes
// that are looked at after Open. A file that the store has no more use for is none.
func (s *Store) Damaged() []*DamageError {
	d := &s.damaged
	d.mu.Lock()
	defer d.mu.Unlock()
	files := make([]*DamageError, 0, len(d.files))
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		files = append(files, d.files[name])
	}
	return files
}

// foundDamage notes that a file is damaged, and tells if that is news. It takes none of
// the store's locks: Pebble calls it under its own.
func (s *Store) foundDamage(found *DamageError) {
	d := &s.damaged
	d.mu.Lock()
	known := d.files[found.File] != nil
	if !known {
		if d.files == nil {
			d.files = make(map[string]*DamageError)
		}
		d.files[found.File] = found
	}
	d.mu.Unlock()
	if !known {
		s.o.OnDamage(found)
	}
}

// removedFile notes that a file is gone, and damage to it with it.
func (s *Store) removedFile(path string) {
	d := &s.damaged
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, s.o.FS.PathBase(path))
}

// survey looks at the end of each sstable that is there, so that damage to it is known
// before a query needs it. Pebble would read as much for statistics, see pebbleOptions.
func (s *Store) survey() {
	defer close(s.surveyed)
	in, err := s.enter()
	if err != nil {
		return
	}
	names, err := in.tables()
	s.exit(in)
	if err != nil {
		s.o.Logger.Warn("sstables could not be looked at", slog.String("dir", s.o.Dir), fence.ErrorAttr(err))
		return
	}
	for _, name := range names {
		select {
		case <-s.stop:
			return
		default:
		}
		path := s.o.FS.PathJoin(s.o.Dir, name)
		found := (*DamageError)(nil)
		if !errors.As(fence.CheckTable(s.o.FS, path), &found) {
			continue // what cannot be read now is another's affair
		}
		s.foundIfThere(found)
	}
}

// foundIfThere is foundDamage of a file that Pebble may be removing.
func (s *Store) foundIfThere(found *DamageError) {
	s.foundDamage(found)
	if path := s.o.FS.PathJoin(s.o.Dir, found.File); !s.exists(path) {
		s.removedFile(path) // Pebble may have told before the damage was found
	}
}

func (s *Store) exists(path string) bool {
	_, err := s.o.FS.Stat(path)
	return !errors.Is(err, iofs.ErrNotExist)
}

// VerifyFile reads all of a file that Checkpoint has made and compares it with its
// checksums, if it is an sstable; others pass. Damage is a *DamageError, and the store's
// own, which the file is a link to.
func (s *Store) VerifyFile(path string) error {
	if !strings.HasSuffix(path, ".sst") {
		return nil
	}
	err := fence.VerifyTable(s.o.FS, path)
	if found := (*DamageError)(nil); errors.As(err, &found) {
		s.foundIfThere(found)
	}
	return err
}
