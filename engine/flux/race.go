//go:build race

package flux

import _ "unsafe" // for go:linkname

// Arrow fills memory with an assembly routine to which it gives a byte in place of
// a pointer. The pointer checks that come with the race detector end the process at
// that, and so there a loop takes its place. Only builds for tests have this.
//
//go:linkname arrowMemset github.com/apache/arrow/go/arrow/memory.memset
var arrowMemset func(b []byte, c byte)

func init() {
	arrowMemset = func(b []byte, c byte) {
		for i := range b {
			b[i] = c
		}
	}
}
