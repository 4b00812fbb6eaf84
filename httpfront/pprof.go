package httpfront

import (
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/pprofhandler"

	"headgate/engine"
)

// pprofPage serves /debug/pprof; the route is there with Options.PprofEnabled only.
func pprofPage(_ *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	pprofhandler.PprofHandler(c)
}
