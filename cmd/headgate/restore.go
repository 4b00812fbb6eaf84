package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"

	"headgate/engine/datadir"
)

const restoreAbout = `Unpacks a backup into a data directory that does not exist or is empty, and checks it.
FILE is what "headgate backup" has made; - reads standard input. A file that is not
whole is refused, and leaves nothing behind.`

// runRestore runs `headgate restore`.
func runRestore(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("restore", flag.ContinueOnError)
	dir := fs.String("data-dir", "./headgate-data", "data `directory` to make; missing or empty")
	c := toolCommand{name: "restore", args: []string{"FILE"}, about: restoreAbout}
	values, status, done := c.parse(fs, args, stdout, stderr)
	if done {
		return status
	}
	in := io.Reader(os.Stdin)
	if values[0] != "-" {
		f, err := os.Open(values[0])
		if err != nil {
			fmt.Fprintf(stderr, "headgate restore: %v\n", err)
			return 1
		}
		defer f.Close()
		in = f
	}
	m, err := datadir.Restore(ctx, datadir.Options{Dir: *dir}, in)
	if err != nil {
		fmt.Fprintf(stderr, "headgate restore: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "restored %s of %s into %s, as of %s\n", count(len(m.Files), "file"), humanize.IBytes(uint64(m.Bytes())), *dir, m.Created.Format(time.RFC3339))
	p := newProgress(stderr)
	r, err := datadir.Check(ctx, datadir.Options{Dir: *dir, Progress: p.update})
	p.end()
	if err != nil {
		fmt.Fprintf(stderr, "headgate restore: %v\n", err)
		return 2
	}
	return printReport(r, false, stdout, stderr)
}
