package httpfront

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// authMode is how a route's callers prove who they are.
type authMode uint8

const (
	// authNone: anyone; the handler gets a nil principal.
	authNone authMode = iota
	// authV2: a token in the Authorization header, or a session cookie.
	authV2
	// authV1: u and p parameters, a token, or Basic.
	authV1
)

// handlerFunc answers a request. p is nil on routes with authNone. The handler
// keeps nothing of c.
type handlerFunc func(s *Server, c *fasthttp.RequestCtx, p *engine.Principal)

// route is one row of the routing table.
type route struct {
	// method is an HTTP method in capitals, or "*" for any.
	method string
	// pattern is a path; a segment in braces stands for any one segment, which the
	// handler gets from param.
	pattern string
	auth    authMode
	// style is how the route's errors look.
	style   errorStyle
	handler handlerFunc

	// count is the route's requests by status. Set by the metrics.
	count *routeCount
}

// routes is the whole table. Management routes are in manage.go.
func (s *Server) routes() []route {
	rs := []route{
		{method: "POST", pattern: pathWriteV2, auth: authV2, style: compact, handler: writeV2},
		{method: "POST", pattern: pathWriteV1, auth: authV1, style: v1, handler: writeV1},
		{method: "*", pattern: pathQueryV1, auth: authV1, style: v1, handler: queryV1},
		{method: "POST", pattern: pathDelete, auth: authV2, style: compact, handler: deleteV2},
		{method: "POST", pattern: pathQueryV2, auth: authV2, style: compact, handler: queryV2},
		{method: "POST", pattern: pathQueryV2 + "/analyze", auth: authV2, style: compact, handler: queryAnalyze},
		{method: "POST", pattern: pathQueryV2 + "/ast", auth: authV2, style: compact, handler: queryAST},
		{method: "GET", pattern: pathQueryV2 + "/suggestions", auth: authV2, style: compact, handler: querySuggestions},
		{method: "GET", pattern: pathQueryV2 + "/suggestions/{name}", auth: authV2, style: compact, handler: querySuggestion},
		{method: "GET", pattern: pathRejected, auth: authV2, style: compact, handler: rejectedV2},
		{method: "*", pattern: "/health", handler: health},
		{method: "*", pattern: "/ready", handler: ready},
		{method: "GET", pattern: pathPing, style: v1, handler: ping},
		{method: "HEAD", pattern: pathPing, style: v1, handler: ping},
		{method: "GET", pattern: "/metrics", handler: metricsText},
		{method: "GET", pattern: pathAPI, handler: links},
		{method: "GET", pattern: pathAPI + "/", auth: authV2, handler: links},
	}
	if s.options.PprofEnabled {
		rs = append(rs,
			route{method: "*", pattern: pathPprof, handler: pprofIndex},
			route{method: "*", pattern: pathPprof + "/", handler: pprofIndex},
			route{method: "*", pattern: pathPprof + "/{profile}", handler: pprofPage})
	}
	return append(rs, manageRoutes()...)
}

const (
	pathAPI      = "/api/v2"
	pathPrivate  = "/private"
	pathWriteV2  = "/api/v2/write"
	pathDelete   = "/api/v2/delete"
	pathQueryV2  = "/api/v2/query"
	pathRejected = "/api/v2/rejected"
	pathWriteV1  = "/write"
	pathQueryV1  = "/query"
	pathPing     = "/ping"
)

// redirected are the paths that a trailing slash is taken off of.
var redirected = [...]string{pathWriteV2, pathDelete, pathQueryV2, pathWriteV1, pathQueryV1}

// router finds the route of a request. It is immutable once made.
type router struct {
	static map[string]*resource
	// dynamic are the resources whose patterns have parameters.
	dynamic []*resource
	// all is every route, unmatched ones included, for the metrics.
	all []*route
	// unmatched stands for every request that has no route.
	unmatched *route
}

// resource is the routes that share a pattern.
type resource struct {
	segments []string
	routes   []*route
	// allow is the value of the Allow header.
	allow string
}

func newRouter(table []route) *router {
	rt := &router{static: make(map[string]*resource), unmatched: &route{method: "*", pattern: "other", style: compact}}
	byPattern := make(map[string]*resource)
	for i := range table {
		r := &table[i]
		rt.all = append(rt.all, r)
		res := byPattern[r.pattern]
		if res == nil {
			res = &resource{segments: strings.Split(r.pattern, "/")}
			byPattern[r.pattern] = res
			if strings.Contains(r.pattern, "{") {
				rt.dynamic = append(rt.dynamic, res)
			} else {
				rt.static[r.pattern] = res
			}
		}
		res.routes = append(res.routes, r)
	}
	for _, res := range byPattern {
		methods := []string{fasthttp.MethodOptions}
		for _, r := range res.routes {
			methods = append(methods, r.method)
		}
		slices.Sort(methods)
		res.allow = strings.Join(slices.Compact(methods), ", ")
	}
	rt.all = append(rt.all, rt.unmatched)
	return rt
}

// find returns the route of c, with its parameters set on c. Without one it
// returns the route that stands for those, and false.
func (rt *router) find(c *fasthttp.RequestCtx) (*route, bool) {
	res := rt.resource(c, true)
	if res == nil {
		return rt.unmatched, false
	}
	method := c.Method()
	for _, r := range res.routes {
		if r.method == "*" || r.method == string(method) {
			return r, true
		}
	}
	return rt.unmatched, false
}

// resource finds what c's path names, or nil.
func (rt *router) resource(c *fasthttp.RequestCtx, setParams bool) *resource {
	path := rawPath(c)
	if res := rt.static[string(path)]; res != nil {
		return res
	}
	for _, res := range rt.dynamic {
		if res.matches(c, string(path), setParams) {
			return res
		}
	}
	return nil
}

// matches compares path with the pattern. A parameter matches any segment that
// is not empty.
func (res *resource) matches(c *fasthttp.RequestCtx, path string, setParams bool) bool {
	if strings.Count(path, "/") != len(res.segments)-1 {
		return false
	}
	rest := path
	for _, want := range res.segments {
		var have string
		have, rest, _ = strings.Cut(rest, "/")
		if strings.HasPrefix(want, "{") {
			if have == "" {
				return false
			}
		} else if have != want {
			return false
		}
	}
	if setParams {
		for i, have := range strings.Split(path, "/") {
			if want := res.segments[i]; strings.HasPrefix(want, "{") {
				if decoded, err := url.PathUnescape(have); err == nil {
					have = decoded
				}
				c.SetUserValue(want[1:len(want)-1], have)
			}
		}
	}
	return true
}

// param is the value of a route's {name} segment.
func param(c *fasthttp.RequestCtx, name string) string {
	v, _ := c.UserValue(name).(string)
	return v
}

// rawPath is the path as sent: fasthttp's own would merge slashes and take a
// leading double one for a host. It aliases c.
func rawPath(c *fasthttp.RequestCtx) []byte {
	uri := c.RequestURI()
	if len(uri) == 0 || uri[0] != '/' {
		return c.URI().PathOriginal() // absolute form, as proxies send it
	}
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	if i := bytes.IndexByte(uri, '#'); i >= 0 {
		uri = uri[:i]
	}
	return uri
}

// underAPI reports whether path is one of those that authenticate first and
// answer browsers of other origins.
func underAPI(path []byte) bool {
	for _, prefix := range [...]string{pathAPI, pathPrivate} {
		if len(path) >= len(prefix) && string(path[:len(prefix)]) == prefix &&
			(len(path) == len(prefix) || path[len(prefix)] == '/') {
			return true
		}
	}
	return false
}

// routeMissing answers a request that no route takes: a preflight, a wrong
// method, a trailing slash, or a path that is not there.
func (s *Server) routeMissing(c *fasthttp.RequestCtx, r *route) {
	path := rawPath(c)
	api := underAPI(path)
	if api && c.IsOptions() {
		preflight(c)
		return
	}
	res := s.router.resource(c, false)
	target := ""
	for _, p := range redirected {
		if len(path) == len(p)+1 && path[len(p)] == '/' && string(path[:len(p)]) == p {
			target = p
			res = s.router.static[p]
		}
	}
	auth, style := authNone, compact
	if api {
		auth = authV2
	}
	if res != nil {
		style = res.routes[0].style
		auth = max(auth, res.routes[0].auth)
	}
	if _, err := s.authenticate(c, auth); err != nil {
		s.writeError(c, err, style.beforeRouting())
		return
	}
	if style == v1 {
		setVary(c)
	}
	switch {
	case target != "":
		s.redirect(c, target)
	case res != nil && c.IsOptions():
		c.Response.Header.Set(fasthttp.HeaderAllow, res.allow)
		noContent(c)
	case res != nil && string(path) == pathPing:
		c.Response.Header.Set(fasthttp.HeaderAllow, res.allow)
		methodNotAllowedText(c)
	case res != nil:
		c.Response.Header.Set(fasthttp.HeaderAllow, res.allow)
		s.writeError(c, engine.Errorf(engine.MethodNotAllowed, "allow: %s", res.allow), style)
	case api:
		s.writeError(c, engine.Errorf(engine.NotFound, "path not found"), indented)
	default:
		notFoundText(c)
	}
}

// setOrigin lets pages of other origins read the answer.
func setOrigin(c *fasthttp.RequestCtx) {
	if origin := c.Request.Header.Peek(fasthttp.HeaderOrigin); len(origin) > 0 {
		c.Response.Header.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
	}
}

// setVary says that v1 answers depend on Accept-Encoding.
func setVary(c *fasthttp.RequestCtx) {
	c.Response.Header.SetCanonical(headerVary, acceptEncoding)
}

var (
	headerVary     = []byte(fasthttp.HeaderVary)
	acceptEncoding = []byte(fasthttp.HeaderAcceptEncoding)
)
