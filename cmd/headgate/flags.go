package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/influxdata/influxql"

	"headgate/cmd/headgate/cli"
)

// envPrefix and a flag's name in capitals make the environment variable that
// sets the flag when the command line does not.
const envPrefix = "HEADGATE_"

// size is a number of bytes, written as people write it: 32MiB, 64MB, 1.5G, 4096.
type size int64

func (s *size) Set(v string) error {
	n, err := humanize.ParseBytes(v)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is not a size; write a number and a unit, such as 32MiB, 64MB or 4096", v)
	}
	*s = size(n)
	return nil
}

func (s *size) String() string { return humanize.IBytes(uint64(*s)) }

// duration is a time span, written as Go or InfluxQL write it: 1s, 1h30m, 30d, 4w.
type duration time.Duration

func (d *duration) Set(v string) error {
	n, err := time.ParseDuration(v)
	if err != nil {
		n, err = influxql.ParseDuration(v)
	}
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a duration; write a number and a unit (ns, us, ms, s, m, h, d, w), such as 1s, 90m or 30d", v)
	}
	*d = duration(n)
	return nil
}

func (d *duration) String() string { return time.Duration(*d).String() }

// choice is one of a few words.
type choice struct {
	value string
	of    []string
}

func (c *choice) Set(v string) error {
	for _, w := range c.of {
		if strings.EqualFold(v, w) {
			c.value = w
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s", v, strings.Join(c.of, ", "))
}

func (c *choice) String() string { return c.value }

// confirmation is a flag that is true or false and speaks for one run, such as --yes: only
// the command line sets it. A variable that was exported for something else, or for
// another day, must not answer a question on which data depends.
type confirmation bool

func (c *confirmation) Set(v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	*c = confirmation(b)
	return nil
}

func (c *confirmation) String() string { return strconv.FormatBool(bool(*c)) }

// IsBoolFlag makes the flag's name alone stand for true.
func (c *confirmation) IsBoolFlag() bool { return true }

// parseFlags reads args into fs, then the environment for the flags that args
// left alone, and only for those, then the configuration file, if fs has a flag for one, for the rest. An
// error names the flag, the variable or the line, and what it takes.
func parseFlags(fs *flag.FlagSet, args []string, env func(string) (string, bool)) error {
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return cli.FlagError(err, fs)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: flags are written --name=value, or --name value except for those that are true or false", fs.Arg(0))
	}
	given := make(map[string]bool) // by the command line or the environment
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		name := envName(f.Name)
		if given[f.Name] || len(f.Name) == 1 { // a short name of another
			return
		}
		if short := shortName(fs, f); short != "" && given[short] {
			return
		}
		v, ok := env(name)
		if !ok || v == "" { // as for the commands that ask a server, empty is not set
			return
		}
		if _, ok := f.Value.(*confirmation); ok {
			errs = append(errs, fmt.Errorf("environment variable %s has no effect: give --%s on the command line, or unset the variable", name, f.Name))
			return
		}
		given[f.Name] = true
		if err := fs.Set(f.Name, v); err != nil {
			errs = append(errs, fmt.Errorf("invalid value %q for environment variable %s (flag --%s): %w", v, name, f.Name, cli.ValueError(f, err)))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return readConfig(fs, given)
}

func envName(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// shortName is the flag of one letter that sets the same as f, "" if there is none.
func shortName(fs *flag.FlagSet, f *flag.Flag) (short string) {
	fs.VisitAll(func(other *flag.Flag) {
		if len(other.Name) == 1 && other.Value == f.Value {
			short = other.Name
		}
	})
	return short
}

// printFlags writes the flags with their defaults, effects and variables.
func printFlags(w io.Writer, fs *flag.FlagSet) {
	printFlagList(w, fs, envName)
}

// printFlagList gives each flag the variables that are its, unless there are none.
func printFlagList(w io.Writer, fs *flag.FlagSet, variables func(flagName string) string) {
	fs.VisitAll(func(f *flag.Flag) {
		if len(f.Name) == 1 {
			return // with its long name
		}
		kind, text := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if short := shortName(fs, f); short != "" {
			name = "-" + short + ", " + name
		}
		fmt.Fprintln(w, strings.TrimRight("  "+name+" "+kind, " "))
		for line := range strings.Lines(text) {
			fmt.Fprintf(w, "        %s\n", strings.TrimRight(line, "\n"))
		}
		var more []string
		if f.DefValue != "" {
			more = append(more, "default "+f.DefValue)
		}
		if _, ok := f.Value.(*confirmation); ok {
			more = append(more, "on the command line only")
		} else if v := variables(f.Name); v != "" {
			more = append(more, "environment "+v)
		}
		if len(more) > 0 {
			fmt.Fprintf(w, "        %s\n", strings.Join(more, ", "))
		}
	})
}

func lookupEnv(name string) (string, bool) { return os.LookupEnv(name) }
