package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"headgate/cmd/headgate/cli"
	"headgate/engine/datadir"
)

// What the commands that look after a data directory have in common.

// toolCommand is a command with arguments that are no flags.
type toolCommand struct {
	name  string
	args  []string // what the arguments are called; one in brackets may be left out
	about string
	env   func(name string) (string, bool)
	// asks is whether it asks a server, with cli.ServerFlags.
	asks bool
}

// parse reads the command line and, for flags that it leaves out, the environment.
// done is set when there is nothing left to do, with the exit status.
func (c *toolCommand) parse(fs *flag.FlagSet, args []string, stdout, stderr io.Writer) (values []string, status int, done bool) {
	usage := strings.TrimRight("headgate "+c.name+" [flags] "+strings.Join(c.args, " "), " ")
	env := c.env
	if env == nil {
		env = lookupEnv
	}
	if c.asks { // cli.ServerFlags looks at the variables that are its
		lookup := env
		env = func(name string) (string, bool) {
			if slices.ContainsFunc(cli.LongFlags(fs), func(flagName string) bool { return envName(flagName) == name && cli.Variables(flagName) != "" }) {
				return "", false
			}
			return lookup(name)
		}
	}
	fs.SetOutput(io.Discard)
	var err error
	for rest := args; ; {
		if err = fs.Parse(rest); err != nil {
			if !errors.Is(err, flag.ErrHelp) {
				err = cli.FlagError(err, fs)
			}
			break
		}
		if fs.NArg() == 0 {
			err = parseFlags(fs, nil, env)
			break
		}
		values = append(values, fs.Arg(0)) // flags may come after it
		rest = fs.Args()[1:]
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, "usage: %s\n\n%s\n\nflags:\n", usage, c.about)
		printFlagList(stdout, fs, func(flagName string) string {
			if v := cli.Variables(flagName); c.asks && v != "" {
				return v
			}
			return envName(flagName)
		})
		return nil, 0, true
	case err != nil:
	case len(values) < len(c.args) && !strings.HasPrefix(c.args[len(values)], "["):
		err = fmt.Errorf("%s is missing: %s", c.args[len(values)], usage)
	case len(values) > len(c.args):
		err = fmt.Errorf("unexpected argument %q: %s", values[len(c.args)], usage)
	default:
		return values, 0, false
	}
	fmt.Fprintf(stderr, "headgate %s: %v\nSee \"headgate %[1]s --help\".\n", c.name, err)
	return nil, 2, true
}

// count is a number of things, with their name in the singular or the plural.
func count[N int | int64](n N, noun string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(n), noun, ""))
}

func dataDirFlag(fs *flag.FlagSet) *string {
	return fs.String("data-dir", "./headgate-data", "data `directory`, of a server that is stopped")
}

// progress draws a bar on a terminal, and writes a line now and then elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	last     time.Time
	drawn    bool
}

const (
	barPeriod  = 100 * time.Millisecond
	linePeriod = 10 * time.Second
	barCells   = 40
	// barCellsMin is the shortest bar that says more than the text beside it.
	barCellsMin = 8
)

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, now: time.Now, terminal: cli.Live(w)}
	p.last = p.now()
	return p
}

// update is a datadir.Options.Progress.
func (p *progress) update(at datadir.Progress) {
	now := p.now()
	period := linePeriod
	if p.terminal {
		period = barPeriod
	}
	if now.Sub(p.last) < period {
		return
	}
	p.last = now
	share, text := 0.0, fmt.Sprintf("%s: %s", at.Step, humanize.IBytes(uint64(at.Bytes)))
	if at.BytesTotal > 0 { // else nobody knows how much there is
		share = float64(at.Bytes) / float64(at.BytesTotal)
		text = fmt.Sprintf("%3.0f%% %s of %s", 100*share, text, humanize.IBytes(uint64(at.BytesTotal)))
	}
	if !p.terminal {
		fmt.Fprintln(p.w, text)
		return
	}
	columns, _ := cli.Size(p.w)
	if at.BytesTotal > 0 {
		text = bar(share, text, columns-1)
	} else {
		text = cli.Clip(text, columns-1)
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", text)
	p.drawn = true
}

// bar is a bar with a text beside it, or as much of the two as there are columns for.
func bar(share float64, text string, columns int) string {
	cells := min(barCells, columns-utf8.RuneCountInString(text)-len("[] "))
	if cells < barCellsMin {
		return cli.Clip(text, columns)
	}
	full := min(int(share*float64(cells)), cells)
	return "[" + strings.Repeat("#", full) + strings.Repeat(" ", cells-full) + "] " + text
}

// end takes the bar away.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
