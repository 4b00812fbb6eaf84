//go:build !linux

package disk

import "github.com/cockroachdb/pebble/v2/vfs"

// allocate reports that what is to take space must be written.
func allocate(vfs.File, int64) bool { return false }

// allocatedBytes is what a file takes from the disk.
func allocatedBytes(info vfs.FileInfo) int64 { return info.Size() }
