package wal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
)

var (
	// ErrClosed is what every method of a closed log returns.
	ErrClosed = errors.New("wal: log closed")
	// ErrFailed is what every method of a failed log returns, wrapped together
	// with the cause.
	ErrFailed = errors.New("wal: log failed")
	// ErrCorrupt is wrapped by errors about damage to what is on disk. If the
	// damage is confined to a bucket the error is a CorruptError.
	ErrCorrupt = errors.New("wal: log corrupt")
	// ErrUnreadable is wrapped by an error of the disk that is no sign of damage: what
	// could not be read may be there the next time.
	ErrUnreadable = errors.New("wal: log cannot be read")
	// ErrRecordTooLarge is wrapped by Append's error for a record over the
	// backend's limit. The log is none the worse for it.
	ErrRecordTooLarge = errors.New("wal: record too large")
)

// BucketMax is the highest bucket number that a log takes.
const BucketMax = math.MaxUint64 - 1

// CorruptError says that a bucket's records cannot be read from Seq on. It is
// ErrCorrupt to errors.Is.
type CorruptError struct {
	Bucket uint64
	// Seq is the first record that is damaged or missing. Those before it are good.
	Seq uint64
	// Reason says what was found, for an operator.
	Reason string
	// Err is the backend's error, if it had one.
	Err error
}

// Error implements error.
func (e *CorruptError) Error() string {
	s := fmt.Sprintf("wal: log corrupt: bucket %d, record %d: %s", e.Bucket, e.Seq, e.Reason)
	if e.Bucket == 0 && e.Seq == 0 { // met on the way to the first one
		s = "wal: log corrupt: " + e.Reason
	}
	if e.Err != nil {
		line, _, _ := strings.Cut(e.Err.Error(), "\n") // a backend may add details, on lines of their own
		s += ": " + line
	}
	return s
}

// Unwrap makes the error ErrCorrupt and what the backend said.
func (e *CorruptError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCorrupt}
	}
	return []error{ErrCorrupt, e.Err}
}

// Notifier hears about a bucket's records. Its dynamic type must be comparable;
// use a pointer.
type Notifier interface {
	// Committed says that every record which was appended with this notifier and
	// has a sequence number up to upto is answered: durable if err is nil. If not,
	// the log has failed (err is ErrFailed) and those of them that no earlier call
	// has answered are indeterminate: a reopened log has a prefix of them, which
	// may be empty. Every appended record is answered by exactly one call, and
	// the calls of a notifier come in the order of upto, one at a time, from a
	// goroutine of the log. Committed must not block and must not call the log.
	Committed(upto uint64, err error)
}

// Log is one log. Its methods may be called from any goroutine.
type Log interface {
	// Append queues a record and returns without waiting for the disk; n hears
	// when it is durable. Sequence numbers of a bucket are contiguous: after the
	// first, each is the one before plus one. The log owns record until n has
	// heard of it; the caller may then use it again if the error was nil, and
	// must leave it to the collector otherwise. Unless Append returns nil nothing
	// has been queued and n hears nothing. The queue has no limit of its own:
	// whoever admits writes bounds what is in flight. Errors: ErrClosed,
	// ErrFailed, ErrRecordTooLarge, and others for a bucket or sequence number
	// that breaks the rules above.
	Append(bucket, seq uint64, record []byte, n Notifier) error

	// Replay calls fn with the bucket's records with a sequence number above
	// after, in order. It first waits until everything queued before is durable,
	// so that fn never sees what a crash could take back; nobody may append to
	// the bucket meanwhile. record is valid during fn only. fn may not call the
	// log. Replay stops at the first error of fn and returns it as it is; a
	// damaged or missing record is a CorruptError, and ErrUnreadable may pass.
	Replay(ctx context.Context, bucket, after uint64, fn func(seq uint64, record []byte) error) error

	// Buckets returns the buckets that have records, in order.
	Buckets(ctx context.Context) ([]uint64, error)

	// Truncate removes the bucket's records up to and including upto, after
	// everything queued before. It is durable on return.
	Truncate(bucket, upto uint64) error

	// Drop removes all records of a bucket, after everything queued before. It is
	// durable on return; the bucket may then start again with any sequence number.
	Drop(bucket uint64) error

	// Sync waits until everything queued before is durable, and proves that the
	// disk takes writes: it always writes something and syncs it. When ctx ends
	// first it returns its error.
	Sync(ctx context.Context) error

	// Stats describes the log now.
	Stats() Stats

	// Failed returns nil while the log is healthy, then ErrFailed with its cause,
	// for good.
	Failed() error

	// Close answers everything queued, with success if the disk allows it, waits
	// for running calls, and closes the log. It waits for its notifiers, never for
	// ever for a disk that has failed. When it returns nil the directory can be
	// opened again. Closing twice is harmless.
	Close() error
}
