package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// LoadReport is what came of one run of Load. Rates are over the time from the
// first request to the last answer; points count when answered 2xx.
type LoadReport struct {
	// Kind is "load".
	Kind     string   `json:"kind"`
	Machine  Machine  `json:"machine"`
	Workload Workload `json:"workload"`
	URL      string   `json:"url"`
	Seed     uint64   `json:"seed"`
	Hosts    int      `json:"hosts"`
	Lines    int      `json:"lines_per_body"`
	Conns    int      `json:"conns"`
	// File is the name of the replayed file, without its directory.
	File        string      `json:"file,omitempty"`
	Compression Compression `json:"compression"`
	Precision   Precision   `json:"precision"`
	Churn       float64     `json:"churn"`
	OutOfOrder  float64     `json:"out_of_order"`
	Duplicates  float64     `json:"duplicates"`
	// IntervalSeconds is between two reports of a host.
	IntervalSeconds float64 `json:"interval_seconds"`
	// Repeated is set when points were sent more than once; see
	// LoadOptions.Compression.
	Repeated bool `json:"repeated"`

	ElapsedSeconds float64 `json:"elapsed_seconds"`
	Requests       int64   `json:"requests"`
	// Retries counts requests that sent a refused or broken off body again.
	Retries    int64            `json:"retries"`
	Points     int64            `json:"points"`
	Values     int64            `json:"values"`
	LineBytes  int64            `json:"line_bytes"`
	WireBytes  int64            `json:"wire_bytes"`
	Statuses   map[string]int64 `json:"statuses"`
	ConnErrors int64            `json:"connection_errors"`
	// FirstError is the first answer or failure that was no success, or "".
	FirstError string `json:"first_error,omitempty"`

	RequestsPerSecond  float64 `json:"requests_per_second"`
	PointsPerSecond    float64 `json:"points_per_second"`
	ValuesPerSecond    float64 `json:"values_per_second"`
	MegabytesPerSecond float64 `json:"megabytes_per_second"` // of line protocol

	// Latencies are of all answers, the refusals included.
	LatencyMeanMillis float64 `json:"latency_mean_ms"`
	LatencyP50Millis  float64 `json:"latency_p50_ms"`
	LatencyP90Millis  float64 `json:"latency_p90_ms"`
	LatencyP99Millis  float64 `json:"latency_p99_ms"`
	LatencyP999Millis float64 `json:"latency_p999_ms"`
	LatencyMaxMillis  float64 `json:"latency_max_ms"`
	// Distribution counts latencies, shortest first, and Timeline tells how the run
	// went.
	Distribution []LatencyCount `json:"latency_distribution"`
	Timeline     []Interval     `json:"timeline"`

	// OpenLoop is nil when the loop was closed.
	OpenLoop *OpenLoopReport `json:"open_loop,omitempty"`
	// NextStart and NextSeries are the LoadOptions.Start and FirstSeries of another
	// run of the same data that repeats none of this one's points.
	NextStart  time.Time `json:"next_start"`
	NextSeries int64     `json:"next_series"`

	// ClientCPUSeconds is user and system time of the whole client process during
	// the run: what it took from a server on the same machine. 0 when not known.
	ClientCPUSeconds float64 `json:"client_cpu_seconds"`
	// Server is nil when no process was named.
	Server *ServerReport `json:"server,omitempty"`
	// PointsPerSync is 0 when the server does not count its syncs.
	PointsPerSync float64 `json:"points_per_sync"`
	Syncs         float64 `json:"syncs"`
}

// OpenLoopReport is what became of the requests that arrived in an open loop.
type OpenLoopReport struct {
	Rate     float64  `json:"rate"`
	Arrivals Arrivals `json:"arrivals"`
	// TurnedAway counts the arrivals that found the backlog full, Waiting those that
	// no connection had taken up when the run ended: neither has a latency.
	TurnedAway  int64 `json:"turned_away"`
	Waiting     int64 `json:"waiting"`
	BacklogPeak int   `json:"backlog_peak"`
	// Lag is how late requests left although a connection was free: the client's own
	// share of the latency.
	LagP50Millis float64 `json:"lag_p50_ms"`
	LagP99Millis float64 `json:"lag_p99_ms"`
}

// ServerReport is what the run cost the server's process.
type ServerReport struct {
	// CPUSeconds is user and system time, the time to settle included.
	CPUSeconds                 float64 `json:"cpu_seconds"`
	CPUSecondsPerMillionValues float64 `json:"cpu_seconds_per_million_values"`
	CPUMicrosPerPoint          float64 `json:"cpu_us_per_point"`
	SettleSeconds              float64 `json:"settle_seconds"`
	RSSPeakBytes               int64   `json:"rss_peak_bytes"`
	// RSSPeakOfRun is set when the peak is the run's, not the process's.
	RSSPeakOfRun bool  `json:"rss_peak_of_run"`
	WroteBytes   int64 `json:"wrote_bytes"` // to the block layer
	// DiskBytes is the size of the data directory after the run, 0 when it was not
	// named.
	DiskBytes int64 `json:"disk_bytes"`
}

// Machine names what a figure was measured on.
type Machine struct {
	CPU  string `json:"cpu"`
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Go   string `json:"go"`
}

func thisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), OS: runtime.GOOS, Go: runtime.Version()}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS += " " + strings.TrimSpace(string(release))
	}
	return m
}

func newLoadReport(o LoadOptions, workers []*loadWorker, elapsed time.Duration) *LoadReport {
	r := &LoadReport{
		Kind: "load", Machine: thisMachine(), Workload: o.Workload, URL: o.URL, Seed: o.Seed, Hosts: max(o.Hosts, o.Conns),
		Lines: o.Lines, Conns: o.Conns, Compression: o.Compression, Precision: o.Precision,
		Churn: o.Churn, OutOfOrder: o.OutOfOrder, Duplicates: o.Duplicates, IntervalSeconds: o.Interval.Seconds(), ElapsedSeconds: elapsed.Seconds(), Statuses: map[string]int64{},
	}
	if o.File != "" {
		r.File = filepath.Base(o.File)
	}
	var latencies, lag Latencies
	for _, w := range workers {
		latencies.Merge(&w.latencies)
		lag.Merge(&w.lag)
		r.Requests += w.requests
		r.Retries += w.retries
		r.Points += w.points
		r.Values += w.values
		r.LineBytes += w.lineBytes
		r.WireBytes += w.wireBytes
		r.ConnErrors += w.connErrors
		r.Repeated = r.Repeated || w.ring.Repeats()
		if r.FirstError == "" {
			r.FirstError = w.firstError
		}
		for status, n := range w.statuses {
			r.Statuses[strconv.Itoa(status)] += n
		}
		ns, series := w.ring.end()
		if end := time.Unix(0, ns).UTC(); end.After(r.NextStart) {
			r.NextStart = end
		}
		r.NextSeries = max(r.NextSeries, series)
	}
	if s := elapsed.Seconds(); s > 0 {
		r.RequestsPerSecond = float64(latencies.Count()) / s
		r.PointsPerSecond = float64(r.Points) / s
		r.ValuesPerSecond = float64(r.Values) / s
		r.MegabytesPerSecond = float64(r.LineBytes) / 1e6 / s
	}
	r.LatencyMeanMillis = millis(latencies.Mean())
	r.LatencyP50Millis = millis(latencies.Quantile(0.50))
	r.LatencyP90Millis = millis(latencies.Quantile(0.90))
	r.LatencyP99Millis = millis(latencies.Quantile(0.99))
	r.LatencyP999Millis = millis(latencies.Quantile(0.999))
	r.LatencyMaxMillis = millis(latencies.Max())
	r.Distribution = latencies.Distribution()
	if o.Rate > 0 {
		r.OpenLoop = &OpenLoopReport{
			Rate: o.Rate, Arrivals: o.Arrivals, LagP50Millis: millis(lag.Quantile(0.50)), LagP99Millis: millis(lag.Quantile(0.99)),
		}
	}
	return r
}

// addArrivals adds what no connection could take up until the end.
func (r *LoadReport) addArrivals(schedule *arrivals, workers []*loadWorker, end time.Duration) {
	if schedule == nil {
		return
	}
	r.OpenLoop.TurnedAway, r.OpenLoop.Waiting, r.OpenLoop.BacklogPeak = schedule.close(end)
	for _, w := range workers {
		r.OpenLoop.Waiting += w.waiting
	}
}

// addServer adds what the run cost the server.
func (r *LoadReport) addServer(o LoadOptions, settled time.Duration, before, after serverSample) error {
	if o.PID != 0 {
		cpu := (after.process.cpu - before.process.cpu).Seconds()
		r.Server = &ServerReport{
			CPUSeconds: cpu, SettleSeconds: settled.Seconds(), RSSPeakBytes: after.process.rssPeakBytes,
			RSSPeakOfRun: before.peakReset, WroteBytes: after.process.wroteBytes - before.process.wroteBytes,
		}
		if r.Values > 0 {
			r.Server.CPUSecondsPerMillionValues = cpu / float64(r.Values) * 1e6
			r.Server.CPUMicrosPerPoint = cpu / float64(r.Points) * 1e6
		}
		if o.DataDir != "" {
			var err error
			if r.Server.DiskBytes, err = sizeOfDir(o.DataDir); err != nil {
				return err
			}
		}
	}
	r.Syncs = after.metrics[metricSyncs] - before.metrics[metricSyncs]
	if r.Syncs > 0 {
		r.PointsPerSync = (after.metrics[metricPoints] - before.metrics[metricPoints]) / r.Syncs
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// WriteJSON writes the report as one indented JSON object.
func (r *LoadReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for a reader.
func (r *LoadReport) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("machine", "%s, %d CPUs, %s, %s", r.Machine.CPU, r.Machine.CPUs, r.Machine.OS, r.Machine.Go)
	row("workload", "%s", r.workloadText())
	row("requests", "%d in %.2f s, %s/s, %d of them retries", r.Requests, r.ElapsedSeconds, short(r.RequestsPerSecond), r.Retries)
	row("statuses", "%s", r.statusText())
	row("points", "%d, %s/s", r.Points, short(r.PointsPerSecond))
	row("values", "%d, %s/s", r.Values, short(r.ValuesPerSecond))
	row("line protocol", "%.1f MB, %.1f MB/s; %.1f MB on the wire", float64(r.LineBytes)/1e6, r.MegabytesPerSecond, float64(r.WireBytes)/1e6)
	row("latency ms", "mean %.3f, p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f",
		r.LatencyMeanMillis, r.LatencyP50Millis, r.LatencyP90Millis, r.LatencyP99Millis, r.LatencyP999Millis, r.LatencyMaxMillis)
	if l := r.OpenLoop; l != nil {
		row("open loop", "%s requests/s, %s; longest backlog %d, %d turned away, %d waiting at the end",
			short(l.Rate), l.Arrivals, l.BacklogPeak, l.TurnedAway, l.Waiting)
		row("send lag ms", "p50 %.3f, p99 %.3f: the client's own part of the latency", l.LagP50Millis, l.LagP99Millis)
	}
	if r.ClientCPUSeconds > 0 {
		row("client CPU", "%.2f s, %.0f %% of one CPU", r.ClientCPUSeconds, 100*r.ClientCPUSeconds/r.ElapsedSeconds)
	}
	if s := r.Server; s != nil {
		row("server CPU", "%.2f s, %.4f s a million values, %.3f us a point, settled after %.0f s",
			s.CPUSeconds, s.CPUSecondsPerMillionValues, s.CPUMicrosPerPoint, s.SettleSeconds)
		of := "since it started"
		if s.RSSPeakOfRun {
			of = "of the run"
		}
		row("server memory", "%.1f MiB peak %s", float64(s.RSSPeakBytes)/(1<<20), of)
		row("server wrote", "%.1f MB to disk", float64(s.WroteBytes)/1e6)
		if s.DiskBytes > 0 {
			row("data directory", "%.1f MB", float64(s.DiskBytes)/1e6)
		}
	}
	if r.Syncs > 0 {
		row("syncs", "%.0f, %.1f points each", r.Syncs, r.PointsPerSync)
	}
	if r.FirstError != "" {
		row("first error", "%s", r.FirstError)
	}
	if r.Repeated {
		row("note", "the compressed bodies went round more than once: later points overwrote earlier ones")
	}
	return t.Flush()
}

// workloadText says what was sent.
func (r *LoadReport) workloadText() string {
	text := string(r.Workload)
	if r.File != "" {
		text += " " + r.File
	}
	text += fmt.Sprintf(", seed %d, %d hosts, %d lines a body, %d connections, compression %s, precision %s",
		r.Seed, r.Hosts, r.Lines, r.Conns, r.Compression, r.Precision)
	for _, share := range []struct {
		name string
		of   float64
	}{{"churn", r.Churn}, {"out of order", r.OutOfOrder}, {"duplicates", r.Duplicates}} {
		if share.of > 0 {
			text += fmt.Sprintf(", %s %g", share.name, share.of)
		}
	}
	return text
}

func (r *LoadReport) statusText() string {
	var parts []string
	for status, n := range r.Statuses {
		parts = append(parts, fmt.Sprintf("%s: %d", status, n))
	}
	slices.Sort(parts)
	if r.ConnErrors > 0 {
		parts = append(parts, fmt.Sprintf("broken connections: %d", r.ConnErrors))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// short writes a figure with three or more digits that count.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3f million", v/1e6)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
