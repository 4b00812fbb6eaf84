package httpfront

import (
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestClients plays what clients send that cannot be run here, byte for byte as far
// as it matters: paths, order and casing of parameters, headers, bodies. A script
// is one client from its start on: what it asks first, a write, one that is taken in
// part, one that is refused, a read of what is there then. Its comments say what
// the client makes of each answer. Commands are those of TestExchanges, and
//
//	fill      takes all the room there is for writes into b0
//	release   gives it back
func TestClients(t *testing.T) {
	datadriven.Walk(t, "testdata/clients", func(t *testing.T, path string) {
		var f *front
		var release func()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "open":
				f = openScripted(t, d)
			case "exchange":
				return exchange(t, f, d)
			case "fill":
				release = f.fillGate(t)
			case "release":
				release()
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			return ""
		})
	})
}
