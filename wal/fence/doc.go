// Package fence keeps a Pebble store from harming the process and itself.
//
// Nouns:
//
//   - FS is the fence: the file system that Pebble sees. It keeps write errors from
//     Pebble and Pebble from the disk once the store has failed.
//   - A mark is what a batch says in Pebble's log of the batches before it, so that
//     CheckFiles can tell damage from the torn end that a crash leaves.
//   - A Scheduler has Pebble's compactions rest after one that has failed, which Pebble
//     would begin again at once.
//   - Protect and Logger take the place of the end of the process.
//
// Opening a store inside a fence:
//
//	err := fence.CheckFiles(fs, dir)
//	f := fence.New(fs, dir, onFail)
//	err = f.Protect(log, func() (err error) {
//		db, err = pebble.Open(dir, &pebble.Options{FS: f, Logger: &fence.Logger{Slog: log, Fence: f}})
//		return err
//	})
//	if cause := f.Failed(); cause != nil {
//		err = cause // Pebble does not know
//	}
//
// Invariants:
//
//   - The store is marked as failed before the first pretended success returns. So
//     whoever looks at Failed after a sync that seems to have gone well may believe
//     the sync if it says nil.
//   - After Drain of a failed fence nothing changes the directory any more, and after
//     Unlock another store may be opened in it.
//
// The package never ends the process, whatever Pebble thinks of a disk error.
package fence
