// Package pebblewal is a wal.Log in a Pebble store.
//
// Nouns:
//
//   - A group is what one Pebble batch commits: everything that was queued when
//     a committer came by, up to Options.GroupBytesMax.
//   - The fence, of package fence, is the file system that Pebble sees. It keeps
//     write errors from Pebble and Pebble from the disk once the log has failed.
//   - A note is what one notifier is told about one group.
//
// Opening and writing:
//
//	log, err := pebblewal.Open(pebblewal.Options{Dir: "headgate-data/shard-0001/log"})
//	err = log.Append(bucket, seq, record, notifier)
//	err = log.Close()
//
// Invariants:
//
//   - A group is answered with success only after its sync, and only if no write
//     to the directory had failed before the sync returned.
//   - A failure of any write fails the whole log, once, for good. Trying the
//     write again could report success for pages that the kernel has given up.
//   - After a failure, released (and so Close) comes after the last operation on
//     the disk: whoever opens the directory next is alone in it.
//
// The package never ends the process, whatever Pebble thinks of a disk error.
package pebblewal
