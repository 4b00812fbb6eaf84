package httpfront

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"headgate/engine"
)

// TestHostileConnections attacks one server in many ways. Each attack ends with an
// answer of the expected kind or a closed connection; after each, a neighbour's write
// works, and in the end all credit is back (goroutines that stay are newFront's to find).
func TestHostileConnections(t *testing.T) {
	f := newFront(t, frontConfig{options: func(eo *engine.Options, o *Options) {
		eo.QueryBytesMax = 8 << 20
		o.BodyBytesMax, o.InflatedBodyBytesMax, o.QueryBodyBytesMax = 4<<20, 8<<20, 4<<20
		o.HeaderReadTimeout, o.BodyReadTimeout = 300*time.Millisecond, 300*time.Millisecond
	}})
	const auth = "Host: h\r\nAuthorization: Token " + testToken + "\r\n"
	post := "POST " + writeTarget + " HTTP/1.1\r\n" + auth
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	query := func(q string) string {
		return "POST /query?db=b0 HTTP/1.1\r\n" + auth + "Content-Type: application/vnd.influxql\r\n" + length(q)
	}
	bomb := bytes.Repeat([]byte("m f=1\n"), 4<<20)
	var many, wide strings.Builder
	many.WriteString("m")
	wide.WriteString("m ")
	for i := range 200_000 {
		fmt.Fprintf(&many, ",t%d=v", i)
		fmt.Fprintf(&wide, "f%d=1,", i)
	}
	const closed = 0
	attacks := []struct {
		name, in string
		// want are the statuses of the first answer that will do; closed is none.
		want []int
	}{
		{"length and no body", post + "Content-Length: 4000000\r\n\r\n", []int{408}},
		{"absurd length", post + "Content-Length: 99999999999999999999\r\n\r\n", []int{400}},
		{"negative length", post + "Content-Length: -5\r\n\r\n", []int{400}},
		{"length over the limit", post + "Content-Length: 4000000000\r\n\r\nm", []int{413}},
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nm f=1", []int{400}},
		{"length and chunked", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nm f=1\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n", []int{400}},
		{"odd transfer encoding", post + "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nm f=1\r\n0\r\n\r\n", []int{400, 501}},
		{"chunk size is no number", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\nm f=1\r\n0\r\n\r\n", []int{400}},
		{"chunk size overflows", post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nm f=1\r\n0\r\n\r\n", []int{400, 413}},
		{"huge chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("x", 1<<20) + "\r\nm f=1\r\n0\r\n\r\n", []int{204, 400, closed}},
		{"chunk that never comes", post + "Transfer-Encoding: chunked\r\n\r\n100\r\nm", []int{408}},
		{"half a header", "POST /write HTTP/1.1\r\nHost:", []int{400, 408, closed}},
		{"nothing", "", []int{closed, 408}},
		{"header flood", "GET /health HTTP/1.1\r\n" + strings.Repeat("X-A: b\r\n", 100_000) + "\r\n", []int{431, closed}},
		{"long request line", "GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n\r\n", []int{431, 400, closed}},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n\x00\x00", []int{400, closed}},
		{"pipelined garbage", "GET /health HTTP/1.1\r\nHost: h\r\n\r\n\xff\xfe\r\n\r\n", []int{200}},
		{"single long line", post + length("m f=\""+strings.Repeat("x", 2<<20)+"\""), []int{204, 400, 413, 422}},
		{"many tags", post + length(many.String()+" f=1"), []int{400, 413, 422}},
		{"many fields", post + length(wide.String()+"z=1"), []int{204, 400, 413, 422}},
		{"deep escapes", post + length("m,t="+strings.Repeat("\\", 1<<20)+" f=1"), []int{204, 400, 422}},
		{"NULs", post + length(strings.Repeat("\x00", 1<<20)), []int{204, 400}},
		{"not UTF-8", post + length("m\xff\xfe,t\xc0=\x80 f\xf8=1"), []int{204, 400}},
		{"absurd number", post + length("m absurd="+strings.Repeat("9", 100_000)), []int{204, 400}},
		{"time beyond its limits", post + length("m f=1 9223372036854775807\nm f=1 -9223372036854775808\nm f=1 99999999999999999999"), []int{400, 422}},
		{"statements", query(strings.Repeat("SHOW DATABASES;", 10_000)), []int{200}},
		{"long statement", query("SELECT " + strings.Repeat("f,", 2<<20)), []int{400, 413}},
		{"parentheses", query("SELECT f FROM m WHERE " + strings.Repeat("(", 100_000)), []int{400}},
		{"intervals", query("SELECT mean(f) FROM m WHERE time > 0 AND time < 100y GROUP BY time(1ns)"), []int{200, 400}},
		{"deep predicate", "POST /api/v2/delete?org=acme&bucket=b0 HTTP/1.1\r\n" + auth + length(`{"start":"1970-01-01T00:00:00Z","stop":"2000-01-01T00:00:00Z","predicate":"`+strings.Repeat("(", 1<<20)+`"}`), []int{400}},
		{"deep JSON", "POST /api/v2/orgs HTTP/1.1\r\n" + auth + length(strings.Repeat(`{"name":[`, 200_000)), []int{400}},
	}
	for _, tc := range encodingCases {
		if tc.how != "" {
			attacks = append(attacks, struct {
				name, in string
				want     []int
			}{tc.name + " bomb", post + "Content-Encoding: " + tc.name + "\r\n" + length(string(encode(t, tc.how, bomb))), []int{400, 413}})
		}
	}
	if a := f.write(t, "m f=1"); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, tc := range attacks {
		t.Run(tc.name, func(t *testing.T) {
			c := f.dial(t)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(c.Conn, tc.in) // the server may close before the end
			}()
			status, body := closed, ""
			if a, err := c.tryReceive("POST"); err == nil {
				status, body = a.StatusCode, a.body
			}
			c.Close()
			<-sent
			ok := false
			for _, want := range tc.want {
				ok = ok || status == want
			}
			if !ok {
				t.Errorf("got %d %.300s, want one of %v", status, body, tc.want)
			}
			if a := f.write(t, "neighbour f=1"); a.StatusCode != 204 {
				t.Errorf("a neighbour's write: %d %s", a.StatusCode, a.body)
			}
		})
	}

	t.Run("idle connections", func(t *testing.T) {
		var idle []net.Conn
		for range 300 {
			c, err := net.Dial(f.network, f.addr)
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, c)
		}
		if a := f.write(t, "neighbour f=1"); a.StatusCode != 204 {
			t.Errorf("a neighbour's write: %d %s", a.StatusCode, a.body)
		}
		for _, c := range idle { // the server ends those that say nothing
			if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("an idle connection: %v", err)
			}
			c.Close()
		}
	})

	if err := f.s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if g := f.e.Stats().Gate; g.Bytes != 0 || g.Requests != 0 || g.Waiting != 0 {
		t.Errorf("credit is missing: %+v", g)
	}
}
