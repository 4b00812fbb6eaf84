package pebblewal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// errUnwound is what Fatalf panics with in a goroutine that protect watches over.
var errUnwound = errors.New("pebblewal: unwound from a fatal error of Pebble")

// pebbleLogger is what Pebble logs to. The fence keeps disk errors away from
// Fatalf, so only a bug of Pebble's or damage it never expected gets there.
type pebbleLogger struct {
	slog *slog.Logger
	fail func(error)
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	if l.slog.Enabled(context.Background(), slog.LevelDebug) {
		l.slog.Debug(fmt.Sprintf(format, args...))
	}
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.slog.Error(fmt.Sprintf(format, args...))
}

// Fatalf fails the log and does not return: Pebble's code after it relies on the
// process being gone. A call of ours is unwound by a panic that protect recovers;
// a goroutine of Pebble's is parked for good, since Goexit would run deferred
// unlocks of mutexes that it may not hold.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	l.fail(fmt.Errorf("pebble: "+format, args...))
	if protected() {
		panic(errUnwound)
	}
	select {}
}

// protected reports whether protect is among the callers.
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
			if strings.HasSuffix(frame.Function, "pebblewal.(*Log).protect") {
				return true
			}
			if !more {
				break
			}
		}
	}
}

// protect calls into Pebble. Whatever panics in there fails the log and comes
// back as an error.
func (l *Log) protect(call func() error) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r != any(errUnwound) {
			stack := make([]byte, 16<<10)
			l.o.Logger.Error("pebble panicked", slog.Any("panic", r), slog.String("stack", string(stack[:runtime.Stack(stack, false)])))
			l.fence.fail(fmt.Errorf("pebble panicked: %v", r))
		}
		err = l.fence.failed()
	}()
	return call()
}

// listener turns Pebble's events into log lines. None may end the process, as
// the default for DataCorruption would.
func (l *Log) listener() *pebble.EventListener {
	log := l.o.Logger
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if l.fence.failed() == nil { // a failed store only echoes
				log.Error("log background work failed", slog.Any("error", err))
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("log file is corrupt", slog.String("path", info.Path), slog.Any("error", info.Details))
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			log.Warn("log writes stalled", slog.String("reason", info.Reason))
		},
		WriteStallEnd: func() { log.Info("log writes go on") },
	}
}
