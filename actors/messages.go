package actors

import (
	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/wal"
)

// define: request goroutine -> bucketActor. It asks for ids of everything in
// batch that has none. The actor borrows batch until it replies, and writes the
// ids into it. Reply: call.complete with nil, ErrStale, store.ErrConflict,
// store.ErrSeriesLimit or an UnavailableError.
type define struct {
	batch *point.Batch
	call  *call
}

// appendBatch: request goroutine -> bucketActor. The actor owns batch, and packed,
// the large tables that have been taken out of it, from Send on, and the log owns
// record until it is committed; the sender keeps only call, and only to wait. pendings are the definitions that record carries.
// Reply: call.complete with nil once the batch is durable and visible.
type appendBatch struct {
	batch    *point.Batch
	packed   *store.Packed
	record   []byte
	pendings []*store.Pending
	call     *call
}

// Delete says which points to delete: those of Series with a time in [Min, Max],
// nanoseconds, both inclusive. The ids have been looked up under Epoch. Whoever
// makes it may read it afterwards, not change it.
type Delete struct {
	Series   *roaring.Bitmap
	Min, Max int64
	Epoch    uint64
}

// deletePoints: request goroutine -> bucketActor. Reply: call.complete with nil
// once no view shows the points any more and no crash can bring them back.
type deletePoints struct {
	delete *Delete
	call   *call
}

// freeze: keeper -> bucketActor. Put the memtable in line for a flush. Reply: the
// store to flush is sent to done, which has room for it, nil if there is none.
type freeze struct{ done chan *store.Bucket }

// kept: keeper -> bucketActor. The keeper has changed what store has on disk:
// deletes, by sequence number, have been applied, or other points have gone. No
// reply.
type kept struct {
	store   *store.Bucket
	deletes []uint64
	// logged is how many bytes of the log have been flushed with it.
	logged int64
	// sweep asks to look for series without points.
	sweep bool
}

// broken: keeper -> bucketActor. What store has on disk is damaged: take no writes any
// more. No reply.
type broken struct {
	store *store.Bucket
	err   error
}

// jobPanicked: keeper -> bucketActor. A job of store has panicked; the actor does
// likewise. No reply.
type jobPanicked struct {
	store  *store.Bucket
	reason string
}

// A message may find the actor stopped, because the bucket was dropped. Whoever waits
// for an answer notices, and protoactor need not tell.
func (*define) IgnoreDeadLetterLogging()       {}
func (*appendBatch) IgnoreDeadLetterLogging()  {}
func (*deletePoints) IgnoreDeadLetterLogging() {}
func (*committed) IgnoreDeadLetterLogging()    {}
func (*freeze) IgnoreDeadLetterLogging()       {}
func (*kept) IgnoreDeadLetterLogging()         {}
func (*broken) IgnoreDeadLetterLogging()       {}
func (*jobPanicked) IgnoreDeadLetterLogging()  {}
func (*rebuild) IgnoreDeadLetterLogging()      {}
func (*drain) IgnoreDeadLetterLogging()        {}
func (*ping) IgnoreDeadLetterLogging()         {}

// committed: log -> bucketActor. Every record up to and including seq is
// durable, or, with err, the log has failed and all that was in flight is
// indeterminate. No reply.
type committed struct {
	log  wal.Log
	upto uint64
	err  error
}

// rebuild: supervisor -> bucketActor. The log has been opened again: forget the
// state and replay. No reply.
type rebuild struct{ log wal.Log }

// drain: Shard.DropBucket -> bucketActor. Answer everything from now on with
// ErrDropped. Reply: Bucket.drained is closed when nothing is in flight any more. It
// may come again.
type drain struct{}

// ping: Shard.Ping -> bucketActor, supervisor. Reply: who is sent to done, which has
// room for it.
type ping struct {
	who  string
	done chan string
}

// logFailed: bucketActor or Shard.Probe -> supervisor. The log cannot be written; open it
// again and tell every bucket. Repeated news of one log are ignored.
type logFailed struct {
	log wal.Log
	err error
}

// logReopened: the supervisor's reopening goroutine -> supervisor.
type logReopened struct{ log wal.Log }

// spawnBucket: Shard.OpenBucket -> supervisor. Make the bucket's actor a child
// of the supervisor. Reply: b.pid is set, then spawned is closed.
type spawnBucket struct {
	b       *Bucket
	spawned chan struct{}
}
