package httpfront

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/engine"
	"headgate/engine/testkit"
)

// front is a server over an engine of its own, set up with organization acme,
// bucket b0, user admin and the operator token testToken.
type front struct {
	e       *engine.Engine
	s       *Server
	network string
	addr    string
	served  chan error
}

const testToken = "operator-token"

// frontConfig says how a front differs from the usual one.
type frontConfig struct {
	// network and addr are what to listen on. Default: TCP, any port.
	network, addr string
	options       func(*engine.Options, *Options)
	// fresh leaves the engine without an organization.
	fresh bool
	// server may change the server before it serves.
	server func(*Server)
	// wrap may replace the listener.
	wrap func(net.Listener) net.Listener
}

func newFront(t testing.TB, cfg frontConfig) *front {
	t.Helper()
	if cfg.network == "" {
		cfg.network, cfg.addr = "tcp", "127.0.0.1:0"
	}
	testkit.CheckLeaks(t)
	m := NewMetrics()
	eo := engine.Options{Dir: t.TempDir(), MemoryBytesMax: 64 << 20, AdmissionWait: -1, Events: m.Listener()}
	o := Options{Version: "test", Metrics: m, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
	if cfg.options != nil {
		cfg.options(&eo, &o)
	}
	e, err := engine.Open(context.Background(), eo)
	if err != nil {
		t.Fatal(err)
	}
	if !eo.AuthDisabled && !cfg.fresh {
		r := engine.SetupRequest{Username: "admin", Password: "password1", Org: "acme", Bucket: "b0", Token: testToken}
		if _, err := e.Setup(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen(cfg.network, cfg.addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{e: e, s: New(e, o), network: cfg.network, addr: ln.Addr().String(), served: make(chan error, 1)}
	if cfg.server != nil {
		cfg.server(f.s)
	}
	if cfg.wrap != nil {
		ln = cfg.wrap(ln)
	}
	go func() { f.served <- f.s.Serve(ln) }()
	t.Cleanup(func() {
		f.stop(t)
		if err := e.Close(); err != nil {
			t.Errorf("close engine: %v", err)
		}
	})
	return f
}

// stop shuts the server down and waits for Serve to return.
func (f *front) stop(t testing.TB) {
	t.Helper()
	if f.served == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := f.s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	select {
	case err := <-f.served:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-ctx.Done():
		t.Error("serve goes on after the shutdown")
	}
	f.served = nil
}

// testWriter logs what the server logs.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a line after the test's end
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// client is one connection, for requests written byte by byte.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (f *front) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial(f.network, f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: c, r: bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer is a response that has been read to its end.
type answer struct {
	*http.Response
	body string
}

func (c *client) receive(method string) answer {
	c.t.Helper()
	a, err := c.tryReceive(method)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *client) tryReceive(method string) (answer, error) {
	r, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	b, err := io.ReadAll(r.Body)
	return answer{r, string(b)}, err
}

// closed reports whether the server has closed the connection.
func (c *client) closed() bool {
	_, err := c.r.ReadByte()
	return err == io.EOF
}

// request is one request over a connection of its own.
func (f *front) request(t testing.TB, method, target string, header http.Header, body []byte) answer {
	t.Helper()
	c := f.dial(t)
	defer c.Close()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: test\r\n", method, target)
	if err := header.Write(&b); err != nil {
		t.Fatal(err)
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	c.send(b.String())
	return c.receive(method)
}

func tokenHeader(more ...string) http.Header {
	h := http.Header{"Authorization": {"Token " + testToken}}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

const writeTarget = "/api/v2/write?org=acme&bucket=b0"

func (f *front) write(t testing.TB, body string) answer {
	t.Helper()
	return f.request(t, "POST", writeTarget, tokenHeader(), []byte(body))
}

// count is how many values field f of measurement m has, by InfluxQL.
func (f *front) count(t testing.TB, m string) string {
	t.Helper()
	a := f.request(t, "GET", "/query?db=b0&q=SELECT+count(f)+FROM+"+m, tokenHeader("Accept", "text/csv"), nil)
	if a.StatusCode != 200 {
		t.Fatalf("count: %d %s", a.StatusCode, a.body)
	}
	if _, rest, ok := strings.Cut(a.body, "\n"); ok {
		return strings.TrimSpace(rest[strings.LastIndexByte(rest, ',')+1:])
	}
	return "0"
}

// socket is a path short enough for a unix socket.
func socket(t testing.TB) string {
	return filepath.Join(t.TempDir(), "s")
}
