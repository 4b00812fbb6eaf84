//go:build race

package flux

import (
	"unsafe"

	"github.com/apache/arrow/go/arrow/array"
	"github.com/apache/arrow/go/arrow/math"
)

// Arrow fills and sums memory with assembly routines to which it gives numbers in
// place of pointers. The pointer checks that come with the race detector end the
// process at that, and so loops take their place. Only builds for tests have this.
//
//go:linkname arrowMemset github.com/apache/arrow/go/arrow/memory.memset
var arrowMemset func(b []byte, c byte)

func init() {
	arrowMemset = func(b []byte, c byte) {
		for i := range b {
			b[i] = c
		}
	}
	// Each of these is a struct with one function.
	*(*func(*array.Float64) float64)(unsafe.Pointer(&math.Float64)) = func(a *array.Float64) float64 { return sumOf(a.Float64Values()) }
	*(*func(*array.Int64) int64)(unsafe.Pointer(&math.Int64)) = func(a *array.Int64) int64 { return sumOf(a.Int64Values()) }
	*(*func(*array.Uint64) uint64)(unsafe.Pointer(&math.Uint64)) = func(a *array.Uint64) uint64 { return sumOf(a.Uint64Values()) }
}

func sumOf[T float64 | int64 | uint64](vs []T) (sum T) {
	for _, v := range vs {
		sum += v
	}
	return sum
}
