// Package actors runs the serial half of the write path: a [Shard] with its
// supervisor, its admission [Gate] and its log, and one actor for each [Bucket].
//
// Nouns:
//
//   - The gate holds the shard's credit, in bytes and requests. A write takes
//     credit before its body is read and gives it back when it is answered, so
//     that no queue behind the gate needs a limit of its own.
//   - A bucket actor owns its bucket's schema decisions, sequence numbers,
//     memtable and place in the log. It is the only one that changes them.
//   - A call is one request goroutine's wait for one answer.
//   - An epoch is one incarnation of a bucket's ids. Those that were looked up
//     under one epoch mean nothing under another: it ends when the bucket is
//     rebuilt, and when series or measurements are freed.
//   - The keeper looks after what the buckets have on disk: it has memtables
//     frozen, flushes them, truncates the log, applies deletes, drops what has
//     expired and compacts. Its work is never in a bucket's mailbox.
//
// A write is at most two messages. [Bucket.Define] asks for ids of series,
// fields and measurements that are new; [Bucket.Append] hands over the batch and
// its record. Append takes the next sequence number and queues the record in
// the log without waiting. When the log says that it is synced, the actor links
// the batch into the memtable and completes the call, in this order, so that
// nobody reads what a crash can take back, and whoever has been answered reads
// what was written.
//
// A delete is one message, [Bucket.Delete], and a record of its own in the log.
// When it is durable the actor puts it in line behind everything linked before;
// the keeper applies it, and only then is the call completed. If nothing is left of
// a series or a measurement, the actor logs that its name is free and begins a new
// epoch.
//
// Invariants:
//
//   - Every call is completed exactly once, on every path: success, conflict,
//     panic, log failure, drop and shutdown.
//   - Receive never blocks, except for recovery on Started, before the bucket
//     takes writes.
//   - A bucket that is down answers every message with the reason. Its actor is
//     never stopped for a failure: a Send to a stopped actor would be lost.
//
// This is the only package that knows protoactor.
package actors
