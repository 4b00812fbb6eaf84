package httpfront

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// write reads the body of a write into bucket and has the engine store it. The
// caller may write there.
//
// What would fail again is refused first, then what the gate has no room for, and
// only then is the body read.
func (s *Server) write(c *fasthttp.RequestCtx, p *engine.Principal, bucket engine.BucketID, precision engine.Precision, style errorStyle) {
	if err := s.writeBody(c, p, bucket, precision); err != nil {
		s.writeError(c, err, style)
		return
	}
	noContent(c)
}

func (s *Server) writeBody(c *fasthttp.RequestCtx, p *engine.Principal, bucket engine.BucketID, precision engine.Precision) error {
	o := engine.WriteOptions{Precision: precision, From: (*requestSender)(c)}
	var err error
	if o.DryRun, err = dryRunOf(c); err != nil {
		return err
	}
	key, err := idempotencyKeyOf(c)
	if err != nil {
		return err
	}
	enc, err := parseEncoding(c.Request.Header.Peek(fasthttp.HeaderContentEncoding))
	if err != nil {
		return err
	}
	inflated := limit{s.options.InflatedBodyBytesMax, "request body", "Options.InflatedBodyBytesMax (--max-inflated-body)"}
	if n := s.engine.BodyBytesMax(); n < inflated.bytes {
		inflated.bytes, inflated.knob = n, "what Options.MemoryBytesMax (--memory) leaves for one batch"
	}
	wire := limit{s.options.BodyBytesMax, "request body", "Options.BodyBytesMax (--max-body)"}
	if inflated.bytes < wire.bytes { // what is longer before it is inflated is longer after, or not worth it
		wire = inflated
	}
	if err := wire.checkDeclared(c); err != nil {
		return err
	}
	most := max(inflated.bytes, wire.bytes)
	first := firstCharge(declaredBytes(c), enc, most)
	cn := connOf(c)
	a := cn.admitted.Swap(nil)
	switch {
	case cn.expecting: // the body may never come
		first = min(first, growBytes)
	case a != nil && first > growBytes:
		a.Release()
		a = nil
	}
	if a == nil {
		if a, err = s.engine.Admit(s.ctx, bucket, first); err != nil {
			return err
		}
	}
	if cn.expecting {
		cn.admitted.Store(a) // the body comes after 100 Continue
		return nil
	}
	defer a.Release()
	ch := &cn.charge
	*ch = charge{admission: a, admitted: first, most: most}

	b := getBuffer()
	defer func() { putBuffer(b) }()
	if err := s.readWire(c, b, wire, ch); err != nil {
		return err
	}
	s.metrics.wireBytes.Add(float64(len(b.data)))
	if enc != identity {
		in := b
		b = getBuffer()
		err := a.TakeTurn(s.ctx, inflateFactor*len(in.data))
		if err == nil {
			err = s.inflaters.inflate(b, in.data, enc, inflated, ch)
			a.EndTurn()
		}
		putBuffer(in)
		if err != nil {
			return err
		}
	}
	ch.settle(int64(len(b.data))) // the body is whole
	if key == "" || o.DryRun {
		return s.engine.WriteAdmitted(s.ctx, a, b.data, o)
	}
	named := idempotencyKey{bucket: bucket, caller: callerOf(p), key: key}
	err, replayed := s.idempotency.do(s.ctx, named, fingerprintOf(b.data, precision), s.engine.Options().WriteTimeout, func(first time.Time) error {
		o.Time = first
		return s.engine.WriteAdmitted(s.ctx, a, b.data, o)
	})
	if replayed {
		c.Response.Header.Set(headerReplayed, "true")
	}
	return err
}

// headerDryRun marks the answer to a dry run: InfluxDB, which does not know the
// parameter, would have written.
const headerDryRun = "X-Headgate-Dry-Run"

// dryRunOf is c's parameter dry_run: true or false.
func dryRunOf(c *fasthttp.RequestCtx) (bool, error) {
	switch v := c.QueryArgs().Peek("dry_run"); string(v) {
	case "true":
		c.Response.Header.Set(headerDryRun, "true")
		return true, nil
	case "", "false":
		return false, nil
	}
	return false, engine.Errorf(engine.Invalid, "invalid dry_run; valid values are true and false")
}

// requestSender is a request that the engine can ask who sent it. It is the request itself,
// so that those that are not asked pay nothing.
type requestSender fasthttp.RequestCtx

// headerRequestID is how clients name their requests, where they do.
const headerRequestID = "X-Request-Id"

// SenderInfo implements engine.Sender.
func (r *requestSender) SenderInfo() engine.SenderInfo {
	c := (*fasthttp.RequestCtx)(r)
	i := engine.SenderInfo{Address: c.RemoteAddr().String(), UserAgent: string(c.UserAgent()), RequestID: string(c.Request.Header.Peek(headerRequestID))}
	if i.RequestID == "" {
		i.RequestID = fmt.Sprintf("%016x", c.ID())
	}
	return i
}

// expect looks at a request whose client sends the body only after 100 Continue. A
// write is admitted, or refused with all of its answer, before a byte of the body has
// come; everything else goes on. It returns the status to answer with.
func (s *Server) expect(c *fasthttp.RequestCtx) int {
	cn := connOf(c)
	if p := rawPath(c); !c.IsPost() || cn.Conn == nil || string(p) != pathWriteV2 && string(p) != pathWriteV1 {
		return fasthttp.StatusContinue
	}
	cn.expecting = true
	s.setServerHeaders(c)
	route := s.serve(c)
	cn.expecting = false
	if cn.admitted.Load() != nil {
		c.Response.Reset()
		return fasthttp.StatusContinue
	}
	s.metrics.requestDone(route, c.Response.StatusCode())
	return c.Response.StatusCode()
}

// stringOf is b as a string, without a copy. It is good for look-ups during the
// request, while b does not change, and for nothing that outlives it.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
