//go:build unix

package main

import (
	"math"
	"syscall"
)

// openFilesMax is how many files this process may have open.
func openFilesMax() float64 {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return math.Inf(1)
	}
	return float64(files.Cur)
}
