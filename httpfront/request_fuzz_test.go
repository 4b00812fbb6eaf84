package httpfront

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// script is a connection whose client has sent everything at once and reads what comes.
// At the end of it a read fails, unless the server watches for the client's going away:
// then it waits, as a client does that wants its answer.
type script struct {
	in  *bytes.Reader
	out bytes.Buffer

	mu       sync.Mutex
	deadline chan struct{} // guarded by mu; closed when there is one
}

func newScript(in []byte) *script {
	return &script{in: bytes.NewReader(in), deadline: closedChan()}
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (c *script) Read(p []byte) (int, error) {
	if c.in.Len() == 0 {
		c.mu.Lock()
		wait := c.deadline
		c.mu.Unlock()
		<-wait
		return 0, io.EOF
	}
	return c.in.Read(p)
}

func (c *script) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.deadline:
		if at.IsZero() {
			c.deadline = make(chan struct{})
		}
	default:
		if !at.IsZero() {
			close(c.deadline)
		}
	}
	return nil
}

func (c *script) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *script) Close() error                     { return c.SetReadDeadline(time.Now()) }
func (c *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *script) SetDeadline(at time.Time) error   { return c.SetReadDeadline(at) }
func (c *script) SetWriteDeadline(time.Time) error { return nil }

// fuzzServer is a server without a socket, replaced now and then so that what inputs
// have left behind stays little.
type fuzzServer struct {
	e    *engine.Engine
	s    *Server
	dir  string
	uses int
	// ids are what the words ORG, BUCKET, USER, AUTH in inputs stand for.
	ids *strings.Replacer
	// noAuth serves without tokens.
	noAuth bool
	logged bytes.Buffer
	// bodiless says of each final answer of the connection whether it is one to HEAD:
	// what the server understood, which bytes that were to be requests do not tell.
	bodiless []bool
}

const fuzzUsesMax = 5000

func (fs *fuzzServer) get(t *testing.T) *Server {
	t.Helper()
	if fs.uses++; fs.s != nil && fs.uses < fuzzUsesMax {
		return fs.s
	}
	fs.close(t)
	dir, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMetrics()
	e, err := engine.Open(context.Background(), engine.Options{Dir: dir, MemoryBytesMax: 32 << 20, AdmissionWait: -1, QueryBytesMax: 4 << 20,
		QueryTimeout: 2 * time.Second, AuthDisabled: fs.noAuth, Events: m.Listener()})
	if err != nil {
		t.Fatal(err)
	}
	if fs.noAuth {
		fs.ids = fuzzIDs(e)
	} else {
		r, err := e.Setup(context.Background(), engine.SetupRequest{Username: "admin", Password: "password1", Org: "acme", Bucket: "b0", Token: testToken})
		if err != nil {
			t.Fatal(err)
		}
		fs.ids = strings.NewReplacer("ORG", r.Organization.ID.String(), "BUCKET", r.Bucket.ID.String(), "USER", r.User.ID.String(), "AUTH", r.Authorization.ID.String())
	}
	fs.logged.Reset()
	fs.e, fs.dir, fs.uses = e, dir, 0
	fs.s = New(e, Options{Version: "test", Metrics: m, BodyBytesMax: 1 << 20, InflatedBodyBytesMax: 2 << 20, QueryBodyBytesMax: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(&fs.logged, nil))})
	fs.watch(fs.s.http)
	return fs.s
}

// watch has fs.bodiless kept by all that h calls to make an answer.
func (fs *fuzzServer) watch(h *fasthttp.Server) {
	handle, broken, expect := h.Handler, h.ErrorHandler, h.ExpectHandler
	h.Handler = func(c *fasthttp.RequestCtx) {
		fs.bodiless = append(fs.bodiless, c.IsHead())
		handle(c)
	}
	h.ErrorHandler = func(c *fasthttp.RequestCtx, err error) {
		broken(c, err)
		fs.bodiless = append(fs.bodiless, false) // the method has not been read
	}
	h.ExpectHandler = func(c *fasthttp.RequestCtx) int {
		status := expect(c)
		if status != fasthttp.StatusContinue {
			fs.bodiless = append(fs.bodiless, false)
		}
		return status
	}
}

func (fs *fuzzServer) close(t testing.TB) {
	if fs.s == nil {
		return
	}
	if err := errors.Join(fs.s.Shutdown(context.Background()), fs.e.Close(), os.RemoveAll(fs.dir)); err != nil {
		t.Error(err)
	}
	fs.s = nil
}

// exchange sends in and returns the statuses of the answers. It fails on any answer
// that is our own failure or that cannot be read.
func (fs *fuzzServer) exchange(t *testing.T, in []byte) []int {
	t.Helper()
	s := fs.get(t)
	s.connections.take(netip.Addr{}, &s.options)
	c := newScript(in)
	fs.bodiless = fs.bodiless[:0]
	_ = s.http.ServeConn(&conn{Conn: c, server: s}) // what the bytes deserve
	var statuses []int
	answered := 0
	r := bufio.NewReader(&c.out)
	for {
		if _, err := r.Peek(1); err != nil {
			break
		}
		if answered == len(fs.bodiless) {
			t.Fatalf("%q: more than the %d answers that were made", in, answered)
		}
		method := http.MethodGet
		if fs.bodiless[answered] {
			method = http.MethodHead
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("the answer to %q cannot be read: %v", in, err)
		}
		body, _ := io.ReadAll(resp.Body) // a cut answer is the client's affair
		statuses = append(statuses, resp.StatusCode)
		if resp.StatusCode != http.StatusContinue {
			answered++
		}
		// Part 2 of the contract has a 500 for too short a retention period.
		if resp.StatusCode == 500 && !bytes.Contains(body, []byte("retention policy duration must be")) {
			t.Fatalf("%q: %d %s\n%s", in, resp.StatusCode, body, fs.logged.Bytes())
		}
	}
	if n := s.queries.Load(); n != 0 {
		t.Fatalf("%d queries still run", n)
	}
	return statuses
}

// oneLine is s as part of a request's first line or a header's value.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '+'
		}
		return r
	}, s)
}

// FuzzWriteRequest: whatever the parameters, headers and body of a write, it gets one
// answer out of the contract's list.
func FuzzWriteRequest(f *testing.F) {
	for _, seed := range []struct {
		v1     bool
		params string
		header string
		body   string
	}{
		{false, "org=acme&bucket=b0", "", "m,t=a f=1 1\n"},
		{false, "orgID=ORG&bucket=BUCKET&precision=ms", "Content-Encoding: gzip", "\x1f\x8b\x08\x00"},
		{false, "org=acme&bucket=b0&precision=s", "Content-Encoding: zstd", "\x28\xb5\x2f\xfd"},
		{false, "org=acme&bucket=b0&precision=us", "Content-Encoding: snappy", "m f=1\n\x00"},
		{false, "org=acme&bucket=b0&precision=x", "Content-Encoding: deflate, gzip", "m f=1u"},
		{true, "db=b0&rp=&precision=h&consistency=all", "Content-Type: text/plain", "m f=\"x\" 1\r\nm f=2"},
		{true, "db=b0&u=admin&p=" + testToken, "Content-Encoding: s2\r\nAccept-Encoding: gzip", "bad"},
		{false, "org=acme&bucket=b0&precision=auto&dry_run=true", "Idempotency-Key: \"a\"", "m f=1 1700000000\nm f=1i"},
		{true, "db=b0&precision=auto", "Idempotency-Key: a", "m f=1 17000000000"},
		{true, "db=%zz&precision=%C2%B5", "Expect: 100-continue", "m f=9223372036854775808i"},
	} {
		f.Add(seed.v1, seed.params, seed.header, []byte(seed.body))
	}
	fs := new(fuzzServer)
	f.Cleanup(func() { fs.close(f) })
	allowed := []int{100, 204, 400, 401, 404, 413, 415, 417, 422, 431}
	f.Fuzz(func(t *testing.T, isV1 bool, params, header string, body []byte) {
		fs.get(t)
		var b bytes.Buffer
		path := pathWriteV2
		if isV1 {
			path = pathWriteV1
		}
		b.WriteString("POST " + path + "?" + oneLine(fs.ids.Replace(params)) + " HTTP/1.1\r\nHost: h\r\nAuthorization: Token " + testToken + "\r\nConnection: close\r\n")
		for _, h := range strings.Split(header, "\r\n") {
			name, value, ok := strings.Cut(h, ":")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "content-length", "transfer-encoding", "connection":
				continue
			}
			if ok && name != "" && oneLine(name) == name {
				b.WriteString(name + ": " + oneLine(strings.TrimSpace(value)) + "\r\n")
			}
		}
		if len(body)%2 == 0 {
			b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
			b.Write(body)
		} else {
			b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
			for chunk := range slices.Chunk(body, 1+len(body)/3) {
				b.WriteString(strconv.FormatInt(int64(len(chunk)), 16) + "\r\n" + string(chunk) + "\r\n")
			}
			b.WriteString("0\r\n\r\n")
		}
		statuses := fs.exchange(t, b.Bytes())
		for _, status := range statuses {
			if !slices.Contains(allowed, status) {
				t.Errorf("%q: %d", b.Bytes(), status)
			}
		}
		if len(statuses) == 0 {
			t.Errorf("%q: no answer", b.Bytes())
		}
	})
}

// FuzzQueryRequest parses, plans and runs InfluxQL that comes by URL or form.
func FuzzQueryRequest(f *testing.F) {
	for _, seed := range []struct {
		method uint8
		params string
		accept string
		kind   string
		body   string
	}{
		{0, "db=b0&q=SELECT+*+FROM+m", "application/json", "", ""},
		{0, "db=b0&rp=autogen&epoch=ms&pretty=true&q=SHOW+TAG+VALUES+WITH+KEY+%3D+t", "", "", ""},
		{1, "db=b0&epoch=u&chunked=true&chunk_size=1", "text/csv", "application/x-www-form-urlencoded", "q=SELECT+mean(f)+FROM+m+WHERE+time+%3E+0+AND+time+%3C+100+GROUP+BY+time(1ns)+fill(linear)"},
		{1, "db=b0&params=%7B%22x%22%3A1%7D", "application/x-msgpack", "application/vnd.influxql", "SELECT f FROM m WHERE f > $x"},
		{1, "db=b0", "application/csv", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nSHOW SERIES\r\n--x--\r\n"},
		{1, "db=b0&q=SELECT+f+FROM+(SELECT+top(f,t,2)+FROM+m)+WHERE+t=~/a.*/+GROUP+BY+*+SLIMIT+1+tz('UTC')", "", "", ""},
		{1, "db=b0&q=DELETE+FROM+nothing+WHERE+t='a';CREATE+DATABASE+d;DROP+DATABASE+d", "", "", ""},
		{0, "db=b0&q=EXPLAIN+ANALYZE+SELECT+count(f)+FROM+m", "", "", ""},
	} {
		f.Add(seed.method, seed.params, seed.accept, seed.kind, []byte(seed.body))
	}
	fs := new(fuzzServer)
	f.Cleanup(func() { fs.close(f) })
	f.Fuzz(func(t *testing.T, method uint8, params, accept, kind string, body []byte) {
		s := fs.get(t)
		if fs.uses%500 == 0 {
			b, _ := s.engine.BucketByName(s.engine.Operator().OrgID, "b0")
			if err := fs.e.Write(context.Background(), b.ID, []byte("m,t=a f=1,g=1i,s=\"x\",b=true 1\nm,t=b f=2,u=3u 2\nn,t=a,r=x f=3i 3\nm f=-1 4"), engine.Nanosecond); err != nil {
				t.Logf("write: %v", err) // a fuzzed statement may have dropped the bucket or the types
			}
		}
		var b bytes.Buffer
		b.WriteString([]string{"GET", "POST"}[method%2] + " " + pathQueryV1 + "?" + oneLine(params) + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Token " + testToken + "\r\n")
		for _, h := range [][2]string{{"Accept", accept}, {"Content-Type", kind}} {
			if h[1] != "" {
				b.WriteString(h[0] + ": " + oneLine(h[1]) + "\r\n")
			}
		}
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
		b.Write(body)
		for _, status := range fs.exchange(t, b.Bytes()) {
			if !slices.Contains([]int{200, 400, 401, 404, 413, 415, 431}, status) {
				t.Errorf("%q: %d", b.Bytes(), status)
			}
		}
	})
}

// FuzzManageRequest sends bodies and parameters to every management route as the
// operator: no answer is an internal error.
func FuzzManageRequest(f *testing.F) {
	routes := slices.DeleteFunc(manageRoutes(), func(r route) bool {
		// Checking a password is slow on purpose, and a backup tells nothing new.
		return strings.HasSuffix(r.pattern, "/password") || strings.HasSuffix(r.pattern, "/backup") || strings.HasSuffix(r.pattern, "/signin") || strings.HasSuffix(r.pattern, "/setup")
	})
	for i := range routes {
		f.Add(uint8(i), "BUCKET", "org=acme&limit=2", []byte(`{"orgID":"ORG","name":"x","retentionRules":[{"type":"expire","everySeconds":3600}]}`))
		f.Add(uint8(i), "ORG", "orgID=ORG&name=x&user=admin", []byte(`{"orgID":"ORG","bucketID":"BUCKET","database":"d","retention_policy":"r","default":true,"id":"USER"}`))
		f.Add(uint8(i), "AUTH", "userID=USER&token=t&offset=1", []byte(`{"orgID":"ORG","status":"inactive","description":"d","permissions":[{"action":"read","resource":{"type":"buckets","id":"BUCKET"}}]}`))
	}
	fs := &fuzzServer{noAuth: true}
	f.Cleanup(func() { fs.close(f) })
	f.Fuzz(func(t *testing.T, i uint8, id, params string, body []byte) {
		fs.get(t)
		r := routes[int(i)%len(routes)]
		path := r.pattern
		for _, name := range []string{"{id}", "{user}"} {
			path = strings.ReplaceAll(path, name, strings.ReplaceAll(oneLine(fs.ids.Replace(id)), "/", "%2F"))
		}
		text := fs.ids.Replace(string(body))
		var b bytes.Buffer
		b.WriteString(r.method + " " + path + "?" + oneLine(fs.ids.Replace(params)) + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n" + text)
		fs.exchange(t, b.Bytes())
	})
}

// fuzzIDs makes a bucket, a user and a token of the operator's organization.
func fuzzIDs(e *engine.Engine) *strings.Replacer {
	words := []string{"ORG", e.Operator().OrgID.String()}
	ctx, p := context.Background(), e.Operator()
	if b, err := e.CreateBucket(ctx, p, engine.BucketRequest{OrgID: p.OrgID, Name: "b0"}); err == nil {
		words = append(words, "BUCKET", b.ID.String())
	}
	if u, err := e.CreateUser(ctx, p, "admin", engine.Active); err == nil {
		words = append(words, "USER", u.ID.String())
	}
	return strings.NewReplacer(words...)
}

// FuzzConnection takes all bytes of a connection: pipelined requests, garbage, chunks.
func FuzzConnection(f *testing.F) {
	const auth = "Host: h\r\nAuthorization: Token " + testToken + "\r\n"
	for _, s := range []string{
		"GET /health HTTP/1.1\r\nHost: h\r\n\r\nHEAD /ping HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST " + writeTarget + " HTTP/1.1\r\n" + auth + "Content-Length: 6\r\n\r\nm f=1\nGET /ping HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST " + writeTarget + " HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nm f\r\n2\r\n=1\r\n0\r\nT: v\r\n\r\n",
		"POST " + writeTarget + " HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nm f=1\r\n0\r\n\r\n",
		"POST " + writeTarget + " HTTP/1.1\r\n" + auth + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nm f=1",
		"POST /query?db=b0&q=SHOW+DATABASES HTTP/1.0\r\n" + auth + "\r\n",
		"OPTIONS /api/v2/nothing//x HTTP/1.1\r\nOrigin: o\r\n" + auth + "\r\nDELETE /api/v2/orgs/x HTTP/1.1\r\n" + auth + "\r\n",
		"GET http://h/metrics?x#y HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n",
		"HEAD ",
		"HEAD / HTTP/1.1\r\nbroken\r\n\r\n",
		"\r\nHEAD /nothing HTTP/1.1\r\nHost: h\r\n\r\nGET /ping HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	fs := new(fuzzServer)
	f.Cleanup(func() { fs.close(f) })
	f.Fuzz(func(t *testing.T, in []byte) { fs.exchange(t, in) })
}
