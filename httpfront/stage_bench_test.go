package httpfront

import (
	"bufio"
	"fmt"
	"net"
	"testing"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine"
)

// stageFront is a server with room for bodies of benchmarks, and a connection to it.
func stageFront(b *testing.B) (net.Conn, *bufio.Reader) {
	f := newFront(b, frontConfig{options: func(e *engine.Options, _ *Options) { e.MemoryBytesMax = 1 << 30 }})
	c, err := net.Dial(f.network, f.addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

// BenchmarkStageHTTP writes over one connection of the loopback device: client, server
// and engine share the processors, and the sync is waited for. ping is the same without
// a body and without the engine: what a request costs at least.
func BenchmarkStageHTTP(b *testing.B) {
	b.Run("ping", func(b *testing.B) {
		c, r := stageFront(b)
		request := []byte("GET /ping HTTP/1.1\r\nHost: test\r\n\r\n")
		m := stages.Start(b, stages.Work{Lines: 1})
		for b.Loop() {
			if err := roundTrip(c, r, request); err != nil {
				b.Fatal(err)
			}
		}
		m.Stop()
	})
	for _, lines := range []int{1, 5000} {
		b.Run(fmt.Sprintf("write/points=%d", lines), func(b *testing.B) {
			c, r := stageFront(b)
			ring := stages.Bodies(b, bench.BodiesOptions{Lines: lines, Hosts: min(4000, 100*lines)})
			var request []byte
			send := func() error {
				body := ring.Next()
				request = fmt.Appendf(request[:0], "POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n\r\n", writeTarget, testToken, len(body.Text()))
				request = append(request, body.Text()...)
				return roundTrip(c, r, request)
			}
			work := stages.WorkOf(ring.Next())
			for range 100 {
				if err := send(); err != nil {
					b.Fatal(err)
				}
			}
			m := stages.Start(b, work)
			for b.Loop() {
				if err := send(); err != nil {
					b.Fatal(err)
				}
			}
			m.Stop()
		})
	}
}

// BenchmarkStageInflate inflates bodies of 5,000 lines.
func BenchmarkStageInflate(b *testing.B) {
	plain := stages.Bodies(b, bench.BodiesOptions{Bodies: 2}).Next()
	for _, c := range bench.Compressions() {
		if c == bench.None {
			continue
		}
		b.Run(string(c), func(b *testing.B) {
			wire := stages.Bodies(b, bench.BodiesOptions{Bodies: 2, Compression: c}).Next().Wire()
			enc, err := parseEncoding([]byte(c))
			if err != nil {
				b.Fatal(err)
			}
			var in inflaters
			var buf buffer
			m := stages.Start(b, stages.WorkOf(plain))
			for b.Loop() {
				buf.data = buf.data[:0]
				if err := in.inflate(&buf, wire, enc, testLimit(64<<20), &charge{}); err != nil {
					b.Fatal(err)
				}
				if len(buf.data) != len(plain.Text()) {
					b.Fatalf("%d bytes, want %d", len(buf.data), len(plain.Text()))
				}
			}
			m.Stop()
			b.ReportMetric(float64(len(wire))/float64(plain.Points), "wireB/line")
		})
	}
}
