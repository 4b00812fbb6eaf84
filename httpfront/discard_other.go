//go:build !linux

package httpfront

import (
	"io"
	"net"
)

// discard throws away up to n bytes that come over c, until there are no more.
func discard(c net.Conn, n int64) {
	_, _ = io.CopyN(io.Discard, c, n) // whatever ends it
}
