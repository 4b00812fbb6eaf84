package httpfront

import (
	"net/http/pprof"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"github.com/valyala/fasthttp/pprofhandler"

	"headgate/engine"
)

// pathPprof is where Go's profiles are, with Options.PprofEnabled only.
const pathPprof = "/debug/pprof"

// pprofPage serves a profile.
func pprofPage(_ *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	pprofhandler.PprofHandler(c)
}

// pprofIndex lists the profiles, which fasthttp's handler does not.
func pprofIndex(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	if string(c.Path()) == pathPprof {
		s.redirect(c, pathPprof+"/")
		return
	}
	fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Index)(c)
}
