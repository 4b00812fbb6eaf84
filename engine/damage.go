package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"

	"github.com/dustin/go-humanize/english"

	"headgate/engine/catalog"
	"headgate/engine/datadir"
	"headgate/engine/record"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
)

// Damage is found in three ways: files that are read by whoever opens the directory make
// Open fail; what a bucket needs to go on takes that bucket out of service; and what is
// read for a query, or looked at after Open, makes queries fail and nothing else. Either
// way a person has to decide what becomes of it, with the tools of package datadir.

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

// damageNext is damageAdvice for clients, who are not told where the directory is.
const damageNext = datadir.DamageNext

// damageError is the error of a request that has met damage: one line, which says what is
// damaged and what to do.
func damageError(err error) *Error {
	what, _, _ := strings.Cut(err.Error(), "\n")
	return &Error{Kind: Internal, Message: what + "; " + damageNext, Err: err}
}

// foundDamage is told of each file of the data store that turns out to be damaged.
func (o *Options) foundDamage(d *disk.DamageError) {
	o.Logger.Error("store file is damaged", slog.String("file", storeFile(d)), slog.String("error", d.Error()),
		slog.String("next", "stop the server; "+damageAdvice(o.Dir)))
}

// storeFile is what a file of the data store is called in the data directory.
func storeFile(d *disk.DamageError) string { return path.Join("shard-0001", "data", d.File) }

// damagedFilesShown is how many files a text names.
const damagedFilesShown = 3

// damagedFiles says which files of the data store are damaged, "" for none.
func (e *Engine) damagedFiles() string {
	found := e.data.Damaged()
	if len(found) == 0 {
		return ""
	}
	var names []string
	for _, d := range found[:min(len(found), damagedFilesShown)] {
		names = append(names, storeFile(d))
	}
	if more := len(found) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%s of the data store %s damaged, and queries of what is in there fail: %s; %s", count(int64(len(found)), "file"),
		english.PluralWord(len(found), "is", "are"), strings.Join(names, ", "), damageNext)
}
