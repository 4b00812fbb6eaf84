package httpfront

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// statusOf has one row per engine.Kind; TestStatusTable walks it. This file is
// the only one that names the status of an error.
var statusOf = [...]int{
	engine.Internal:            fasthttp.StatusInternalServerError,
	engine.Invalid:             fasthttp.StatusBadRequest,
	engine.EmptyValue:          fasthttp.StatusBadRequest,
	engine.Unauthorized:        fasthttp.StatusUnauthorized,
	engine.Forbidden:           fasthttp.StatusForbidden,
	engine.NotFound:            fasthttp.StatusNotFound,
	engine.MethodNotAllowed:    fasthttp.StatusMethodNotAllowed,
	engine.TooLarge:            fasthttp.StatusRequestEntityTooLarge,
	engine.UnsupportedEncoding: fasthttp.StatusUnsupportedMediaType,
	engine.Unprocessable:       fasthttp.StatusUnprocessableEntity, // field type conflict, partial write
	engine.Conflict:            fasthttp.StatusUnprocessableEntity,
	engine.NotImplemented:      fasthttp.StatusNotImplemented,
	engine.Overloaded:          fasthttp.StatusServiceUnavailable, // with Retry-After
	engine.Unavailable:         fasthttp.StatusServiceUnavailable, // with Retry-After
	engine.Indeterminate:       fasthttp.StatusServiceUnavailable, // we stopped waiting; the text says that the batch may yet be stored
}

// errorStyle is how a route's errors are written.
type errorStyle uint8

const (
	// compact: {"code":...,"message":...} on one line: write, delete, auth.
	compact errorStyle = iota
	// indented: the same, a member a line, with tabs: management.
	indented
	// v1: compact, with the "error" member and the header that v1 clients read.
	v1
)

// beforeRouting is the style of an error that is found before the handler runs.
func (st errorStyle) beforeRouting() errorStyle {
	if st == indented {
		return compact
	}
	return st
}

// internalMessage is what a client hears of an error of no known kind.
const internalMessage = "An internal error has occurred - check server logs"

const jsonType = "application/json; charset=utf-8"

// writeError answers with err: an *engine.Error by its kind, any other one as an
// internal error whose text goes to the log only.
func (s *Server) writeError(c *fasthttp.RequestCtx, err error, style errorStyle) {
	var e *engine.Error
	var slow *slowBodyError
	if errors.As(err, &slow) {
		s.writeStatusError(c, fasthttp.StatusRequestTimeout, codeTimeout, &engine.Error{Message: err.Error()}, style)
		return
	}
	var inUse *keyInUseError
	if errors.As(err, &inUse) {
		s.writeStatusError(c, fasthttp.StatusConflict, engine.Conflict.String(), &engine.Error{Message: err.Error()}, style)
		return
	}
	if !errors.As(err, &e) {
		s.log.internal(err)
		e = &engine.Error{Kind: engine.Internal, Message: internalMessage}
	} else if e.Kind == engine.Internal {
		s.log.internal(err)
	}
	status := fasthttp.StatusInternalServerError
	if int(e.Kind) < len(statusOf) {
		status = statusOf[e.Kind]
	}
	var missing *missingDatabaseError
	if errors.As(err, &missing) {
		s.writeTextError(c, status, e.Kind.String(), e, style, missing.Error())
		return
	}
	var noQuery *missingQueryError
	if errors.As(err, &noQuery) {
		s.writeTextError(c, status, e.Kind.String(), e, style, noQuery.Error())
		return
	}
	s.writeStatusError(c, status, e.Kind.String(), e, style)
}

// missingDatabaseError is a database that no bucket stands for, on a v1 path. Its
// message is InfluxDB 2's; but Telegraf's v1 output creates its database again,
// and sends again what it would otherwise drop, when it reads InfluxDB 1's words.
type missingDatabaseError struct {
	database string
	err      error
}

func (e *missingDatabaseError) Error() string {
	return "database not found: " + strconv.Quote(e.database)
}

func (e *missingDatabaseError) Unwrap() error { return e.err }

// missingQueryError is a request for /query without one. Its message is InfluxDB 2's,
// which is about what it looked for next: a type of the body that could be the query's.
// InfluxDB 1 names the parameter.
type missingQueryError struct{ err error }

func (e *missingQueryError) Error() string { return `missing required parameter "q"` }

func (e *missingQueryError) Unwrap() error { return e.err }

// writeStatusError is writeError for the few answers whose status has no kind.
func (s *Server) writeStatusError(c *fasthttp.RequestCtx, status int, code string, e *engine.Error, style errorStyle) {
	s.writeTextError(c, status, code, e, style, e.Message)
}

// writeTextError is writeStatusError with another text for v1 clients.
func (s *Server) writeTextError(c *fasthttp.RequestCtx, status int, code string, e *engine.Error, style errorStyle, textV1 string) {
	message := e.Message
	if message == "" {
		message, textV1 = internalMessage, internalMessage
	}
	c.Response.ResetBody()
	h := &c.Response.Header
	h.SetStatusCode(status)
	h.SetContentType(jsonType)
	h.Set("X-Platform-Error-Code", code)
	if style == v1 {
		h.Set("X-Influxdb-Error", headerText(textV1))
	}
	if status == fasthttp.StatusServiceUnavailable {
		s.adviseRetry(c, e.RetryAfter)
	}
	if len(h.Peek(headerDryRun)) == 0 { // nothing has been lost
		s.log.answered(status, code, e)
	}
	w := errorWriter{style: style}
	w.member("code", code)
	w.member("message", message)
	if style == v1 {
		w.member("error", textV1)
	}
	if e.Line > 0 {
		w.key("line")
		w.b = strconv.AppendInt(w.b, int64(e.Line), 10)
	}
	if e.Malformed > 0 {
		w.key("malformed")
		w.b = strconv.AppendInt(w.b, int64(e.Malformed), 10)
		w.list("errors", e.Lines)
	}
	if p := e.Partial; p != nil {
		w.key("written")
		w.b = strconv.AppendInt(w.b, int64(p.Written), 10)
		w.key("dropped")
		w.b = strconv.AppendInt(w.b, int64(p.Dropped), 10)
		points := p.Points
		if points == nil {
			points = []engine.PointError{}
		}
		w.list("errors", points)
	}
	c.Response.SetBodyRaw(w.end())
}

// agentJS begins the User-Agent of the JavaScript client, which takes Retry-After
// for milliseconds and burns its retries; without one it backs off by itself.
const agentJS = "influxdb-client-js/"

// adviseRetry says when to try again, d from now or later, unless the client would
// misunderstand it.
func (s *Server) adviseRetry(c *fasthttp.RequestCtx, d time.Duration) {
	if !bytes.HasPrefix(c.UserAgent(), []byte(agentJS)) {
		c.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(retryAfterSeconds(d, s.retryAfterMax)))
	}
}

// retryAfterSeconds rounds d up to whole seconds, at least one, and adds up to a
// quarter, at least one second, so that a fleet does not come back at once. It is
// never over longest, near which it takes away instead.
func retryAfterSeconds(d, longest time.Duration) int {
	last := max(1, int(longest/time.Second))
	n := min(max(1, int((d+time.Second-1)/time.Second)), last)
	end := min(n+n/4+1, last)
	n = min(n, end-end/5)
	return n + rand.IntN(end-n+1)
}

// errorWriter writes the members of an error object.
type errorWriter struct {
	b     []byte
	style errorStyle
}

func (w *errorWriter) key(name string) {
	switch {
	case len(w.b) == 0:
		w.b = append(w.b, '{')
	default:
		w.b = append(w.b, ',')
	}
	if w.style == indented {
		w.b = append(w.b, "\n\t"...)
	}
	w.b = appendJSONString(w.b, name)
	w.b = append(w.b, ':')
	if w.style == indented {
		w.b = append(w.b, ' ')
	}
}

func (w *errorWriter) member(name, value string) {
	w.key(name)
	w.b = appendJSONString(w.b, value)
}

// list writes a member whose value is a slice of structs of strings and numbers.
func (w *errorWriter) list(name string, values any) {
	w.key(name)
	list, err := json.Marshal(values)
	if err != nil { // cannot be
		list = []byte("[]")
	}
	w.b = append(w.b, list...)
}

func (w *errorWriter) end() []byte {
	if w.style == indented {
		w.b = append(w.b, '\n')
	}
	return append(w.b, '}')
}

// headerText makes a message fit for a header: one line, not without end.
func headerText(s string) string {
	const bytesMax = 512
	b := []byte(s[:min(len(s), bytesMax)])
	for i, ch := range b {
		if ch < ' ' || ch == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// brokenRequest answers what fasthttp could not read as a request; it closes the
// connection afterwards.
func (s *Server) brokenRequest(c *fasthttp.RequestCtx, err error) {
	c.Response.Reset()
	s.setServerHeaders(c)
	status, code, message := fasthttp.StatusBadRequest, engine.Invalid.String(), "malformed request"
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &small):
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
		message = "request header is over " + strconv.Itoa(s.options.HeaderBytesMax) + " bytes, Options.HeaderBytesMax"
	case errors.As(err, &netErr) && netErr.Timeout():
		status, code, message = fasthttp.StatusRequestTimeout, codeTimeout, "timed out while reading the request"
	}
	s.writeStatusError(c, status, code, &engine.Error{Message: message}, compact)
	c.SetConnectionClose()
	s.metrics.requestDone(s.router.unmatched, status)
	lingerOnClose(c)
}

// codeTimeout is the code of a request whose reading took too long.
const codeTimeout = "request timeout"

// preflight answers OPTIONS under /api/v2 and /private, before authentication.
func preflight(c *fasthttp.RequestCtx) {
	h := &c.Response.Header
	if len(c.Request.Header.Peek(fasthttp.HeaderOrigin)) == 0 {
		h.SetStatusCode(fasthttp.StatusMethodNotAllowed)
		return
	}
	h.Set(fasthttp.HeaderAccessControlAllowMethods, "POST, GET, OPTIONS, PUT, DELETE, PATCH")
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, "Accept, Content-Type, Content-Length, Accept-Encoding, Authorization, User-Agent")
	noContent(c)
}

// redirect sends the client to path, with the query it came with. 308 keeps the
// method and the body.
func (s *Server) redirect(c *fasthttp.RequestCtx, path string) {
	location := []byte(path)
	if query := c.URI().QueryString(); len(query) > 0 {
		location = append(append(location, '?'), query...)
	}
	c.Response.Header.SetBytesV(fasthttp.HeaderLocation, location)
	if c.IsGet() {
		c.SetStatusCode(fasthttp.StatusMovedPermanently)
		return
	}
	c.SetStatusCode(fasthttp.StatusPermanentRedirect)
}

func notFoundText(c *fasthttp.RequestCtx) {
	writeText(c, fasthttp.StatusNotFound, "404 page not found\n")
}

func methodNotAllowedText(c *fasthttp.RequestCtx) {
	writeText(c, fasthttp.StatusMethodNotAllowed, "Method Not Allowed\n")
}

// writeText answers an error as Go's own HTTP server words it.
func writeText(c *fasthttp.RequestCtx, status int, text string) {
	c.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	c.SetContentType("text/plain; charset=utf-8")
	c.SetStatusCode(status)
	c.SetBodyString(text)
}

// answerProbe sets the status of a probe: 200, or 503 while the answer is no.
func (s *Server) answerProbe(c *fasthttp.RequestCtx, ok bool) {
	if ok {
		c.SetStatusCode(fasthttp.StatusOK)
		return
	}
	c.SetStatusCode(fasthttp.StatusServiceUnavailable)
	s.adviseRetry(c, time.Second)
}

// metricsOff answers /metrics with Options.MetricsDisabled.
func metricsOff(c *fasthttp.RequestCtx) {
	writeText(c, fasthttp.StatusForbidden, "metrics disabled\n")
}

// outcome is what metrics call a write's end: ok, or the code of its error.
func outcome(err error) string {
	if err == nil {
		return outcomeOK
	}
	var e *engine.Error
	if errors.As(err, &e) {
		return e.Kind.String()
	}
	return engine.Internal.String()
}

const outcomeOK = "ok"
