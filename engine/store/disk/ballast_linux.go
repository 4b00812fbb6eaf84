package disk

import (
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// allocate has the file system set n bytes aside for f without writing them, and
// reports whether it did: some only say so.
func allocate(f vfs.File, n int64) bool {
	if f.Fd() == vfs.InvalidFd || syscall.Fallocate(int(f.Fd()), 0, 0, n) != nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && allocatedBytes(info) >= n
}

// allocatedBytes is what a file takes from the disk, holes not counted.
func allocatedBytes(info vfs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(st.Blocks*512, info.Size())
	}
	return info.Size()
}
