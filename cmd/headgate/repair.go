package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"headgate/engine/datadir"
)

const repairAbout = `Cuts out of the data directory of a stopped server what "headgate check" names, and
nothing else, after saying what is lost with it, with series and times where they can
be told, and asking. What it cuts out stays in a folder repaired-TIME of the data
directory, with the report. The exit status is 0 if the directory is sound afterwards,
1 if it is not, or was left as it is, and 2 if the repair could not be done.`

// runRepair runs `headgate repair`.
func runRepair(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("repair", flag.ContinueOnError)
	dir := dataDirFlag(fs)
	var dry, yes confirmation
	fs.Var(&dry, "dry-run", "only say what would be cut out")
	fs.Var(&yes, "yes", "do not ask")
	c := toolCommand{name: "repair", about: repairAbout}
	if _, status, done := c.parse(fs, args, stdout, stderr); done {
		return status
	}
	p := newProgress(stderr)
	r, err := datadir.Repair(ctx, datadir.RepairOptions{
		Options: datadir.Options{Dir: *dir, Progress: p.update},
		DryRun:  bool(dry),
		Confirm: func(r *datadir.Report) bool {
			p.end()
			r.WriteText(stdout, false)
			return bool(yes) || confirmed(stdin, stdout)
		},
	})
	p.end()
	switch {
	case errors.Is(err, datadir.ErrDeclined):
		fmt.Fprintln(stderr, "headgate repair: nothing has been changed")
		return 1
	case err != nil:
		fmt.Fprintf(stderr, "headgate repair: %v\n", err)
		return 2
	case r.Sound():
		r.WriteText(stdout, false)
		return 0
	case bool(dry):
		r.WriteText(stdout, false)
		return 1
	}
	fmt.Fprintf(stdout, "repaired; what was cut out is kept in %s, and report.txt there names what is known to be lost\n", r.Kept)
	return 0
}

// confirmed asks whether to go on.
func confirmed(stdin io.Reader, stdout io.Writer) bool {
	fmt.Fprint(stdout, "cut this out? Type yes to go on: ")
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil { // nobody is there to press enter
		fmt.Fprintln(stdout, "(no answer; --yes answers without being asked)")
	}
	return strings.EqualFold(strings.TrimSpace(line), "yes")
}

// repairFromTerminal is runRepair with answers from standard input.
func repairFromTerminal(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runRepair(ctx, args, os.Stdin, stdout, stderr)
}
