package bench

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Metrics of a Headgate server that Soak looks at.
var soakMetrics = []string{
	"go_goroutines", "go_memstats_heap_inuse_bytes", "headgate_wal_disk_bytes", "headgate_store_disk_bytes", "headgate_memory_bytes",
	"headgate_series", "headgate_store_parts", "headgate_store_compactions_total", "headgate_store_flushes_total", "headgate_store_expired_parts_total",
}

// SoakSample is what the server was like at one moment.
type SoakSample struct {
	// Seconds is when it was taken, since the load began.
	Seconds float64 `json:"seconds"`
	// RSSBytes is resident memory, Descriptors what is open, both by /proc; 0 where
	// the system does not tell.
	RSSBytes    float64 `json:"rss_bytes"`
	Descriptors float64 `json:"descriptors"`
	// The rest of the server's figures are its own.
	Goroutines  float64 `json:"goroutines"`
	HeapBytes   float64 `json:"heap_bytes"`
	LogBytes    float64 `json:"log_bytes"`
	DataBytes   float64 `json:"data_bytes"`
	MemoryBytes float64 `json:"memory_bytes"`
	Series      float64 `json:"series"`
	Parts       float64 `json:"parts"`
	// Of the writes since the sample before.
	PointsPerSecond  float64 `json:"points_per_second"`
	Failed           int64   `json:"failed"`
	LatencyP50Millis float64 `json:"latency_p50_ms"`
	LatencyP99Millis float64 `json:"latency_p99_ms"`
	LatencyMaxMillis float64 `json:"latency_max_ms"`
	QueryMaxMillis   float64 `json:"query_max_ms"`
}

// takeSoakSample asks the server and the system. What cannot be had stays 0.
func takeSoakSample(ctx context.Context, t Target, pid int) (SoakSample, map[string]float64) {
	var s SoakSample
	m := scrape(ctx, t, "", soakMetrics...)
	s.Goroutines, s.HeapBytes = m["go_goroutines"], m["go_memstats_heap_inuse_bytes"]
	s.LogBytes, s.DataBytes, s.MemoryBytes = m["headgate_wal_disk_bytes"], m["headgate_store_disk_bytes"], m["headgate_memory_bytes"]
	s.Series, s.Parts = m["headgate_series"], m["headgate_store_parts"]
	if pid > 0 {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			s.RSSBytes = float64(fieldOf(status, "VmRSS:") << 10)
		}
		if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
			s.Descriptors = float64(len(fds))
		}
	}
	return s, m
}

// SoakTrend is how a figure went in the second half of the run.
type SoakTrend struct {
	Name string  `json:"name"`
	Mean float64 `json:"mean"`
	// PerHour is the slope of the straight line that fits best.
	PerHour float64 `json:"per_hour"`
	// Growth is what that makes over the second half, GrowthMax what is let pass.
	Growth    float64 `json:"growth"`
	GrowthMax float64 `json:"growth_max"`
	// Judged is not set when there are too few samples, or none at all.
	Judged bool `json:"judged"`
	Flat   bool `json:"flat"`
}

// soakBounds says by how much a figure may grow in half a run: a share of its mean,
// or so much if that is more. What a sawtooth does to a slope is less, and a leak that
// stays below takes a day to matter.
var soakBounds = []struct {
	name  string
	of    func(*SoakSample) float64
	share float64
	least float64
}{
	{"resident memory, bytes", func(s *SoakSample) float64 { return s.RSSBytes }, 0.10, 48 << 20},
	{"heap, bytes", func(s *SoakSample) float64 { return s.HeapBytes }, 0.15, 48 << 20},
	{"goroutines", func(s *SoakSample) float64 { return s.Goroutines }, 0.10, 16},
	{"descriptors", func(s *SoakSample) float64 { return s.Descriptors }, 0.10, 32},
	{"log, bytes", func(s *SoakSample) float64 { return s.LogBytes }, 0.25, 96 << 20},
}

// soakSamplesMin is how many samples of the second half a verdict takes.
const soakSamplesMin = 30

// soakTrends judges the second half of the samples.
func soakTrends(samples []SoakSample) []SoakTrend {
	half := samples[len(samples)/2:]
	var trends []SoakTrend
	for _, b := range soakBounds {
		t := SoakTrend{Name: b.name, Flat: true}
		var xs, ys []float64
		for i := range half {
			if y := b.of(&half[i]); y > 0 {
				xs, ys = append(xs, half[i].Seconds), append(ys, y)
			}
		}
		if len(xs) > 1 {
			slope, mean := regression(xs, ys)
			t.Mean, t.PerHour, t.Growth = mean, slope*time.Hour.Seconds(), slope*(xs[len(xs)-1]-xs[0])
			t.GrowthMax = max(b.share*mean, b.least)
			if len(xs) >= soakSamplesMin {
				t.Judged, t.Flat = true, t.Growth <= t.GrowthMax
			}
		}
		trends = append(trends, t)
	}
	return trends
}

// regression returns the slope of the straight line that fits best, and the mean of y.
func regression(xs, ys []float64) (slope, mean float64) {
	n := float64(len(xs))
	var sx, sy float64
	for i := range xs {
		sx += xs[i]
		sy += ys[i]
	}
	mx, my := sx/n, sy/n
	var sxx, sxy float64
	for i := range xs {
		sxx += (xs[i] - mx) * (xs[i] - mx)
		sxy += (xs[i] - mx) * (ys[i] - my)
	}
	if sxx == 0 {
		return 0, my
	}
	return sxy / sxx, my
}
