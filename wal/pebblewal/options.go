package pebblewal

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configures a log.
type Options struct {
	// Dir is the log's directory, created if it is missing. Nothing else may live
	// in it. Required.
	Dir string
	// FS is the file system. Default the disk.
	FS vfs.FS
	// MustExist refuses a directory that has no log or not all of it, for a caller who
	// knows that there has been one. Default: a log is made where there is none.
	MustExist bool
	// MemTableBytes is the size of Pebble's memtable. A record that is truncated
	// before this much has been written after it never reaches an sstable. Up to
	// four of them are held in memory when flushing is slow; the log's files take
	// about as much again on disk. Default 64 MiB; from 256 KiB to 1 GiB.
	MemTableBytes int
	// GroupBytesMax ends a group, so that latency stays bounded under load. A
	// record above it makes a group of its own. Default 4 MiB, at most an eighth
	// of MemTableBytes: Pebble would rotate its memtable for a larger one.
	GroupBytesMax int
	// RecordBytesMax is the largest record that Append takes. One above half of
	// MemTableBytes costs a rotation of the memtable and is held in memory until it
	// is flushed. Default 256 MiB; at most 3 GiB, since Pebble panics at 4 GiB.
	RecordBytesMax int
	// SyncIntervalMin makes a sync wait until this long after the one before:
	// fewer syncs, more latency. Default 0: records that arrive during a sync
	// share the next one, which is usually enough.
	SyncIntervalMin time.Duration
	// CloseTimeout is how long Close waits for operations that are stuck in the
	// disk when the log has failed. Default 10 s.
	CloseTimeout time.Duration
	// Logger gets what an operator should know, and Pebble's own lines at level
	// Debug. Default: discards.
	Logger *slog.Logger
}

// EnsureDefaults fills in the zero fields.
func (o *Options) EnsureDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.GroupBytesMax == 0 {
		o.GroupBytesMax = min(4<<20, o.MemTableBytes/8)
	}
	if o.RecordBytesMax == 0 {
		o.RecordBytesMax = 256 << 20
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate refuses what cannot work. It expects EnsureDefaults to have run.
func (o *Options) Validate() error {
	switch {
	case o.Dir == "":
		return errors.New("pebblewal: Options.Dir is empty")
	case o.MemTableBytes < 256<<10 || o.MemTableBytes > 1<<30:
		return fmt.Errorf("pebblewal: Options.MemTableBytes is %d, want 256 KiB to 1 GiB", o.MemTableBytes)
	case o.GroupBytesMax < 1 || o.GroupBytesMax > o.MemTableBytes/8:
		return fmt.Errorf("pebblewal: Options.GroupBytesMax is %d, want 1 to an eighth of Options.MemTableBytes %d", o.GroupBytesMax, o.MemTableBytes)
	case o.RecordBytesMax < 1 || o.RecordBytesMax > 3<<30:
		return fmt.Errorf("pebblewal: Options.RecordBytesMax is %d, want 1 to 3 GiB", o.RecordBytesMax)
	case o.SyncIntervalMin < 0:
		return fmt.Errorf("pebblewal: Options.SyncIntervalMin is %s, want 0 or more", o.SyncIntervalMin)
	case o.CloseTimeout < 0:
		return fmt.Errorf("pebblewal: Options.CloseTimeout is %s, want more than 0", o.CloseTimeout)
	}
	return nil
}
