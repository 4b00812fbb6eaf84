package engine

import (
	"errors"
	"fmt"
	"io/fs"

	"headgate/engine/catalog"
	"headgate/engine/record"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
)

// Damage is found in two ways: files that are read by whoever opens the directory make
// Open fail; what only a bucket reads takes that bucket out of service. Either way a
// person has to decide what becomes of it, with the tools of package datadir.

// isDamage reports whether an error of opening a directory that is there, or of a
// bucket, is of what is on disk, so that trying again does not help.
func isDamage(err error) bool {
	for _, damage := range []error{wal.ErrCorrupt, disk.ErrCorrupt, catalog.ErrCorrupt, record.ErrCorrupt, store.ErrInconsistent} {
		if errors.Is(err, damage) {
			return true
		}
	}
	// A file that a store knows of and that is gone.
	return errors.Is(err, fs.ErrNotExist)
}

// damageAdvice says how to go on with a data directory that is damaged.
func damageAdvice(dir string) string {
	return fmt.Sprintf("`headgate check --data-dir %s` says what is lost with it, and `headgate repair --data-dir %[1]s` cuts it out", dir)
}
