package actors

import (
	"errors"
	"fmt"
	"time"

	"headgate/engine/point"
)

var (
	// ErrStale means that the bucket's state has changed since the batch was
	// resolved: resolve it again. Nothing was written.
	ErrStale = errors.New("actors: batch was resolved against another epoch of the schema")
	// ErrDropped means that the bucket has been deleted. Nothing was written.
	ErrDropped = errors.New("actors: bucket has been deleted")
	// ErrClosing means that the shard is shutting down. Nothing was written.
	ErrClosing = errors.New("actors: shutting down")
	// ErrPanicked means that the bucket actor failed on this very message.
	ErrPanicked = errors.New("actors: bucket actor panicked")
	// ErrIndeterminate means that the batch was handed to the log and nobody
	// knows yet whether it will be durable.
	ErrIndeterminate = errors.New("actors: outcome of the write is unknown")
)

// Reason says why a write was refused.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	Admitted Reason = iota
	Closing
	Recovering
	Failed
	Quarantined
	DiskFull
	MemoryFull
	QueueFull
)

var reasonNames = [...]string{Admitted: "admitted", Closing: "closing", Recovering: "recovering", Failed: "failed", Quarantined: "quarantined", DiskFull: "disk_full", MemoryFull: "memory_full", QueueFull: "queue_full"}

func (r Reason) String() string { return reasonNames[r] }

// OverloadedError is a refusal by the gate. Nothing was written.
type OverloadedError struct {
	Reason Reason
	// RetryAfter is how long the queue takes to drain at the measured rate.
	RetryAfter time.Duration
}

func (e *OverloadedError) Error() string {
	return fmt.Sprintf("actors: refused, %s, retry after %s", e.Reason, e.RetryAfter)
}

// UnavailableError says why a bucket takes no writes. Nothing was written.
type UnavailableError struct {
	Bucket point.BucketID
	Reason Reason // Recovering, Failed or Quarantined
	Err    error
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("actors: bucket %s is %s", e.Bucket, e.Reason)
	}
	return fmt.Sprintf("actors: bucket %s is %s: %v", e.Bucket, e.Reason, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }
