package httpfront

import (
	"unsafe"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// write reads the body of a write into bucket and has the engine store it. The
// caller may write there.
//
// What would fail again is refused first, then what the gate has no room for, and
// only then is the body read.
func (s *Server) write(c *fasthttp.RequestCtx, bucket engine.BucketID, precision engine.Precision, style errorStyle) {
	if err := s.writeBody(c, bucket, precision); err != nil {
		s.writeError(c, err, style)
		return
	}
	noContent(c)
}

func (s *Server) writeBody(c *fasthttp.RequestCtx, bucket engine.BucketID, precision engine.Precision) error {
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
	first := firstCharge(declaredBytes(c))
	a, err := s.engine.Admit(s.ctx, bucket, first)
	if err != nil {
		return err
	}
	defer a.Release()
	ch := &charge{admission: a, admitted: first, most: max(inflated.bytes, wire.bytes)}

	b := getBuffer()
	defer func() { putBuffer(b) }()
	if err := s.readWire(c, b, wire, ch); err != nil {
		return err
	}
	s.metrics.wireBytes.Add(float64(len(b.data)))
	if enc != identity {
		in := b
		b = getBuffer()
		err := s.inflaters.inflate(b, in.data, enc, inflated, ch)
		putBuffer(in)
		if err != nil {
			return err
		}
	}
	return s.engine.WriteAdmitted(s.ctx, a, b.data, precision)
}

// stringOf is b as a string, without a copy. It is good for look-ups during the
// request, while b does not change, and for nothing that outlives it.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
