// Headgate is an ingestion engine for time series that speaks the InfluxDB v2
// and v1 HTTP API. See the README for how to run it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Headgate takes InfluxDB line protocol over HTTP and answers once it is on disk.

usage: headgate <command> [flags]

commands:
  serve     run the server
  check     look for damage in the data directory of a stopped server
  repair    cut out what check has found, and say what is gone
  inspect   tell what a data directory has: schema, windows, blocks, sizes
  backup    make a backup of a running server
  restore   unpack a backup into an empty data directory
  tail      show the points that a bucket rejects, as they come
  bench     load a server, or kill it again and again and count what it kept
  man       print the manual page
  version   print the version, and what the binary was built from

"headgate <command> --help" lists the flags of a command.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run dispatches to a command and returns the exit status: 0 for success, 1 for
// failure, 2 for a command line that makes no sense.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal is not waited for
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch args[0] {
	case "serve":
		return runServe(ctx, args[1:], stdout, stderr)
	case "check":
		return runCheck(ctx, args[1:], stdout, stderr)
	case "repair":
		return repairFromTerminal(ctx, args[1:], stdout, stderr)
	case "inspect":
		return runInspect(ctx, args[1:], stdout, stderr)
	case "backup":
		return runBackup(ctx, args[1:], stdout, stderr)
	case "restore":
		return runRestore(ctx, args[1:], stdout, stderr)
	case "tail":
		return runTail(ctx, args[1:], stdout, stderr)
	case "bench":
		return runBench(ctx, args[1:], stdout, stderr)
	case "man":
		return runMan(ctx, args[1:], stdout, stderr)
	case "version", "--version", "-version":
		return runVersion(ctx, args[1:], stdout, stderr)
	case "help", "--help", "-help", "-h":
		fmt.Fprint(stdout, usage)
		return 0
	}
	fmt.Fprintf(stderr, "headgate: unknown command %q\n\n%s", args[0], usage)
	return 2
}
