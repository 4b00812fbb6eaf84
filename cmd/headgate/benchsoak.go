package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"headgate/bench"
)

func runBenchSoak(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.SoakOptions{Progress: stderr}
	o.EnsureDefaults()
	o.Seed = 0
	var (
		fs       = flag.NewFlagSet("soak", flag.ContinueOnError)
		run      = duration(o.Duration)
		start    = duration(o.StartTimeout)
		jsonFile string
	)
	fs.StringVar(&o.Server, "server", "", "`path` of the headgate binary to run; default this one")
	fs.StringVar(&o.URL, "target", "", "`address` of a server that runs already, with --auth=false, instead of one of its own")
	fs.IntVar(&o.PID, "pid", 0, "with --target: `process` id of the server, to watch its memory and descriptors")
	fs.Var(&run, "duration", "how long to write, a `duration`")
	fs.Float64Var(&o.Share, "share", o.Share, "`percent` of what a short closed loop writes")
	fs.IntVar(&o.Writers, "writers", o.Writers, "`number` of connections that write at the same time")
	fs.IntVar(&o.Lines, "lines", o.Lines, "`number` of points in a batch")
	fs.IntVar(&o.Hosts, "hosts", o.Hosts, "`number` of series of a writer in a generation")
	fs.IntVar(&o.Generations, "generations", o.Generations, "how `often` new series take the place of all there were; each generation is deleted in part or whole")
	fs.Float64Var(&o.OutOfOrder, "out-of-order", o.OutOfOrder, "`share` of points, 0 to 1, that come ten minutes late; negative for none")
	fs.IntVar(&o.Backups, "backups", o.Backups, "`number` of backups to make, the last of which is restored and checked; negative for none")
	fs.Uint64Var(&o.Seed, "seed", 0, "`number` that the data is made from; 0 takes one from the clock")
	fs.Var(&start, "start-timeout", "how long a server may take to become healthy, a `duration`")
	fs.StringVar(&o.Dir, "dir", "", "`directory` for data, logs and backups; default a temporary one")
	fs.BoolVar(&o.Keep, "keep", false, "keep data and logs even when nothing was found")
	fs.StringVar(&jsonFile, "json", "", "also write the report to this `file`, as JSON, for bench report")
	const about = "Writes to a server for a long time, at a share of what it takes, while series come and go,\n" +
		"queries run, points are deleted and expire, and backups are made. Then compares all there\n" +
		"is with all that was acknowledged. Exit status 1 when they differ or something has grown."
	if status, done := parseBenchFlags(fs, about, args, stdout, stderr); done {
		return status
	}
	o.Duration, o.StartTimeout = time.Duration(run), time.Duration(start)
	err := useOwnBinary(&o.Server)
	var report *bench.SoakReport
	if err == nil {
		report, err = bench.Soak(ctx, o)
	}
	if report != nil {
		err = errors.Join(err, report.WriteText(stdout))
		if jsonFile != "" {
			err = errors.Join(err, writeFile(jsonFile, report.WriteJSON))
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate bench soak: %v\n", err)
		return 1
	}
	if !report.Passed() {
		return 1
	}
	return 0
}
