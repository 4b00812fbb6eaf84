package actors

import (
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

// appendBatch: request goroutine -> bucketActor. The actor owns batch from Send
// on, and the log owns record until it is committed; the sender keeps only
// call, and only to wait. pendings are the definitions that record carries.
// Reply: call.complete with nil once the batch is durable and visible.
type appendBatch struct {
	batch    *point.Batch
	record   []byte
	pendings []*store.Pending
	call     *call
}

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
// ErrDropped, and close done when nothing is in flight any more.
type drain struct{ done chan struct{} }

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
