package disk

import (
	"errors"
	"fmt"
	"strings"

	"headgate/engine/point"
	"headgate/wal/fence"
)

var (
	// ErrClosed is returned by everything once Close has begun.
	ErrClosed = errors.New("disk: store closed")
	// ErrFailed is in every error that a failure of the store causes. Blocks can
	// still be read; Reopen ends the failure.
	ErrFailed = errors.New("disk: store failed")
	// ErrCorrupt is in every error that tells of damage. As tells more: it is a
	// *CorruptError if the damage is confined to a bucket.
	ErrCorrupt = errors.New("disk: store is corrupt")
	// ErrDropped is returned by a bucket that DropBucket has removed.
	ErrDropped = errors.New("disk: bucket dropped")
	// ErrReadOnly is returned by what would change a store opened with
	// Options.ReadOnly.
	ErrReadOnly = errors.New("disk: store is open for reading only")
)

// DamageError is damage to one of the files that a store is in, this one or the log.
type DamageError = fence.DamageError

// CorruptError names what is damaged.
type CorruptError struct {
	Bucket point.BucketID
	// Part is the part, 0 if the damage is in what belongs to the whole bucket.
	Part uint64
	// Block is the number of the block. Only if InBlock.
	Block   uint32
	InBlock bool
	Reason  string
	Err     error // may be nil
}

func (e *CorruptError) Error() string {
	s := fmt.Sprintf("%v: bucket %016x", ErrCorrupt, uint64(e.Bucket))
	if e.Part != 0 {
		s += fmt.Sprintf(", part %d", e.Part)
	}
	if e.InBlock {
		s += fmt.Sprintf(", block %d", e.Block)
	}
	s += ": " + e.Reason
	if e.Err != nil {
		line, _, _ := strings.Cut(e.Err.Error(), "\n") // Pebble's may have details on others
		s += ": " + line
	}
	return s
}

// Unwrap makes errors.Is find ErrCorrupt and the cause.
func (e *CorruptError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCorrupt}
	}
	return []error{ErrCorrupt, e.Err}
}
