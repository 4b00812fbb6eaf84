package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"headgate/engine/datadir"
)

const checkAbout = `Reads everything in the data directory of a stopped server and names what is
damaged or missing, and what would be lost if it were cut out. Changes nothing.
The exit status is 0 if everything is sound, 1 if there are problems, and 2 if
it could not look.`

// runCheck runs `headgate check`.
func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	dir := dataDirFlag(fs)
	asJSON := fs.Bool("json", false, "write the report as JSON")
	c := toolCommand{name: "check", about: checkAbout}
	if _, status, done := c.parse(fs, args, stdout, stderr); done {
		return status
	}
	p := newProgress(stderr)
	r, err := datadir.Check(ctx, datadir.Options{Dir: *dir, Progress: p.update})
	p.end()
	if err != nil {
		fmt.Fprintf(stderr, "headgate check: %v\n", err)
		return 2
	}
	return printReport(r, *asJSON, stdout, stderr)
}

// printReport writes a report and returns the exit status.
func printReport(r *datadir.Report, asJSON bool, stdout, stderr io.Writer) int {
	if asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			fmt.Fprintf(stderr, "headgate: %v\n", err)
			return 2
		}
	} else {
		r.WriteText(stdout, false)
	}
	if !r.Sound() {
		return 1
	}
	return 0
}
