package engine

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize/english"
)

// EventListener is told what happens inside an Engine. Nil functions are
// skipped. Functions are called from many goroutines, on the write path among
// others: they must be quick and must not call back into the Engine.
type EventListener struct {
	// WriteDone is called once for each write that passed the gate.
	WriteDone func(WriteInfo)
	// WriteRefused is called once for each write that the gate turned away.
	WriteRefused func(RefuseInfo)
	// BucketOpened is called when a bucket has been recovered from its log.
	BucketOpened func(BucketOpenInfo)
	// BucketFailed is called when a bucket stops taking writes.
	BucketFailed func(BucketFailInfo)
	// RecoveryProgress is called now and then while the log is replayed, and once
	// when it is done.
	RecoveryProgress func(RecoveryInfo)
}

// EnsureDefaults makes every function non-nil.
func (l *EventListener) EnsureDefaults() {
	if l.WriteDone == nil {
		l.WriteDone = func(WriteInfo) {}
	}
	if l.WriteRefused == nil {
		l.WriteRefused = func(RefuseInfo) {}
	}
	if l.BucketOpened == nil {
		l.BucketOpened = func(BucketOpenInfo) {}
	}
	if l.BucketFailed == nil {
		l.BucketFailed = func(BucketFailInfo) {}
	}
	if l.RecoveryProgress == nil {
		l.RecoveryProgress = func(RecoveryInfo) {}
	}
}

// WriteInfo describes a write that has been answered.
type WriteInfo struct {
	Bucket BucketID
	// BodyBytes is the length of the line protocol, decompressed.
	BodyBytes int
	// DryRun is set for what was not meant to be written; then Points, Values and
	// Dropped are what would have become of it.
	DryRun bool
	// Points and Values were written; Dropped points by reason (PointError.Code).
	Points, Values int
	Dropped        map[string]int
	// Wait, Body, Parse, Queue and Sync are where the time went: waiting at the gate;
	// receiving and inflating the body; parsing and resolving; waiting for the bucket
	// actor; from the actor until durable and visible.
	Wait, Body, Parse, Queue, Sync time.Duration
	// Err is nil when everything was written.
	Err error
}

// RefuseInfo describes a write that the gate refused.
type RefuseInfo struct {
	Bucket BucketID
	// Reason is queue_full, memory_full, disk_full, recovering, failed, quarantined or closing.
	Reason     string
	RetryAfter time.Duration
}

// BucketOpenInfo describes a recovered bucket.
type BucketOpenInfo struct {
	Bucket  BucketID
	Records int
	Points  int64
	Series  int
	Took    time.Duration
}

func (i BucketOpenInfo) String() string {
	return fmt.Sprintf("bucket %s: %s of %d series from %s in %s", i.Bucket, count(i.Points, "point"), i.Series, count(int64(i.Records), "record"), i.Took.Round(time.Microsecond))
}

// BucketFailInfo describes a bucket that refuses writes.
type BucketFailInfo struct {
	Bucket BucketID
	// Quarantined is true when only an operator can bring the bucket back.
	Quarantined bool
	Err         error
}

// RecoveryInfo describes how far recovery has come.
type RecoveryInfo struct {
	BucketsDone, Buckets int
	Records              int64
	Points               int64
	Took                 time.Duration
	Done                 bool
}

func (i RecoveryInfo) String() string {
	return fmt.Sprintf("recovering: %d of %s, %s, %s", i.BucketsDone, count(int64(i.Buckets), "bucket"), count(i.Records, "record"), count(i.Points, "point"))
}

// count is a number of things, with their name in the singular or the plural.
func count(n int64, noun string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(n), noun, ""))
}
