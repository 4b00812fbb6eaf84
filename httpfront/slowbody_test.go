package httpfront

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"headgate/engine"
)

// TestSlowBodiesKeepLittleCredit begins bodies and lets them hang: what they have not used
// goes back to the gate, and when they come after all they are written.
func TestSlowBodiesKeepLittleCredit(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		testSlowBodies(t, newFront(t, frontConfig{server: impatient}), nil)
	})
	t.Run("TLS", func(t *testing.T) {
		cert, pool := selfSigned(t)
		testSlowBodies(t, newFront(t, frontConfig{server: impatient, options: func(_ *engine.Options, o *Options) {
			o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		}}), pool)
	})
}

func impatient(s *Server) { s.bodyPatience = 20 * time.Millisecond }

// testSlowBodies asks f, by TLS if there is a pool.
func testSlowBodies(t *testing.T, f *front, pool *x509.CertPool) {
	text := "m f=1 1\n#" + strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		name, encoding string
		chunked        bool
		sent           int // bytes of the body before it hangs
	}{
		{name: "a byte", sent: 1},
		{name: "half", sent: len(text) / 2},
		{name: "gzip", encoding: "gzip", sent: 1},
		{name: "chunked gzip", encoding: "gzip", chunked: true},
		{name: "within a chunk", encoding: "gzip", chunked: true, sent: 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := f.dial(t)
			if pool != nil {
				cl.Conn = tls.Client(cl.Conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
				cl.r = bufio.NewReader(cl.Conn)
			}
			body := string(encode(t, c.encoding, []byte(text)))
			if c.encoding == "gzip" && !c.chunked { // more members, so that it is not tiny
				body += strings.Repeat(string(encode(t, "gzip", nil)), 2000)
			}
			head := "POST " + writeTarget + " HTTP/1.1\r\nHost: test\r\nAuthorization: Token " + testToken + "\r\nContent-Encoding: " + c.encoding + "\r\n"
			if c.chunked {
				head += "Transfer-Encoding: chunked\r\n\r\n"
				body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			} else {
				head += fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
			}
			cl.send(head + body[:c.sent])
			for begin := time.Now(); ; {
				g := f.e.Stats().Gate
				// What has come is charged for in steps.
				if most := int64(c.sent + growBytes + 64<<10); g.Requests == 1 && g.Bytes <= most && (c.sent < 1000 || g.Bytes >= int64(c.sent)) {
					break
				}
				if runtime.Gosched(); time.Since(begin) > 10*time.Second {
					t.Fatalf("%d bytes of %d requests are held", g.Bytes, g.Requests)
				}
			}
			cl.send(body[c.sent:])
			if a := cl.receive("POST"); a.StatusCode != 204 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			// The connection goes on.
			cl.send("POST " + writeTarget + " HTTP/1.1\r\nHost: test\r\nAuthorization: Token " + testToken + "\r\nContent-Length: 5\r\n\r\nm f=2")
			if a := cl.receive("POST"); a.StatusCode != 204 {
				t.Errorf("the next: %d %s", a.StatusCode, a.body)
			}
			if g := f.e.Stats().Gate; g.Bytes != 0 || g.Requests != 0 {
				t.Errorf("%d bytes of %d requests are held when all are over", g.Bytes, g.Requests)
			}
		})
	}
}

// TestExpectHoldsLittleCredit: who asks whether to send a large body gets the credit for it
// when it comes, and waits for that.
func TestExpectHoldsLittleCredit(t *testing.T) {
	f := newFront(t, frontConfig{options: func(o *engine.Options, _ *Options) { o.AdmissionWait = time.Minute }})
	text := "m f=1 1\n#" + strings.Repeat("x", 3<<20)
	cl := f.dial(t)
	cl.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", writeTarget, testToken, len(text)))
	for range 2 {
		if _, err := cl.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if g := f.e.Stats().Gate; g.Requests != 1 || g.Bytes > growBytes+64<<10 {
		t.Errorf("%d bytes of %d requests are held for a body that has not come", g.Bytes, g.Requests)
	}
	release := f.fillGate(t)
	cl.send(text)
	for begin := time.Now(); f.e.Stats().Gate.Waiting == 0; runtime.Gosched() {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("it does not wait for room")
		}
	}
	release()
	if a := cl.receive("POST"); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if g := f.e.Stats().Gate; g.Bytes != 0 || g.Requests != 0 {
		t.Errorf("%d bytes of %d requests are held when all are over", g.Bytes, g.Requests)
	}
}
