// Package disk keeps the parts and definitions of a shard's buckets in one Pebble
// store.
//
// Nouns:
//
//   - A part is an immutable set of blocks, one sstable on disk. What a block means
//     is not known here.
//   - A part's directory says what blocks it has; it is in memory while the bucket
//     is.
//   - A chunk of definitions is bytes that the bucket's owner wants to find again.
//   - An edit changes parts, definitions and the flushed sequence number, at once.
//   - A version is the parts between two edits. Whoever holds one can read them.
//   - Garbage is blocks on disk that no version has; the sweeper removes it.
//
// Writing and reading:
//
//	s, err := disk.Open(disk.Options{Dir: "headgate-data/shard-0001/data"})
//	b, err := s.Bucket(id)
//	w := b.NewPart(disk.Part{WindowMin: lo, WindowMax: hi, SeqMin: 1, SeqMax: 90})
//	err = w.Add(measurement, meta, series, fields, block)
//	part, err := w.Finish()
//	err = b.Commit(ctx, &disk.Edit{Flushed: 90, Add: []*disk.Part{part}})
//
//	v := b.Acquire()
//	block, err := v.ReadBlock(v.Parts()[0], 0, nil)
//	v.Release()
//
// On disk, in Options.Dir, is Pebble's store and a folder staging with the sstables
// of parts that no edit has taken yet. key.go draws keys and values, directory.go
// the directory. A block's value is its bytes: Pebble's checksum covers them, and
// the directory has their size.
//
// How an edit becomes durable:
//
//  1. The new parts' sstables are synced in staging.
//  2. Pebble links them into its store and says so in its manifest, which it syncs.
//     No directory names them yet, so they are orphans to whoever opens the store.
//  3. One synced batch has directories, chunks and state.
//  4. The new version is current in memory. What it no longer has is garbage.
//
// Invariants:
//
//   - IDs of parts ascend and blocks have keys of their own, so every ingested
//     sstable lands in Pebble's last level and overlaps no other: it is written once.
//   - After a crash an edit is there or not. Blocks without a directory are removed
//     when their bucket is loaded; IDs of such parts are not given out again.
//   - Blocks are removed by the sweeper only, after the last version that has them.
//   - Once a write has failed nothing is written until Reopen: see package fence.
//
// The package never ends the process and never removes a block that a directory
// names.
package disk
