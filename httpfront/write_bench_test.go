package httpfront

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"headgate/engine"
)

// BenchmarkWrite writes over one connection. What it reports is the server's and
// the engine's; the client allocates nothing.
func BenchmarkWrite(b *testing.B) {
	for _, points := range []int{1, 5000} {
		b.Run(fmt.Sprintf("points=%d", points), func(b *testing.B) {
			f := newFront(b, frontConfig{options: func(e *engine.Options, o *Options) { e.MemoryBytesMax = 1 << 30 }})
			lines := strings.Repeat("cpu,host=a,region=eu usage_user=1.5,usage_system=98i 1700000000000000000\n", points)
			request := []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n\r\n%s", writeTarget, testToken, len(lines), lines))
			c, err := net.Dial(f.network, f.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			b.SetBytes(int64(len(lines)))
			b.ReportAllocs()
			for b.Loop() {
				if err := roundTrip(c, r, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// roundTrip sends a write and reads its 204.
func roundTrip(c net.Conn, r *bufio.Reader, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && string(line) != "HTTP/1.1 204 No Content\r\n" {
			return fmt.Errorf("%s", line)
		}
		if len(line) == 2 {
			return nil
		}
	}
}

// TestWriteAllocs bounds what one write allocates, server and engine together, in
// the steady state.
func TestWriteAllocs(t *testing.T) {
	f := newFront(t, frontConfig{})
	const line = "cpu,host=a,region=eu usage_user=1.5 1700000000000000000\n"
	request := []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n\r\n%s", writeTarget, testToken, len(line), line))
	c, err := net.Dial(f.network, f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range 50 {
		if err := roundTrip(c, r, request); err != nil {
			t.Fatal(err)
		}
	}
	const most = 24
	if n := testing.AllocsPerRun(200, func() {
		if err := roundTrip(c, r, request); err != nil {
			t.Fatal(err)
		}
	}); n > most {
		t.Errorf("%v allocations for a write of one line, want at most %d", n, most)
	} else {
		t.Logf("%v allocations for a write of one line", n)
	}
}
