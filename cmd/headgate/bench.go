package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"headgate/bench"
	"headgate/cmd/headgate/cli"
)

const benchUsage = `usage: headgate bench <command> [flags]

commands:
  load      write to a server, as fast as it answers or at a rate, and report
  compare   load several servers in turn, with the same bodies, and compare
  query     ask several servers the same questions, compare answers and times
  size      load several servers with the same data, compare what it takes up
  overload  send a server several times what it takes, and see what becomes of
            that, of a client that sends little, and of queries; exit status 1
            when a bound is broken
  report    make a page with diagrams of what load and compare wrote as JSON
  crash     kill a server of its own again and again, and compare what it kept
            with what it acknowledged; exit status 1 when they differ
  soak      write for a long time while all else goes on, then compare, and
            see what has grown; exit status 1 when something is wrong

"headgate bench <command> --help" lists the flags of a command.
`

// runBench runs `headgate bench`.
func runBench(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, benchUsage)
		return 2
	}
	switch args[0] {
	case "load":
		return runBenchLoad(ctx, args[1:], stdout, stderr)
	case "compare":
		return runBenchCompare(ctx, args[1:], stdout, stderr)
	case "query":
		return runBenchQuery(ctx, args[1:], stdout, stderr)
	case "size":
		return runBenchSize(ctx, args[1:], stdout, stderr)
	case benchReport:
		return runBenchReport(args[1:], stdout, stderr)
	case "overload":
		return runBenchOverload(ctx, args[1:], stdout, stderr)
	case "crash":
		return runBenchCrash(ctx, args[1:], stdout, stderr)
	case "soak":
		return runBenchSoak(ctx, args[1:], stdout, stderr)
	case "help", "--help", "-help", "-h":
		fmt.Fprint(stdout, benchUsage)
		return 0
	}
	fmt.Fprintf(stderr, "headgate bench: unknown command %q\n\n%s", args[0], benchUsage)
	return 2
}

// parseBenchFlags reads the flags of a bench command. done is set when there is
// nothing left to do, with the exit status. The environment is left out: it sets
// up servers, and a load must not change because of it.
// benchReport is the one command of bench that takes arguments.
const benchReport = "report"

func parseBenchFlags(fs *flag.FlagSet, about string, args []string, stdout, stderr io.Writer) (status int, done bool) {
	err := parseFlags(fs, args, func(string) (string, bool) { return "", false })
	switch {
	case err == nil:
		return 0, false
	case errors.Is(err, flag.ErrHelp):
		files := map[bool]string{true: " FILE..."}[fs.Name() == benchReport]
		fmt.Fprintf(stdout, "usage: headgate bench %s [flags]%s\n\n%s\n\nflags:\n", fs.Name(), files, about)
		printFlagList(stdout, fs, func(string) string { return "" })
		return 0, true
	}
	fmt.Fprintf(stderr, "headgate bench %s: %v\nSee \"headgate bench %[1]s --help\".\n", fs.Name(), err)
	return 2, true
}

func wordsOf[T ~string](of []T) []string {
	var words []string
	for _, w := range of {
		words = append(words, string(w))
	}
	return words
}

// loadFlags are the flags that say what a load is, whatever it is sent to.
type loadFlags struct {
	o                                *bench.LoadOptions
	workload, compression, precision choice
	arrivals                         choice
	run, settle, interval            duration
	ring                             size
	gzip                             bool
}

func newLoadFlags(fs *flag.FlagSet, o *bench.LoadOptions) *loadFlags {
	f := &loadFlags{
		o:           o,
		workload:    choice{string(o.Workload), wordsOf(bench.Workloads())},
		compression: choice{string(o.Compression), wordsOf(bench.Compressions())},
		precision:   choice{string(o.Precision), wordsOf(bench.Precisions())},
		arrivals:    choice{string(o.Arrivals), wordsOf(bench.ArrivalProcesses())},
		run:         duration(o.Duration), settle: duration(o.SettleMax), interval: duration(o.Interval), ring: size(o.RingBytes),
	}
	fs.StringVar(&o.Database, "db", "", "write by POST /write into this `database`, which is created first; default bench")
	fs.StringVar(&o.Org, "org", "", "with --bucket: the `organization`")
	fs.StringVar(&o.Bucket, "bucket", "", "write by POST /api/v2/write into this `bucket`, which must exist")
	fs.StringVar(&o.Token, "token", "", "`token` to send with every request")
	fs.Var(&f.workload, "workload", "`kind` of data: "+strings.Join(f.workload.of, ", "))
	fs.StringVar(&o.File, "file", "", "`path` of line protocol to replay, plain or .gz: what real sends, and mixed as well")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "`number` that the data is made from: the same one makes the same data")
	fs.IntVar(&o.Hosts, "hosts", o.Hosts, "`number` of hosts that report; no effect on highcard and real")
	fs.IntVar(&o.Lines, "lines", o.Lines, "`number` of lines in a body; single always has 1")
	fs.IntVar(&o.Conns, "conns", o.Conns, "`number` of connections, each with one write under way")
	fs.Float64Var(&o.Rate, "rate", 0, "`number` of requests a second that arrive, answered or not, with latencies from their arrival;\n0 sends as fast as the server answers")
	fs.Var(&f.arrivals, "arrivals", "with --rate: `how` requests are spread over time: "+strings.Join(f.arrivals.of, ", "))
	fs.IntVar(&o.BacklogMax, "backlog", o.BacklogMax, "with --rate: how `many` requests may wait for a connection before more are turned away")
	fs.Var(&f.interval, "interval", "time between two reports of a host, a `duration`")
	fs.Float64Var(&o.Churn, "churn", 0, "`share` of hosts, 0 to 1, that new ones replace every time all have reported")
	fs.Float64Var(&o.OutOfOrder, "out-of-order", 0, "`share` of lines, 0 to 1, sent later than in order of time")
	fs.Float64Var(&o.Duplicates, "duplicates", 0, "`share` of lines, 0 to 1, sent a second time")
	fs.Var(&f.precision, "precision", "`unit` of timestamps: "+strings.Join(f.precision.of, ", "))
	fs.Var(&f.compression, "compress", "`kind` of compression: "+strings.Join(f.compression.of, ", ")+
		"; compressed bodies are made in advance and go round, so points repeat")
	fs.BoolVar(&f.gzip, "gzip", false, "short for --compress gzip")
	fs.Var(&f.run, "duration", "how long to write, a `duration`")
	fs.Var(&f.ring, "ring", "memory for bodies made in advance, a `size`; a replayed file should fit")
	fs.Var(&f.settle, "settle", "longest wait after the run until the server is quiet, a `duration`; needs a process id")
	return f
}

// apply puts what was parsed into the options.
func (f *loadFlags) apply() {
	o := f.o
	o.Workload, o.Compression, o.Precision = bench.Workload(f.workload.value), bench.Compression(f.compression.value), bench.Precision(f.precision.value)
	o.Arrivals = bench.Arrivals(f.arrivals.value)
	if f.gzip {
		o.Compression = bench.Gzip
	}
	o.RingBytes, o.Duration, o.SettleMax = int(f.ring), time.Duration(f.run), time.Duration(f.settle)
	o.Interval = time.Duration(f.interval)
	if o.Database == "" && o.Bucket == "" {
		o.Database = "bench"
	}
}

func runBenchLoad(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.LoadOptions{Progress: cli.Clipped(stderr), ProgressTerminal: cli.Live(stderr)}
	o.EnsureDefaults()
	var (
		fs       = flag.NewFlagSet("load", flag.ContinueOnError)
		load     = newLoadFlags(fs, &o)
		jsonFile string
	)
	fs.StringVar(&o.URL, "url", "http://127.0.0.1:8086", "`address` of the server: http://host:port or unix:///path of a socket")
	fs.StringVar(&o.DataDir, "data-dir", "", "`directory` where the server keeps its data, to report its size; needs --pid")
	fs.IntVar(&o.PID, "pid", 0, "`process` id of the server, to report its CPU seconds, peak memory and disk writes; 0 leaves them out")
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON")
	const about = "Writes to a server over a fixed number of connections, as fast as it answers or at a\n" +
		"rate, and reports rates, latencies and, with --pid, what it cost the server."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	load.apply()
	report, err := bench.Load(ctx, o)
	if err == nil {
		err = report.WriteTable(stdout)
	}
	if err == nil && jsonFile != "" {
		err = writeFile(jsonFile, report.WriteJSON)
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench load: %v\n", err)
		return 1
	}
	if report.Points == 0 {
		fmt.Fprintln(stderr, "headgate bench load: the server accepted nothing")
		return 1
	}
	return 0
}

// targets are servers to compare, a flag that is given several times.
type targets []bench.CompareTarget

func (t *targets) Set(v string) error {
	target, err := bench.ParseCompareTarget(v)
	if err == nil {
		*t = append(*t, target)
	}
	return err
}

func (t *targets) String() string { return "" }

func runBenchCompare(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.CompareOptions{Load: bench.LoadOptions{Progress: cli.Clipped(stderr), ProgressTerminal: cli.Live(stderr)}}
	o.EnsureDefaults()
	var (
		fs       = flag.NewFlagSet("compare", flag.ContinueOnError)
		load     = newLoadFlags(fs, &o.Load)
		servers  targets
		jsonFile string
	)
	fs.Var(&servers, "target", "`server` to load, as NAME=URL[,PID[,DIR]] with its process id and data directory;\ngiven once for each, the first is what the others are compared with")
	fs.IntVar(&o.Rounds, "rounds", o.Rounds, "how many `times` each target is loaded, in turn")
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON")
	const about = "Loads several servers in turn, round by round, with the same bodies, and reports medians,\n" +
		"spreads and ratios. Start every server on an empty data directory first."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	load.apply()
	o.Targets = servers
	report, err := bench.Compare(ctx, o)
	if err == nil {
		err = report.WriteTable(stdout)
	}
	if err == nil && jsonFile != "" {
		err = writeFile(jsonFile, report.WriteJSON)
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench compare: %v\n", err)
		return 1
	}
	return 0
}

func runBenchReport(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet(benchReport, flag.ContinueOnError)
	out := fs.String("out", "report.html", "`file` to write the page to")
	const about = "Makes one HTML file out of the JSON files named after the flags. It has tables and diagrams,\n" +
		"and needs neither network nor scripts."
	// The files come after the flags: what is left over when those are read.
	var files []string
	fs.SetOutput(io.Discard)
	if fs.Parse(args) == nil {
		files = fs.Args()
	}
	if status, done := parseBenchFlags(fs, about, args[:len(args)-len(files)], stdout, stderr); done {
		return status
	}
	if len(files) == 0 {
		fmt.Fprintln(stderr, "headgate bench report: name the JSON files of bench load and bench compare after the flags")
		return 2
	}
	// The page is made before the file: a failure leaves an older page alone.
	var page bytes.Buffer
	err := bench.WriteHTML(&page, files...)
	if err == nil {
		err = os.WriteFile(*out, page.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench report: %v\n", err)
		return 1
	}
	fmt.Fprintln(stdout, *out)
	return 0
}

func runBenchCrash(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.CrashOptions{Progress: stderr}
	o.EnsureDefaults()
	o.Seed = 0
	var (
		fs       = flag.NewFlagSet("crash", flag.ContinueOnError)
		life     = duration(o.RoundDuration)
		start    = duration(o.StartTimeout)
		jsonFile string
	)
	fs.StringVar(&o.Server, "server", "", "`path` of the headgate binary to kill; default this one")
	fs.IntVar(&o.Rounds, "rounds", o.Rounds, "how many `times` to kill it under load")
	fs.IntVar(&o.Writers, "writers", o.Writers, "`number` of connections that write at the same time")
	fs.Uint64Var(&o.Seed, "seed", 0, "`number` that the data and the moments of the kills are made from; 0 takes one from the clock")
	fs.Var(&life, "duration-per-round", "longest time that a round writes before the kill, a `duration`; the moment is random")
	fs.Var(&start, "start-timeout", "how long the server may take to become healthy, a `duration`")
	fs.StringVar(&o.Dir, "dir", "", "`directory` for data and logs; default a temporary one")
	fs.BoolVar(&o.Keep, "keep", false, "keep data and logs even when nothing was found")
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON")
	const about = "Starts a server, writes to it, kills it without warning, starts it again and compares\n" +
		"all it has with all it acknowledged. Exit status 1 when a point was lost or invented."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	o.RoundDuration, o.StartTimeout = time.Duration(life), time.Duration(start)
	err := useOwnBinary(&o.Server)
	var report *bench.CrashReport
	if err == nil {
		report, err = bench.Crash(ctx, o)
	}
	if report != nil {
		err = errors.Join(err, report.WriteText(stdout))
		if jsonFile != "" {
			err = errors.Join(err, writeFile(jsonFile, report.WriteJSON))
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench crash: %v\n", err)
		return 1
	}
	if report.ViolationCount > 0 {
		return 1
	}
	return 0
}

func useOwnBinary(path *string) (err error) {
	if *path == "" {
		*path, err = os.Executable()
	}
	return err
}

// writeFile writes a whole file by a function.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
