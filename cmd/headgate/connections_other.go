//go:build !unix

package main

import "math"

// openFilesMax is how many files this process may have open: as many as it likes.
func openFilesMax() float64 { return math.Inf(1) }
