// Headgate is an ingestion engine for time series that speaks the InfluxDB v2
// and v1 HTTP API. See the README for how to run it.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"headgate/cmd/headgate/cli"
	"headgate/engine/datadir"
)

const usage = `Headgate takes InfluxDB line protocol over HTTP and answers once it is on disk.

usage: headgate <command> [flags]

server:
  serve       run the server
  status      show how a server does: rates, queues, refusals, memory, disk
  ping        ask a server whether it takes writes
  tail        show the points that a bucket rejects, as they come

client:
  setup       set a new server up, and keep its token as a profile
  config      keep profiles: servers with token, organization and bucket
  write       write line protocol or CSV, from files or standard input
  query       ask in InfluxQL or Flux
  export      write a bucket as line protocol
  delete      delete points
  bucket      make, list, change and delete buckets
  org         make, list, change and delete organizations
  token       make, list and delete tokens
  user        make, list, change and delete users

maintenance:
  backup      make a backup of a running server
  restore     unpack a backup into an empty data directory
  check       look for damage in the data directory of a stopped server
  repair      cut out what check has found, and say what is gone
  inspect     tell what a data directory has: schema, windows, blocks, sizes

more:
  bench       load a server, or kill it again and again and count what it kept
  completion  print what makes a shell complete commands and flags
  man         print the manual page
  version     print the version, and what the binary was built from

"headgate <command> --help" lists the flags of a command.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run dispatches to a command and returns the exit status: 0 for success, 1 for
// failure, 2 for a command line that makes no sense, 130 for what Ctrl-C ended early.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signalContext()
	defer stop()
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	status := dispatch(ctx, args, stdout, stderr)
	// As a shell has it. What runs until it is interrupted has ended well then, and the server
	// that could not drain has failed.
	if by, ok := context.Cause(ctx).(interrupted); ok && status == 1 && args[0] != "serve" {
		status = 128 + int(by.signal)
	}
	return status
}

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string {
	if i.signal == syscall.SIGINT {
		return "interrupted"
	}
	return i.signal.String()
}

// signalContext returns a context that SIGINT or SIGTERM ends. A second one ends the process.
func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case s := <-signals:
			by, _ := s.(syscall.Signal)
			cancel(interrupted{by})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
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
		for i, arg := range args { // headgate help bucket create
			if !slices.Contains(helpWords, arg) {
				return dispatch(ctx, append(slices.Clone(args[i:]), "--help"), stdout, stderr)
			}
		}
		fmt.Fprint(stdout, usage)
		return 0
	}
	env := cli.Env{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr, Version: version, Meter: meter, OtherCommands: otherCommands, Help: helpOf}
	if status, known := cli.Run(ctx, args[0], args[1:], env); known {
		return status
	}
	if slices.Contains(influxOnly, args[0]) {
		fmt.Fprintf(stderr, "headgate: there is no %q, which influx has: Headgate takes points in and answers queries, and has nothing of that\n\"headgate help\" lists the commands.\n", args[0])
		return 2
	}
	if near := cli.Nearest(args[0], append(cli.Names(), otherCommands...)); near != "" {
		fmt.Fprintf(stderr, "headgate: unknown command %q; did you mean \"headgate %s\"?\n\"headgate help\" lists the commands.\n", args[0], near)
		return 2
	}
	fmt.Fprintf(stderr, "headgate: unknown command %q\n\"headgate help\" lists the commands.\n", args[0])
	return 2
}

// influxOnly are commands of influx for what Headgate does not have.
var influxOnly = []string{"apply", "dashboards", "pkg", "remote", "replication", "scripts", "secret", "server-config", "stacks", "task", "telegrafs", "template"}

// helpWords ask for help. Behind one of them another says nothing more.
var helpWords = []string{"help", "--help", "-help", "-h"}

// otherCommands are those above that are not of package cli.
var otherCommands = []string{"serve", "check", "repair", "inspect", "backup", "restore", "tail", "bench", "man", "version", "help"}

// helpOf is a cli.Env.Help.
func helpOf(command ...string) string {
	if command[0] == "help" || command[0] == "man" { // they have no flags
		return ""
	}
	var text bytes.Buffer
	dispatch(context.Background(), append(slices.Clone(command), "--help"), &text, io.Discard)
	return text.String()
}

// meter is a cli.Env.Meter.
func meter(w io.Writer) (update func(step string, done, total int64), end func()) {
	p := newProgress(w)
	return func(step string, done, total int64) {
		p.update(datadir.Progress{Step: step, Bytes: done, BytesTotal: total})
	}, p.end
}
