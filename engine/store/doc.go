// Package store is the state of one bucket: its schema, its series, the points
// that are in memory and, through the data store, those on disk, readable through
// snapshots.
//
// Nouns:
//
//   - [Bucket] is all of it. One goroutine, the writer, changes what is in memory:
//     the bucket's actor. Jobs change what is on disk, one at a time. Anyone may
//     look series up, read the schema or take a snapshot.
//   - [Schema] is an immutable snapshot of measurements and fields.
//   - [Pending] is definitions that were handed out and are not in the log yet.
//   - A memtable is points that are in memory only. One is active; frozen ones
//     wait in line to be flushed. A segment is an immutable run of its rows of one
//     measurement, its numbers packed into whole bytes; the tail is the growing one,
//     into which small batches are merged.
//   - A part is an immutable set of sorted blocks of one window of time, written by
//     one flush or one compaction: package disk. A block is some thousand rows of
//     one measurement in columns: package block.
//   - [View] is a snapshot of memtables and parts; it implements [point.Reader].
//
// How a write passes through, g being the request's goroutine and w the writer:
//
//	g  look up series and fields; parse into a batch
//	w  p, err := b.Define(batch)        // only if something is new
//	g  ps := b.PendingFor(batch)        // what the record must define
//	g  for _, p := range ps { p.AppendTo(&defs) }
//	g  rec := record.Encode(nil, batch, &defs)
//	g  packed := Pack(batch)            // the large tables, as the memtable keeps them
//	w  append rec to the log; b.Logged(ps)
//	w  b.Settle(ps); b.Link(batch, packed) // once rec is durable
//
// how it leaves memory:
//
//	w  b.Freeze(seq)                    // seq: the last record that is linked
//	   b.Flush(ctx)                     // a job: sort, encode, commit
//	   truncate the log up to b.Flushed()
//
// and how it comes back after a restart: OpenBucket loads what is on disk, and
// b.Replay(seq, rec) applies the records after b.Flushed(), in the log's order.
//
// A flush sorts the frozen rows by series and time, the newest value of a (series,
// time, field) winning, and writes one part for each window. Parts, the definitions
// that the log has made durable, and how far the log has been flushed become durable
// in one commit. Compaction merges neighbouring parts of a window. A delete stands in
// the same line as the memtables, so that it applies to what was written before it
// and to nothing else; it writes the blocks that it touches anew, without the rows,
// in one commit with its sequence number. So nothing at rest remembers deletes.
// Series and measurements that have lost their last point are freed by a record of
// their own ([Bucket.Dead], [Bucket.Free], and [Bucket.SettleFree] when it is durable),
// and their names can be defined anew. What they took comes back when the definitions
// are written anew and the bucket is opened again ([Bucket.RewriteDefinitions]).
//
// Invariants:
//
//   - An id is visible only after the Pending that defines it is, so that no
//     record is logged that uses an id which the log, or the data store, does not
//     define by then.
//   - Points become visible batch by batch, in the order of Link; the last value
//     of a (series, time, field) wins, and a later row of a batch is later. All
//     parts are older than all memtables; of two parts with the same (series, time,
//     field) the one with the higher sequence numbers is newer.
//   - What is defined but was never linked appears in no View, and what no durable
//     record has defined is never on disk.
//   - Nothing that a reader can reach is changed: arrays grow behind the prefix
//     that the reader knows, and parts stay on disk while a View holds them.
//   - Ids have gaps after a restart, where a definition was never logged; they are
//     not given out twice as long as anything that could refer to them exists.
//
// The package does not log and knows no actor; disk/ is where its I/O is.
package store
