package bench

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// overloadDrive sends one kind of bodies, as a maximum or as an overload.
type overloadDrive struct {
	o      *OverloadOptions
	target Target
	bodies []*Body
	lines  int
	next   atomic.Int64
}

// overloadTally counts what became of requests. Connections share a few of them:
// ten thousand times its size would be much. Guarded by mu.
type overloadTally struct {
	mu                sync.Mutex
	accepted, refused Latencies
	other             int64 // answers that are neither
	broken            int64 // connections that could not be made or broke
	missing           int64 // refusals without Retry-After
	retryAfter        map[int]int64
	firstError        string
}

func (t *overloadTally) add(a Answer, err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		t.broken++
		if t.firstError == "" {
			t.firstError = err.Error()
		}
	case a.Status/100 == 2:
		t.accepted.Add(took)
	case a.Status == 503:
		t.refused.Add(took)
		if a.RetryAfter == 0 {
			t.missing++
		} else {
			if t.retryAfter == nil {
				t.retryAfter = map[int]int64{}
			}
			t.retryAfter[int(a.RetryAfter/time.Second)]++
		}
	default:
		t.other++
		if t.firstError == "" {
			t.firstError = string(a.Body)
		}
	}
}

func (t *overloadTally) merge(from *overloadTally) {
	t.accepted.Merge(&from.accepted)
	t.refused.Merge(&from.refused)
	t.other += from.other
	t.broken += from.broken
	t.missing += from.missing
	for s, n := range from.retryAfter {
		if t.retryAfter == nil {
			t.retryAfter = map[int]int64{}
		}
		t.retryAfter[s] += n
	}
	if t.firstError == "" {
		t.firstError = from.firstError
	}
}

// overloadConn is one connection that is made anew when it has ended.
type overloadConn struct {
	target  Target
	timeout time.Duration
	conn    *Conn
}

// send sends one request and counts what becomes of it, unless the run has ended.
func (c *overloadConn) send(ctx context.Context, head, body []byte, t *overloadTally) (Answer, error) {
	if c.conn == nil {
		conn, err := Dial(ctx, c.target)
		if err != nil {
			if ctx.Err() == nil {
				t.add(Answer{}, err, 0)
				pause(ctx, 10*time.Millisecond)
			}
			return Answer{}, err
		}
		c.conn = conn
	}
	begin := time.Now()
	a, err := c.conn.Do(head, body, begin.Add(c.timeout))
	t.add(a, err, time.Since(begin))
	if c.conn.Spent() {
		c.close()
	}
	return a, err
}

func (c *overloadConn) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is under way on it
		c.conn = nil
	}
}

// run sends bodies over so many connections, at a rate, or in the closed loop if that
// is 0, with the modest client and the queries beside, and waits until the server
// takes everything again.
func (d *overloadDrive) run(ctx context.Context, conns int, rate float64) (*OverloadPhase, error) {
	const tallies = 16
	var greedy [tallies]overloadTally
	var modest, queries overloadTally
	modestBodies, err := overloadBodies(d.target, modestDatabase, 1, d.o.Seed+1)
	if err != nil {
		return nil, err
	}
	open := make([]overloadConn, conns)
	if err := d.dialAll(ctx, open); err != nil {
		return nil, err
	}
	defer func() {
		for i := range open {
			open[i].close()
		}
	}()
	resetPeak(d.o.PID)
	before, err := sampleProcess(d.o.PID)
	if err != nil {
		return nil, err
	}
	clientBefore, idleBefore := ownCPU(), idleCPU()

	var schedule *arrivals
	if rate > 0 {
		schedule = newArrivals(Fixed, rate, max(conns/10, 1), d.o.Seed)
	}
	running, cancel := context.WithTimeout(ctx, d.o.Duration)
	defer cancel()
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range open {
		wg.Go(func() { d.flood(running, &open[i], schedule, begin, &greedy[i%tallies]) })
	}
	// The modest client and the queries have a connection each, so that they do not
	// wait for themselves either.
	wg.Go(func() { d.trickle(running, 50*time.Millisecond, modestBodies, nil, &modest) })
	wg.Go(func() { d.trickle(running, 250*time.Millisecond, nil, overloadQuery(d.target), &queries) })
	<-running.Done()
	ended := time.Now()
	clientCPU, idle := ownCPU()-clientBefore, idleCPU()-idleBefore
	after, err := sampleProcess(d.o.PID)
	if err != nil {
		return nil, err
	}
	recovery := d.recover(ctx, ended)
	wg.Wait() // what was in flight is answered

	p := &OverloadPhase{Lines: d.lines, Conns: conns, Seconds: ended.Sub(begin).Seconds(), OfferedPerSecond: rate}
	var all overloadTally
	for i := range greedy {
		all.merge(&greedy[i])
	}
	p.fill(&all, &modest, &queries)
	p.IdleShare = idle.Seconds() / p.Seconds / float64(runtime.NumCPU())
	p.ServerCPUSeconds, p.ClientCPUSeconds = (after.cpu - before.cpu).Seconds(), clientCPU.Seconds()
	if last, err := sampleProcess(d.o.PID); err == nil {
		p.RSSPeakBytes = last.rssPeakBytes
	}
	p.RecoverySeconds = recovery.Seconds()
	if schedule != nil {
		p.TurnedAway, _, _ = schedule.close(d.o.Duration)
	}
	return p, ctx.Err()
}

// dialAll makes the connections, a few at a time.
func (d *overloadDrive) dialAll(ctx context.Context, open []overloadConn) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	const at = 32
	for k := range at {
		wg.Go(func() {
			for i := k; i < len(open); i += at {
				open[i] = overloadConn{target: d.target, timeout: time.Minute}
				c, err := Dial(ctx, d.target)
				if err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
				open[i].conn = c
			}
		})
	}
	wg.Wait()
	return first
}

// flood is one connection of the load. What was refused is not sent again: who comes
// next does not wait for it.
func (d *overloadDrive) flood(ctx context.Context, c *overloadConn, schedule *arrivals, begin time.Time, t *overloadTally) {
	for ctx.Err() == nil {
		if schedule != nil {
			now := time.Since(begin)
			if at := schedule.take(now); at > now {
				pause(ctx, at-now)
				if ctx.Err() != nil {
					return
				}
			}
		}
		b := d.bodies[int(d.next.Add(1))%len(d.bodies)]
		_, _ = c.send(ctx, b.head, b.Wire(), t) // counted there
	}
}

// trickle sends a body, or request where there are none, every so often.
func (d *overloadDrive) trickle(ctx context.Context, every time.Duration, bodies []*Body, request []byte, t *overloadTally) {
	c := overloadConn{target: d.target, timeout: time.Minute}
	defer c.close()
	for i := 0; ctx.Err() == nil; i++ {
		head, body := request, []byte(nil)
		if bodies != nil {
			b := bodies[i%len(bodies)]
			head, body = b.head, b.Wire()
		}
		_, _ = c.send(ctx, head, body, t) // counted there
		pause(ctx, every)
	}
}

// recover writes to the bucket that was overloaded until it has been taken for a
// second, and returns when the last refusal came, since the overload ended.
func (d *overloadDrive) recover(ctx context.Context, ended time.Time) time.Duration {
	c := overloadConn{target: d.target, timeout: time.Minute}
	defer c.close()
	var last time.Time
	for good := time.Now(); time.Since(good) < time.Second && time.Since(ended) < 2*d.o.RecoveryMax+time.Second && ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		var t overloadTally
		if a, err := c.send(ctx, d.bodies[0].head, d.bodies[0].Wire(), &t); err != nil || a.Status/100 != 2 {
			last, good = time.Now(), time.Now()
		}
	}
	if last.IsZero() {
		return 0
	}
	return last.Sub(ended)
}

// fill puts the counts into the report.
func (p *OverloadPhase) fill(all, modest, queries *overloadTally) {
	p.Accepted, p.Refused = all.accepted.Count(), all.refused.Count()
	p.AcceptedPerSecond = float64(p.Accepted) / p.Seconds
	p.AcceptedP50Millis, p.AcceptedP99Millis = millis(all.accepted.Quantile(0.5)), millis(all.accepted.Quantile(0.99))
	p.RefusedP50Millis = millis(all.refused.Quantile(0.5))
	p.Other, p.Broken, p.FirstError = all.other, all.broken, all.firstError
	p.RetryAfterMissing = all.missing + modest.missing
	seconds := make([]int, 0, len(all.retryAfter))
	var n int64
	for s, k := range all.retryAfter {
		seconds = append(seconds, s)
		n += k
	}
	slices.Sort(seconds)
	for _, s := range seconds {
		if p.RetryAfterMin == 0 {
			p.RetryAfterMin = s
		}
		p.RetryAfterMax = s
		if n > 0 {
			p.RetryAfterMedian = s
		}
		n -= 2 * all.retryAfter[s]
	}
	p.Modest, p.Queries = modest.side(), queries.side()
}

func (t *overloadTally) side() OverloadSide {
	total := t.accepted.Count() + t.refused.Count() + t.other + t.broken
	s := OverloadSide{Requests: total, P99Millis: millis(t.accepted.Quantile(0.99)), FirstError: t.firstError}
	if total > 0 {
		s.Success = float64(t.accepted.Count()) / float64(total)
	}
	return s
}

// idleShareMax is how much of the machine may be idle for it to be taken for busy.
const idleShareMax = 0.1

// compare says how p stands to the maximum. The client shares the processors with the
// server, and one that sends ten times as much leaves less of them to it, as may
// others. So where the machine has been busy, GoodputFair compares what each second of
// the server's CPU was good for, refusals included.
func (p *OverloadPhase) compare(maximum *OverloadPhase) {
	p.Goodput = p.AcceptedPerSecond / maximum.AcceptedPerSecond
	p.GoodputFair = p.Goodput
	if p.IdleShare < idleShareMax && p.ServerCPUSeconds > 0 && maximum.ServerCPUSeconds > 0 {
		p.GoodputFair = float64(p.Accepted) / p.ServerCPUSeconds / (float64(maximum.Accepted) / maximum.ServerCPUSeconds)
	}
	if p.Refused > 0 {
		perAccepted := maximum.ServerCPUSeconds / float64(maximum.Accepted)
		p.CPUMillisPerHundredRefused = max(0, p.ServerCPUSeconds-perAccepted*float64(p.Accepted)) / float64(p.Refused) * 100 * 1000
	}
}

// idleCPU returns how long this machine's processors have been idle, together, since
// it started; 0 where the system does not tell.
func idleCPU() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait ...
	var ticks int64
	for i := 4; i < min(len(fields), 6); i++ {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks
}
