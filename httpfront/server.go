package httpfront

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// versionPrefix is the InfluxDB version whose answers ours are; clients look for
// the header and for its beginning.
const versionPrefix = "v2.9.1+headgate."

// Server answers HTTP requests with an engine. Make one with New, call Serve for
// each listener, and Shutdown before the engine is closed.
type Server struct {
	engine    *engine.Engine
	options   Options
	http      *fasthttp.Server
	router    *router
	metrics   *Metrics
	log       *limitedLog
	inflaters inflaters
	// idempotency remembers the answers of writes that have a key.
	idempotency *idempotency
	// authDisabled is the engine's option of that name.
	authDisabled bool
	// retryAfterMax is the engine's option of that name.
	retryAfterMax time.Duration
	// bodyPatience is the constant, but in tests.
	bodyPatience time.Duration

	// version is the value of X-Influxdb-Version.
	version []byte

	// ctx is the context of every request; cancel ends it when Shutdown gives up.
	ctx    context.Context
	cancel context.CancelFunc

	// followers are the clients that follow rejected points.
	followers followers
	// queries counts the queries that run. Atomic.
	queries atomic.Int64
	// lingering counts connections in their last read. Atomic; see conn.Close.
	lingering atomic.Int64
	// connections counts those that are open.
	connections connections
	// listeners are what Serve accepts from.
	listeners listeners
}

// New makes a server for e, which it never closes. It panics when o does not
// validate; call Options.Validate first where the values come from outside.
func New(e *engine.Engine, o Options) *Server {
	setDefault(&o.IdempotencyBytesMax, min(16<<20, e.Options().MemoryBytesMax/64))
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		panic(err)
	}
	s := &Server{
		engine:  e,
		options: o,
		metrics: o.Metrics,
		log:     newLimitedLog(o.Logger),

		idempotency: newIdempotency(&o, e.Options().Now),
		version:     []byte(versionPrefix + o.Version),

		authDisabled:  e.Options().AuthDisabled,
		retryAfterMax: e.Options().RetryAfterMax,
		bodyPatience:  bodyPatience,
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.followers.pulse = rejectedPulse
	s.followers.ctx, s.followers.end = context.WithCancel(s.ctx)
	s.router = newRouter(s.routes())
	s.metrics.attach(s)
	s.http = &fasthttp.Server{
		Handler:      s.handle,
		ErrorHandler: s.brokenRequest,
		// The body is read by the handler, from the stream, after the gate. The limit
		// of one byte keeps fasthttp from reading more of it ahead of the handler;
		// the true limits are body.go's.
		StreamRequestBody:            true,
		MaxRequestBodySize:           1,
		HeaderReceived:               s.headerReceived,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               o.HeaderBytesMax,
		ReadTimeout:                  o.HeaderReadTimeout,
		IdleTimeout:                  o.IdleTimeout,
		// fasthttp's own limit answers with a 503 of its own; it must never be met.
		Concurrency:           2*o.ConnectionsMax + 1024,
		ExpectHandler:         s.expect,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		CloseOnShutdown:       true,
		SecureErrorLogMessage: true,
		Logger:                fasthttpLog{s.log},
	}
	return s
}

// Serve answers the connections of ln until Shutdown; it may be called for
// several listeners at once. It closes ln. The error is nil after Shutdown, at
// once where that came first.
func (s *Server) Serve(ln net.Listener) error {
	if s.options.TLS != nil {
		ln = tls.NewListener(ln, s.options.TLS)
	}
	l := &listener{Listener: ln, server: s}
	if !s.listeners.add(l) {
		return l.Close()
	}
	defer s.listeners.remove(l)
	err := s.http.Serve(l)
	if errors.Is(err, net.ErrClosed) && s.listeners.closed() {
		return nil
	}
	return err
}

// Shutdown closes the listeners and waits for the requests in flight to be
// answered. When ctx ends first it cancels them and returns ctx's error. No
// request runs against the engine after a nil return.
func (s *Server) Shutdown(ctx context.Context) error {
	s.followers.end()
	errClose := s.listeners.close()
	err := s.http.ShutdownWithContext(ctx)
	s.cancel()
	s.log.close()
	return cmp.Or(err, errClose)
}

// headerReceived gives the reading of a body its own deadline.
func (s *Server) headerReceived(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	return fasthttp.RequestConfig{ReadTimeout: s.options.BodyReadTimeout}
}

// handle answers one request, whatever happens in its handler.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	s.setServerHeaders(c)
	route := s.serve(c)
	s.finishBody(c)
	s.metrics.requestDone(route, c.Response.StatusCode())
}

// serve runs the route's handler. A panic in it is our own bug and the process'
// business only as far as the log; the client gets an answer as for any other
// internal error.
func (s *Server) serve(c *fasthttp.RequestCtx) (r *route) {
	defer func() {
		if v := recover(); v != nil {
			s.log.panicked("handler", v)
			c.Response.Reset()
			s.setServerHeaders(c)
			s.writeError(c, engine.Errorf(engine.Internal, "%s", internalMessage), r.style)
		}
	}()
	r = s.router.unmatched
	if lengthAndChunked(c) {
		s.writeError(c, engine.Errorf(engine.Invalid, "the request has both Content-Length and Transfer-Encoding"), r.style)
		lingerOnClose(c)
		return r
	}
	if underAPI(rawPath(c)) {
		setOrigin(c)
	}
	r, ok := s.router.find(c)
	if !ok {
		s.routeMissing(c, r)
		return r
	}
	p, err := s.authenticate(c, r.auth)
	if err != nil {
		s.writeError(c, err, r.style.beforeRouting())
		return r
	}
	if r.style == v1 {
		setVary(c)
	}
	r.handler(s, c, p)
	if r.style == v1 {
		compressAnswer(c)
	}
	return r
}

// lengthAndChunked reports whether c gives its body two ends. fasthttp goes by the
// chunks; a proxy that goes by the length would take what follows for a request of its
// own, of somebody else.
func lengthAndChunked(c *fasthttp.RequestCtx) bool {
	if c.Request.Header.ContentLength() != -1 {
		return false
	}
	for line := range bytes.Lines(c.Request.Header.RawHeaders()) {
		if name, _, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(name, []byte(fasthttp.HeaderContentLength)) {
			return true
		}
	}
	return false
}

// What every answer carries, spelt as it is sent.
var (
	headerBuild   = []byte("X-Influxdb-Build")
	buildOSS      = []byte("OSS")
	headerVersion = []byte("X-Influxdb-Version")
)

func (s *Server) setServerHeaders(c *fasthttp.RequestCtx) {
	c.Response.Header.SetCanonical(headerBuild, buildOSS)
	c.Response.Header.SetCanonical(headerVersion, s.version)
}

// drainBytesMax is how much of an unread body is read to keep its connection.
const drainBytesMax = 64 << 10

// drainTimeout bounds how long that may hold up the answer.
const drainTimeout = 250 * time.Millisecond
