package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"headgate/bench"
)

// factors is a list of numbers, separated by commas.
type factors []float64

func (l *factors) Set(v string) error {
	*l = nil
	for word := range strings.SplitSeq(v, ",") {
		f, err := strconv.ParseFloat(strings.TrimSpace(word), 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", word)
		}
		*l = append(*l, f)
	}
	return nil
}

func (l *factors) String() string {
	words := make([]string, len(*l))
	for i, f := range *l {
		words[i] = strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strings.Join(words, ",")
}

func runBenchOverload(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.OverloadOptions{Progress: stderr}
	o.EnsureDefaults()
	var (
		fs       = flag.NewFlagSet("overload", flag.ContinueOnError)
		of       = factors(o.Factors)
		memory   = size(o.MemoryBytesMax)
		run      = duration(o.Duration)
		wait     = duration(o.AdmissionWait)
		advice   = duration(o.RetryAfterMax)
		recovery = duration(o.RecoveryMax)
		jsonFile string
	)
	fs.StringVar(&o.Server, "server", "", "`path` of the headgate binary to start; default this one")
	fs.StringVar(&o.URL, "target", "", "`address` of a running server instead, http://host:port, without authentication; needs --pid")
	fs.IntVar(&o.PID, "pid", 0, "process `id` of --target")
	fs.Var(&memory, "memory", "the server's budget, a `size`")
	fs.Var(&wait, "admission-wait", "the server's --admission-wait, a `duration`")
	fs.Var(&advice, "max-retry-after", "the server's --max-retry-after, a `duration`")
	fs.IntVar(&o.SmallConns, "conns", o.SmallConns, "`number` of connections that send bodies of one line; -1 leaves them out")
	fs.IntVar(&o.LargeConns, "large-conns", o.LargeConns, "`number` of connections that send large bodies; -1 leaves them out")
	fs.IntVar(&o.LargeLines, "large-lines", o.LargeLines, "`number` of lines in a large body")
	fs.Var(&of, "factors", "rates of the overload in multiples of the maximum, `numbers` separated by commas")
	fs.Var(&run, "duration", "how long each maximum and each overload lasts, a `duration`")
	fs.Var(&recovery, "recovery", "how long after an overload a 503 may still come, a `duration`")
	fs.StringVar(&o.Dir, "dir", "", "`directory` for data and log; default a temporary one")
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON")
	const about = "Finds out how much a server takes, sends it several times as much, beside a client that\n" +
		"sends little to another bucket and one that asks queries, and reports what became of\n" +
		"all three. Exit status 1 when a bound was broken."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	o.Factors, o.MemoryBytesMax = of, int64(memory)
	o.Duration, o.AdmissionWait, o.RetryAfterMax, o.RecoveryMax = time.Duration(run), time.Duration(wait), time.Duration(advice), time.Duration(recovery)
	var err error
	if o.URL == "" {
		err = useOwnBinary(&o.Server)
	}
	var report *bench.OverloadReport
	if err == nil {
		report, err = bench.Overload(ctx, o)
	}
	if report != nil {
		err = errors.Join(err, report.WriteTable(stdout))
		if jsonFile != "" {
			err = errors.Join(err, writeFile(jsonFile, report.WriteJSON))
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench overload: %v\n", err)
		return 1
	}
	if len(report.Violations) > 0 {
		return 1
	}
	return 0
}
