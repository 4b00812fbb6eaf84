package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Equality says how the answers of several servers compare.
type Equality string

// The ways in which answers compare.
const (
	// Equal is row for row the same.
	Equal Equality = "yes"
	// OtherOrder is the same rows, those of the same series and time in another order.
	OtherOrder Equality = "order"
	// Different is anything else.
	Different Equality = "no"
	// NotCompared is for a single server.
	NotCompared Equality = "-"
)

// QueryReport is what came of Query.
type QueryReport struct {
	// Kind is "query".
	Kind    string  `json:"kind"`
	Machine Machine `json:"machine"`
	// Data says which data was queried, and Database where.
	Data      string `json:"data"`
	Database  string `json:"database"`
	Rounds    int    `json:"rounds"`
	Warmup    int    `json:"warmup"`
	FloatULPs uint64 `json:"float_ulps"`
	// Targets are the servers' names. All figures of targets are in their order.
	Targets []string `json:"targets"`
	// Loads is empty when nothing was loaded.
	Loads   []*FillReport      `json:"loads,omitempty"`
	Queries []*QueryFormReport `json:"queries"`
	Overall []QueryOverall     `json:"overall"`
}

// QueryFormReport is one form of query.
type QueryFormReport struct {
	Name string `json:"name"`
	// Statement is the last of the statements.
	Statement string `json:"statement"`
	// RowsMin and RowsMax are the ends of how many rows the first target answered.
	RowsMin float64 `json:"rows_min"`
	RowsMax float64 `json:"rows_max"`
	// Equal says whether all answers were the same. Difference is the first of the
	// worst differences, and DifferingStatement what had been asked.
	Equal              Equality    `json:"equal"`
	Difference         string      `json:"difference,omitempty"`
	DifferingStatement string      `json:"differing_statement,omitempty"`
	Targets            []QueryStat `json:"targets"`
}

// QueryStat is one form of query at one target. The statistics are of the time in
// ms from the request to the answer's last byte; the ratio is the target's time
// divided by the first target's for the same statement.
type QueryStat struct {
	MetricStat
	P90 float64 `json:"p90"`
	// Millis are the times in the order of the rounds, 0 for a failed query.
	Millis []float64 `json:"ms"`
	// CPUMillis is user and system time of the server per query, 0 when no process
	// was named. What it did between queries, such as collecting garbage, counts.
	CPUMillis float64 `json:"cpu_ms"`
	// AnswerBytes is the longest answer.
	AnswerBytes int64 `json:"answer_bytes"`
	// Failed counts queries, those of the warm-up included, without an answer that
	// can be read; FirstError is the first reason.
	Failed     int    `json:"failed"`
	FirstError string `json:"first_error,omitempty"`
}

// QueryOverall is one target over all forms.
type QueryOverall struct {
	// MedianRatio is the median of the forms' ratios. LowestRatio is the smallest,
	// where the first target does worst, and HighestRatio the largest. All 0 for the
	// first target itself.
	MedianRatio  float64 `json:"median_ratio"`
	LowestRatio  float64 `json:"lowest_ratio"`
	LowestQuery  string  `json:"lowest_query"`
	HighestRatio float64 `json:"highest_ratio"`
	HighestQuery string  `json:"highest_query"`
	// Slower names the forms that the first target answers more slowly.
	Slower []string `json:"slower"`
	// CPURatio is the median of the ratios of CPU time, 0 when not measured.
	CPURatio float64 `json:"cpu_ratio"`
}

func (s *QueryStat) fail(err error) {
	s.Failed++
	if s.FirstError == "" {
		s.FirstError = err.Error()
	}
}

// stats fills in the statistics of all targets out of their times.
func (f *QueryFormReport) stats() {
	first := f.Targets[0].Millis
	for i := range f.Targets {
		s := &f.Targets[i]
		var times, ratios []float64
		for round, ms := range s.Millis {
			if ms == 0 {
				continue
			}
			times = append(times, ms)
			if round < len(first) && first[round] > 0 {
				ratios = append(ratios, ms/first[round])
			}
		}
		s.Rounds = len(times)
		s.Median, s.Min, s.Max = medianOf(times)
		s.P90 = nearestRank(times, 0.90)
		s.Ratio, s.RatioMin, s.RatioMax = medianOf(ratios)
	}
}

// sumUp fills in the figures over all forms.
func (r *QueryReport) sumUp() {
	r.Overall = make([]QueryOverall, len(r.Targets))
	for i := 1; i < len(r.Targets); i++ {
		o := &r.Overall[i]
		var ratios, cpuRatios []float64
		for _, f := range r.Queries {
			s := &f.Targets[i]
			if cpu := f.Targets[0].CPUMillis; cpu > 0 && s.CPUMillis > 0 {
				cpuRatios = append(cpuRatios, s.CPUMillis/cpu)
			}
			if s.Ratio == 0 {
				continue
			}
			ratios = append(ratios, s.Ratio)
			if o.LowestRatio == 0 || s.Ratio < o.LowestRatio {
				o.LowestRatio, o.LowestQuery = s.Ratio, f.Name
			}
			if s.Ratio > o.HighestRatio {
				o.HighestRatio, o.HighestQuery = s.Ratio, f.Name
			}
			if s.Ratio < 1 {
				o.Slower = append(o.Slower, f.Name)
			}
		}
		o.MedianRatio, _, _ = medianOf(ratios)
		o.CPURatio, _, _ = medianOf(cpuRatios)
	}
}

// Unequal returns the forms whose answers differ in any way, and Empty those that
// the first target never answered with a row: they say nothing of either speed or
// correctness.
func (r *QueryReport) Unequal() []string {
	return r.formsWhere(func(f *QueryFormReport) bool { return f.Equal != Equal && f.Equal != NotCompared })
}

// Empty, see Unequal.
func (r *QueryReport) Empty() []string {
	return r.formsWhere(func(f *QueryFormReport) bool { return f.RowsMax == 0 })
}

// Failed returns the forms that some target failed to answer.
func (r *QueryReport) Failed() []string {
	return r.formsWhere(func(f *QueryFormReport) bool {
		return slices.ContainsFunc(f.Targets, func(s QueryStat) bool { return s.Failed > 0 })
	})
}

func (r *QueryReport) formsWhere(is func(*QueryFormReport) bool) []string {
	var names []string
	for _, f := range r.Queries {
		if is(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// WriteJSON writes the report as one indented JSON object.
func (r *QueryReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for a reader.
func (r *QueryReport) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "machine\t%s, %d CPUs, %s, %s\n", r.Machine.CPU, r.Machine.CPUs, r.Machine.OS, r.Machine.Go)
	fmt.Fprintf(t, "data\t%s\n", r.Data)
	for i, l := range r.Loads {
		fmt.Fprintf(t, "loaded %s\t%d points, %d values in %.1f s, quiet after %.1f s\n", r.Targets[i], l.Points, l.Values, l.ElapsedSeconds, l.SettleSeconds)
	}
	fmt.Fprintf(t, "rounds\t%d, interleaved, after %d to warm up; floats may differ by %d ulps\n", r.Rounds, r.Warmup, r.FloatULPs)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nmedian ms (p90)")
	if len(r.Targets) > 1 {
		fmt.Fprintf(w, ", x median ratio to %s for the same statement [lowest-highest]", r.Targets[0])
	}
	fmt.Fprint(w, "; CPU ms of the server per query\n\n")
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "query\trows")
	for _, name := range r.Targets {
		fmt.Fprintf(t, "\t%s\tCPU", name)
	}
	fmt.Fprintln(t, "\tequal")
	for _, f := range r.Queries {
		fmt.Fprintf(t, "%s\t%s", f.Name, f.rowsText())
		for i := range f.Targets {
			fmt.Fprintf(t, "\t%s", f.Targets[i].text(i > 0))
		}
		fmt.Fprintf(t, "\t%s\n", f.Equal)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := 1; i < len(r.Overall); i++ {
		o := &r.Overall[i]
		if o.MedianRatio == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: median ratio x%.3g, lowest x%.3g (%s), highest x%.3g (%s)", r.Targets[i],
			o.MedianRatio, o.LowestRatio, o.LowestQuery, o.HighestRatio, o.HighestQuery)
		if o.CPURatio > 0 {
			fmt.Fprintf(w, ", CPU x%.3g", o.CPURatio)
		}
		slower := "none"
		if len(o.Slower) > 0 {
			slower = strings.Join(o.Slower, ", ")
		}
		fmt.Fprintf(w, "\n%s is slower in: %s\n", r.Targets[0], slower)
	}
	r.writeProblems(w)
	return nil
}

// writeProblems writes what makes the figures doubtful.
func (r *QueryReport) writeProblems(w io.Writer) {
	for _, f := range r.Queries {
		if f.Difference != "" {
			fmt.Fprintf(w, "\n%s differs: %s\n  %s\n", f.Name, f.Difference, f.DifferingStatement)
		}
		for i := range f.Targets {
			if s := &f.Targets[i]; s.Failed > 0 {
				fmt.Fprintf(w, "\n%s failed %d times at %s: %s\n", f.Name, s.Failed, r.Targets[i], s.FirstError)
			}
		}
	}
	if empty := r.Empty(); len(empty) > 0 {
		fmt.Fprintf(w, "\nno rows at %s: %s\n", r.Targets[0], strings.Join(empty, ", "))
	}
}

func (f *QueryFormReport) rowsText() string {
	if f.RowsMin == f.RowsMax {
		return fmt.Sprintf("%.0f", f.RowsMax)
	}
	return fmt.Sprintf("%.0f-%.0f", f.RowsMin, f.RowsMax)
}

// text writes the time and the CPU time, two cells.
func (s *QueryStat) text(ratio bool) string {
	if s.Rounds == 0 {
		return "failed\t-"
	}
	text := fmt.Sprintf("%s (%s)", figure(s.Median), figure(s.P90))
	if ratio && s.Ratio > 0 {
		text += fmt.Sprintf(" x%.3g [%.3g-%.3g]", s.Ratio, s.RatioMin, s.RatioMax)
	}
	if s.CPUMillis == 0 {
		return text + "\t-"
	}
	return text + "\t" + figure(s.CPUMillis)
}
