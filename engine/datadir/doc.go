// Package datadir looks after a data directory that no server has open, and packs
// and unpacks backups of one.
//
// Nouns:
//
//   - A problem is something that is not as it should be: where it is, and what is
//     lost with it.
//   - A report is what a check has found.
//   - An archive is a backup: a tar of the files of a data directory, compressed with
//     zstd, with a manifest of their checksums at its end.
//
// Example:
//
//	report, err := datadir.Check(ctx, datadir.Options{Dir: "headgate-data"})
//	for _, p := range report.Problems {
//		fmt.Println(p)
//	}
//
// A data directory:
//
//	catalog/          organizations, users, buckets, tokens (package catalog)
//	shard-0001/log/   records that are not in the data store yet (wal/pebblewal)
//	shard-0001/data/  parts of blocks, and definitions (engine/store/disk)
//	repaired-TIME/    what a repair has cut out, and its report
//	unfinished        a repair or a restore was interrupted: see Unfinished
//	tmp-backup/       what a backup of a running engine is made from
//
// Invariants:
//
//   - Check and Inspect change nothing.
//   - Repair takes out what Check names and nothing else, keeps what it takes out, and
//     leaves a directory in which Check finds nothing.
//   - An engine refuses a directory whose repair or restore was interrupted.
//   - A backup that is not whole is told from one that is.
//
// The package never works on a directory that an engine has open.
package datadir
