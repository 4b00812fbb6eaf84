package httpfront

import (
	"context"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

// stream is a query's answer. One goroutine, the query's, formats into buf and
// calls flush and finish; the request's handler calls wait; then fasthttp reads
// and closes. An answer that stays below streamBytes is handed over whole, so
// that it has a length, and a status that its end decides; a longer one leaves
// while the query still runs, and no more than a few buffers of it are ever held.
type stream struct {
	cancel  context.CancelFunc
	onClose func()
	once    sync.Once
	// flushEach sends every result at once: chunked=true.
	flushEach bool
	gzip      bool

	// buf collects what has not been sent; z compresses it into out. Owned by the
	// query's goroutine until chunks is closed.
	buf *buffer
	z   *gzip.Writer
	out appendWriter
	// sent is set before the first buffer leaves.
	sent bool

	// chunks carries buffers to the reader; it is closed at the end, after err has
	// been set.
	chunks chan *buffer
	err    error

	// cur is being read, from off on. Owned by the reader.
	cur *buffer
	off int
}

const (
	// streamBytes is how long an answer gets before it is sent in pieces.
	streamBytes = 256 << 10
	// streamPieces is how many pieces may wait for a slow client.
	streamPieces = 2
)

func newStream(cancel context.CancelFunc, flushEach, gzip bool) *stream {
	return &stream{cancel: cancel, flushEach: flushEach, gzip: gzip, buf: getBuffer(), chunks: make(chan *buffer, streamPieces)}
}

// flush sends buf when it is time to.
func (st *stream) flush(ctx context.Context) error {
	if !st.flushEach && len(st.buf.data) < streamBytes {
		return nil
	}
	return st.send(ctx, false)
}

// send hands buf, or what it compresses to, to the reader.
func (st *stream) send(ctx context.Context, last bool) error {
	if !st.gzip {
		b := st.buf
		st.buf = getBuffer()
		return st.pass(ctx, b)
	}
	if st.z == nil {
		st.out.b = getBuffer()
		st.z = gzip.NewWriter(&st.out)
	}
	if _, err := st.z.Write(st.buf.data); err != nil {
		return err
	}
	st.buf.data = st.buf.data[:0]
	switch {
	case last:
		if err := st.z.Close(); err != nil {
			return err
		}
	case st.flushEach:
		if err := st.z.Flush(); err != nil {
			return err
		}
	}
	b := st.out.b
	st.out.b = getBuffer()
	return st.pass(ctx, b)
}

func (st *stream) pass(ctx context.Context, b *buffer) error {
	if len(b.data) == 0 {
		putBuffer(b)
		return nil
	}
	st.sent = true
	select {
	case st.chunks <- b:
		return nil
	case <-ctx.Done():
		putBuffer(b)
		return ctx.Err()
	}
}

// finish ends the answer: with err, or with what is left in buf.
func (st *stream) finish(ctx context.Context, err error) {
	if err == nil && st.sent {
		err = st.send(ctx, true)
	}
	st.err = err
	close(st.chunks)
}

// wait returns once the answer is complete or longer than can be waited for:
// the whole of it, nil when it has to be read as a stream, or the error that
// came instead. What it returns is good until Close.
func (st *stream) wait() (whole []byte, err error) {
	b, ok := <-st.chunks
	if ok {
		st.cur = b
		return nil, nil
	}
	if st.err != nil {
		return nil, st.err
	}
	return st.buf.data[:len(st.buf.data):len(st.buf.data)], nil
}

// Read implements io.Reader for fasthttp. A query that fails midway is an error,
// which ends the connection without the last chunk, so that the client can tell.
func (st *stream) Read(p []byte) (int, error) {
	for st.cur == nil || st.off == len(st.cur.data) {
		if st.cur != nil {
			putBuffer(st.cur)
			st.cur, st.off = nil, 0
		}
		b, ok := <-st.chunks
		if !ok {
			if st.err != nil {
				return 0, st.err
			}
			return 0, io.EOF
		}
		st.cur = b
	}
	n := copy(p, st.cur.data[st.off:])
	st.off += n
	return n, nil
}

// Close ends the query, waits for it, and gives back what it held.
func (st *stream) Close() error {
	st.once.Do(func() {
		st.cancel()
		for b := range st.chunks {
			putBuffer(b)
		}
		for _, b := range []*buffer{st.cur, st.buf, st.out.b} {
			if b != nil {
				putBuffer(b)
			}
		}
		st.cur, st.buf, st.out.b = nil, nil, nil
		if st.onClose != nil {
			st.onClose()
		}
	})
	return nil
}

// gzipBytesMin is the least answer that is worth compressing.
const gzipBytesMin = 1400

// acceptsGzip reports whether the client of c would take a compressed answer.
func acceptsGzip(c *fasthttp.RequestCtx) bool {
	return c.Request.Header.HasAcceptEncoding("gzip")
}

// compressAnswer compresses an answer that is complete and long enough, where
// the client takes it.
func compressAnswer(c *fasthttp.RequestCtx) {
	r := &c.Response
	if r.IsBodyStream() {
		return
	}
	body := r.Body()
	if len(body) < gzipBytesMin || len(r.Header.Peek(fasthttp.HeaderContentEncoding)) > 0 || !acceptsGzip(c) {
		return
	}
	b := getBuffer()
	defer putBuffer(b)
	z := gzip.NewWriter(&appendWriter{b})
	if _, err := z.Write(body); err != nil || z.Close() != nil { // memory only: cannot fail
		return
	}
	r.SetBody(b.data)
	r.Header.Set(fasthttp.HeaderContentEncoding, "gzip")
}
