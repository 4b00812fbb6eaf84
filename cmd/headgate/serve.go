package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/dustin/go-humanize"

	"headgate/engine"
	"headgate/httpfront"
)

// serveFlags is what `headgate serve` can be told.
type serveFlags struct {
	listen, dataDir                       string
	auth                                  bool
	org, bucket, token, username, pass    string
	retention                             duration
	memtable                              size
	flushAge, queryTimeout                duration
	maxBody, maxInflatedBody, memory      size
	maxQueryMemory                        size
	limits                                bucketLimits
	disk                                  diskFlags
	keep                                  keepFlags
	admissionWait, writeTimeout, shutdown duration
	retryAfterMax                         duration
	connections                           connectionLimits
	tls                                   tlsFlags
	logLevel, logFormat                   choice
	pprof                                 bool
	config                                string
	printConfig                           bool

	// variables are those of the environment that gave a flag.
	variables map[string]bool
}

// gcPercent is how much the heap may grow before it is collected. Most of it has no
// pointers, so that collecting is cheap, half a percent of the CPU: at 30 rather than
// Go's 100 the peak while ingesting TSBS cpu is 160 MiB rather than 205.
const gcPercent = 30

func newServeFlags() (*serveFlags, *flag.FlagSet) {
	f := &serveFlags{
		maxBody: 32 << 20, maxInflatedBody: 128 << 20,
		admissionWait: duration(time.Second), retryAfterMax: duration(30 * time.Second), writeTimeout: duration(10 * time.Second), shutdown: duration(20 * time.Second),
		tls:       tlsFlags{check: duration(time.Minute)},
		logLevel:  choice{"info", []string{"debug", "info", "warn", "error"}},
		logFormat: choice{"text", []string{"text", "json"}},
	}
	o := engine.Options{Dir: "-"}
	o.EnsureDefaults()
	f.memory = size(o.MemoryBytesMax)
	f.flushAge = duration(o.FlushAge)
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.StringVar(&f.config, configFlag, "", "TOML `file` with the names and values of flags, for those that neither the command line\nnor the environment gives; --print-config prints one")
	fs.BoolVar(&f.printConfig, printConfigFlag, false, "print a configuration file of all flags, commented, with the values that are in force, and end")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8086", "`address` to serve HTTP on: host:port, or unix:///path of a socket;\na socket that systemd passes is taken instead")
	fs.StringVar(&f.dataDir, "data-dir", "./headgate-data", "`directory` that holds everything; created when missing")
	fs.BoolVar(&f.auth, "auth", true, "ask for tokens; with --auth=false every request is the operator's,\nand databases are created by CREATE DATABASE without any set-up")
	fs.StringVar(&f.org, "org", "", "set up a fresh data directory at start with this organization `name`\n(with --bucket, --username, --password and, if wanted, --token and --retention)")
	fs.StringVar(&f.bucket, "bucket", "", "`name` of the first bucket at set-up")
	fs.StringVar(&f.token, "token", "", "operator `token` at set-up; a random one is made and printed once when empty")
	fs.StringVar(&f.username, "username", "", "`name` of the first user at set-up")
	fs.StringVar(&f.pass, "password", "", "`password` of the first user at set-up, 8 to 72 characters")
	fs.Var(&f.retention, "retention", "retention `period` of the first bucket at set-up, at least 1h; 0 keeps points for ever")
	fs.Var(&f.maxBody, "max-body", "largest request body as sent, a `size`; larger ones get 413")
	fs.Var(&f.maxInflatedBody, "max-inflated-body", "largest request body after decompression, a `size`; larger ones get 413")
	fs.Var(&f.memory, "memory", "budget for bodies in flight, indexes, memtables and queries, a `size`;\nwrites get 503 when it is spent. The default is a quarter of what the machine or its cgroup has")
	fs.Var(&f.maxQueryMemory, "max-query-memory", "most memory that one statement of a query may hold, a `size`; over it the statement fails")
	fs.Lookup("max-query-memory").DefValue = "an eighth of --memory, at least 8 MiB"
	fs.Var(&f.queryTimeout, "query-timeout", "how long a query may run before it is stopped, a `duration`; 0 is as long as the client waits")
	fs.Var(&f.memtable, "memtable", "how much the newest points may take in memory before they are written out as blocks, a `size`")
	fs.Lookup("memtable").DefValue = "an eighth of --memory, at most 128 MiB"
	fs.Var(&f.flushAge, "flush-age", "how long a point stays in memory and in the log at most before it is written out as a block,\na `duration`; shorter makes more and smaller blocks")
	f.limits.register(fs, o)
	f.disk.register(fs, o)
	f.keep.register(fs, o)
	fs.Var(&f.admissionWait, "admission-wait", "how long a write waits for room before it gets 503, a `duration`; 0 refuses at once")
	fs.Var(&f.retryAfterMax, "max-retry-after", "longest time after which a 503 says to try again, a `duration`, at least 1s")
	fs.Var(&f.writeTimeout, "write-timeout", "how long a write may take to become durable before it gets 503, a `duration`")
	fs.Var(&f.shutdown, "shutdown-timeout", "how long SIGTERM waits for requests in flight, a `duration`; a second SIGTERM ends the process at once")
	f.connections.register(fs)
	fs.StringVar(&f.tls.cert, "tls-cert", "", "certificate `file` (PEM); with --tls-key it makes the server speak HTTPS.\nBoth files are read again when they change and on SIGHUP")
	fs.StringVar(&f.tls.key, "tls-key", "", "private key `file` (PEM) of --tls-cert")
	fs.Var(&f.tls.check, "tls-check-interval", "how often to see whether --tls-cert and --tls-key have changed, a `duration`; 0 leaves it to SIGHUP")
	fs.Var(&f.logLevel, "log-level", "least `level` that is logged: debug, info, warn or error")
	fs.Var(&f.logFormat, "log-format", "log lines as `format`: text or json")
	fs.BoolVar(&f.pprof, "pprof", false, "serve Go's profiles under /debug/pprof, to everyone who can connect")
	return f, fs
}

// parse reads the command line, the environment and the configuration file.
func (f *serveFlags) parse(fs *flag.FlagSet, args []string, env func(string) (string, bool)) error {
	f.variables = make(map[string]bool)
	return parseFlags(fs, args, func(name string) (string, bool) {
		v, ok := env(name)
		f.variables[name] = ok
		return v, ok
	})
}

// runServe runs the server until ctx ends, then drains it.
func runServe(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, fs := newServeFlags()
	if err := f.parse(fs, args, lookupEnv); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, "usage: headgate serve [flags]\n\nRuns the server until SIGTERM or SIGINT.\n\nflags:\n")
			printFlags(stdout, fs)
			return 0
		}
		fmt.Fprintf(stderr, "headgate serve: %v\nSee \"headgate serve --help\".\n", err)
		return 2
	}
	if f.printConfig {
		_, defaults := newServeFlags()
		printConfig(stdout, fs, defaults)
		return 0
	}
	if err := f.serve(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "headgate serve: %v\n", err)
		return 1
	}
	return 0
}

func (f *serveFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.logLevel.value)) // one of four words that it knows
	o := &slog.HandlerOptions{Level: level}
	if f.logFormat.value == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// check refuses values that would mean something else than they say: for the
// engine, 0 is the default.
func (f *serveFlags) check() error {
	for _, c := range []struct {
		name string
		ok   bool
	}{{"--memory", f.memory > 0}, {"--max-body", f.maxBody > 0}, {"--max-inflated-body", f.maxInflatedBody > 0}, {"--write-timeout", f.writeTimeout > 0}, {"--flush-age", f.flushAge > 0}, {"--max-retry-after", f.retryAfterMax > 0}} {
		if !c.ok {
			return fmt.Errorf("%s must be more than 0", c.name)
		}
	}
	if f.listen == "" {
		return errors.New("--listen must be an address, host:port or unix:///path")
	}
	return nil
}

// serve runs the server. Secrets go to stdout, everything else to stderr.
func (f *serveFlags) serve(ctx context.Context, stdout, stderr io.Writer) error {
	if err := errors.Join(f.check(), f.limits.check(), f.disk.check(), f.keep.check(), f.connections.check()); err != nil {
		return err
	}
	log := f.logger(stderr)
	cert, err := f.tls.open()
	if err != nil {
		return err
	}
	var tlsConfig *tls.Config
	if cert != nil {
		tlsConfig = cert.config()
	}
	ln, err := passedListener()
	if err != nil {
		return err
	}
	if ln == nil {
		if ln, err = listen(f.listen); err != nil {
			return fmt.Errorf("--listen=%s: %w", f.listen, err)
		}
	}
	// Collect more often rather than grow past the budget, of which the binary's own
	// pages take a part.
	debug.SetMemoryLimit(int64(f.memory - f.memory/8))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}

	f.warn(os.Environ(), log)
	spareProcs()
	metrics := httpfront.NewMetrics()
	o := engine.Options{
		Dir: f.dataDir, AuthDisabled: !f.auth, MemoryBytesMax: int64(f.memory), MemtableBytesMax: int64(f.memtable), FlushAge: time.Duration(f.flushAge), QueryTimeout: time.Duration(f.queryTimeout),
		BodyBytesMax: int64(f.maxBody), QueryBytesMax: int64(f.maxQueryMemory), InflatedBodyBytesMax: int64(f.maxInflatedBody),
		AdmissionWait: orAtOnce(f.admissionWait), RetryAfterMax: time.Duration(f.retryAfterMax), WriteTimeout: time.Duration(f.writeTimeout),
		RecoverInBackground: true,
		Events:              notifyRecovery(logProgress(metrics.Listener(), log), log),
		Logger:              log,
	}
	f.limits.apply(&o)
	f.disk.apply(&o)
	var h httpfront.Options
	f.keep.apply(&o, &h)
	e, err := engine.Open(ctx, o)
	if err != nil {
		ln.Close()
		return err
	}
	if err := f.setUp(ctx, e, stdout, log); err != nil {
		ln.Close()
		return errors.Join(err, e.Close())
	}
	f.connections.fit(log)
	h.ConnectionsMax, h.ConnectionsPerIPMax = f.connections.all, f.connections.perIP
	h.Version, h.Commit, h.BodyBytesMax, h.InflatedBodyBytesMax = version, build().commit(), int64(f.maxBody), e.BodyBytesMax()
	h.TLS, h.PprofEnabled, h.Metrics, h.Logger = tlsConfig, f.pprof, metrics, log
	front := httpfront.New(e, h)
	if cert != nil {
		watched, stopWatching := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			cert.watchFiles(watched, time.Duration(f.tls.check), log)
		}()
		defer func() { stopWatching(); <-done }()
	} else {
		defer surviveHangup(log)()
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(ln) }()
	serving, stopServing := context.WithCancel(ctx)
	announced := make(chan struct{})
	go func() {
		defer close(announced)
		f.announce(serving, e, ln, log)
	}()
	defer func() { stopServing(); <-announced }()
	watchdog, stopWatchdog := context.WithCancel(ctx)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feedWatchdog(watchdog, e, log)
	}()
	defer func() { stopWatchdog(); <-fed }()

	select {
	case err = <-served:
		return errors.Join(err, e.Close())
	case <-ctx.Done():
	}
	log.Info("shutting down: answering what is in flight")
	notify(log, daemon.SdNotifyStopping)
	drain, cancel := context.WithTimeout(context.Background(), time.Duration(f.shutdown))
	defer cancel()
	err = errors.Join(front.Shutdown(drain), e.Shutdown(drain))
	log.Info("stopped", "clean", err == nil)
	return err
}

// spareProcsCount is how many more threads may run Go code than there are processors. One that
// waits for the disk in fdatasync counts as running until the scheduler takes notice,
// which is long after most syncs are over: with two processors the log's syncs would
// keep one of them from everyone else for half of the time.
const spareProcsCount = 2

// spareProcs makes room for them, unless the environment says how many there are to be.
func spareProcs() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareProcsCount)
	}
}

// announce writes the one line that says what runs where, once recovery is done.
func (f *serveFlags) announce(ctx context.Context, e *engine.Engine, ln net.Listener, log *slog.Logger) {
	select {
	case <-e.Recovered():
	case <-ctx.Done():
		select {
		case <-e.Recovered(): // served, however shortly
		default:
			return
		}
	}
	dir, err := filepath.Abs(f.dataDir)
	if err != nil {
		dir = f.dataDir
	}
	r := e.Recovery()
	log.Info("headgate is ready", "address", address(ln), "data_dir", dir, "version", version, "auth", f.auth,
		"memory", humanize.IBytes(uint64(f.memory)), "buckets", e.Stats().Buckets, "records", r.Records, "points", r.Points, "recovery", r.Took.Round(time.Microsecond))
	if f.auth && e.SetupAllowed() {
		log.Info("not set up yet, so that nobody may do anything: run headgate setup, or start with --org, --bucket, --username, --password and --token")
	}
	notify(log, daemon.SdNotifyReady+"\nSTATUS=serving "+address(ln))
}

// listen opens host:port or unix:///path. A socket file that nobody listens on
// any more is replaced.
func listen(addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, "unix://")
	if !ok {
		return net.Listen("tcp", addr)
	}
	ln, err := net.Listen("unix", path)
	if err == nil {
		return ln, nil
	}
	info, statErr := os.Stat(path)
	if statErr != nil || info.Mode()&os.ModeSocket == 0 {
		return nil, err
	}
	if c, dialErr := net.Dial("unix", path); dialErr == nil {
		c.Close()
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

func address(ln net.Listener) string {
	if a := ln.Addr(); a.Network() == "unix" {
		return "unix://" + a.String()
	}
	return ln.Addr().String()
}

// orAtOnce makes 0 mean "refuse at once", as the flag says; in engine.Options 0
// means the default.
func orAtOnce(d duration) time.Duration {
	if d == 0 {
		return -1
	}
	return time.Duration(d)
}

// logProgress adds a log line for each step of a long recovery.
func logProgress(l engine.EventListener, log *slog.Logger) engine.EventListener {
	l.EnsureDefaults()
	progress := l.RecoveryProgress
	l.RecoveryProgress = func(i engine.RecoveryInfo) {
		progress(i)
		if !i.Done {
			log.Info("recovering", "buckets", i.BucketsDone, "of", i.Buckets, "records", i.Records, "points", i.Points, "took", i.Took.Round(time.Millisecond))
		}
	}
	return l
}
