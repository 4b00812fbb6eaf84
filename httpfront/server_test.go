package httpfront

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// TestStatusTable walks every kind: each has a status of its own row, and its
// answer says the kind's code.
func TestStatusTable(t *testing.T) {
	want := map[engine.Kind]int{
		engine.Internal: 500, engine.Invalid: 400, engine.EmptyValue: 400, engine.Unauthorized: 401, engine.Forbidden: 403,
		engine.NotFound: 404, engine.MethodNotAllowed: 405, engine.TooLarge: 413, engine.UnsupportedEncoding: 415,
		engine.Unprocessable: 422, engine.Conflict: 422, engine.NotImplemented: 501,
		engine.Overloaded: 503, engine.Unavailable: 503, engine.Indeterminate: 503,
	}
	if len(statusOf) != len(want) {
		t.Fatalf("statusOf has %d rows, want %d", len(statusOf), len(want))
	}
	f := newFront(t, frontConfig{server: func(s *Server) {
		for kind := range want {
			addRoute(s, fmt.Sprintf("/kind/%d", kind), func(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
				s.writeError(c, &engine.Error{Kind: kind, Message: "why"}, v1)
			})
		}
	}})
	for kind, status := range want {
		a := f.request(t, "GET", fmt.Sprintf("/kind/%d", kind), nil, nil)
		if a.StatusCode != status {
			t.Errorf("%v: status %d, want %d", kind, a.StatusCode, status)
		}
		if got := a.Header.Get("X-Platform-Error-Code"); got != kind.String() {
			t.Errorf("%v: code %q", kind, got)
		}
		if wantBody := fmt.Sprintf(`{"code":%q,"message":"why","error":"why"}`, kind.String()); a.body != wantBody {
			t.Errorf("%v: body %s, want %s", kind, a.body, wantBody)
		}
		retry := a.Header.Get("Retry-After")
		if (status == 503) != digits.MatchString(retry) || retry == "0" {
			t.Errorf("%v: Retry-After %q", kind, retry)
		}
	}
}

// addRoute adds a route to a server that does not serve yet.
func addRoute(s *Server, path string, h handlerFunc) {
	r := &route{method: "*", pattern: path, handler: h, count: new(routeCount)}
	s.router.all = append(s.router.all, r)
	s.router.static[path] = &resource{routes: []*route{r}}
}

func TestPanicIsAnswered(t *testing.T) {
	f := newFront(t, frontConfig{server: func(s *Server) {
		addRoute(s, "/panic", func(*Server, *fasthttp.RequestCtx, *engine.Principal) { panic("our own bug") })
	}})
	c := f.dial(t)
	c.send("POST /panic HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello")
	a := c.receive("POST")
	if want := `{"code":"internal error","message":"` + internalMessage + `"}`; a.StatusCode != 500 || a.body != want {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a.Header.Get("X-Influxdb-Build") != "OSS" {
		t.Error("no X-Influxdb-Build after a panic")
	}
	c.send("GET /ping HTTP/1.1\r\nHost: test\r\n\r\n") // the connection and the process live on
	if a := c.receive("GET"); a.StatusCode != 204 {
		t.Errorf("after the panic: %d", a.StatusCode)
	}
}

func TestUnixSocket(t *testing.T) {
	f := newFront(t, frontConfig{network: "unix", addr: socket(t)})
	if a := f.write(t, "m f=1 1"); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if got := f.count(t, "m"); got != "1" {
		t.Errorf("%s points, want 1", got)
	}
}

// TestUnreadBodyIsNotARequest refuses a request whose body, read as a request,
// would be another one.
func TestUnreadBodyIsNotARequest(t *testing.T) {
	f := newFront(t, frontConfig{})
	smuggled := "GET /ping HTTP/1.1\r\nHost: test\r\n\r\n"
	t.Run("small", func(t *testing.T) {
		c := f.dial(t)
		c.send(fmt.Sprintf("POST /nope HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled))
		if a := c.receive("POST"); a.StatusCode != 404 {
			t.Fatalf("%d", a.StatusCode)
		}
		c.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
		if a := c.receive("GET"); a.StatusCode != 200 {
			t.Fatalf("the body was taken for a request: %d", a.StatusCode)
		}
	})
	t.Run("chunked", func(t *testing.T) {
		c := f.dial(t)
		c.send(fmt.Sprintf("POST /nope HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled))
		if a := c.receive("POST"); a.StatusCode != 404 {
			t.Fatalf("%d", a.StatusCode)
		}
		c.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
		if a := c.receive("GET"); a.StatusCode != 200 {
			t.Fatalf("the body was taken for a request: %d", a.StatusCode)
		}
	})
	t.Run("large", func(t *testing.T) {
		c := f.dial(t)
		c.send(fmt.Sprintf("POST /nope HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", 10<<20, smuggled))
		if a := c.receive("POST"); a.StatusCode != 404 || !a.Close {
			t.Fatalf("%d, close %v", a.StatusCode, a.Close)
		}
		if !c.closed() {
			t.Error("the connection is open after an unread body")
		}
	})
}

// TestRefusalReachesASendingClient sends far more than any socket buffer holds to
// a path that reads nothing: the answer must come through all the same.
func TestRefusalReachesASendingClient(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.BodyBytesMax = 1 << 10 }})
	c := f.dial(t)
	const size = 6 << 20
	c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n\r\n", writeTarget, testToken, size))
	c.send(strings.Repeat("x", size))
	if a := c.receive("POST"); a.StatusCode != 413 || !a.Close {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
}

func TestGateRefusesBeforeTheBody(t *testing.T) {
	f := newFront(t, frontConfig{})
	if a := f.write(t, "m f=1 1"); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	org, _ := f.e.OrganizationByName("acme")
	bucket, _ := f.e.BucketByName(org.ID, "b0")
	var held []*engine.Admission
	for {
		a, err := f.e.Admit(context.Background(), bucket.ID, 1<<20)
		if err != nil {
			var e *engine.Error
			if !errors.As(err, &e) || e.Kind != engine.Overloaded {
				t.Fatalf("admit: %v", err)
			}
			break
		}
		held = append(held, a)
	}
	c := f.dial(t)
	// Only the first byte of the body is ever sent.
	c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: 1048576\r\n\r\nm", writeTarget, testToken))
	a := c.receive("POST")
	if a.StatusCode != 503 || !digits.MatchString(a.Header.Get("Retry-After")) || a.Header.Get("Retry-After") == "0" {
		t.Errorf("%d, Retry-After %q: %s", a.StatusCode, a.Header.Get("Retry-After"), a.body)
	}
	if !a.Close || !c.closed() {
		t.Error("the connection is kept with a body unread")
	}
	js := f.request(t, "POST", writeTarget, tokenHeader("User-Agent", "influxdb-client-js/1.35.0"), make([]byte, 1<<20))
	if _, ok := js.Header["Retry-After"]; js.StatusCode != 503 || ok {
		t.Errorf("JavaScript client: %d, Retry-After %q", js.StatusCode, js.Header["Retry-After"])
	}
	for _, a := range held {
		a.Release()
	}
	if a := f.write(t, "m f=2 2"); a.StatusCode != 204 {
		t.Errorf("after the release: %d %s", a.StatusCode, a.body)
	}
	if got := f.count(t, "m"); got != "2" {
		t.Errorf("%s points, want 2", got)
	}
}

// TestClosedEngine asks a server whose engine is gone: it refuses, and says when
// to come back.
func TestClosedEngine(t *testing.T) {
	f := newFront(t, frontConfig{})
	if err := f.e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{writeTarget, "/write?db=b0"} {
		a := f.request(t, "POST", target, tokenHeader(), []byte("m f=1 1"))
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.Header.Get("X-Platform-Error-Code") != "unavailable" {
			t.Errorf("%s: %d %v %s", target, a.StatusCode, a.Header, a.body)
		}
	}
	if a := f.request(t, "GET", "/health", nil, nil); a.StatusCode != 503 || !strings.Contains(a.body, `"status":"fail"`) {
		t.Errorf("health: %d %s", a.StatusCode, a.body)
	}
	if a := f.request(t, "GET", "/ready", nil, nil); a.StatusCode != 503 {
		t.Errorf("ready: %d %s", a.StatusCode, a.body)
	}
	if a := f.request(t, "GET", "/metrics", nil, nil); a.StatusCode != 200 {
		t.Errorf("metrics: %d", a.StatusCode)
	}
}

func TestSlowBody(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.BodyReadTimeout = 30 * time.Millisecond }})
	c := f.dial(t)
	c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: 100\r\n\r\nm f=1", writeTarget, testToken))
	a := c.receive("POST")
	if a.StatusCode != 408 || !a.Close || !strings.Contains(a.body, "unable to read data: ") {
		t.Errorf("%d, close %v: %s", a.StatusCode, a.Close, a.body)
	}
	if n := f.e.Stats().Gate.Bytes; n != 0 {
		t.Errorf("the gate still holds %d bytes", n)
	}
}

// TestVanishedClient sends half a body and goes: nothing may be written.
func TestVanishedClient(t *testing.T) {
	f := newFront(t, frontConfig{})
	for _, request := range []string{
		"Content-Length: 100\r\n\r\nm f=1 1\n",
		"Transfer-Encoding: chunked\r\n\r\n8\r\nm f=1 1\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n80\r\nm f=1 1\n",
	} {
		c := f.dial(t)
		c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\n%s", writeTarget, testToken, request))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if a := c.receive("POST"); a.StatusCode != 400 || !strings.Contains(a.body, "unable to read data: ") {
			t.Errorf("%q: %d %s", request, a.StatusCode, a.body)
		}
	}
	if got := f.count(t, "m"); got != "0" {
		t.Errorf("%s points of broken requests, want 0", got)
	}
	if n := f.e.Stats().Gate.Bytes; n != 0 {
		t.Errorf("the gate still holds %d bytes", n)
	}
}

func TestExpectContinue(t *testing.T) {
	f := newFront(t, frontConfig{})
	c := f.dial(t)
	c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n", writeTarget, testToken))
	line, err := c.r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.send("m f=1 1")
	if a := c.receive("POST"); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestPipelinedWrites(t *testing.T) {
	f := newFront(t, frontConfig{})
	c := f.dial(t)
	var b strings.Builder
	const n = 20
	for i := range n {
		body := fmt.Sprintf("m f=%d %d", i, i)
		fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n\r\n%s", writeTarget, testToken, len(body), body)
	}
	c.send(b.String())
	for i := range n {
		if a := c.receive("POST"); a.StatusCode != 204 {
			t.Fatalf("write %d: %d %s", i, a.StatusCode, a.body)
		}
	}
	if got := f.count(t, "m"); got != fmt.Sprint(n) {
		t.Errorf("%s points, want %d", got, n)
	}
}

// TestBrokenRequests are those that fasthttp answers by itself: the answers are
// ours none the less.
func TestBrokenRequests(t *testing.T) {
	f := newFront(t, frontConfig{})
	for _, tc := range []struct {
		name, request string
		status        int
	}{
		{"garbage", "garbage\r\n\r\n", 400},
		{"length", "POST /write HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n", 400},
		{"header", "GET /ping HTTP/1.1\r\nHost: test\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", 431},
		{"url", "GET /query?q=" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: test\r\n\r\n", 431},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := f.dial(t)
			c.send(tc.request)
			a := c.receive("GET")
			if a.StatusCode != tc.status || a.Header.Get("X-Influxdb-Build") != "OSS" || a.Header.Get("X-Influxdb-Version") == "" {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
			var body struct{ Code, Message string }
			if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Code == "" || body.Message == "" {
				t.Errorf("body %s: %v", a.body, err)
			}
			if !c.closed() {
				t.Error("the connection is open after a broken request")
			}
		})
	}
}

// TestShutdownBeforeServe: whichever comes first, both return, and nobody is accepted.
func TestShutdownBeforeServe(t *testing.T) {
	f := newFront(t, frontConfig{})
	f.stop(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(serve func(net.Listener) error, ln net.Listener) {
		t.Helper()
		served := make(chan error, 1)
		go func() { served <- serve(ln) }()
		select {
		case err := <-served:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(10 * time.Second):
			ln.Close()
			t.Error("accepts for ever")
		}
	}
	serve(f.s.Serve, ln)
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
	// Between Serve's start and its first Accept.
	s := New(f.e, Options{})
	ln, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: ln, server: s}
	s.listeners.add(l)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	serve(s.http.Serve, l)
	if err := l.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

// TestShutdownAnswersWhatIsInFlight starts writes, shuts down, and expects each to
// have been answered.
func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	// On a socket file: a TCP port that is free again may be somebody else's.
	f := newFront(t, frontConfig{network: "unix", addr: filepath.Join(t.TempDir(), "s"), server: func(s *Server) {
		addRoute(s, "/held", func(_ *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
			close(entered)
			<-release
			noContent(c)
		})
	}})
	idle := f.dial(t)
	idle.send("GET /ping HTTP/1.1\r\nHost: test\r\n\r\n")
	idle.receive("GET")
	c := f.dial(t)
	c.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
	<-entered
	done := make(chan error, 1)
	go func() { done <- f.s.Shutdown(context.Background()) }()
	if err := <-f.served; err != nil { // the listener is closed first
		t.Errorf("serve: %v", err)
	}
	f.served = nil
	if conn, err := net.Dial(f.network, f.addr); err == nil {
		conn.Close()
		t.Error("connections are accepted during the shutdown")
	}
	close(release)
	if a := c.receive("GET"); a.StatusCode != 204 || !a.Close {
		t.Errorf("in flight: %d, close %v", a.StatusCode, a.Close)
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if !idle.closed() {
		t.Error("the idle connection is open after the shutdown")
	}
}

// TestStreamedQuery reads an answer that is far longer than what is held of it.
func TestStreamedQuery(t *testing.T) {
	f := newFront(t, frontConfig{})
	const points = 60000
	f.fill(t, "m", points)
	for _, tc := range []struct {
		name, target string
		header       http.Header
	}{
		{"plain", "/query?db=b0&epoch=ns&q=SELECT+f+FROM+m", tokenHeader()},
		{"gzip", "/query?db=b0&epoch=ns&q=SELECT+f+FROM+m", tokenHeader("Accept-Encoding", "gzip")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := f.request(t, "GET", tc.target, tc.header, nil)
			if a.StatusCode != 200 || a.ContentLength != -1 {
				t.Fatalf("%d, length %d", a.StatusCode, a.ContentLength)
			}
			body := gunzip(t, a)
			var out struct {
				Results []struct {
					Series  []struct{ Values [][2]float64 }
					Partial bool
				}
			}
			if err := json.Unmarshal([]byte(body), &out); err != nil {
				t.Fatal(err)
			}
			if len(out.Results) != 1 || len(out.Results[0].Series) != 1 || out.Results[0].Partial {
				t.Fatalf("%d results", len(out.Results))
			}
			values := out.Results[0].Series[0].Values
			if len(values) != points {
				t.Fatalf("%d values, want %d", len(values), points)
			}
			for i, v := range values {
				if v[1] != float64(i) {
					t.Fatalf("value %d is %v", i, v)
				}
			}
		})
	}
	t.Run("chunked", func(t *testing.T) {
		a := f.request(t, "GET", "/query?db=b0&epoch=ns&chunked=true&chunk_size=500&q=SELECT+f+FROM+m", tokenHeader(), nil)
		lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
		if len(lines) != points/500 {
			t.Fatalf("%d documents, want %d", len(lines), points/500)
		}
		for i, l := range lines {
			if last := i == len(lines)-1; strings.Contains(l, `"partial":true`) == last {
				t.Fatalf("document %d of %d ends %s", i, len(lines), l[len(l)-40:])
			}
		}
	})
	f.waitNoQueries(t)
}

func TestQueryHeldBytesMax(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.QueryHeldBytesMax = 64 << 10 }})
	f.fill(t, "m", 60000)
	header := tokenHeader("Accept", "application/x-msgpack")
	if a := f.request(t, "GET", "/query?db=b0&q=SELECT+f+FROM+m", header, nil); a.StatusCode != 413 || !strings.Contains(a.body, "QueryHeldBytesMax") {
		t.Errorf("%d %.200s", a.StatusCode, a.body)
	}
	if a := f.request(t, "GET", "/query?db=b0&chunked=true&q=SELECT+f+FROM+m", header, nil); a.StatusCode != 200 {
		t.Errorf("chunked: %d", a.StatusCode)
	}
	f.waitNoQueries(t)
}

// TestAbandonedQuery closes the connection while the answer is on its way: the
// query must end and give its place back.
func TestAbandonedQuery(t *testing.T) {
	f := newFront(t, frontConfig{})
	f.fill(t, "m", 60000)
	c := f.dial(t)
	// A cross of many series and functions would do as well; a client that does not
	// read is enough, since no more than a few buffers are held for it.
	c.send(fmt.Sprintf("GET /query?db=b0&chunked=true&chunk_size=10&q=%s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\n\r\n",
		strings.Repeat("SELECT+f+FROM+m;", 50), testToken))
	if _, err := c.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	if n := f.s.queries.Load(); n != 1 {
		t.Errorf("%d queries are running, want 1", n)
	}
	c.Close()
	f.waitNoQueries(t)
}

func TestQueriesMax(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.QueriesMax = 1 }})
	f.s.queries.Add(1)
	if a := f.request(t, "GET", "/query?db=b0&q=SHOW+DATABASES", tokenHeader(), nil); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	f.s.queries.Add(-1)
	if a := f.request(t, "GET", "/query?db=b0&q=SHOW+DATABASES", tokenHeader(), nil); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	f.waitNoQueries(t)
}

// TestPipelinedAfterQuery sends a request while a query runs: the byte that the
// watch for a vanished client may have read belongs to it.
func TestPipelinedAfterQuery(t *testing.T) {
	f := newFront(t, frontConfig{})
	f.fill(t, "m", 20000)
	for range 20 {
		c := f.dial(t)
		c.send(fmt.Sprintf("GET /query?db=b0&q=SELECT+f+FROM+m HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\n\r\n", testToken))
		c.send("GET /ping HTTP/1.1\r\nHost: test\r\n\r\n")
		if a := c.receive("GET"); a.StatusCode != 200 {
			t.Fatalf("query: %d %s", a.StatusCode, a.body)
		}
		if a := c.receive("GET"); a.StatusCode != 204 {
			t.Fatalf("ping: %d %s", a.StatusCode, a.body)
		}
		c.Close()
	}
}

// fill writes n points of one series, whose field f counts from 0.
func (f *front) fill(t testing.TB, m string, n int) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s f=%d %d\n", m, i, 1700000000000000000+i)
	}
	if a := f.write(t, b.String()); a.StatusCode != 204 {
		t.Fatalf("fill: %d %s", a.StatusCode, a.body)
	}
}

func (f *front) waitNoQueries(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); f.s.queries.Load() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d queries are still running", f.s.queries.Load())
		}
	}
}

// TestBodyThatNeverFits sends a body that the memory budget can never admit once
// it is inflated: it is too large, for a client that is told to wait would come
// back for ever.
func TestBodyThatNeverFits(t *testing.T) {
	f := newFront(t, frontConfig{options: func(o *engine.Options, _ *Options) { o.MemoryBytesMax = 64 << 20 }})
	body := make([]byte, 17<<20)
	copy(body, "m f=1 1\n# ")
	for i := 11; i < len(body); i++ { // does not shrink to nothing: credit grows on the way
		body[i] = byte('a' + i*i>>7%23)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(body)
	z.Close()
	a := f.request(t, "POST", writeTarget, tokenHeader("Content-Encoding", "gzip"), zipped.Bytes())
	if a.StatusCode != 413 || !strings.Contains(string(a.body), "--memory") {
		t.Errorf("%d bytes inflated from %d: %d %s", len(body), zipped.Len(), a.StatusCode, a.body)
	}
}

func TestPprof(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.PprofEnabled = true }})
	for path, want := range map[string]int{"/debug/pprof": 301, "/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/nope": 404} {
		if a := f.request(t, "GET", path, nil, nil); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, want)
		}
	}
}
