package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	_ "time/tzdata" // for InfluxQL's tz() where the system has no time zones, as in an empty container
)

// version is what this binary calls itself, and clients see after
// "v2.9.1+headgate.".
const version = "0.1.0"

// buildInfo says which binary this is, as far as the build has recorded it.
type buildInfo struct {
	Version string `json:"version"`
	// Commit is the revision that the binary was built from, in 10 digits, and Date when
	// that was made; Modified says that there were changes to it.
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func build() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(len(s.Value), 10)]
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b buildInfo) String() string {
	from := "commit " + b.commit()
	if b.Date != "" {
		from += " of " + b.Date
	}
	if b.Modified {
		from += ", modified"
	}
	return fmt.Sprintf("headgate %s (%s, %s, %s)", b.Version, from, b.Go, b.Platform)
}

// commit is "unknown" if the build has not recorded it.
func (b buildInfo) commit() string {
	if b.Commit == "" {
		return "unknown"
	}
	return b.Commit
}

func runVersion(_ context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("version", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print it as JSON")
	if err := parseFlags(fs, args, func(string) (string, bool) { return "", false }); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, "usage: headgate version [--json]\n\nPrints the version, and what the binary was built from.\n\nflags:\n")
			printFlags(stdout, fs)
			return 0
		}
		fmt.Fprintf(stderr, "headgate version: %v\n", err)
		return 2
	}
	if *asJSON {
		_ = json.NewEncoder(stdout).Encode(build())
		return 0
	}
	fmt.Fprintln(stdout, build())
	return 0
}
