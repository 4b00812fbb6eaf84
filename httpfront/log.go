package httpfront

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// limitedLog writes what goes wrong in requests, once a second at most for each
// kind: a fleet of clients must not turn its mistakes into our disk's.
type limitedLog struct {
	to *slog.Logger

	mu    sync.Mutex
	kinds map[string]*logKind // guarded by mu; a handful of constants
}

// logKind is what limitedLog knows of one kind of line.
type logKind struct {
	last    time.Time
	skipped int
}

func newLimitedLog(to *slog.Logger) *limitedLog {
	return &limitedLog{to: to, kinds: make(map[string]*logKind)}
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
// cause that its text may not have.
func (l *limitedLog) internal(err error) {
	args := []any{slog.Any("error", err)}
	if cause := errors.Unwrap(err); cause != nil {
		args = append(args, slog.Any("cause", cause))
	}
	l.error("request failed", args...)
}

// panicked logs a recovered panic, with its stack.
func (l *limitedLog) panicked(where string, v any) {
	l.error("panic", slog.String("in", where), slog.Any("value", v), slog.String("stack", string(debug.Stack())))
}

// fasthttpLog takes what fasthttp has to say: mostly connections that broke.
type fasthttpLog struct{ l *limitedLog }

func (f fasthttpLog) Printf(format string, args ...any) {
	f.l.to.Debug("http", slog.String("message", fmt.Sprintf(format, args...)))
}
