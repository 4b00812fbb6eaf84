package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"headgate/engine"
)

// What systemd is told, and gives, if it started the process: sd_notify(3) and
// sd_listen_fds(3). Without it nothing here does anything.

// notify tells systemd a state, or lines of them.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// notifyRecovery adds to l that systemd's status shows how far a recovery has come.
func notifyRecovery(l engine.EventListener, log *slog.Logger) engine.EventListener {
	progress := l.RecoveryProgress
	l.RecoveryProgress = func(i engine.RecoveryInfo) {
		progress(i)
		if !i.Done {
			notify(log, "STATUS="+i.String())
		}
	}
	return l
}

// feedWatchdog tells systemd that the server works, for as long as its actors answer,
// until ctx ends. A disk that is full or stuck is not what a restart would mend: /health
// tells of that.
func feedWatchdog(ctx context.Context, e *engine.Engine, log *slog.Logger) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog cannot be served", "error", err)
	}
	if err != nil || within == 0 {
		return
	}
	tick := time.NewTicker(within / 3)
	defer tick.Stop()
	for {
		if h := e.Health(ctx); wedged(h) {
			log.Error("systemd's watchdog is not fed", "reason", h.Message)
		} else {
			notify(log, daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// wedged reports whether actors do not answer although everything that they may wait for
// works.
func wedged(h engine.Health) bool {
	failing := func(name string) bool {
		return slices.ContainsFunc(h.Checks, func(c engine.Check) bool { return c.Name == name })
	}
	return failing("actors") && !slices.ContainsFunc([]string{"log", "catalogue", "disk", "data", "compaction", "stalled"}, failing)
}

// passedListener is the socket that systemd has opened for us, nil if it has none.
func passedListener() (net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("systemd's sockets: %w", err)
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case len(all) > 1:
		return nil, fmt.Errorf("systemd passes %d sockets, want one: give the socket unit one ListenStream=", len(all))
	case all[0] == nil:
		return nil, errors.New("systemd passes something that is no listening stream socket: give the socket unit a ListenStream=")
	}
	return all[0], nil
}
