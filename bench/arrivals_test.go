package bench

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

func TestArrivalsBacklog(t *testing.T) {
	// One arrival every 10 ms, room for three.
	a := newArrivals(Fixed, 100, 3, 1)
	const ms = time.Millisecond
	for _, tt := range []struct{ now, want time.Duration }{
		{0, 0},
		{0, 10 * ms}, // two connections wait, each for its own
		{1 * ms, 20 * ms},
		{35 * ms, 30 * ms},   // a little late
		{35 * ms, 40 * ms},   // early again
		{95 * ms, 50 * ms},   // 50 to 90 have come, the last two in vain
		{105 * ms, 60 * ms},  // room for 100
		{106 * ms, 70 * ms},  // in the order of arrival
		{106 * ms, 100 * ms}, //
		{106 * ms, 110 * ms},
	} {
		if got := a.take(tt.now); got != tt.want {
			t.Fatalf("at %v the next request is that of %v, want %v", tt.now, got, tt.want)
		}
	}
	if turnedAway, waiting, longest := a.close(155 * ms); turnedAway != 3 || waiting != 3 || longest != 3 {
		t.Errorf("%d turned away, %d waiting, backlog of %d", turnedAway, waiting, longest)
	}
}

func TestArrivalsQueueIsReused(t *testing.T) {
	a := newArrivals(Fixed, 1000, 8, 1)
	for now := range 10_000 {
		a.take(time.Duration(now+3) * time.Millisecond)
	}
	if cap(a.queue) > 32 {
		t.Errorf("room for %d waiting ones", cap(a.queue))
	}
}

func TestPoissonArrivals(t *testing.T) {
	const n, rate = 100_000, 500
	a, b := newArrivals(Poisson, rate, 1, 7), newArrivals(Poisson, rate, 1, 7)
	var last time.Duration
	var sum, squares float64
	for range n {
		at := a.take(0)
		if at != b.take(0) {
			t.Fatal("the same seed made different arrivals")
		}
		gap := (at - last).Seconds() * rate // mean 1, variance 1
		sum += gap
		squares += gap * gap
		last = at
	}
	if mean, variance := sum/n, squares/n-1; math.Abs(mean-1) > 0.02 || math.Abs(variance-1) > 0.05 {
		t.Errorf("gaps have mean %.3f and variance %.3f, want 1 and 1", mean, variance)
	}
}

// TestLatencyCountsFromArrival lets a request arrive half an hour before a
// connection is free for it.
func TestLatencyCountsFromArrival(t *testing.T) {
	testkit.CheckLeaks(t)
	ring := testRing(t, 10, func(*ringOptions) {})
	head := len(ring.bodies[0].head)
	w := &loadWorker{
		target: serveRaw(t, head+len(ring.bodies[0].text), "HTTP/1.1 204 x\r\n\r\n"), ring: ring, timeout: time.Minute,
		schedule: newArrivals(Fixed, 1./1800, 10, 1), begin: time.Now().Add(-time.Hour), statuses: map[int]int64{},
	}
	w.schedule.take(0)
	w.sendOnTime(context.Background())
	w.hangUp()
	if w.points != 10 || w.latencies.Max() < 30*time.Minute || w.latencies.Max() > 31*time.Minute || w.lag.Count() != 0 {
		t.Errorf("%d points, latency %v, %d lags", w.points, w.latencies.Max(), w.lag.Count())
	}
}

func TestTimeline(t *testing.T) {
	w := &loadWorker{}
	var shown bytes.Buffer
	tl := newTimeline(LoadOptions{Duration: 20 * time.Minute, Progress: &shown})
	if tl.every != 2*time.Second {
		t.Fatalf("intervals of %v", tl.every)
	}
	for second := 1; second <= 5; second++ {
		w.live.answered(time.Duration(second)*time.Millisecond, 100, true)
		w.live.answered(time.Duration(second)*time.Millisecond, 0, false)
		w.live.broke()
		tl.tick(time.Duration(second)*time.Second, []*loadWorker{w})
	}
	w.live.answered(time.Second, 7, true)
	tl.close(5*time.Second+time.Millisecond, []*loadWorker{w})
	if len(tl.intervals) != 3 {
		t.Fatalf("intervals %+v", tl.intervals)
	}
	want := Interval{
		Seconds: 4, PointsPerSecond: 100, RequestsPerSecond: 2, Failed: 4,
		LatencyP50Millis: tl.intervals[1].LatencyP50Millis, LatencyP99Millis: 4, LatencyMaxMillis: 4,
	}
	if got := tl.intervals[1]; got != want || math.Abs(got.LatencyP50Millis-3) > 0.05 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if last := tl.intervals[2]; last.Seconds != 5.001 || last.LatencyMaxMillis != 1000 {
		t.Errorf("the last is %+v", last)
	}
	lines := strings.Split(strings.TrimSpace(shown.String()), "\n")
	if len(lines) != 5 || strings.Contains(shown.String(), "\r") || !strings.Contains(lines[4], " 10 not accepted") {
		t.Errorf("shown:\n%s", shown.String())
	}
	shown.Reset()
	p := progress{&shown, true, 10 * time.Second}
	p.show(5*time.Second, 1e6, 200, 0)
	p.close()
	if text := shown.String(); strings.Contains(text, "\n") || !strings.Contains(text, "[############............] 5s of 10s") {
		t.Errorf("shown: %q", text)
	}
}
