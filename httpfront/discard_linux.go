package httpfront

import (
	"io"
	"net"
	"syscall"
)

// discard throws away up to n bytes that come over c, until there are no more. On TCP
// the kernel drops them where they are: copying a large body only to refuse it would cost
// a third of a millisecond.
func discard(c net.Conn, n int64) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		_, _ = io.CopyN(io.Discard, c, n) // whatever ends it
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// The buffer says how much at most; nothing is written into it.
	buffer := discarded[:]
	_ = raw.Read(func(fd uintptr) bool {
		for n > 0 {
			got, _, err := syscall.Recvfrom(int(fd), buffer[:min(int64(len(buffer)), n)], syscall.MSG_TRUNC|syscall.MSG_DONTWAIT)
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				return false // until there is more, or the read deadline
			case err != nil || got <= 0:
				return true
			}
			n -= int64(got)
		}
		return true
	})
}

// discarded stands for what discard asks the kernel to drop; shared, since nobody
// writes to it.
var discarded [1 << 20]byte
