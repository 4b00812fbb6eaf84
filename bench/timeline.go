package bench

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// timelineMax bounds how many intervals a report has: long runs get longer ones.
const timelineMax = 600

// Interval is what happened in one part of a run.
type Interval struct {
	// Seconds is when it ended, since the run began.
	Seconds           float64 `json:"seconds"`
	PointsPerSecond   float64 `json:"points_per_second"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	// Failed counts the requests that were not answered 2xx.
	Failed           int64   `json:"failed"`
	LatencyP50Millis float64 `json:"latency_p50_ms"`
	LatencyP99Millis float64 `json:"latency_p99_ms"`
	LatencyMaxMillis float64 `json:"latency_max_ms"`
}

// liveCounts is what one connection has done since somebody looked last.
type liveCounts struct {
	mu        sync.Mutex
	latencies Latencies
	points    int64
	failed    int64
}

// answered counts an answer; points is 0 when it was a refusal.
func (l *liveCounts) answered(latency time.Duration, points int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latencies.Add(latency)
	l.points += points
	if !ok {
		l.failed++
	}
}

// broke counts a request without an answer.
func (l *liveCounts) broke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
}

// moveTo adds everything to another and starts from nothing. to is the caller's.
func (l *liveCounts) moveTo(to *liveCounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to.latencies.Merge(&l.latencies)
	to.points += l.points
	to.failed += l.failed
	l.latencies, l.points, l.failed = Latencies{}, 0, 0
}

// timeline cuts a run into intervals, and shows how it goes. It belongs to the
// goroutine that drives the run.
type timeline struct {
	progress progress
	// every is the length of an interval, a whole number of seconds.
	every     time.Duration
	intervals []Interval
	// second counts since the last progress line, part since the last interval,
	// which began at begin.
	second, part *liveCounts
	begin, shown time.Duration
	failed       int64
}

func newTimeline(o LoadOptions) *timeline {
	every := (o.Duration/timelineMax + time.Second - 1).Truncate(time.Second)
	return &timeline{
		progress: progress{o.Progress, o.ProgressTerminal, o.Duration},
		every:    max(every, time.Second), second: &liveCounts{}, part: &liveCounts{},
	}
}

// tick is called about once a second, with the time since the run began.
func (t *timeline) tick(now time.Duration, workers []*loadWorker) {
	for _, w := range workers {
		w.live.moveTo(t.second)
	}
	t.failed += t.second.failed
	if seconds := (now - t.shown).Seconds(); seconds > 0 {
		t.progress.show(now, float64(t.second.points)/seconds, float64(t.second.latencies.Count())/seconds, t.failed)
	}
	t.shown = now
	t.second.moveTo(t.part)
	// A tick is never exact: half of one early is not early.
	if now-t.begin >= t.every-time.Second/2 {
		t.cut(now)
	}
}

// cut ends an interval.
func (t *timeline) cut(now time.Duration) {
	seconds, p := (now - t.begin).Seconds(), t.part
	if seconds <= 0 {
		return
	}
	t.intervals = append(t.intervals, Interval{
		Seconds: now.Seconds(), PointsPerSecond: float64(p.points) / seconds, RequestsPerSecond: float64(p.latencies.Count()) / seconds,
		Failed: p.failed, LatencyP50Millis: millis(p.latencies.Quantile(0.50)), LatencyP99Millis: millis(p.latencies.Quantile(0.99)),
		LatencyMaxMillis: millis(p.latencies.Max()),
	})
	t.part, t.begin = &liveCounts{}, now
}

// close takes in what came after the last tick. A short rest is no interval of
// its own: its rates would mean nothing.
func (t *timeline) close(now time.Duration, workers []*loadWorker) {
	for _, w := range workers {
		w.live.moveTo(t.part)
	}
	if len(t.intervals) == 0 || now-t.begin >= t.every/2 {
		t.cut(now)
	}
	t.progress.close()
}

// progress shows how a run goes: one line that is written anew on a terminal,
// plain lines elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	whole    time.Duration
}

func (p progress) show(now time.Duration, points, requests float64, failed int64) {
	figures := fmt.Sprintf("%12s points/s %9s requests/s %8d not accepted", short(points), short(requests), failed)
	if !p.terminal {
		fmt.Fprintf(p.w, "%4.0fs %s\n", now.Seconds(), figures)
		return
	}
	const width = 24
	done := min(int(width*now.Seconds()/p.whole.Seconds()), width)
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %.0fs of %s %s", strings.Repeat("#", done), strings.Repeat(".", width-done), now.Seconds(), p.whole, figures)
}

func (p progress) close() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
