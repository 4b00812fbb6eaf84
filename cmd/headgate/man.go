package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// commandLine is a line of usage that names a command.
var commandLine = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)  +(\S.*)$`)

// runMan prints the manual page, headgate(1), which is made of what the commands say of
// themselves.
func runMan(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		status, out := 2, stderr
		if args[0] == "--help" || args[0] == "-help" || args[0] == "-h" {
			status, out = 0, stdout
		}
		fmt.Fprint(out, "usage: headgate man > headgate.1\n\nPrints the manual page headgate(1); \"headgate man | man -l -\" shows it.\n")
		return status
	}
	b := build()
	date, _, _ := strings.Cut(b.Date, "T")
	fmt.Fprintf(stdout, ".TH HEADGATE 1 \"%s\" \"headgate %s\" \"User Commands\"\n", roff(date), roff(b.Version))
	fmt.Fprint(stdout, ".SH NAME\nheadgate \\- ingestion engine for time series that InfluxDB clients write to\n")
	fmt.Fprint(stdout, ".SH SYNOPSIS\n.B headgate\n.I command\n[flags]\n")
	fmt.Fprint(stdout, ".SH DESCRIPTION\n")
	verbatim(stdout, usage)
	fmt.Fprint(stdout, ".SH COMMANDS\n")
	for _, m := range commandLine.FindAllStringSubmatch(usage, -1) {
		name := m[1]
		if name == "man" || name == "help" {
			continue
		}
		var text bytes.Buffer
		if status := run([]string{name, "--help"}, &text, io.Discard); status != 0 {
			fmt.Fprintf(stderr, "headgate man: %s --help fails with status %d\n", name, status)
			return 1
		}
		fmt.Fprintf(stdout, ".SS headgate %s\n", roff(name))
		verbatim(stdout, text.String())
	}
	fmt.Fprint(stdout, ".SH ENVIRONMENT\nThe description of a flag names the variable that sets it, if there is one. The command line comes first, then the environment, then the file of\n.BR \\-\\-config .\n")
	fmt.Fprint(stdout, ".SH EXIT STATUS\n0 for success, 1 for failure, 2 for a command line that makes no sense.\n")
	fmt.Fprint(stdout, ".SH SIGNALS\nSIGTERM and SIGINT make the server answer what is in flight and end; a second one ends it at once. SIGHUP makes it read its certificate again.\n")
	return 0
}

// verbatim writes text as it is.
func verbatim(w io.Writer, text string) {
	fmt.Fprint(w, ".nf\n")
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintln(w, roff(strings.TrimRight(line, "\n")))
	}
	fmt.Fprint(w, ".fi\n")
}

// roff escapes a line of text for a manual page.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
