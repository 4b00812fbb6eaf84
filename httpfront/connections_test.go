package httpfront

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

func TestConnectionsTake(t *testing.T) {
	o := Options{ConnectionsMax: 3, ConnectionsPerIPMax: 2}
	a, b, none := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.Addr{}
	var cs connections
	for i, step := range []struct {
		ip   netip.Addr
		give bool
		want string
	}{
		{ip: a}, {ip: a}, {ip: a, want: "per-ip"}, {ip: b}, {ip: none, want: "Options.ConnectionsMax"}, {ip: b, want: "Options.ConnectionsMax"},
		{ip: a, give: true}, {ip: none}, {ip: none, give: true}, {ip: a}, {ip: a, want: "Options.ConnectionsMax"},
	} {
		if step.give {
			cs.giveBack(step.ip)
		} else if got := cs.take(step.ip, &o); !strings.Contains(got, step.want) || got != "" && step.want == "" {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if cs.open != 3 || cs.byIP[a] != 2 || cs.byIP[b] != 1 || cs.refused.Load() != 4 {
		t.Errorf("%d open, %v, %d refused", cs.open, cs.byIP, cs.refused.Load())
	}
}

// TestConnectionsMax opens one more than there may be: it is closed without an
// answer, and there is room again when another has gone.
func TestConnectionsMax(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.ConnectionsPerIPMax = 2 }})
	first, second := f.dial(t), f.dial(t)
	for _, c := range []*client{first, second} {
		if a := f.ping(c); a.StatusCode != 204 {
			t.Fatalf("%d", a.StatusCode)
		}
	}
	third := f.dial(t)
	if _, err := third.r.ReadByte(); err != io.EOF {
		t.Errorf("one connection too many: %v, want EOF", err)
	}
	second.Close()
	f.waitConnections(t, 1)
	if a := f.ping(f.dial(t)); a.StatusCode != 204 {
		t.Errorf("%d once there is room", a.StatusCode)
	}
}

func (f *front) ping(c *client) answer {
	c.send("GET /ping HTTP/1.1\r\nHost: test\r\n\r\n")
	return c.receive("GET")
}

func (f *front) waitConnections(t *testing.T, want int) {
	t.Helper()
	for begin := time.Now(); ; {
		f.s.connections.mu.Lock()
		n := f.s.connections.open
		f.s.connections.mu.Unlock()
		if n == want {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d connections are counted, want %d", n, want)
		}
	}
}

// TestLogCounts has many requests of a kind go wrong and looks at how few lines say
// so: the first, and each ten seconds how many.
func TestLogCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		l := newLimitedLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		full := &engine.Error{Kind: engine.Overloaded, Reason: "queue_full", Message: "full"}
		for range 4 { // seconds apart: 1 at once, then 12345 within 10 s
			for range 3086 {
				l.answered(503, "unavailable", full)
			}
			time.Sleep(time.Second)
		}
		for range 100 {
			l.answered(400, "invalid", &engine.Error{Message: "a secret line"})
			l.answered(401, "unauthorized", &engine.Error{Message: "token abc"})
		}
		time.Sleep(time.Minute)
		l.answered(408, "request timeout", &engine.Error{Message: "slow"})
		l.answered(408, "request timeout", &engine.Error{Message: "slower"})
		l.close()
		want := `level=WARN msg="refused requests" reason=queue_full count=1 example=full
level=WARN msg="rejected requests" reason=400 count=1 example="a secret line"
level=WARN msg="rejected requests" reason=401 count=1
level=WARN msg="refused requests" reason=queue_full count=12343 in=10s example=full
level=WARN msg="rejected requests" reason=400 count=99 in=10s example="a secret line"
level=WARN msg="rejected requests" reason=401 count=99 in=10s
level=WARN msg="slow requests" reason="request timeout" count=1 example=slow
level=WARN msg="slow requests" reason="request timeout" count=1 example=slower
`
		if got := out.String(); got != want && sortedLines(got) != sortedLines(want) {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines { // two timers may be due at the same moment
		for j := i; j > 0 && lines[j] < lines[j-1]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
	return strings.Join(lines, "\n")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestExpectIsRefusedBeforeTheBody: who waits for 100 Continue does not get one for
// a write that is not admitted, and credit that waits for a body comes home when the
// client leaves instead.
func TestExpectIsRefusedBeforeTheBody(t *testing.T) {
	f := newFront(t, frontConfig{})
	head := func(bytes int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", writeTarget, testToken, bytes)
	}
	c := f.dial(t)
	c.send(head(64 << 20))
	if a := c.receive("POST"); a.StatusCode != 413 || a.body == "" {
		t.Errorf("too large: %d %s", a.StatusCode, a.body)
	}

	c = f.dial(t)
	c.send(head(7))
	if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if n := f.e.Stats().Gate.Requests; n != 1 {
		t.Errorf("%d requests are admitted while the body is awaited, want 1", n)
	}
	c.Close()
	for begin := time.Now(); f.e.Stats().Gate.Requests != 0; {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the credit of a client that left has not come home")
		}
	}

	release := f.fillGate(t)
	c = f.dial(t)
	c.send(head(1 << 20))
	if a := c.receive("POST"); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("gate full: %d %v", a.StatusCode, a.Header)
	}
	release()
}

// fillGate takes all the credit there is for one bucket.
func (f *front) fillGate(t *testing.T) (release func()) {
	t.Helper()
	held := f.holdCredit(t)
	return func() {
		for _, a := range held {
			a.Release()
		}
	}
}

// holdCredit is fillGate that gives what it holds, a megabyte each at first.
func (f *front) holdCredit(t *testing.T) []*engine.Admission {
	t.Helper()
	org, _ := f.e.OrganizationByName("acme")
	bucket, _ := f.e.BucketByName(org.ID, "b0")
	atOnce, cancel := context.WithCancel(context.Background())
	cancel() // Admit does not wait then
	var held []*engine.Admission
	for _, n := range []int64{1 << 20, 1 << 10, 0} {
		for {
			a, err := f.e.Admit(atOnce, bucket.ID, n)
			if err != nil {
				break
			}
			held = append(held, a)
		}
	}
	return held
}

// TestLargeBodiesWaitForRoom writes bodies while there is room for what begins them
// only: they wait for the rest, and are not refused half-way.
func TestLargeBodiesWaitForRoom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range 40_000 { // 2 MB, an eighth of it when it is compressed
		fmt.Fprintf(&b, "disk,host=server%d,path=/var/lib free=%di %d\n", i%50, rng.Uint32()%10_000, i)
	}
	whole := b.Bytes()
	quarter := whole[:bytes.IndexByte(whole[500_000:], '\n')+500_001]
	for _, c := range []struct {
		name, encoding string
		text           []byte
		chunked        bool
	}{
		{"plain", "", whole, false},
		{"gzip", "gzip", whole, false},
		{"zstd", "zstd", whole, false},
		{"gzip of unknown length", "gzip", quarter, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFront(t, frontConfig{options: func(o *engine.Options, _ *Options) { o.AdmissionWait = time.Minute }})
			held := f.holdCredit(t)
			// The only room is half a megabyte.
			org, _ := f.e.OrganizationByName("acme")
			bucket, _ := f.e.BucketByName(org.ID, "b0")
			held[0].Release()
			half, err := f.e.Admit(t.Context(), bucket.ID, 512<<10)
			if err != nil {
				t.Fatal(err)
			}
			held[0] = half
			body := encode(t, c.encoding, c.text)
			cl := f.dial(t)
			h := "POST " + writeTarget + "&precision=s HTTP/1.1\r\nHost: test\r\nAuthorization: Token " + testToken + "\r\n"
			if c.encoding != "" {
				h += "Content-Encoding: " + c.encoding + "\r\n"
			}
			if c.chunked {
				cl.send(fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", h, len(body), body))
			} else {
				cl.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", h, len(body), body))
			}
			answered := make(chan answer, 1)
			go func() {
				a, _ := cl.tryReceive("POST")
				answered <- a
			}()
			for f.e.Stats().Gate.Waiting == 0 && len(answered) == 0 {
				runtime.Gosched()
			}
			for _, a := range held {
				a.Release()
			}
			if a := <-answered; a.StatusCode != 204 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if g := f.e.Stats().Gate; g.Bytes != 0 || g.Requests != 0 {
				t.Errorf("%d bytes of %d requests are held when all are over", g.Bytes, g.Requests)
			}
		})
	}
}

// TestEvery503SaysWhenToComeBack walks every way to get one: each kind of error that
// makes one, in each style; every route of a server whose engine is gone; and the
// refusals that need no engine.
func TestEvery503SaysWhenToComeBack(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.QueriesMax = 1 }})
	var found int
	check := func(what string, h http.Header, body string, js bool) {
		t.Helper()
		found++
		v, ok := h["Retry-After"]
		if js && ok {
			t.Errorf("%s: the JavaScript client gets Retry-After %q", what, v)
		}
		if n, err := strconv.Atoi(strings.Join(v, " ")); !js && (err != nil || n < 1 || n > 30) {
			t.Errorf("%s: Retry-After %q, want 1 to 30; %s", what, v, body)
		}
	}
	const agent = "influxdb-client-js/1.35.0"
	for kind, status := range statusOf {
		if status != 503 {
			continue
		}
		for _, style := range []errorStyle{compact, indented, v1} {
			for _, ua := range []string{"telegraf", agent} {
				for _, after := range []time.Duration{0, time.Millisecond, 9 * time.Second, time.Hour} {
					var c fasthttp.RequestCtx
					c.Request.Header.SetUserAgent(ua)
					f.s.writeError(&c, &engine.Error{Kind: engine.Kind(kind), Message: "no", RetryAfter: after}, style)
					h := http.Header{}
					if v := c.Response.Header.Peek("Retry-After"); v != nil {
						h.Set("Retry-After", string(v))
					}
					check(engine.Kind(kind).String(), h, string(c.Response.Body()), ua == agent)
				}
			}
		}
	}
	walk := func(what string) {
		t.Helper()
		for _, r := range f.s.router.all {
			method, target := r.method, r.pattern
			if method == "*" {
				method = "GET"
			}
			switch target {
			case "other":
				continue
			case pathWriteV1:
				target += "?db=b0"
			case pathWriteV2:
				target = writeTarget
			case pathQueryV1:
				target += "?db=b0&q=SHOW+DATABASES"
			case pathDelete:
				target += "?org=acme&bucket=b0"
			}
			body := []byte("m f=1 1")
			switch {
			case method == "GET" || method == "HEAD":
				body = nil
			case target != pathWriteV1+"?db=b0" && target != writeTarget:
				body = []byte(`{"start":"2020-01-01T00:00:00Z","stop":"2021-01-01T00:00:00Z"}`)
			}
			for _, ua := range []string{"telegraf", agent} {
				if a := f.request(t, method, target, tokenHeader("User-Agent", ua), body); a.StatusCode == 503 {
					check(what+": "+method+" "+target, a.Header, a.body, ua == agent)
				}
			}
		}
	}
	release := f.fillGate(t)
	f.s.queries.Add(1)
	before := found
	walk("gate and queries full")
	if found-before < 8 { // two writes, a delete, a query, for two clients
		t.Errorf("%d answers of 503 while gate and queries are full", found-before)
	}
	f.s.queries.Add(-1)
	release()
	if err := f.e.Close(); err != nil {
		t.Fatal(err)
	}
	before = found
	walk("engine closed")
	if found-before < 8 { // two writes and two probes at least
		t.Errorf("%d answers of 503 once the engine is closed", found-before)
	}
}
