package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
)

// OverloadOptions configures Overload. Zero fields mean their defaults.
type OverloadOptions struct {
	// Server is the path of a headgate binary to start. Either it or URL is required.
	Server string
	// URL is where a running server listens, which must take writes without a token.
	// PID is its process, on this machine; required with URL.
	URL string
	PID int
	// Dir is where data and log of a server that is started go. Default: a new
	// temporary directory, which is removed.
	Dir string
	// MemoryBytesMax is the server's budget, which its resident memory must stay
	// under. A server that is started gets it; default 1 GiB. With URL the default 0
	// is not to check.
	MemoryBytesMax int64
	// AdmissionWait is the server's, and RetryAfterMax. Defaults 1 s and 30 s.
	AdmissionWait, RetryAfterMax time.Duration
	// SmallConns is how many connections send bodies of one line, LargeConns how many
	// send bodies of LargeLines lines. Defaults 10,000, 500 and 5000; negative leaves
	// these bodies out.
	SmallConns, LargeConns, LargeLines int
	// Factors are the rates of the overload, in multiples of the maximum. Default 2, 10.
	Factors []float64
	// Duration is how long each maximum is measured and each overload lasts. Default 10 s.
	Duration time.Duration
	// RecoveryMax is how long after an overload a 503 may still come. Default 5 s.
	RecoveryMax time.Duration
	// Seed makes the data. Default 1.
	Seed uint64
	// Progress gets a line a phase. Default: nobody.
	Progress io.Writer
}

// EnsureDefaults fills in the zero fields.
func (o *OverloadOptions) EnsureDefaults() {
	if o.URL == "" {
		setDefault(&o.MemoryBytesMax, 1<<30)
	}
	setDefault(&o.AdmissionWait, time.Second)
	setDefault(&o.RetryAfterMax, 30*time.Second)
	setDefault(&o.SmallConns, 10_000)
	setDefault(&o.LargeConns, 500)
	setDefault(&o.LargeLines, 5000)
	setDefault(&o.Duration, 10*time.Second)
	setDefault(&o.RecoveryMax, 5*time.Second)
	setDefault(&o.Seed, 1)
	if o.Factors == nil {
		o.Factors = []float64{2, 10}
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *OverloadOptions) Validate() error {
	switch {
	case (o.Server == "") == (o.URL == ""):
		return errors.New("bench: one of OverloadOptions.Server and URL must be set")
	case o.URL != "" && o.PID == 0:
		return errors.New("bench: OverloadOptions.URL needs PID")
	case o.Duration < 0 || o.RecoveryMax < 0 || o.AdmissionWait < 0 || o.MemoryBytesMax < 0:
		return errors.New("bench: a duration or size in OverloadOptions is negative")
	case o.SmallConns < 0 && o.LargeConns < 0:
		return errors.New("bench: OverloadOptions leaves out all bodies")
	}
	for _, f := range o.Factors {
		if !(f > 0 && f <= 1000) {
			return fmt.Errorf("bench: OverloadOptions.Factors has %v, not between 0 and 1000", f)
		}
	}
	return nil
}

// Overload finds out how much a server takes, sends it several times as much, beside
// a client that sends little to another bucket and one that asks queries, and reports
// what became of all three. A report with violations is no error.
func Overload(ctx context.Context, o OverloadOptions) (*OverloadReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &OverloadReport{Kind: "overload", Machine: thisMachine(), MemoryBytesMax: o.MemoryBytesMax}
	if o.URL == "" {
		dir := o.Dir
		if dir == "" {
			var err error
			if dir, err = os.MkdirTemp("", "headgate-overload-"); err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
		}
		s := &server{binary: o.Server, dir: dir, flags: []string{
			"--memory", humanize.IBytes(uint64(o.MemoryBytesMax)), "--admission-wait", o.AdmissionWait.String(), "--max-retry-after", o.RetryAfterMax.String(),
		}}
		if err := s.start(); err != nil {
			return nil, err
		}
		defer s.kill()
		if _, err := s.awaitHealth(ctx, time.Minute); err != nil {
			return nil, err
		}
		o.URL, o.PID = "http://"+s.target.address, s.cmd.Process.Pid
		fmt.Fprintf(o.Progress, "server %d in %s\n", o.PID, filepath.Clean(dir))
	}
	target, err := ParseTarget(o.URL)
	if err != nil {
		return nil, err
	}
	for _, db := range []string{greedyDatabase, modestDatabase} {
		if err := createDatabase(ctx, target, "", db); err != nil {
			return nil, err
		}
	}
	for _, b := range []struct {
		name         string
		lines, conns int
		// maxConns is how many connections find out the maximum: enough to keep the
		// server busy, too few to be refused.
		maxConns int
	}{{"small", 1, o.SmallConns, 512}, {"large", o.LargeLines, o.LargeConns, 8}} {
		if b.conns < 0 {
			continue
		}
		bodies, err := overloadBodies(target, greedyDatabase, b.lines, o.Seed)
		if err != nil {
			return nil, err
		}
		d := &overloadDrive{o: &o, target: target, bodies: bodies, lines: b.lines}
		fmt.Fprintf(o.Progress, "%s bodies: maximum over %d connections\n", b.name, min(b.maxConns, b.conns))
		maximum, err := d.run(ctx, min(b.maxConns, b.conns), 0)
		if err != nil {
			return r, err
		}
		maximum.Bodies = b.name
		r.Phases = append(r.Phases, maximum)
		for _, factor := range o.Factors {
			rate := factor * maximum.AcceptedPerSecond
			fmt.Fprintf(o.Progress, "%s bodies: %g times %.0f/s over %d connections\n", b.name, factor, maximum.AcceptedPerSecond, b.conns)
			p, err := d.run(ctx, b.conns, rate)
			if err != nil {
				return r, err
			}
			p.Bodies, p.Factor = b.name, factor
			p.compare(maximum)
			r.Phases = append(r.Phases, p)
		}
	}
	r.judge(&o)
	return r, ctx.Err()
}

// The greedy database takes the load; the modest one a few lines a second.
const (
	greedyDatabase = "overload"
	modestDatabase = "modest"
)

// overloadBodies makes bodies that all connections send in turn, as they are: a ring
// for each would not fit into memory, so points repeat.
func overloadBodies(target Target, database string, lines int, seed uint64) ([]*Body, error) {
	o := LoadOptions{Database: database, Seed: seed}
	o.EnsureDefaults()
	ring, err := newRing(ringOptions{
		sourceOptions: sourceOptions{workload: CPU, seed: seed, hosts: o.Hosts, conns: 1, start: o.Start, interval: o.Interval, precision: o.Precision},
		lines:         lines, bytesMax: 48 << 20, bodiesMax: 20_000, compression: None, target: target, head: o.writeHead(),
	})
	if err != nil {
		return nil, err
	}
	return ring.bodies, nil
}

// overloadQuery is what the query loop asks.
func overloadQuery(target Target) []byte {
	q := url.Values{"db": {modestDatabase}, "q": {"SELECT max(usage_user), count(usage_user) FROM cpu GROUP BY hostname LIMIT 5"}}
	return head{method: "GET", path: "/query?" + q.Encode()}.append(nil, target, 0)
}
