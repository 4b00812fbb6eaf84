package httpfront

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"headgate/engine"
)

// limitedLog writes what goes wrong in requests: a fleet of clients must not turn
// its mistakes into our disk's. Of our own errors there is a line a second at most
// for each kind. Of what is the clients' business, refusals among it, the first is
// written, and then how many came in each logPeriod in which any did.
type limitedLog struct {
	to *slog.Logger

	mu     sync.Mutex
	kinds  map[string]*logKind     // guarded by mu; a handful of constants
	counts map[countedKey]*counted // guarded by mu; few, the parts of a key being constants
	closed bool                    // guarded by mu
}

// logKind is what limitedLog knows of one kind of line.
type logKind struct {
	last    time.Time
	skipped int
}

// logPeriod is how long is counted before a line says how many there were.
const logPeriod = 10 * time.Second

// countedKey is what is counted apart.
type countedKey struct {
	what, reason string
}

// counted is how many of a kind came since the last line. It is kept as long as
// there are any.
type counted struct {
	n       int64
	example string
	since   time.Time
	timer   *time.Timer
}

func newLimitedLog(to *slog.Logger) *limitedLog {
	return &limitedLog{to: to, kinds: make(map[string]*logKind), counts: make(map[countedKey]*counted)}
}

// error writes a line unless one of its kind was written within the last second.
func (l *limitedLog) error(kind string, args ...any) {
	l.mu.Lock()
	k := l.kinds[kind]
	if k == nil {
		k = new(logKind)
		l.kinds[kind] = k
	}
	now := time.Now()
	if now.Sub(k.last) < time.Second {
		k.skipped++
		l.mu.Unlock()
		return
	}
	skipped := k.skipped
	k.last, k.skipped = now, 0
	l.mu.Unlock()
	if skipped > 0 {
		args = append(args, slog.Int("more_like_this", skipped))
	}
	l.to.Error(kind, args...)
}

// internal logs an error that the client is told nothing useful of, with the
// cause that its text may not have, or where it comes from.
func (l *limitedLog) internal(err error) {
	const scriptBytesMax = 4 << 10
	args := []any{slog.Any("error", err)}
	var b *engine.FluxBug
	if errors.As(err, &b) {
		args = append(args, slog.String("script", b.Script[:min(len(b.Script), scriptBytesMax)]), slog.String("stack", b.Stack))
	} else if cause := errors.Unwrap(err); cause != nil {
		args = append(args, slog.Any("cause", cause))
	}
	l.error("request failed", args...)
}

// panicked logs a recovered panic, with its stack.
func (l *limitedLog) panicked(where string, v any) {
	l.error("panic", slog.String("in", where), slog.Any("value", v), slog.String("stack", string(debug.Stack())))
}

// What is counted.
const (
	countRefused  = "refused requests"
	countRejected = "rejected requests"
	countSlow     = "slow requests"
	countConns    = "refused connections"
)

// answered counts an answer that is an error of the client's, or a refusal.
func (l *limitedLog) answered(status int, code string, e *engine.Error) {
	switch {
	case status == 503 && e.Reason != "":
		l.count(countRefused, e.Reason, e.Message)
	case status == 503:
		l.count(countRefused, code, e.Message)
	case status == 408:
		l.count(countSlow, code, e.Message)
	case status == 401 || status == 403:
		l.count(countRejected, strconv.Itoa(status), "") // not what may hold credentials
	case status >= 400 && status < 500:
		l.count(countRejected, strconv.Itoa(status), e.Message)
	}
}

// count counts one of a kind. what and reason are constants; example is of this one.
func (l *limitedLog) count(what, reason, example string) {
	key := countedKey{what, reason}
	l.mu.Lock()
	c := l.counts[key]
	if c != nil {
		if c.n++; c.n == 1 {
			c.example = example
		}
		l.mu.Unlock()
		return
	}
	c = &counted{since: time.Now()}
	if !l.closed {
		c.timer = time.AfterFunc(logPeriod, func() { l.report(key, c) })
		l.counts[key] = c
	}
	l.mu.Unlock()
	l.write(key, 1, 0, example)
}

// report writes how many have come. It ends the counting when none have.
func (l *limitedLog) report(key countedKey, c *counted) {
	l.mu.Lock()
	if l.counts[key] != c {
		l.mu.Unlock()
		return // close was faster
	}
	n, example, over := c.n, c.example, time.Since(c.since)
	if c.n, c.since = 0, time.Now(); n == 0 {
		delete(l.counts, key)
	} else {
		c.timer.Reset(logPeriod)
	}
	l.mu.Unlock()
	if n > 0 {
		l.write(key, n, over, example)
	}
}

func (l *limitedLog) write(key countedKey, n int64, over time.Duration, example string) {
	const exampleBytesMax = 200
	args := []any{slog.String("reason", key.reason), slog.Int64("count", n)}
	if over > 0 {
		args = append(args, slog.Duration("in", over.Round(time.Millisecond)))
	}
	if example != "" {
		args = append(args, slog.String("example", example[:min(len(example), exampleBytesMax)]))
	}
	l.to.Warn(key.what, args...)
}

// close writes what has been counted and not written. Later ones are written at once:
// there are hardly any.
func (l *limitedLog) close() {
	l.mu.Lock()
	counts := l.counts
	l.counts, l.closed = make(map[countedKey]*counted), true
	l.mu.Unlock()
	for key, c := range counts {
		c.timer.Stop()
		if c.n > 0 {
			l.write(key, c.n, time.Since(c.since), c.example)
		}
	}
}

// fasthttpLog takes what fasthttp has to say: mostly connections that broke.
type fasthttpLog struct{ l *limitedLog }

// Printf implements fasthttp.Logger. Errors quote what a client has sent, tokens and
// passwords among it, so that they are cut off where a quotation begins.
func (f fasthttpLog) Printf(format string, args ...any) {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i], _, _ = strings.Cut(err.Error(), `"`)
		}
	}
	f.l.to.Debug("http", slog.String("message", fmt.Sprintf(format, args...)))
}
