package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"headgate/bench"
	"headgate/cmd/headgate/cli"
)

// fillFlags are the flags that say which fixed set of points is meant.
type fillFlags struct {
	o              *bench.FillOptions
	span, interval duration
	start          instant
}

func newFillFlags(fs *flag.FlagSet, o *bench.FillOptions) *fillFlags {
	f := &fillFlags{o: o, span: duration(o.Span), interval: duration(o.Interval), start: instant(o.Start)}
	fs.StringVar(&o.Token, "token", "", "`token` to send with every request")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "`number` that the data is made from: the same one makes the same data")
	fs.IntVar(&o.Hosts, "hosts", o.Hosts, "`number` of hosts that report; of highcard, new series each interval")
	fs.Var(&f.start, "start", "`time` of the first report, as RFC 3339")
	fs.Var(&f.span, "duration", "time range of the data, a `duration`")
	fs.Var(&f.interval, "interval", "time between two reports of a host, a `duration`")
	fs.IntVar(&o.Lines, "lines", o.Lines, "`number` of lines in a body")
	fs.IntVar(&o.Conns, "conns", o.Conns, "`number` of connections to load over; with 1, points come in order of time")
	return f
}

// apply puts what was parsed into the options.
func (f *fillFlags) apply() {
	f.o.Start, f.o.Span, f.o.Interval = time.Time(f.start), time.Duration(f.span), time.Duration(f.interval)
}

// instant is a point in time, written as RFC 3339.
type instant time.Time

func (i *instant) Set(v string) error {
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return fmt.Errorf("%q is not a time such as 2016-01-01T00:00:00Z", v)
	}
	*i = instant(t.UTC())
	return nil
}

func (i *instant) String() string { return time.Time(*i).UTC().Format(time.RFC3339Nano) }

// wordList is several words of a few, separated by commas.
type wordList struct {
	values []string
	of     []string
}

func (l *wordList) Set(v string) error {
	for word := range strings.SplitSeq(v, ",") {
		c := choice{of: l.of}
		if err := c.Set(strings.TrimSpace(word)); err != nil {
			return err
		}
		if !slices.Contains(l.values, c.value) {
			l.values = append(l.values, c.value)
		}
	}
	return nil
}

func (l *wordList) String() string { return strings.Join(l.values, ",") }

// settleRequests is a flag that is given several times.
type settleRequests []bench.SettleRequest

func (s *settleRequests) Set(v string) error {
	r, err := bench.ParseSettleRequest(v)
	if err == nil {
		*s = append(*s, r)
	}
	return err
}

func (s *settleRequests) String() string { return "" }

const settleRequestUsage = "request to send once the data is loaded, as `NAME=[METHOD,]PATH`, for what a server would only do later;\nPOST unless GET is said; may be given several times"

func runBenchQuery(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.QueryOptions{Data: bench.FillOptions{Progress: cli.Clipped(stderr), ProgressTerminal: cli.Live(stderr)}}
	o.EnsureDefaults()
	var (
		fs       = flag.NewFlagSet("query", flag.ContinueOnError)
		data     = newFillFlags(fs, &o.Data)
		servers  targets
		requests settleRequests
		workload = choice{string(o.Data.Workload), []string{string(bench.CPU), string(bench.Devops)}}
		forms    = wordList{of: bench.QueryForms()}
		quiet    = duration(o.Quiet)
		settle   = duration(o.SettleMax)
		timeout  = duration(o.QueryTimeout)
		warmup   = o.Warmup
		jsonFile string
	)
	fs.Var(&servers, "target", "`server` to ask, as NAME=URL[,PID] with its process id;\ngiven once for each, the first is what the others are compared with")
	fs.StringVar(&o.Data.Database, "db", o.Data.Database, "`database` to query and with --load to write into")
	fs.Var(&workload, "workload", "`kind` of data: "+strings.Join(workload.of, ", "))
	fs.BoolVar(&o.Load, "load", false, "load the data into every target first")
	fs.Var(&quiet, "quiet", "with --load: how long a server must have used hardly any CPU to count as settled, a `duration`")
	fs.Var(&settle, "settle", "with --load: longest wait for that, a `duration`; all of it without process id")
	fs.Var(&requests, "settle-request", "with --load: "+settleRequestUsage)
	fs.Var(&forms, "query", "`names` of the queries to run, separated by commas; default all:\n"+strings.Join(forms.of, ", "))
	fs.IntVar(&o.Rounds, "rounds", o.Rounds, "how many `times` each query is measured, each time with other hosts and times")
	fs.IntVar(&warmup, "warmup", warmup, "how many `times` each query is run before, and not measured")
	fs.Uint64Var(&o.FloatULPs, "float-ulps", 0, "by how many `units` in the last place floats may differ and be equal")
	fs.Var(&timeout, "query-timeout", "how long to wait for an answer, a `duration`")
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON")
	const about = "Runs the devops queries of the Time Series Benchmark Suite against several servers that hold\n" +
		"the same data, compares the answers row for row and the times. The flags that describe the\n" +
		"data must be those it was loaded with. Exit status 1 when answers differ, fail or are empty."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	data.apply()
	o.Data.Workload, o.Forms, o.Targets, o.SettleRequests = bench.Workload(workload.value), forms.values, servers, requests
	o.Quiet, o.SettleMax, o.QueryTimeout, o.Warmup = time.Duration(quiet), time.Duration(settle), time.Duration(timeout), warmup
	if warmup == 0 {
		o.Warmup = -1
	}
	report, err := bench.Query(ctx, o)
	if err == nil {
		err = report.WriteTable(stdout)
	}
	if err == nil && jsonFile != "" {
		err = writeFile(jsonFile, report.WriteJSON)
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench query: %v\n", err)
		return 1
	}
	if len(report.Unequal())+len(report.Empty())+len(report.Failed()) > 0 {
		return 1
	}
	return 0
}

func runBenchSize(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.SizeOptions{Data: bench.FillOptions{Progress: cli.Clipped(stderr), ProgressTerminal: cli.Live(stderr)}}
	o.EnsureDefaults()
	var (
		fs        = flag.NewFlagSet("size", flag.ContinueOnError)
		data      = newFillFlags(fs, &o.Data)
		servers   targets
		requests  settleRequests
		workloads = wordList{of: wordsOf(slices.DeleteFunc(bench.Workloads(), func(w bench.Workload) bool {
			return w == bench.Mixed || w == bench.Real || w == bench.Single
		}))}
		quiet    = duration(o.Quiet)
		settle   = duration(o.SettleMax)
		jsonFile string
	)
	fs.Var(&servers, "target", "`server` to load, as NAME=URL,PID,DIR with its process id and data directory;\nthe id may be left empty. Given once for each, the first is what the others are compared with")
	fs.StringVar(&o.Data.Database, "db", o.Data.Database, "`prefix` of the databases, one for each kind of data")
	fs.Var(&workloads, "workload", "`kinds` of data, separated by commas: "+strings.Join(workloads.of, ", ")+"; default cpu")
	fs.Var(&quiet, "quiet", "how long a server must have used hardly any CPU to count as settled, a `duration`")
	fs.Var(&settle, "settle", "longest wait for that, a `duration`; all of it without process id")
	fs.Var(&requests, "settle-request", settleRequestUsage)
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON")
	const about = "Loads the same data into several servers, waits until each is quiet, and reports how much\n" +
		"their data directories have grown and how much was written for it."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	data.apply()
	o.Workloads = nil
	for _, w := range workloads.values {
		o.Workloads = append(o.Workloads, bench.Workload(w))
	}
	o.Targets, o.SettleRequests = servers, requests
	o.Quiet, o.SettleMax = time.Duration(quiet), time.Duration(settle)
	report, err := bench.Size(ctx, o)
	if err == nil {
		err = report.WriteTable(stdout)
	}
	if err == nil && jsonFile != "" {
		err = writeFile(jsonFile, report.WriteJSON)
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench size: %v\n", err)
		return 1
	}
	return 0
}
