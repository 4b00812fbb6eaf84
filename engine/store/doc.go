// Package store is the state of one bucket in memory: its schema, its series and
// the points that the log holds, readable through snapshots.
//
// Nouns:
//
//   - [Bucket] is all of it. One goroutine, the writer, changes it: the bucket's
//     actor. Anyone may look series up, read the schema or take a snapshot.
//   - [Schema] is an immutable snapshot of measurements and fields.
//   - [Pending] is definitions that were handed out and are not in the log yet.
//   - A segment is an immutable run of rows of one measurement; the tail is the
//     growing one, into which small batches are merged. Segments in order, then
//     the tail, are the points in the order in which they were written.
//   - [View] is a snapshot; it implements [point.Reader].
//
// How a write passes through, g being the request's goroutine and w the writer:
//
//	g  look up series and fields; parse into a batch
//	w  p, err := b.Define(batch)        // only if something is new
//	g  ps := b.PendingFor(batch)        // what the record must define
//	g  for _, p := range ps { p.AppendTo(&defs) }
//	g  rec := record.Encode(nil, batch, &defs)
//	w  append rec to the log; b.Logged(ps)
//	w  b.Link(batch)                    // once rec is durable
//
// and comes back after a restart, in the log's order, with b.Replay(rec).
//
// Invariants:
//
//   - An id is visible only after the Pending that defines it is, so that no
//     record is logged that uses an id which the log does not define by then.
//   - Points become visible batch by batch, in the order of Link; the last value
//     of a (series, time, field) wins, and a later row of a batch is later.
//   - What is defined but was never linked appears in no View.
//   - Nothing that a reader can reach is changed: arrays grow behind the prefix
//     that the reader knows.
//   - Ids have gaps after a restart, where a definition was never logged.
//
// The package does not log, does no I/O and knows no actor.
package store
