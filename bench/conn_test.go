package bench

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

// serveRaw answers every connection with a fixed text after reading requestBytes.
func serveRaw(t *testing.T, requestBytes int, answers ...string) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		for _, answer := range answers {
			if _, err := io.ReadFull(nc, make([]byte, requestBytes)); err != nil {
				return
			}
			if _, err := nc.Write([]byte(answer)); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	target, err := ParseTarget("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestConnReadsAnswers(t *testing.T) {
	tests := []struct {
		name, answer string
		want         Answer
		body         string
		spent        bool
		err          string
	}{
		{name: "204", answer: "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", want: Answer{Status: 204}},
		{name: "length", answer: "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nhello", want: Answer{Status: 400}, body: "hello"},
		{name: "retry after", answer: "HTTP/1.1 503 x\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", want: Answer{Status: 503, RetryAfter: 3 * time.Second}},
		{name: "retry after a date", answer: "HTTP/1.1 503 x\r\nRetry-After: Mon, 01 Jan\r\nContent-Length: 0\r\n\r\n", want: Answer{Status: 503}},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n", want: Answer{Status: 200}, body: "abc0123456789"},
		{name: "close", answer: "HTTP/1.1 413 x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", want: Answer{Status: 413}, body: "x", spent: true},
		{name: "until the end", answer: "HTTP/1.1 200 OK\r\n\r\nall of it", want: Answer{Status: 200}, body: "all of it", spent: true},
		{name: "http 1.0", answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", want: Answer{Status: 200}, body: "ok", spent: true},
		{name: "continue first", answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n", want: Answer{Status: 204}},
		{name: "nothing", answer: "", err: "EOF", spent: true},
		{name: "half a head", answer: "HTTP/1.1 204 x\r\nDa", err: "unexpected EOF", spent: true},
		{name: "half a body", answer: "HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nabc", err: "unexpected EOF", spent: true},
		{name: "not http", answer: "SSH-2.0-OpenSSH_9.2p1 and more\r\n", err: "not an HTTP status line", spent: true},
		{name: "bad length", answer: "HTTP/1.1 200 x\r\nContent-Length: -1\r\n\r\n", err: "not a Content-Length", spent: true},
		{name: "bad chunk", answer: "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", err: "not a chunk size", spent: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			c, err := Dial(context.Background(), serveRaw(t, 4, tt.answer))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			got, err := c.Do([]byte("he"), []byte("ad"), time.Now().Add(10*time.Second))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got.Status != tt.want.Status || got.RetryAfter != tt.want.RetryAfter || string(got.Body) != tt.body {
				t.Errorf("got %+v, body %q", got, got.Body)
			}
			if c.Spent() != tt.spent {
				t.Errorf("spent is %v", c.Spent())
			}
		})
	}
}

func TestConnKeepsAlive(t *testing.T) {
	testkit.CheckLeaks(t)
	big := strings.Repeat("x", 3*answerBytesMax)
	c, err := Dial(context.Background(), serveRaw(t, 4,
		"HTTP/1.1 200 x\r\nContent-Length: 196608\r\n\r\n"+big,
		"HTTP/1.1 400 x\r\nContent-Length: 3\r\n\r\nbad",
		"HTTP/1.1 204 x\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for i, want := range []struct{ status, body int }{{200, answerBytesMax}, {400, 3}, {204, 0}} {
		got, err := c.Do([]byte("head"), nil, time.Now().Add(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != want.status || len(got.Body) != want.body || c.Spent() {
			t.Errorf("answer %d: status %d, %d bytes, spent %v", i, got.Status, len(got.Body), c.Spent())
		}
	}
}

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct{ in, network, address, host, err string }{
		{"http://127.0.0.1:8086", "tcp", "127.0.0.1:8086", "127.0.0.1:8086", ""},
		{"http://localhost", "tcp", "localhost:80", "localhost", ""},
		{"http://[::1]:1/x/", "tcp", "[::1]:1", "[::1]:1", ""},
		{"unix:///run/h.sock", "unix", "/run/h.sock", "localhost", ""},
		{"https://localhost", "", "", "", "neither"},
		{"127.0.0.1:8086", "", "", "", "bench:"},
		{"", "", "", "", "neither"},
	} {
		got, err := ParseTarget(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("ParseTarget(%q): error %v", tt.in, err)
			}
			continue
		}
		if err != nil || got.network != tt.network || got.address != tt.address || got.host != tt.host {
			t.Errorf("ParseTarget(%q) = %+v, %v", tt.in, got, err)
		}
	}
}
