package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// loadWorker is one connection of a load.
type loadWorker struct {
	target  Target
	ring    *Ring
	timeout time.Duration
	// schedule is nil in the closed loop.
	schedule *arrivals
	// stop ends the run of all workers, unless it is nil. Called by a worker whose writes
	// would all be refused.
	stop  context.CancelCauseFunc
	begin time.Time
	live  liveCounts

	// The rest is the worker's own until it has ended. latencies are from the time
	// a request was to be sent, which in the closed loop is when it was; lag is how
	// late requests left although the connection was free.
	latencies, lag Latencies
	// waiting counts arrivals taken up and not sent, because the run ended.
	waiting              int64
	requests, retries    int64
	points, values       int64
	lineBytes, wireBytes int64
	statuses             map[int]int64
	connErrors           int64
	firstError           string
	conn                 *Conn
}

// run sends bodies until ctx is done.
func (w *loadWorker) run(ctx context.Context) {
	defer w.hangUp()
	for ctx.Err() == nil {
		if w.schedule == nil {
			w.sendUntilTaken(ctx, w.ring.Next())
		} else {
			w.sendOnTime(ctx)
		}
	}
}

// sendUntilTaken is a step of the closed loop. A body that was refused for the
// moment, 503 or 429, is sent again after the time the server asked for, as an
// agent would.
func (w *loadWorker) sendUntilTaken(ctx context.Context, b *Body) {
	for again := false; ctx.Err() == nil; again = true {
		if w.dial(ctx) != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		if again {
			w.retries++
		}
		answer, err := w.send(ctx, b, time.Now())
		switch {
		case err != nil:
			pause(ctx, 100*time.Millisecond)
		case answer.Status == 503 || answer.Status == 429:
			pause(ctx, max(answer.RetryAfter, 100*time.Millisecond))
		default:
			return
		}
	}
}

// sendOnTime is a step of the open loop. What was refused stays refused: who comes
// next does not wait for it.
func (w *loadWorker) sendOnTime(ctx context.Context) {
	now := time.Since(w.begin)
	at := w.schedule.take(now)
	intended := w.begin.Add(at)
	if at > now {
		pause(ctx, time.Until(intended))
		late := time.Since(intended)
		if ctx.Err() != nil {
			if late >= 0 {
				w.waiting++
			}
			return
		}
		w.lag.Add(late)
	}
	if w.dial(ctx) != nil {
		return
	}
	_, _ = w.send(ctx, w.ring.Next(), intended) // counted there
}

// dial makes the connection unless there is one.
func (w *loadWorker) dial(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	c, err := Dial(ctx, w.target)
	if err != nil {
		w.failed(ctx, err)
		return err
	}
	w.conn = c
	return nil
}

func (w *loadWorker) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close() // nothing is under way on it
		w.conn = nil
	}
}

// send sends a body once, over the connection that is there, and counts what comes
// of it. The latency is since intended.
func (w *loadWorker) send(ctx context.Context, b *Body, intended time.Time) (Answer, error) {
	answer, err := w.conn.Do(b.head, b.Wire(), time.Now().Add(w.timeout))
	latency := time.Since(intended)
	if w.conn.Spent() {
		w.hangUp()
	}
	w.requests++
	if err != nil {
		w.failed(ctx, err)
		return answer, err
	}
	w.latencies.Add(latency)
	w.statuses[answer.Status]++
	if answer.Status/100 == 2 {
		w.points += int64(b.Points)
		w.values += int64(b.Values)
		w.lineBytes += int64(b.lineBytes)
		w.wireBytes += int64(len(b.Wire()))
		w.live.answered(latency, int64(b.Points), true)
		return answer, nil
	}
	w.live.answered(latency, 0, false)
	if s := answer.Status; (s == 401 || s == 403 || s == 404) && w.points == 0 && w.stop != nil {
		w.stop(&hopelessError{s, strings.Join(strings.Fields(string(answer.Body[:min(len(answer.Body), 300)])), " ")})
	}
	if w.firstError == "" {
		w.firstError = fmt.Sprintf("%d %s", answer.Status, strings.TrimSpace(string(answer.Body[:min(len(answer.Body), 300)])))
	}
	return answer, nil
}

// hopelessError is an answer that no write of a run would better.
type hopelessError struct {
	status int
	text   string
}

func (e *hopelessError) Error() string {
	hint := ""
	if e.status == 401 || e.status == 403 {
		hint = " (--token gives one that may write)"
	}
	return fmt.Sprintf("bench: the server answers %d to the first write, and would to all others: %s%s", e.status, e.text, hint)
}

// failed notes that a connection could not be made or broke.
func (w *loadWorker) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.connErrors++
	w.live.broke()
	if w.firstError == "" {
		w.firstError = err.Error()
	}
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
