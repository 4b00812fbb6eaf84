package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configures a store.
type Options struct {
	// Dir is the store's directory, created if it is missing. Nothing else may live
	// in it. Required.
	Dir string
	// FS is the file system. Default the disk.
	FS vfs.FS
	// MustExist refuses a directory that has no store or not all of it, for a caller who
	// knows that there has been one. Default: a store is made where there is none.
	MustExist bool
	// ReadOnly opens a store that nobody has open, for tools. Nothing in Dir is
	// changed, and what an unclean end has left behind stays.
	ReadOnly bool
	// CacheBytes is the size of the cache of blocks as they are on disk. Default
	// 32 MiB; from 1 MiB. Small caches cost reads of sstable indexes.
	CacheBytes int64
	// MemTableBytes is the size of Pebble's memtable, which gets directories and
	// definitions but no blocks. Default 4 MiB; from 256 KiB to 1 GiB.
	MemTableBytes int
	// OpenFilesMax is how many sstables are open at once. A part is an sstable.
	// Default 500; from 50. Under it, each read of a block opens a file.
	OpenFilesMax int
	// SlackMax is the share of a part that may be trimmed blocks before the rest is
	// written anew to give back their space. Default 0.125; from 0.01 to 1, which
	// waits until the part is removed.
	SlackMax float64
	// CloseTimeout is how long Close waits for operations that are stuck in the
	// disk when the store has failed. Default 10 s.
	CloseTimeout time.Duration
	// OnFailure is called when the store fails, from any goroutine; it must not
	// block and must not call the store. Default: nothing.
	OnFailure func(error)
	// OnDamage is called once for each of the store's files that is found to be damaged,
	// from any goroutine; it must not block and must not call the store. Default: logs it.
	OnDamage func(*DamageError)
	// Logger gets what an operator should know, and Pebble's own lines at level
	// Debug. Default: discards.
	Logger *slog.Logger
}

// EnsureDefaults fills in the zero fields.
func (o *Options) EnsureDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 4 << 20
	}
	if o.OpenFilesMax == 0 {
		o.OpenFilesMax = 500
	}
	if o.SlackMax == 0 {
		o.SlackMax = 0.125
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 10 * time.Second
	}
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnDamage == nil {
		log, dir := o.Logger, o.Dir
		o.OnDamage = func(d *DamageError) {
			log.Error("store file is damaged", slog.String("dir", dir), slog.Any("error", d))
		}
	}
}

// Validate refuses what cannot work. It expects EnsureDefaults to have run.
func (o *Options) Validate() error {
	switch {
	case o.Dir == "":
		return errors.New("disk: Options.Dir is empty")
	case o.CacheBytes < 1<<20:
		return fmt.Errorf("disk: Options.CacheBytes is %d, want 1 MiB or more", o.CacheBytes)
	case o.MemTableBytes < 256<<10 || o.MemTableBytes > 1<<30:
		return fmt.Errorf("disk: Options.MemTableBytes is %d, want 256 KiB to 1 GiB", o.MemTableBytes)
	case o.OpenFilesMax < 50:
		return fmt.Errorf("disk: Options.OpenFilesMax is %d, want 50 or more", o.OpenFilesMax)
	case o.SlackMax < 0.01 || o.SlackMax > 1:
		return fmt.Errorf("disk: Options.SlackMax is %g, want 0.01 to 1", o.SlackMax)
	case o.CloseTimeout < 0:
		return fmt.Errorf("disk: Options.CloseTimeout is %s, want more than 0", o.CloseTimeout)
	}
	return nil
}
