package httpfront

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// buffer is bytes that are ours. getBuffer lends one; the borrower alone puts it
// back, once, last.
type buffer struct{ data []byte }

const (
	// bufferBytesMin is the room that a read starts with.
	bufferBytesMin = 16 << 10
	// bufferBytesKept is the largest buffer that is kept for reuse: making one of
	// this size costs more than reading into it.
	bufferBytesKept = 32 << 20
	// bufferTrust is how much of a declared length must have come for the rest to be
	// believed: one part in so many.
	bufferTrust = 4
)

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	b.reset()
	buffers.Put(b)
}

func (b *buffer) reset() {
	if cap(b.data) > bufferBytesKept {
		b.data = nil
	}
	b.data = b.data[:0]
}

// room makes space for at least one more byte. The buffer doubles, so that memory
// follows what has come and not what a header promised; when a good part of the
// declared length has come, it gets all of it, and a byte to see the end by. It
// stops at one byte over most, where the reader gives up. declared is -1 for
// unknown.
func (b *buffer) room(declared, most int64) {
	if len(b.data) < cap(b.data) {
		return
	}
	n := max(bufferBytesMin, 2*cap(b.data))
	if all := declared + 1; int64(len(b.data)) < all && all <= bufferTrust*int64(cap(b.data)) {
		n = int(all)
	}
	if int64(len(b.data)) <= most {
		n = int(min(int64(n), most+1))
	}
	grown := make([]byte, len(b.data), n)
	copy(grown, b.data)
	b.data = grown
}

// charge is the credit that one body has. The credit covers the larger of the
// body on the wire and the body inflated: the first is freed when the second is
// complete, and their sum could be more than the gate can ever give.
type charge struct {
	admission *engine.Admission // nil: nothing is charged
	admitted  int64
	// most is the largest body that can be charged for.
	most int64
}

const (
	// admitBytesMin and admitBytesMax bound the most credit that a request gets before a
	// byte of its body has come: what is pinned by a client that lies about its length.
	// Between them it is an admitShare of what the gate can give. A body whose length is
	// within waits for room when there is none; one that grows beyond is refused then,
	// for it holds what others may wait for. So does one that has not come within
	// bodyPatience: it keeps what it has used, and growBytes.
	admitBytesMin = 1 << 20
	admitBytesMax = 4 << 20
	admitShare    = 8
	// admitBytesUnknown is the first credit of a body that does not say its length.
	admitBytesUnknown = 64 << 10
	// growBytes is the least step of further credit.
	growBytes = 256 << 10
	// bodyPatience is how long credit is kept for what has not come. Bodies that make a
	// queue come faster; behind slow lines, or from who means harm, there may be hundreds.
	bodyPatience = time.Second
	// inflateFactor is what bodies usually grow by when they are inflated, and
	// inflateFactorMost what those of real agents do at most.
	inflateFactor     = 10
	inflateFactorMost = 20
)

// firstCharge is the credit to ask for with a declared length, -1 for unknown, of a
// body that may be of most bytes when it is inflated.
func firstCharge(declared int64, enc encoding, most int64) int64 {
	if declared < 0 {
		declared = admitBytesUnknown
	}
	limit := min(max(most/admitShare, admitBytesMin), admitBytesMax, most)
	if enc != identity && declared < limit {
		declared *= inflateFactorMost
	}
	return min(declared, limit)
}

// cover sees that n bytes are paid for.
func (ch *charge) cover(n int64) error {
	if n <= ch.admitted || ch.admission == nil {
		return nil
	}
	step := max(n-ch.admitted, min(growBytes, ch.most-ch.admitted))
	if err := ch.admission.Grow(step); err != nil {
		return err
	}
	ch.admitted += step
	return nil
}

// settle gives back what is beyond n bytes.
func (ch *charge) settle(n int64) {
	if ch.admission != nil && n < ch.admitted {
		ch.admission.Shrink(ch.admitted - n)
		ch.admitted = n
	}
}

// declaredBytes is the length that c's body says it has: 0 for none, -1 when it
// says nothing (chunked).
func declaredBytes(c *fasthttp.RequestCtx) int64 {
	if n := c.Request.Header.ContentLength(); n >= -1 {
		return int64(n)
	}
	return 0
}

// limit is a bound on a body and the name of the option that sets it.
type limit struct {
	bytes int64
	what  string
	knob  string
}

func (l limit) exceeded() error {
	return engine.Errorf(engine.TooLarge, "%s is over %s, %d bytes", l.what, l.knob, l.bytes)
}

// checkDeclared refuses a body that says it is too long, before it is read.
func (l limit) checkDeclared(c *fasthttp.RequestCtx) error {
	if n := declaredBytes(c); n > l.bytes {
		return engine.Errorf(engine.TooLarge, "%s is %d bytes, over %s, %d bytes", l.what, n, l.knob, l.bytes)
	}
	return nil
}

// readWire reads c's body into b. Only what has been read is charged for, and
// never more than l.
func (s *Server) readWire(c *fasthttp.RequestCtx, b *buffer, l limit, ch *charge) error {
	stream := c.RequestBodyStream()
	if stream == nil {
		return nil
	}
	cn := connOf(c)
	if ch.admission != nil && ch.admitted > growBytes {
		cn.whenSlow(time.Now().Add(s.bodyPatience), func() { ch.settle(max(int64(len(b.data)), growBytes)) })
		defer func() { cn.slow = nil }()
	}
	declared := declaredBytes(c)
	idle := 0
	for {
		b.room(declared, l.bytes)
		n, err := stream.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		cn.bodyRead += int64(n)
		if int64(len(b.data)) > l.bytes {
			return l.exceeded()
		}
		if errCharge := ch.cover(int64(len(b.data))); errCharge != nil {
			return errCharge
		}
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		// fasthttp takes a closed connection for the body's end. The end of a chunked
		// body has been read without a look at what comes after it; where the
		// connection's end was seen, the last chunk was not.
		case err == io.EOF && (declared >= 0 && cn.bodyRead < declared || declared < 0 && cn.ended):
			err = io.ErrUnexpectedEOF
		case err == io.EOF:
			cn.bodyDone = true
			return nil
		case err == nil && idle > 100:
			err = io.ErrNoProgress
		case err == nil:
			continue
		}
		cn.bodyBroken = true
		return errRead(err)
	}
}

// errRead says why a body cannot be read.
func errRead(cause error) error {
	var netErr net.Error
	if errors.As(cause, &netErr) && netErr.Timeout() {
		return &slowBodyError{cause}
	}
	return engine.Errorf(engine.Invalid, "unable to read data: %w", cause)
}

// slowBodyError is a body that did not come within Options.BodyReadTimeout.
type slowBodyError struct{ cause error }

func (e *slowBodyError) Error() string {
	return fmt.Sprintf("unable to read data: %v", e.cause)
}

func (e *slowBodyError) Unwrap() error { return e.cause }

// readSmallBody reads the body of a request that is not a write, as sent.
func (s *Server) readSmallBody(c *fasthttp.RequestCtx, b *buffer) error {
	l := limit{s.options.QueryBodyBytesMax, "request body", "Options.QueryBodyBytesMax"}
	if err := l.checkDeclared(c); err != nil {
		return err
	}
	return s.readWire(c, b, l, &charge{})
}

// finishBody leaves c's connection at the start of the next request, or has it
// closed: what is left of a body must not be taken for a request.
func (s *Server) finishBody(c *fasthttp.RequestCtx) {
	cn := connOf(c)
	read, done, broken := cn.bodyRead, cn.bodyDone, cn.bodyBroken
	cn.bodyRead, cn.bodyDone, cn.bodyBroken = 0, false, false
	cn.charge = charge{}
	stream := c.RequestBodyStream()
	if stream == nil || done {
		return
	}
	declared := declaredBytes(c)
	left := declared - read
	switch {
	case declared >= 0 && left == 0:
		return
	case broken, left > drainBytesMax, c.Response.ConnectionClose(), c.Request.Header.ConnectionClose():
		lingerOnClose(c)
		return
	}
	if cn.Conn != nil && cn.SetReadDeadline(time.Now().Add(drainTimeout)) != nil {
		lingerOnClose(c)
		return
	}
	n, err := io.CopyN(io.Discard, stream, drainBytesMax+1)
	if err != io.EOF || declared >= 0 && n != left {
		lingerOnClose(c)
	}
}
