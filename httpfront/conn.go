package httpfront

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// conn adds to a connection what fasthttp does not do: a deadline for each
// write instead of each answer, a close that does not cut the answer off, and
// the news that the client has gone while its query runs.
//
// Its fields belong to the goroutine that serves the connection, except where
// said otherwise.
type conn struct {
	net.Conn
	server *Server

	// readBy and writeBy are the deadlines. Those of a secure connection are not moved on:
	// TLS does not bear a write that goes on after a timeout.
	readBy, writeBy deadline
	secure          bool

	// bodyRead counts the bytes that readWire took from the current request's
	// body; bodyDone is set at the body's end, bodyBroken when it cannot be read
	// on. finishBody resets them.
	bodyRead   int64
	bodyDone   bool
	bodyBroken bool

	// charge is that of the current request's body, if it is a write's. finishBody
	// resets it.
	charge charge

	// slow is called, unless it is nil, by the first read that a timer interrupts; see whenSlow.
	slow func()

	// ended says that the client will send nothing more.
	ended bool

	// ahead is a byte that watch read, when hasAhead.
	ahead    [1]byte
	hasAhead bool

	// linger makes Close wait for the client. Atomic: Shutdown closes idle
	// connections from its own goroutine.
	linger atomic.Bool

	// ip is what connections counts it under; gone is set once it does not any more.
	ip   netip.Addr
	gone atomic.Bool

	// expecting is set while a request is looked at whose client waits for 100
	// Continue before it sends the body. admitted is what such a write was admitted
	// with; whoever takes it releases it, Close at the latest. Atomic, as Close is.
	expecting bool
	admitted  atomic.Pointer[engine.Admission]
}

// connOf is c's connection, or a fresh one when c does not come from Serve.
func connOf(c *fasthttp.RequestCtx) *conn {
	if cn, ok := c.Conn().(*conn); ok {
		return cn
	}
	return new(conn)
}

func (c *conn) Read(p []byte) (int, error) {
	if c.hasAhead && len(p) > 0 {
		p[0] = c.ahead[0]
		c.hasAhead = false
		return 1, nil
	}
	for {
		n, err := c.Conn.Read(p)
		if err == io.EOF {
			c.ended = true
		}
		if err == nil || n > 0 || c.secure && c.slow == nil || !c.readBy.early(err, c.Conn.SetReadDeadline) {
			return n, err
		}
		if slow := c.slow; slow != nil {
			c.slow = nil
			slow()
		}
	}
}

// whenSlow has the first read at or after t call slow, and go on. It is called by the
// goroutine that reads, which sets c.slow to nil when it does not matter any more.
func (c *conn) whenSlow(t time.Time, slow func()) {
	if c.Conn != nil && c.readBy.sooner(t, c.Conn.SetReadDeadline) == nil {
		c.slow = slow
	}
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.server.options.WriteTimeout)); err != nil {
		return 0, err
	}
	written := 0
	for {
		n, err := c.Conn.Write(p[written:])
		written += n
		if err == nil || c.secure || !c.writeBy.early(err, c.Conn.SetWriteDeadline) {
			return written, err
		}
	}
}

// SetDeadline, SetReadDeadline and SetWriteDeadline are those of the connection, but cheap.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	if c.secure {
		return c.readBy.force(t, c.Conn.SetReadDeadline)
	}
	return c.readBy.set(t, c.Conn.SetReadDeadline)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.secure {
		return c.Conn.SetWriteDeadline(t)
	}
	return c.writeBy.set(t, c.Conn.SetWriteDeadline)
}

const (
	// lingerTimeout and lingerBytesMax bound how long a closed connection is still
	// read from.
	lingerTimeout  = time.Second
	lingerBytesMax = 8 << 20
	// lingeringMax bounds how many connections are, at once.
	lingeringMax = 256
)

// Close closes the connection. Bytes that have come and were not read would make
// the kernel reset it, and the client, still sending its body, might never see
// why it was refused. So where the answer came before the body's end, the rest
// is taken in and thrown away for a short while.
func (c *conn) Close() error {
	if c.linger.CompareAndSwap(true, false) {
		if c.server.lingering.Add(1) <= lingeringMax {
			if w, ok := c.Conn.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil &&
				c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
				discard(c.Conn, lingerBytesMax)
			}
		}
		c.server.lingering.Add(-1)
	}
	if a := c.admitted.Swap(nil); a != nil {
		a.Release()
	}
	if !c.gone.Swap(true) {
		c.server.connections.giveBack(c.ip)
	}
	return c.Conn.Close()
}

// lingerOnClose has the connection of c closed after the answer, gently.
func lingerOnClose(c *fasthttp.RequestCtx) {
	c.SetConnectionClose()
	connOf(c).linger.Store(true)
}

// watch calls gone, from another goroutine, when the client closes the
// connection or it fails, until the returned function has been called, which must
// happen before the connection is read again. The request's body has been read.
func (c *conn) watch(gone func()) (stop func()) {
	if c.Conn == nil || c.hasAhead || c.readBy.force(time.Time{}, c.Conn.SetReadDeadline) != nil {
		return func() {}
	}
	done := make(chan struct{})
	var stopped atomic.Bool
	go func() {
		defer close(done)
		n, err := c.Conn.Read(c.ahead[:])
		switch {
		case n > 0:
			c.hasAhead = true // the next request; published by done
		case err != nil && !stopped.Load():
			gone()
		}
	}()
	return func() {
		if stopped.Swap(true) {
			return
		}
		_ = c.readBy.force(time.Unix(1, 0), c.Conn.SetReadDeadline) // wakes the read; the next request sets its own
		<-done
	}
}
