package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, retryAfter, body string) *http.Response {
	w := httptest.NewRecorder()
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	io.WriteString(w, body)
	return w.Result()
}

func newClient(t *testing.T, f roundTrip) *Client {
	t.Helper()
	c, err := New(Options{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	c.http.Transport = f
	return c
}

// TestWriteTriesAgain waits as long as the server says, a bounded number of times, and
// sends the same batch each time.
func TestWriteTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := newClient(t, func(r *http.Request) (*http.Response, error) {
			n++
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(z); string(body) != "m f=1" || err != nil {
				t.Errorf("try %d: body %q %v", n, body, err)
			}
			if r.Header.Get("Authorization") != "Token secret" || r.URL.RawQuery != "bucket=b&org=o&precision=s" {
				t.Errorf("%v %s", r.Header, r.URL)
			}
			switch n {
			case 1:
				return answer(503, "7", `{"code":"unavailable","message":"full"}`), nil
			case 2:
				return nil, io.ErrUnexpectedEOF
			}
			return answer(204, "", ""), nil
		})
		b := Batch{Org: "o", Bucket: "b", Precision: "s", Body: []byte("m f=1"), Compression: "gzip", Tries: 3}
		start := time.Now()
		if err := c.Write(t.Context(), b); err != nil || n != 3 || time.Since(start) != 9*time.Second { // 7 as asked, 2 by itself
			t.Errorf("%v after %d tries and %s", err, n, time.Since(start))
		}
		n, b.Tries = 0, 2
		err := c.Write(t.Context(), b)
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || n != 2 || !strings.Contains(err.Error(), "after 2 tries") {
			t.Errorf("%v after %d tries", err, n)
		}
		n = 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Write(ctx, b); !errors.Is(err, context.DeadlineExceeded) || n != 1 {
			t.Errorf("%v after %d tries", err, n)
		}
	})
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		status    int
		body      string
		want      string
		line      int
		written   int
		lines     int
		temporary bool
	}{
		{status: 401, body: `{"code":"unauthorized","message":"unauthorized access"}`, want: "headgate token list"},
		{status: 404, body: `{"code":"not found","message":"bucket \"x\" not found"}`, want: "headgate bucket create"},
		{status: 400, body: `{"code":"invalid","message":"unable to parse 'a': missing fields\nunable to parse","line":3,"malformed":1,"errors":[{"line":3,"message":"missing fields","text":"a"}]}`, want: "missing fields ...", line: 3, lines: 1},
		{status: 422, body: `{"code":"unprocessable entity","message":"partial write","written":7,"dropped":1,"errors":[{"line":9,"series":"m","field":"f","code":"conflict","message":"x","have":"float","want":"integer"}]}`, want: "partial write", written: 7, lines: 1},
		{status: 502, body: "<html>", want: "502: <html>", temporary: true},
	} {
		client := newClient(t, func(*http.Request) (*http.Response, error) { return answer(c.status, "", c.body), nil })
		err := client.Write(t.Context(), Batch{Bucket: "b"})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || e.Line != c.line ||
			e.Written != c.written || e.Partial != (c.written > 0) || len(e.Lines) != c.lines || e.Temporary() != c.temporary {
			t.Errorf("%d: %v: %+v", c.status, err, e)
		}
	}
}

// TestHints: what a 401 or a 413 says to do is for the command that got it, and for a server that
// is not set up it is to set it up.
func TestHints(t *testing.T) {
	for _, c := range []struct {
		setup, token, path string
		status             int
		want, not          string
		said               string
	}{
		{`{"allowed":true}`, "", "/api/v2/buckets", 401, "headgate setup", "--token", "too large"},
		{`{"allowed":true}`, "old", "/api/v2/buckets", 401, "headgate setup", "headgate token list", "too large"},
		{`{"allowed":false}`, "", "/api/v2/buckets", 401, "give --token", "headgate setup", "too large"},
		{`no JSON`, "", "/api/v2/buckets", 401, "give --token", "headgate setup", "too large"},
		{`{"allowed":true}`, "x", writePath, 413, "--batch-bytes", "headgate setup", "too large"},
		{`{"allowed":true}`, "x", writePath, 413, "--batch-bytes, or allow more)", "--max-body", "over Options.InflatedBodyBytesMax (--max-inflated-body), 1 bytes"},
		{`{"allowed":true}`, "x", "/query", 413, "too large", "--batch-bytes", "too large"},
	} {
		client := newClient(t, func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/api/v2/setup" {
				if r.Header.Get("Authorization") != "" {
					t.Error("the question whether it is set up has the token")
				}
				return answer(200, "", c.setup), nil
			}
			return answer(c.status, "", fmt.Sprintf(`{"code":"x","message":%q}`, c.said)), nil
		})
		client.options.Token = c.token
		_, err := client.Do(t.Context(), Request{Method: http.MethodPost, Path: c.path})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.not) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for host, base := range map[string]string{"": DefaultHost, "localhost:8086": "http://localhost:8086", "https://h/x/": "https://h/x", "unix:///s": "http://headgate"} {
		if c, err := New(Options{Host: host}); err != nil || c.base != base {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, host := range []string{"ftp://h", "http://"} {
		if _, err := New(Options{Host: host}); err == nil {
			t.Errorf("%q is taken", host)
		}
	}
}

// TestHostWithPassword: errors name the server without the password that is in its URL.
func TestHostWithPassword(t *testing.T) {
	for host, shown := range map[string]string{
		"http://me:secret@127.0.0.1:1/x": "http://127.0.0.1:1/x", "me:secret@127.0.0.1:1": "127.0.0.1:1", "ftp://me:secret@h": "ftp://h",
		"http://me:sec/secret@h": "http://h", "unix:///no/such@socket": "unix:///no/such@socket",
	} {
		c, err := New(Options{Host: host})
		if err == nil {
			err = c.JSON(t.Context(), http.MethodGet, "/health", nil, nil, nil)
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), shown) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", host, err, shown)
		}
	}
}

// TestWrongScheme: a server that does not speak HTTPS will not later, either.
func TestWrongScheme(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	c, err := New(Options{Host: strings.Replace(server.URL, "http:", "https:", 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Write(t.Context(), Batch{Bucket: "b", Body: []byte("m f=1"), Tries: 2, Waiting: func(err error, _ time.Duration) { t.Error("waits after", err) }})
	if err == nil || !strings.Contains(err.Error(), "write http:// for it") {
		t.Error(err)
	}
}

// TestAskedWithoutTLS tells a server that takes nothing but TLS from one that hangs up, and
// does not ask it again.
func TestAskedWithoutTLS(t *testing.T) {
	for _, certain := range []bool{true, false} {
		cert := httptest.NewTLSServer(http.NotFoundHandler())
		config := cert.TLS
		cert.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if b := make([]byte, 1); certain {
					if s := tls.Server(conn, config); s.Handshake() == nil {
						_, _ = s.Read(b)
					} else {
						asked.Add(1)
					}
				} else {
					_, _ = conn.Read(b)
				}
				_ = conn.Close()
			}
		}()
		c, err := New(Options{Host: "http://" + l.Addr().String()})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Write(t.Context(), Batch{Org: "o", Bucket: "b", Body: []byte("m f=1"), Tries: map[bool]int{true: 3, false: 1}[certain]})
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || unreachable.TLS != certain || unreachable.Temporary() == certain {
			t.Errorf("TLS %v: %v", certain, err)
		}
		if certain && (!strings.Contains(err.Error(), "write https:// for it") || asked.Load() != 1) {
			t.Errorf("asked %d times: %v", asked.Load(), err)
		}
		c.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	}
}

func TestSameServer(t *testing.T) {
	for _, x := range []struct {
		a, b string
		same bool
	}{
		{"", DefaultHost, true},
		{"http://LocalHost:8086/", "127.0.0.1:8086", true},
		{"http://[::1]:8086", "http://127.0.0.1:8086", true},
		{"https://a.example", "https://A.example:443/", true},
		{"http://user:pw@a.example:1", "http://a.example:1", true},
		{"unix:///run/a.sock", "unix:///run/a.sock", true},
		{"unix:///run/a.sock", "unix:///run/b.sock", false},
		{"http://a.example", "https://a.example", false},
		{"http://a.example:1", "http://a.example:2", false},
		{"http://a.example/x", "http://a.example/y", false},
		{"http://127.0.0.1.a.example", "http://127.0.0.1", false},
		{"http://a.example", "http://b.example", false},
	} {
		if got := SameServer(x.a, x.b); got != x.same {
			t.Errorf("%q and %q: %t", x.a, x.b, got)
		}
	}
}
