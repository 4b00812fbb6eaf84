package fence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// errUnwound is what Fatalf panics with in a goroutine that Protect watches over.
var errUnwound = errors.New("fence: unwound from a fatal error of Pebble")

// Logger is what Pebble logs to. The fence keeps disk errors away from Fatalf, so
// only a bug of Pebble's or damage it never expected gets there.
type Logger struct {
	Slog  *slog.Logger
	Fence *FS
}

// ErrorAttr is an error of Pebble's in a log line: what it says, without the stack traces
// that a handler for text would print, and without details on lines of their own.
func ErrorAttr(err error) slog.Attr {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return slog.String("error", line)
}

// Infof logs at level Debug: Pebble is talkative.
func (l *Logger) Infof(format string, args ...any) {
	if l.Slog.Enabled(context.Background(), slog.LevelDebug) {
		l.Slog.Debug(fmt.Sprintf(format, args...))
	}
}

// Errorf logs at level Error.
func (l *Logger) Errorf(format string, args ...any) {
	l.Slog.Error(fmt.Sprintf(format, args...))
}

// Fatalf fails the store and does not return: Pebble's code after it relies on the
// process being gone. A call of ours is unwound by a panic that Protect recovers;
// a goroutine of Pebble's is parked for good, since Goexit would run deferred
// unlocks of mutexes that it may not hold.
func (l *Logger) Fatalf(format string, args ...any) {
	l.Fence.Fail(fmt.Errorf("pebble: "+format, args...))
	if protected() {
		panic(errUnwound)
	}
	select {}
}

// protected reports whether Protect is among the callers.
func protected() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		if n == 0 {
			return false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for {
			frame, more := frames.Next()
			if strings.HasSuffix(frame.Function, "fence.(*FS).Protect") {
				return true
			}
			if !more {
				break
			}
		}
	}
}

// Protect calls into Pebble. Whatever panics in there fails the store and comes
// back as an error.
func (f *FS) Protect(log *slog.Logger, call func() error) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r != any(errUnwound) {
			stack := make([]byte, 16<<10)
			log.Error("pebble panicked", slog.Any("panic", r), slog.String("stack", string(stack[:runtime.Stack(stack, false)])))
			f.Fail(fmt.Errorf("pebble panicked: %v", r))
		}
		err = f.Failed()
	}()
	return call()
}
