// Package wal is the contract of the log: an ordered, durable sequence of opaque
// records for each bucket.
//
// Nouns:
//
//   - A record is what the log stores: bytes that mean nothing to it.
//   - A sequence number orders the records of one bucket, without gaps.
//   - A group is the records of any number of buckets that share one sync.
//   - A notifier hears, once per group and bucket, how far its bucket is durable.
//
// Writing never waits for the disk:
//
//	err := log.Append(bucket, seq, record, notifier) // queued
//	...
//	func (n *notifier) Committed(upto uint64, err error) { ... } // durable
//
// Reading back is for recovery:
//
//	err := log.Replay(ctx, bucket, flushed, func(seq uint64, record []byte) error { ... })
//
// Invariants, which wal/waltest checks for every backend:
//
//   - What has been reported as committed survives every crash, byte for byte.
//   - The durable records of a bucket are always a prefix of what was appended
//     (less what Truncate and Drop have removed from its start).
//   - Nothing comes back that was never appended: a damaged record is named, by
//     bucket and sequence number, and never returned.
//   - Every appended record is answered exactly once, by one Committed call,
//     also when the log fails or is closed.
//   - A log that has failed says so and stays failed. Closing it and opening its
//     directory again, in the same process, is the way back.
//
// The log never looks into a record, never retries a failed write, and never ends
// the process.
package wal
