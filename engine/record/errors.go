package record

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what every error of Decode is, as errors.Is sees it.
var ErrCorrupt = errors.New("record: corrupt")

// CorruptError says where a record stops making sense.
type CorruptError struct {
	// Offset is the byte at which, or shortly after which, reading failed.
	Offset int
	// Reason is what was wrong there.
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("record: corrupt at byte %d: %s", e.Offset, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
