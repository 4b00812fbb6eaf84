package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"headgate/engine/datadir"
	"headgate/engine/store/disk"
)

// Opening a directory writes before it frees: manifests, and what the stores' own logs
// hold that is in no sstable yet. On a disk that is full it gets the ballast's room.

// openBytes is about what opening takes from the disk beside what is in memory.
const openBytes = 1 << 20

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// dropBallast gives up the ballast of a directory that cannot be opened for want of
// space. It reports whether that has made room.
func dropBallast(o Options) bool {
	b := disk.OpenBallast(nil, datadir.Ballast(o.Dir))
	held := b.Held()
	if held == 0 {
		return false
	}
	if err := b.Drop(); err != nil {
		o.Logger.Error("the disk is full and its ballast cannot be given up", slog.String("path", b.Path()), slog.Any("error", err))
		return false
	}
	o.Logger.Warn("the disk is full; its ballast has been given up so that the data directory can be opened", slog.String("path", b.Path()), slog.Int64("bytes", held))
	return true
}

// diskFullError says what to do about an err of opening that isDiskFull.
func diskFullError(o Options, err error) error {
	free := "an unknown amount"
	if space, serr := disk.SpaceOf(nil, o.Dir); serr == nil {
		free = fmt.Sprintf("%.1f MiB", float64(space.Free)/(1<<20))
	}
	// What a store's own log holds is written again as sstables, before that log goes.
	needed := int64(openBytes)
	for _, store := range []string{"log", "data"} {
		logs, _ := filepath.Glob(filepath.Join(o.Dir, "shard-0001", store, "*.log"))
		for _, path := range logs {
			if info, serr := os.Stat(path); serr == nil {
				needed += info.Size()
			}
		}
	}
	return fmt.Errorf("engine: open %s: the disk is full: %s free, about %.1f MiB needed; make room on this file system, or have a larger one, and start again (nothing is lost): %w",
		o.Dir, free, float64(needed)/(1<<20), err)
}
