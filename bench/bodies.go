package bench

import (
	"errors"
	"time"
)

// BodiesOptions says what bodies NewBodies makes.
type BodiesOptions struct {
	// Workload is what the lines are. Default CPU; Real needs a file and is refused.
	Workload Workload
	// Seed of the values. The same options make the same bodies. Default 1.
	Seed uint64
	// Hosts is how many hosts report in turn. Default 4000.
	Hosts int
	// Lines is how many lines a body has. Default 5000.
	Lines int
	// Bodies is how many there are, at least 2. Default 16.
	Bodies int
	// Conn says which of Conns shares of the hosts these bodies are of. Default 0 of 1.
	Conn, Conns int
	// Compression is what Wire is compressed with; Text is gone then. Default None.
	Compression Compression
}

// EnsureDefaults fills in the zero fields.
func (o *BodiesOptions) EnsureDefaults() {
	setDefault(&o.Workload, CPU)
	setDefault(&o.Seed, 1)
	setDefault(&o.Hosts, 4000)
	setDefault(&o.Lines, 5000)
	setDefault(&o.Bodies, 16)
	setDefault(&o.Conns, 1)
	setDefault(&o.Compression, None)
}

// bodiesStart is the first timestamp of bodies made for a benchmark.
var bodiesStart = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)

// NewBodies makes the bodies that one connection of Load would send, for benchmarks that
// need no server.
func NewBodies(o BodiesOptions) (*Ring, error) {
	o.EnsureDefaults()
	if o.Workload == Real {
		return nil, errors.New("bench: BodiesOptions.Workload is real, which needs a file")
	}
	return newRing(ringOptions{
		sourceOptions: sourceOptions{
			workload: o.Workload, seed: o.Seed, hosts: o.Hosts, conn: o.Conn, conns: o.Conns,
			precision: "ns", start: bodiesStart,
		},
		lines: o.Lines, bodiesMax: o.Bodies, bytesMax: 1 << 30, compression: o.Compression,
	})
}
