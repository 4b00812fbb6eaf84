package block

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what every error of a decoder is, as errors.Is sees it.
var ErrCorrupt = errors.New("block: corrupt")

// CorruptError says where a block stops making sense.
type CorruptError struct {
	// Section is the part of the block: "header", "series", "times",
	// "presence 1", "column 3 (field 7)".
	Section string
	// Offset is the byte of the block at which, or shortly before or after which,
	// reading failed.
	Offset int
	// Reason is what was wrong there.
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("block: corrupt %s at byte %d: %s", e.Section, e.Offset, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// ErrRows is what Encode returns, wrapped, for rows that break the rules of
// [Rows].
var ErrRows = errors.New("block: bad rows")
