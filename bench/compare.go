package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// CompareOptions configures Compare. Zero fields mean their defaults.
type CompareOptions struct {
	// Load says what to send, to every target alike; its URL, PID and DataDir are
	// not used, and Start and FirstSeries are where the first round begins.
	Load LoadOptions
	// Targets are the servers. At least one; the first is what the others are
	// compared with.
	Targets []CompareTarget
	// Rounds is how often each target is loaded, A B A B. Default 5: fewer say
	// little on a machine that is not quiet.
	Rounds int
}

// CompareTarget is one server.
type CompareTarget struct {
	Name, URL string
	// PID and DataDir may be 0 and "", see LoadOptions.
	PID     int
	DataDir string
}

// ParseCompareTarget reads NAME=URL[,PID[,DIR]]; PID may be empty before a DIR.
func ParseCompareTarget(text string) (CompareTarget, error) {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.SplitN(rest, ",", 3)
	t := CompareTarget{Name: name, URL: parts[0]}
	if !ok || name == "" {
		return t, fmt.Errorf("bench: target %q is not NAME=URL[,PID[,DIR]]", text)
	}
	if _, err := ParseTarget(t.URL); err != nil {
		return t, err
	}
	if len(parts) > 1 && (parts[1] != "" || len(parts) == 2) {
		pid, err := strconv.Atoi(parts[1])
		if err != nil || pid < 1 {
			return t, fmt.Errorf("bench: target %q has process id %q, which is none", text, parts[1])
		}
		t.PID = pid
	}
	if len(parts) > 2 {
		t.DataDir = parts[2]
	}
	return t, nil
}

// validateTargets checks the targets of options.
func validateTargets(options string, targets []CompareTarget) error {
	if len(targets) == 0 {
		return fmt.Errorf("bench: %s.Targets is empty", options)
	}
	names := map[string]bool{}
	for _, t := range targets {
		if names[t.Name] {
			return fmt.Errorf("bench: two targets have the name %q", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}

// EnsureDefaults fills in the zero fields.
func (o *CompareOptions) EnsureDefaults() {
	o.Load.EnsureDefaults()
	setDefault(&o.Rounds, 5)
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *CompareOptions) Validate() error {
	if err := validateTargets("CompareOptions", o.Targets); err != nil {
		return err
	}
	if o.Rounds < 1 {
		return errors.New("bench: CompareOptions.Rounds must be positive")
	}
	return o.Load.Validate()
}

// CompareReport is what came of Compare.
type CompareReport struct {
	// Kind is "compare".
	Kind    string          `json:"kind"`
	Targets []TargetReport  `json:"targets"`
	Metrics []MetricCompare `json:"metrics"`
}

// TargetReport is one target's rounds.
type TargetReport struct {
	Name   string        `json:"name"`
	Rounds []*LoadReport `json:"rounds"`
}

// MetricCompare is one figure of all targets, in their order.
type MetricCompare struct {
	Name string `json:"name"`
	// MoreIsBetter is set for rates.
	MoreIsBetter bool         `json:"more_is_better"`
	Targets      []MetricStat `json:"targets"`
}

// MetricStat is one figure of one target over all rounds. A round in which the
// figure was not measured does not count; Rounds is how many did.
type MetricStat struct {
	Rounds int     `json:"rounds"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// Ratio is the median over the rounds of the target's figure divided by the
	// first target's in the same round, RatioMin and RatioMax the ends of its
	// spread. 0 when there is none.
	Ratio    float64 `json:"ratio"`
	RatioMin float64 `json:"ratio_min"`
	RatioMax float64 `json:"ratio_max"`
}

// compareMetrics are the figures to compare; of returns 0 for not measured.
var compareMetrics = []struct {
	name         string
	moreIsBetter bool
	of           func(*LoadReport) float64
}{
	{"points/s", true, func(r *LoadReport) float64 { return r.PointsPerSecond }},
	{"values/s", true, func(r *LoadReport) float64 { return r.ValuesPerSecond }},
	{"requests/s", true, func(r *LoadReport) float64 { return r.RequestsPerSecond }},
	{"line protocol MB/s", true, func(r *LoadReport) float64 { return r.MegabytesPerSecond }},
	{"latency p50 ms", false, func(r *LoadReport) float64 { return r.LatencyP50Millis }},
	{"latency p90 ms", false, func(r *LoadReport) float64 { return r.LatencyP90Millis }},
	{"latency p99 ms", false, func(r *LoadReport) float64 { return r.LatencyP99Millis }},
	{"latency p99.9 ms", false, func(r *LoadReport) float64 { return r.LatencyP999Millis }},
	{"latency max ms", false, func(r *LoadReport) float64 { return r.LatencyMaxMillis }},
	{"CPU s per million values", false, ofServer(func(s *ServerReport) float64 { return s.CPUSecondsPerMillionValues })},
	{"CPU us per point", false, ofServer(func(s *ServerReport) float64 { return s.CPUMicrosPerPoint })},
	{"client CPU s per million values", false, func(r *LoadReport) float64 {
		if r.Values == 0 {
			return 0
		}
		return r.ClientCPUSeconds / float64(r.Values) * 1e6
	}},
	{"peak RSS MiB", false, ofServer(func(s *ServerReport) float64 { return float64(s.RSSPeakBytes) / (1 << 20) })},
	{"written MB per million values", false, func(r *LoadReport) float64 {
		if r.Server == nil || r.Values == 0 {
			return 0
		}
		return float64(r.Server.WroteBytes) / float64(r.Values)
	}},
	{"data directory MB", false, ofServer(func(s *ServerReport) float64 { return float64(s.DiskBytes) / 1e6 })},
}

func ofServer(of func(*ServerReport) float64) func(*LoadReport) float64 {
	return func(r *LoadReport) float64 {
		if r.Server == nil {
			return 0
		}
		return of(r.Server)
	}
}

// Compare loads several servers in turn, round by round, with the same bodies, and
// reports how they compare. Each round goes on where the one before ended for the
// target that got furthest, so no target gets a point twice. Cancelling ctx ends it
// early; the rounds that every target has completed are reported.
func Compare(ctx context.Context, o CompareOptions) (*CompareReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &CompareReport{Kind: "compare"}
	for _, t := range o.Targets {
		r.Targets = append(r.Targets, TargetReport{Name: t.Name})
	}
	start, series := o.Load.Start, o.Load.FirstSeries
	for round := range o.Rounds {
		var reports []*LoadReport
		nextStart, nextSeries := start, series
		for _, t := range o.Targets {
			l := o.Load
			l.URL, l.PID, l.DataDir, l.Start, l.FirstSeries = t.URL, t.PID, t.DataDir, start, series
			fmt.Fprintf(l.Progress, "round %d of %d: %s\n", round+1, o.Rounds, t.Name)
			report, err := Load(ctx, l)
			if err != nil {
				return nil, fmt.Errorf("target %s: %w", t.Name, err)
			}
			reports = append(reports, report)
			if report.NextStart.After(nextStart) {
				nextStart = report.NextStart
			}
			nextSeries = max(nextSeries, report.NextSeries)
			if ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		for i := range reports {
			r.Targets[i].Rounds = append(r.Targets[i].Rounds, reports[i])
		}
		start, series = nextStart, nextSeries
	}
	if len(r.Targets[0].Rounds) == 0 {
		return nil, fmt.Errorf("bench: compare: no round was completed: %w", context.Cause(ctx))
	}
	r.compare()
	return r, nil
}

// compare fills in the metrics.
func (r *CompareReport) compare() {
	for _, m := range compareMetrics {
		c := MetricCompare{Name: m.name, MoreIsBetter: m.moreIsBetter}
		measured := false
		for _, t := range r.Targets {
			var values, ratios []float64
			for round, load := range t.Rounds {
				v := m.of(load)
				if v == 0 {
					continue
				}
				values = append(values, v)
				if first := m.of(r.Targets[0].Rounds[round]); first > 0 {
					ratios = append(ratios, v/first)
				}
			}
			s := MetricStat{Rounds: len(values)}
			s.Median, s.Min, s.Max = medianOf(values)
			s.Ratio, s.RatioMin, s.RatioMax = medianOf(ratios)
			c.Targets = append(c.Targets, s)
			measured = measured || s.Rounds > 0
		}
		if measured {
			r.Metrics = append(r.Metrics, c)
		}
	}
}

// medianOf sorts the values and returns their median and both ends, 0 for none.
func medianOf(values []float64) (median, lowest, highest float64) {
	n := len(values)
	if n == 0 {
		return 0, 0, 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]
}

// WriteJSON writes the report as one indented JSON object.
func (r *CompareReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for a reader.
func (r *CompareReport) WriteTable(w io.Writer) error {
	first := r.Targets[0].Rounds[0]
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "machine\t%s, %d CPUs, %s, %s\n", first.Machine.CPU, first.Machine.CPUs, first.Machine.OS, first.Machine.Go)
	fmt.Fprintf(t, "workload\t%s\n", first.workloadText())
	loop := "closed"
	if l := first.OpenLoop; l != nil {
		loop = fmt.Sprintf("open, %s requests/s, %s", short(l.Rate), l.Arrivals)
	}
	fmt.Fprintf(t, "rounds\t%d, interleaved, %.0f s each; loop %s\n", len(r.Targets[0].Rounds), first.ElapsedSeconds, loop)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nmedian [lowest-highest], x median ratio to %s in the same round [lowest-highest]\n\n", r.Targets[0].Name)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, cell func(i int) string) {
		cells := []string{name}
		for i := range r.Targets {
			cells = append(cells, cell(i))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	row("", func(i int) string { return r.Targets[i].Name })
	for _, m := range r.Metrics {
		row(m.Name, func(i int) string { return m.Targets[i].text(i > 0) })
	}
	row("statuses", func(i int) string { return r.Targets[i].statusText() })
	if err := t.Flush(); err != nil {
		return err
	}
	for _, target := range r.Targets {
		for round, load := range target.Rounds {
			if load.FirstError != "" {
				fmt.Fprintf(w, "\n%s, round %d: first error: %s\n", target.Name, round+1, load.FirstError)
				break
			}
		}
		if slices.ContainsFunc(target.Rounds, func(l *LoadReport) bool { return l.Repeated }) {
			fmt.Fprintf(w, "\n%s: compressed bodies went round more than once: later points overwrote earlier ones\n", target.Name)
		}
	}
	return nil
}

func (s MetricStat) text(ratio bool) string {
	if s.Rounds == 0 {
		return "-"
	}
	text := fmt.Sprintf("%s [%s-%s]", figure(s.Median), figure(s.Min), figure(s.Max))
	if ratio && s.Ratio > 0 {
		text += fmt.Sprintf(" x%.3g [%.3g-%.3g]", s.Ratio, s.RatioMin, s.RatioMax)
	}
	return text
}

// figure writes a number with three digits that count, and without exponents.
func figure(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// statusText counts the answers of all rounds.
func (t *TargetReport) statusText() string {
	all := LoadReport{Statuses: map[string]int64{}}
	for _, r := range t.Rounds {
		all.ConnErrors += r.ConnErrors
		for status, n := range r.Statuses {
			all.Statuses[status] += n
		}
	}
	return all.statusText()
}
