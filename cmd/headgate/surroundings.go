package main

import (
	"flag"
	"log/slog"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"headgate/cmd/headgate/cli"
	"headgate/engine"
	"headgate/engine/datadir"
)

// warn tells what around the server looks like a slip: it starts nevertheless. environ
// is as os.Environ has it.
func (f *serveFlags) warn(environ []string, log *slog.Logger) {
	o := engine.Options{Dir: "-"}
	o.EnsureDefaults()
	// The default is a quarter of what there is, which only Linux tells.
	if machine := 4 * o.MemoryBytesMax; int64(f.memory) > machine && runtime.GOOS == "linux" {
		log.Warn("--memory is more than the machine or its cgroup has: the system may end the process before the budget is spent",
			"memory", humanize.IBytes(uint64(f.memory)), "machine", humanize.IBytes(uint64(machine)))
	}
	if names := datadir.Foreign(f.dataDir); len(names) > 0 {
		log.Warn("--data-dir is no data directory yet and has other files; is it the right one?", "data_dir", f.dataDir, "files", len(names), "first", names[0])
	}
	_, fs := newServeFlags()
	for _, v := range unknownVariables(environ, fs) {
		if near := cli.Nearest(v, knownVariables(fs)); near != "" {
			log.Warn("unknown environment variable; it has no effect", "variable", v, "did_you_mean", near)
		} else {
			log.Warn("unknown environment variable; it has no effect", "variable", v)
		}
	}
}

// clientVariables are those of the commands that ask a server: some have one environment
// for both.
var clientVariables = []string{"HOST", "TOKEN", "ORG", "ORG_ID", "BUCKET", "BUCKET_NAME", "BUCKET_ID", "CONFIGS_PATH", "ACTIVE_CONFIG"}

// knownVariables are the variables that a server or a client reads.
func knownVariables(fs *flag.FlagSet) []string {
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, envName(f.Name)) })
	for _, name := range clientVariables {
		names = append(names, envPrefix+name)
	}
	return names
}

// kubernetesVariable is what is behind envPrefix in the names that Kubernetes makes of a
// service called headgate, headgate-http and so on, with their names for ports.
var kubernetesVariable = regexp.MustCompile(`^([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`)

// unknownVariables are the variables of environ that look like ours and are not, sorted. Those
// that Kubernetes sets are left out.
func unknownVariables(environ []string, fs *flag.FlagSet) []string {
	known := knownVariables(fs)
	var unknown []string
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		kubernetes := kubernetesVariable.MatchString(rest) || strings.HasSuffix("_"+rest, "_PORT") && strings.Contains(value, "://")
		if ours && !kubernetes && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
