package actors

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"headgate/wal"
)

// supervisor is the parent of a shard's bucket actors and the keeper of its
// log. It restarts whatever panics: a bucket that should stay down says so by
// itself (see bucketActor.rebuild), because a stopped actor would lose messages
// without a word.
type supervisor struct {
	s *Shard
	// reopening is the failed log that a goroutine is replacing, or nil.
	reopening wal.Log
	children  map[*Bucket]struct{}
}

// Receive implements actor.Actor.
func (v *supervisor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *spawnBucket:
		v.spawn(ctx, m)
	case *logFailed:
		v.logFailed(m)
	case *logReopened:
		v.logReopened(m)
	case *ping:
		m.done <- m.who
	case *actor.Stopped: // and so are the buckets
		close(v.s.stopped)
	}
}

// HandleFailure implements actor.SupervisorStrategy.
func (v *supervisor) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, _, _ any) {
	s.RestartChildren(child)
}

func (v *supervisor) spawn(ctx actor.Context, m *spawnBucket) {
	// The pid is set before the actor runs: what it appends while it recovers is
	// answered by the log's goroutine, which may be faster than Spawn returns.
	setPID := actor.WithOnInit(func(ctx actor.Context) { m.b.pid = ctx.Self() })
	ctx.Spawn(actor.PropsFromProducer(func() actor.Actor { return &bucketActor{b: m.b} }, setPID, actor.WithDispatcher(&v.s.dispatcher)))
	v.children[m.b] = struct{}{}
	for b := range v.children {
		select {
		case <-b.stopped:
			delete(v.children, b)
		default:
		}
		break // look at one a time: children are many and drops are few
	}
	close(m.spawned)
}

// logFailed shuts the gate and starts to open the log again, unless that is
// under way.
func (v *supervisor) logFailed(m *logFailed) {
	if m.log != v.s.currentLog() || v.reopening == m.log {
		return
	}
	v.reopening = m.log
	v.s.gate.shutFailed()
	v.s.o.Logger.Error("log failed; writes are refused until it can be opened again", slog.Any("error", m.err))
	v.s.reopens.Go(func() { v.s.reopen(m.log) })
}

func (v *supervisor) logReopened(m *logReopened) {
	if v.reopening == m.log {
		return // a bucket that was faster has found that it failed again
	}
	v.reopening = nil
	for b := range v.children {
		b.send(&rebuild{m.log})
	}
	v.s.gate.openAgain()
	v.s.o.Logger.Info("log is open again; buckets are being rebuilt")
}

// reopen closes the failed log and opens it anew, with growing pauses, until it
// works or the shard closes. It runs in a goroutine of its own.
func (s *Shard) reopen(failed wal.Log) {
	if err := failed.Close(); err != nil {
		s.o.Logger.Warn("failed log did not close cleanly", slog.Any("error", err))
	}
	pause := 50 * time.Millisecond
	for attempt := 1; ; attempt++ {
		log, err := s.o.OpenLog()
		if err == nil {
			if err = log.Sync(s.ctx); err == nil && s.replaceLog(log) {
				s.system.Root.Send(s.supervisor, &logReopened{log})
				return
			}
			log.Close()
		}
		if s.ctx.Err() != nil {
			return
		}
		s.o.Logger.Warn("log cannot be opened yet", slog.Int("attempt", attempt), slog.Any("error", err), slog.Duration("next", pause))
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-t.C:
		case <-s.retries:
			t.Stop()
		case <-s.ctx.Done():
			t.Stop()
			return
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// replaceLog makes log the shard's, unless the shard is closing.
func (s *Shard) replaceLog(log wal.Log) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.log.Store(&log)
	}
	return !s.closed
}
