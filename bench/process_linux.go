package bench

import (
	"io/fs"
	"syscall"
)

// allocatedBytes is what a file takes on disk: a log file made in advance, and
// hardly written, has holes.
func allocatedBytes(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
