package engine

import (
	"context"
	"log/slog"
	"time"
)

// tidyPeriod is how often what is left of deleted buckets is tried to be removed.
const tidyPeriod = 10 * time.Second

// tidying removes what is left of buckets whose removal has failed, because the disk
// was full or the log had failed: nobody else would before the next start. It ends
// with ctx.
func (e *Engine) tidying(ctx context.Context) {
	t := time.NewTicker(tidyPeriod)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			e.tidy(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) tidy(ctx context.Context) {
	if len(e.catalog.View().DroppedBuckets()) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.o.WriteTimeout)
	defer cancel()
	if e.manageMu.lock(ctx, e.o.WriteTimeout) != nil {
		return
	}
	defer e.manageMu.Unlock()
	if err := e.dropOrphans(ctx); err != nil {
		e.o.Logger.Warn("the points of a deleted bucket could not be removed yet", slog.Any("error", err), slog.Duration("next", tidyPeriod))
	}
}
