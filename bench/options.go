package bench

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"
)

// LoadOptions configures Load. Zero fields mean their defaults.
type LoadOptions struct {
	// URL is where the server listens, http://host:port or unix:///path. Required.
	URL string
	// Database, when set, is written to by POST /write, and created first. Else
	// Org and Bucket are written to by POST /api/v2/write and must exist.
	Database, Org, Bucket string
	// Token is sent with every request unless it is empty.
	Token string
	// PID is the server's process. When set its CPU, memory and disk traffic are
	// reported; 0 leaves them out.
	PID int

	// Workload is what to write. Default CPU.
	Workload Workload
	// File is line protocol to replay, perhaps with .gz at its end. Real needs it,
	// Mixed adds it, the others leave it alone. Its series are dealt out among the
	// connections. The earliest timestamp becomes Start, gaps of more than a minute
	// are cut to a minute, and each time round all timestamps move on. RingBytes
	// should have room for it: lines that do not fit are not sent.
	File string
	// Seed makes the data. Default 1.
	Seed uint64
	// Hosts is how many hosts report, dealt out among the connections; at least
	// one each. Default 1000; no effect on HighCard and Real.
	Hosts int
	// Lines is the number of lines in a body. Default 5000; Single has 1.
	Lines int
	// Conns is the number of connections, each with one write under way at most.
	// Default 4.
	Conns int
	// Rate, when set, makes the loop open: so many requests a second arrive, all
	// connections together, whether or not earlier ones were answered. Latencies are
	// then since the request arrived, not since a connection was free to send it.
	// Default 0: the closed loop, where each connection sends as soon as the last
	// request was answered.
	Rate float64
	// Arrivals spreads the requests of the open loop. Default Poisson.
	Arrivals Arrivals
	// BacklogMax is how many requests of the open loop may wait for a connection;
	// more are turned away and counted. Default 10000.
	BacklogMax int
	// Duration is how long to write. Default 10 s.
	Duration time.Duration
	// Compression is applied to the bodies before the run: the same compressed
	// bodies go round, so after the first round the points overwrite themselves.
	// Default None.
	Compression Compression
	// Precision is that of the timestamps. Default ns.
	Precision Precision
	// Churn is the share of hosts, 0 to 1, that new ones replace each time all have
	// reported, that is every 10 s of the data. Default 0; no effect on HighCard,
	// where every line is a new series anyway, and Real.
	Churn float64
	// OutOfOrder is the share of lines, 0 to 1, that are sent later than in order
	// of time: by up to three reports of every series, but 100,000 lines at most.
	// Duplicates is the share of lines that are sent a second time, as much later.
	// Both count as points each time. The shares are 1 together at most. Default 0.
	OutOfOrder, Duplicates float64
	// RingBytes bounds the memory of the bodies made in advance, all connections
	// together. Default 64 MiB; there are at least two bodies a connection.
	RingBytes int
	// Start is the time of the first report. Default 2016-01-01; before 2001 and
	// after 2200 it cannot be.
	Start time.Time
	// Interval is the time between two reports of one host. Default 10 s; no effect
	// on Real.
	Interval time.Duration
	// FirstSeries is the number of the first series of HighCard, and with Churn of
	// the first host. Default 0.
	FirstSeries int64
	// RequestTimeout is how long to wait for an answer. Default 60 s.
	RequestTimeout time.Duration
	// SettleMax is how long to wait after the run until the server has gone quiet,
	// so that its work in the background is counted. Default 60 s; no effect
	// without PID.
	SettleMax time.Duration
	// DataDir is where the server keeps its data; its size after the run is
	// reported. Default "": it is not.
	DataDir string
	// Progress gets a line a second. Default: nobody.
	Progress io.Writer
	// ProgressTerminal rewrites one line of Progress instead of adding lines.
	ProgressTerminal bool
}

// EnsureDefaults fills in the zero fields.
func (o *LoadOptions) EnsureDefaults() {
	setDefault(&o.Workload, CPU)
	setDefault(&o.Seed, 1)
	setDefault(&o.Hosts, 1000)
	setDefault(&o.Lines, 5000)
	setDefault(&o.Conns, 4)
	setDefault(&o.Arrivals, Poisson)
	setDefault(&o.BacklogMax, 10_000)
	setDefault(&o.Duration, 10*time.Second)
	setDefault(&o.Compression, None)
	setDefault(&o.Precision, "ns")
	setDefault(&o.RingBytes, 64<<20)
	setDefault(&o.Interval, reportStep)
	setDefault(&o.RequestTimeout, time.Minute)
	setDefault(&o.SettleMax, time.Minute)
	if o.Workload == Single {
		o.Lines = 1
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *LoadOptions) Validate() error {
	switch {
	case o.Database == "" && o.Bucket == "":
		return errors.New("bench: neither LoadOptions.Database nor Bucket says what to write to")
	case o.Database != "" && o.Bucket != "":
		return errors.New("bench: LoadOptions.Database and Bucket are both set")
	case o.Hosts < 1 || o.Lines < 1 || o.Conns < 1 || o.RingBytes < 1:
		return errors.New("bench: LoadOptions.Hosts, Lines, Conns and RingBytes must be positive")
	case o.Duration < 0 || o.Interval < 0 || o.RequestTimeout < 0 || o.SettleMax < 0:
		return errors.New("bench: a duration in LoadOptions is negative")
	case o.Start.Year() < 2002 || o.Start.Year() > 2200:
		return fmt.Errorf("bench: LoadOptions.Start %v is not between the years 2002 and 2200", o.Start)
	case o.Workload == Real && o.File == "":
		return errors.New("bench: LoadOptions.Workload real needs LoadOptions.File")
	case !(o.Churn >= 0 && o.Churn <= 1 && o.OutOfOrder >= 0 && o.Duplicates >= 0 && o.OutOfOrder+o.Duplicates <= 1):
		return errors.New("bench: LoadOptions.Churn, OutOfOrder and Duplicates are shares from 0 to 1, the last two together as well")
	case !(o.Rate >= 0 && o.Rate <= 1e8):
		return fmt.Errorf("bench: LoadOptions.Rate %v is not between 0 and a hundred million requests a second", o.Rate)
	case o.BacklogMax < 0:
		return errors.New("bench: LoadOptions.BacklogMax is negative")
	case !slices.Contains(ArrivalProcesses(), o.Arrivals):
		return fmt.Errorf("bench: unknown arrival process %q; there are %s", o.Arrivals, namesOf(ArrivalProcesses()))
	case o.FirstSeries < 0 || o.FirstSeries >= 1e9:
		return errors.New("bench: LoadOptions.FirstSeries is not between 0 and a thousand million")
	case !slices.Contains(Compressions(), o.Compression):
		return fmt.Errorf("bench: unknown compression %q; there are %s", o.Compression, namesOf(Compressions()))
	case !slices.Contains(Precisions(), o.Precision):
		return fmt.Errorf("bench: unknown precision %q; there are %s", o.Precision, namesOf(Precisions()))
	}
	_, err := ParseWorkload(string(o.Workload))
	return err
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// writeHead returns the request head that the options ask for.
func (o *LoadOptions) writeHead() head {
	h := head{method: "POST", token: o.Token, contentType: "text/plain; charset=utf-8", encoding: o.Compression.encoding()}
	q := url.Values{"precision": {string(o.Precision)}}
	if o.Database != "" {
		q.Set("db", o.Database)
		q.Set("precision", o.Precision.v1())
		h.path = "/write?" + q.Encode()
		return h
	}
	q.Set("bucket", o.Bucket)
	if o.Org != "" {
		q.Set("org", o.Org)
	}
	h.path = "/api/v2/write?" + q.Encode()
	return h
}
