package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// SizeOptions configures Size. Zero fields mean their defaults.
type SizeOptions struct {
	// Data says how much to write; its URL and Workload are not used, and each
	// workload goes into a database of its own, named Database_workload.
	Data FillOptions
	// Workloads is what to write, one after the other. Default CPU.
	Workloads []Workload
	// Targets are the servers, all with a data directory. At least one; the first
	// is what the others are compared with.
	Targets []CompareTarget
	// SettleRequests are sent to their targets once the data is written, in order.
	SettleRequests []SettleRequest
	// Quiet is for how long a server must have used hardly any CPU to count as
	// settled, SettleMax the longest wait; a target without a process id is given
	// all of it. Default 6 s and 5 min. A server that begins to merge after a pause
	// needs a longer Quiet than that pause.
	Quiet, SettleMax time.Duration
}

// EnsureDefaults fills in the zero fields.
func (o *SizeOptions) EnsureDefaults() {
	o.Data.EnsureDefaults()
	if len(o.Workloads) == 0 {
		o.Workloads = []Workload{CPU}
	}
	setDefault(&o.Quiet, settleCalm)
	setDefault(&o.SettleMax, 5*time.Minute)
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *SizeOptions) Validate() error {
	if err := validateTargets("SizeOptions", o.Targets); err != nil {
		return err
	}
	for _, t := range o.Targets {
		if t.DataDir == "" {
			return fmt.Errorf("bench: target %s has no data directory to measure", t.Name)
		}
	}
	if o.Quiet < 0 || o.SettleMax < 0 {
		return errors.New("bench: SizeOptions.Quiet and SettleMax must be positive")
	}
	for i, w := range o.Workloads {
		data := o.Data
		data.Workload = w
		if err := data.Validate(); err != nil {
			return err
		}
		if slices.Contains(o.Workloads[:i], w) {
			return fmt.Errorf("bench: workload %s is named twice", w)
		}
	}
	return validateSettleRequests("SizeOptions", o.SettleRequests, o.Targets)
}

// SizeReport is what came of Size.
type SizeReport struct {
	// Kind is "size".
	Kind      string               `json:"kind"`
	Machine   Machine              `json:"machine"`
	Targets   []string             `json:"targets"`
	Workloads []WorkloadSizeReport `json:"workloads"`
}

// WorkloadSizeReport is one workload at all targets.
type WorkloadSizeReport struct {
	Workload Workload `json:"workload"`
	// Data says which data was written.
	Data    string       `json:"data"`
	Targets []SizeFigure `json:"targets"`
}

// SizeFigure is what one workload took up at one target.
type SizeFigure struct {
	Fill *FillReport `json:"fill"`
	// DiskBytes is by how much the data directory has grown once the server was
	// quiet: all of it, so indexes, logs and what was made in advance count.
	DiskBytes     int64   `json:"disk_bytes"`
	BytesPerValue float64 `json:"bytes_per_value"`
	// DirBytes is the whole data directory then, with what was there before.
	DirBytes int64 `json:"dir_bytes"`
	// Parts is the growth of each part of the data directory: of the first two
	// directories of a file's path. What shrank is below zero.
	Parts map[string]int64 `json:"parts"`
	// WroteBytes is what the process gave to the device from the first write until
	// it was quiet, WriteAmplification that divided by DiskBytes. 0 when no process
	// was named. Less than 1 means that not all of it had to be written: holes, and
	// what the kernel had not yet given to the device.
	WroteBytes         int64   `json:"wrote_bytes"`
	WriteAmplification float64 `json:"write_amplification"`
	// CPUSeconds and RSSPeakBytes are as in ServerReport.
	CPUSeconds   float64 `json:"cpu_seconds"`
	RSSPeakBytes int64   `json:"rss_peak_bytes"`
}

// Size writes the same data to several servers, one after the other, waits until
// each has gone quiet, and measures what the data takes up on disk. Cancelling ctx
// ends it early; the workloads that every target has completed are reported.
func Size(ctx context.Context, o SizeOptions) (*SizeReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &SizeReport{Kind: "size", Machine: thisMachine()}
	for _, t := range o.Targets {
		r.Targets = append(r.Targets, t.Name)
	}
	for _, w := range o.Workloads {
		data := o.Data
		data.Workload, data.Database = w, o.Data.Database+"_"+string(w)
		report := WorkloadSizeReport{Workload: w, Data: data.text()}
		for _, t := range o.Targets {
			figure, err := sizeTarget(ctx, &o, data, t)
			if err != nil && ctx.Err() != nil && len(r.Workloads) > 0 {
				return r, nil
			}
			if err != nil {
				return nil, fmt.Errorf("workload %s, target %s: %w", w, t.Name, err)
			}
			report.Targets = append(report.Targets, figure)
		}
		r.Workloads = append(r.Workloads, report)
	}
	return r, nil
}

// sizeTarget measures one workload at one target.
func sizeTarget(ctx context.Context, o *SizeOptions, data FillOptions, t CompareTarget) (SizeFigure, error) {
	var f SizeFigure
	partsBefore, err := sizeOfParts(t.DataDir)
	if err != nil {
		return f, err
	}
	var before, after processSample
	if t.PID != 0 {
		if before, err = sampleProcess(t.PID); err != nil {
			return f, err
		}
		resetPeak(t.PID)
	}
	if f.Fill, err = fillTarget(ctx, data, t, o.SettleRequests, o.Quiet, o.SettleMax); err != nil {
		return f, err
	}
	if t.PID != 0 {
		if after, err = sampleProcess(t.PID); err != nil {
			return f, err
		}
		f.CPUSeconds, f.WroteBytes, f.RSSPeakBytes = (after.cpu - before.cpu).Seconds(), after.wroteBytes-before.wroteBytes, after.rssPeakBytes
	}
	parts, err := sizeOfParts(t.DataDir)
	if err != nil {
		return f, err
	}
	for _, n := range parts {
		f.DirBytes += n
	}
	for name, n := range partsBefore {
		if parts[name] -= n; parts[name] == 0 {
			delete(parts, name)
		}
	}
	f.Parts = parts
	for _, n := range parts {
		f.DiskBytes += n
	}
	f.BytesPerValue = float64(f.DiskBytes) / float64(f.Fill.Values)
	if f.DiskBytes > 0 {
		f.WriteAmplification = float64(f.WroteBytes) / float64(f.DiskBytes)
	}
	return f, nil
}

// WriteJSON writes the report as one indented JSON object.
func (r *SizeReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// sizeRows are the lines of the table.
var sizeRows = []struct {
	name  string
	ratio bool
	of    func(*SizeFigure) float64
}{
	{"bytes per value", true, func(f *SizeFigure) float64 { return f.BytesPerValue }},
	{"grown by MB", false, func(f *SizeFigure) float64 { return float64(f.DiskBytes) / 1e6 }},
	{"whole data directory MB", false, func(f *SizeFigure) float64 { return float64(f.DirBytes) / 1e6 }},
	{"written MB", true, func(f *SizeFigure) float64 { return float64(f.WroteBytes) / 1e6 }},
	{"written per byte kept", false, func(f *SizeFigure) float64 { return f.WriteAmplification }},
	{"CPU s per million values", true, func(f *SizeFigure) float64 { return f.CPUSeconds / float64(max(f.Fill.Values, 1)) * 1e6 }},
	{"peak RSS MiB", false, func(f *SizeFigure) float64 { return float64(f.RSSPeakBytes) / (1 << 20) }},
	{"points/s", false, func(f *SizeFigure) float64 { return f.Fill.PointsPerSecond }},
	{"s until quiet", false, func(f *SizeFigure) float64 { return f.Fill.SettleSeconds }},
}

// WriteTable writes the report for a reader.
func (r *SizeReport) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "machine  %s, %d CPUs, %s, %s\n", r.Machine.CPU, r.Machine.CPUs, r.Machine.OS, r.Machine.Go)
	for i := range r.Workloads {
		report := &r.Workloads[i]
		first := &report.Targets[0]
		fmt.Fprintf(w, "\n%s: %d points, %d values, %s MB of line protocol\n\n", report.Data, first.Fill.Points, first.Fill.Values,
			figure(float64(first.Fill.LineBytes)/1e6))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "\t%s\n", strings.Join(r.Targets, "\t"))
		for _, row := range report.rows() {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for i := range report.Targets {
			fmt.Fprintf(w, "%s: %s\n", r.Targets[i], report.Targets[i].partsText())
		}
	}
	return nil
}

// rows returns the cells of the table, the name of each row first.
func (w *WorkloadSizeReport) rows() [][]string {
	first := &w.Targets[0]
	var rows [][]string
	for _, row := range sizeRows {
		cells := []string{row.name}
		for i := range w.Targets {
			v, of := row.of(&w.Targets[i]), row.of(first)
			cell := "-"
			if v != 0 {
				cell = figure(v)
			}
			if i > 0 && row.ratio && v > 0 && of > 0 {
				cell += fmt.Sprintf(" x%.3g", v/of)
			}
			cells = append(cells, cell)
		}
		rows = append(rows, cells)
	}
	return rows
}

// partsText lists the parts that are more than a hundredth of all, largest first.
func (f *SizeFigure) partsText() string {
	names := slices.SortedFunc(maps.Keys(f.Parts), func(a, b string) int {
		if d := f.Parts[b] - f.Parts[a]; d != 0 {
			return int(max(min(d, 1), -1))
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names {
		if n := f.Parts[name]; 100*max(n, -n) > f.DiskBytes {
			parts = append(parts, fmt.Sprintf("%s %s MB", name, figure(float64(n)/1e6)))
		}
	}
	return strings.Join(parts, ", ")
}
