package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"headgate/cmd/headgate/cli"
)

// A configuration file is TOML with a flag's name and its value on each line. What the
// command line or the environment says comes before it:
//
//	listen = "0.0.0.0:8086"
//	memory = "2GiB"
//	pprof = true

// configFlag is the flag that names the file.
const configFlag = "config"

// readConfig sets the flags of fs, but those in given, from the file that --config or its
// variable names, if any. An error names the file, the line and the flag.
func readConfig(fs *flag.FlagSet, given map[string]bool) error {
	f := fs.Lookup(configFlag)
	if f == nil || f.Value.String() == "" {
		return nil
	}
	path := f.Value.String()
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--%s: %w", configFlag, err)
	}
	values := make(map[string]any)
	if _, err := toml.Decode(string(text), &values); err != nil {
		if p := (toml.ParseError{}); errors.As(err, &p) {
			line, problem := tomlProblem(string(text), p)
			return fmt.Errorf("%s:%d: %s", path, line, problem)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	line := func(name string) int { return lineOfKey(string(text), name) }
	sort.Slice(names, func(i, j int) bool { return line(names[i]) < line(names[j]) })
	var errs []error
	for _, name := range names {
		if err := setFromFile(fs, given, name, values[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, line(name), err))
		}
	}
	return errors.Join(errs...)
}

func setFromFile(fs *flag.FlagSet, given map[string]bool, name string, value any) error {
	f := fs.Lookup(name)
	switch {
	case name == configFlag || name == printConfigFlag:
		return fmt.Errorf("%s cannot be set in the file", name)
	case f == nil:
		if near := nearestFlag(fs, name); near != "" {
			return fmt.Errorf("unknown name %q; did you mean %q?", name, near)
		}
		return fmt.Errorf("unknown name %q; \"headgate %s --help\" lists the flags, which have the same names", name, fs.Name())
	}
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case bool, int64, float64:
		text = fmt.Sprint(v)
	default:
		return fmt.Errorf("%s must be a string, a number, true or false", name)
	}
	if given[name] {
		return nil
	}
	if err := fs.Set(name, text); err != nil {
		return fmt.Errorf("invalid value %q of %s: %w", text, name, cli.ValueError(f, err))
	}
	return nil
}

// tomlProblem is what is wrong with a file that is no TOML, and on which line, from 1.
func tomlProblem(text string, p toml.ParseError) (line int, problem string) {
	problem = p.Message
	if problem == "" { // what it says then begins with "toml: line 1 (last key "x"): "
		problem = p.Error()
		if _, after, ok := strings.Cut(problem, "): "); ok && p.LastKey != "" {
			problem = after
		} else if _, after, ok := strings.Cut(strings.TrimPrefix(problem, "toml: "), ": "); ok {
			problem = after
		}
	}
	line = p.Position.Line
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return line, problem
	}
	bare := func(line string) (name, value string) {
		name, value, _ = strings.Cut(line, "=")
		value, _, _ = strings.Cut(value, "#")
		return strings.TrimSpace(name), strings.TrimSpace(value)
	}
	name, value := bare(lines[line-1])
	// What the decoder says quotes what it found, and its last key may go over several lines.
	if secret := strings.Trim(name, `"'`); slices.Contains(secretFlags, secret) {
		return line, fmt.Sprintf("the value, not shown, is no TOML; write it in quotes: %s = '...'", secret)
	} else if slices.Contains(secretFlags, p.LastKey) {
		return line, fmt.Sprintf("the line, not shown, is no TOML, or the value of %s before it", p.LastKey)
	}
	if line > 1 { // a value that is missing is missed at the end of its line
		if before, v := bare(lines[line-2]); before != "" && v == "" && before == p.LastKey {
			return line - 1, before + " has no value"
		}
	}
	switch {
	case strings.Contains(problem, "has already been defined"):
		return line, strings.TrimSuffix(problem, ".")
	case name == "" || value == "" || strings.ContainsAny(value, "\"'[{"):
		return line, problem
	case slices.Contains([]string{"true", "false", "yes", "no", "on", "off"}, strings.ToLower(value)):
		return line, fmt.Sprintf("%s; write %s = true or %[2]s = false, or another word in quotes", problem, name)
	}
	return line, fmt.Sprintf("%s; quote what is no plain number: %s = %q", problem, name, value)
}

// lineOfKey is the line, from 1, on which a key is given a value.
func lineOfKey(text, key string) int {
	n := 0
	for line := range strings.Lines(text) {
		n++
		name, _, ok := strings.Cut(line, "=")
		if !ok {
			name = strings.Trim(strings.TrimSpace(line), "[]") // a table
		}
		name = strings.Trim(strings.TrimSpace(name), `"'`)
		if name == key || strings.HasPrefix(name, key+".") {
			return n
		}
	}
	return n
}

// nearestFlag is the flag that name is likely a slip for, "" if none is near.
func nearestFlag(fs *flag.FlagSet, name string) string {
	return cli.Nearest(strings.ReplaceAll(name, "_", "-"), cli.LongFlags(fs))
}

// printConfigFlag prints the configuration rather than running the server.
const printConfigFlag = "print-config"

// secretFlags are flags whose values are not printed.
var secretFlags = []string{"token", "password"}

// printConfig writes a configuration file: every flag with what it does, commented out
// where it has its default.
func printConfig(w io.Writer, fs *flag.FlagSet, defaults *flag.FlagSet) {
	set := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	fmt.Fprintf(w, "# Configuration of headgate %s: the flags of \"headgate %s\" by their names.\n", version, fs.Name())
	fmt.Fprintf(w, "# The command line and the environment (%s...) come before this file.\n", envPrefix)
	fs.VisitAll(func(f *flag.Flag) {
		if f.Name == configFlag || f.Name == printConfigFlag {
			return
		}
		_, text := flag.UnquoteUsage(f)
		fmt.Fprintln(w)
		for line := range strings.Lines(text) {
			fmt.Fprintf(w, "# %s\n", strings.TrimRight(line, "\n"))
		}
		if set[f.Name] && slices.Contains(secretFlags, f.Name) {
			// No line that could be taken for the secret: a server set up with "redacted" for its
			// password would start.
			fmt.Fprintf(w, "# It is set, and not shown. Put it here, with the file readable only for the server, or leave it where it is.\n# %s = \"\"\n", f.Name)
			return
		}
		value := f.Value.String()
		if !set[f.Name] {
			value = f.DefValue
			if value != "" && defaults.Set(f.Name, value) != nil {
				fmt.Fprintf(w, "# Default: %s.\n", value)
				value = ""
			}
		}
		comment := "# "
		if set[f.Name] {
			comment = ""
		}
		fmt.Fprintf(w, "%s%s = %s\n", comment, f.Name, tomlValue(f, value))
	})
}

// tomlValue is a flag's value as TOML writes it.
func tomlValue(f *flag.Flag, value string) string {
	if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		return value
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return value
	}
	return strconv.Quote(value)
}
