package stages

import (
	"testing"
	"time"

	"headgate/bench"
)

// Work is what one iteration of a benchmark takes in.
type Work struct{ Lines, Values, Bytes int }

// WorkOf is the work of one uncompressed body.
func WorkOf(body *bench.Body) Work { return Work{body.Points, body.Values, len(body.Text())} }

// Times is the work n times over.
func (w Work) Times(n int) Work { return Work{n * w.Lines, n * w.Values, n * w.Bytes} }

// Meter reports what an iteration of a benchmark costs.
type Meter struct {
	b    *testing.B
	work Work
	// cpu is what had been used when the clock last started, used what had been by then.
	cpu, used time.Duration
	// idle is what nobody had used of the machine when the clock last started, unused
	// what nobody used since while it ran.
	idle, unused time.Duration
}

// Start begins to measure iterations of so much work. Bytes are those of line protocol.
func Start(b *testing.B, w Work) *Meter {
	b.SetBytes(int64(w.Bytes))
	b.ReportAllocs()
	m := &Meter{b: b, work: w}
	b.ResetTimer()
	m.cpu, m.idle = cpuTime(), idleTime()
	return m
}

// Pause stops both clocks, to prepare what must not be measured.
func (m *Meter) Pause() {
	m.b.StopTimer()
	m.used += cpuTime() - m.cpu
	m.unused += idleTime() - m.idle
}

// Resume starts both clocks again.
func (m *Meter) Resume() {
	m.cpu, m.idle = cpuTime(), idleTime()
	m.b.StartTimer()
}

// Stop ends the measurement and reports it.
func (m *Meter) Stop() {
	m.Pause()
	n := float64(m.b.N)
	elapsed := float64(m.b.Elapsed().Nanoseconds())
	if lines := n * float64(m.work.Lines); lines > 0 {
		m.b.ReportMetric(elapsed/lines, "ns/line")
		m.b.ReportMetric(float64(m.used.Nanoseconds())/lines, "cpu-ns/line")
	}
	if values := n * float64(m.work.Values); values > 0 {
		m.b.ReportMetric(elapsed/values, "ns/value")
	}
}

// ReportCores reports, after Stop, how many processors the process kept busy and how many
// nobody did: one that waits leaves some idle, one that has to share the machine does not.
func (m *Meter) ReportCores() {
	if elapsed := float64(m.b.Elapsed()); elapsed > 0 {
		m.b.ReportMetric(float64(m.used)/elapsed, "cores")
		m.b.ReportMetric(float64(m.unused)/elapsed, "idle-cores")
	}
}
