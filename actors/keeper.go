package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"headgate/engine/store"
	"headgate/engine/store/disk"
)

// keeper looks after what a shard's buckets have on disk: it flushes memtables
// that are large or old, truncates the log behind them, applies deletes, drops
// what has expired and compacts what is left. It decides from counts that it
// reads, and asks a bucket's actor to freeze before it flushes; all the work is
// done in its own two goroutines, one for flushing and one for the rest, so that
// a long compaction delays no flush of another bucket.
//
// A nil keeper, of a shard without a data store, does nothing.
type keeper struct {
	s *Shard
	// wakes has room for one: there is something to flush.
	wakes chan struct{}
	// expires and compacts have room for one each.
	expires  chan struct{}
	compacts chan struct{}
	stopped  sync.WaitGroup
	// failures counts rounds in a row that have failed. Owned by the flushing goroutine.
	failures int
	retryAt  time.Time
	// heals counts how often in a row buckets have been told to try again, and healAt
	// is when they may be told next. Owned by the flushing goroutine.
	heals  int
	healAt time.Time
	// hurry says that what has failed is to be tried again without a pause, and
	// wakeResting the same to the compacting goroutine. Atomic; set by anyone, taken by
	// those.
	hurry, wakeResting atomic.Bool
	// roomWanted is how much room there must be more than, for a bucket that rests for
	// want of it; math.MaxInt64 if none does. Atomic; set by the compacting goroutine.
	roomWanted atomic.Int64
	// cancelCompaction ends the compaction that runs, nil if none does. Atomic.
	cancelCompaction atomic.Pointer[context.CancelCauseFunc]

	stats keeperStats
}

// keeperPeriod is how often the keeper looks at every bucket.
const keeperPeriod = time.Second

func newKeeper(s *Shard) *keeper {
	k := &keeper{s: s, wakes: make(chan struct{}, 1), expires: make(chan struct{}, 1), compacts: make(chan struct{}, 1)}
	k.roomWanted.Store(math.MaxInt64)
	return k
}

func (k *keeper) start() {
	k.stopped.Go(k.flushing)
	k.stopped.Go(k.compacting)
}

// retryNow has what has failed tried again without a pause. Any goroutine.
func (k *keeper) retryNow() {
	if k != nil {
		k.hurry.Store(true)
		k.wakeResting.Store(true)
		poke(k.wakes)
		poke(k.expires)
	}
}

// wait returns when the keeper has stopped, which it does with the shard's ctx.
func (k *keeper) wait() {
	if k != nil {
		k.stopped.Wait()
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wake asks for a round of flushing. Any goroutine.
func (k *keeper) wake() {
	if k != nil {
		poke(k.wakes)
	}
}

// expireSoon asks for expired parts to be dropped. Any goroutine.
func (k *keeper) expireSoon() {
	if k != nil {
		poke(k.expires)
	}
}

func (k *keeper) flushing() {
	t := time.NewTicker(keeperPeriod)
	defer t.Stop()
	for {
		select {
		case <-k.wakes:
		case <-t.C:
		case <-k.s.ctx.Done():
			return
		}
		k.s.notice(k.s.currentLog()) // nobody may write for long
		if k.hurry.Swap(false) {
			k.retryAt, k.healAt = time.Time{}, time.Time{}
		}
		k.heal()
		if k.failures > 0 && time.Now().Before(k.retryAt) {
			continue
		}
		k.stats.flushing.begin(0)
		err := k.round(k.s.ctx, false)
		k.stats.flushing.end()
		if err != nil && k.s.ctx.Err() == nil {
			k.failed(err)
			continue
		}
		if k.failures > 0 {
			k.failures = 0
			k.stats.lastError.Store(nil)
			k.wakeResting.Store(true)
			poke(k.compacts)
			k.s.o.Logger.Info("data store takes writes again")
		}
	}
}

// failed notes a failure and puts the next try off for a while.
func (k *keeper) failed(err error) {
	k.failures++
	k.stats.flushFailures.Add(1)
	k.stats.lastError.Store(&err)
	pause := min(100*time.Millisecond<<min(k.failures, 10), 5*time.Second)
	k.retryAt = time.Now().Add(pause)
	k.s.o.Logger.Error("flush failed; what is in memory stays there and in the log", slog.Any("error", err), slog.Duration("next", pause))
}

// heal has the buckets that could not be recovered because of a disk, which may have
// been full, try again.
func (k *keeper) heal() {
	if k.s.o.Data.Failed() != nil || k.s.currentLog().Failed() != nil || time.Now().Before(k.healAt) {
		return
	}
	any := false
	for _, b := range k.s.Buckets() {
		if b.heals.CompareAndSwap(true, false) {
			any = true
			b.send(&rebuild{k.s.currentLog()})
		}
	}
	if !any {
		k.heals = 0
		return
	}
	k.heals++
	k.healAt = time.Now().Add(min(keeperPeriod<<min(k.heals, 5), 30*time.Second))
}

// round flushes what must be flushed: everything with all set. It returns the
// first error, having tried every bucket.
func (k *keeper) round(ctx context.Context, all bool) error {
	if k.s.o.Data.Failed() != nil {
		if err := k.s.o.Data.Reopen(ctx); err != nil {
			return err
		}
		k.s.o.Logger.Info("data store is open again")
	}
	buckets := k.s.Buckets()
	var errs []error
	for {
		b, freeze := k.choose(buckets, all)
		if b == nil {
			break
		}
		for i := range buckets {
			if buckets[i] == b {
				buckets[i] = buckets[len(buckets)-1]
				buckets = buckets[:len(buckets)-1]
				break
			}
		}
		if !all {
			k.stats.flushing.begin(b.id)
		}
		if err := k.flush(ctx, b, freeze, all); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// choose picks the bucket to flush next, nil for none: one with something in line;
// then, while there is too much in memory or in the log, the bucket that has most of
// it; then what is old.
func (k *keeper) choose(buckets []*Bucket, all bool) (b *Bucket, freeze bool) {
	o := &k.s.o
	now := o.Store.Now()
	var activeSum, logSum, most, mostLog int64
	var largest, longest, oldest *Bucket
	for _, x := range buckets {
		st := x.State()
		if st.Unavailable != nil || st.Store == nil {
			continue
		}
		if all {
			return x, true
		}
		if st.Store.Queued() > 0 {
			return x, false
		}
		active, _ := st.Store.MemtableBytes()
		since := st.Store.MemtableSince()
		if !since.IsZero() && now.Sub(since) > o.FlushAge || st.Store.Forgetful() {
			oldest = x
		}
		n := x.logBytes.Load()
		activeSum += active
		logSum += n
		if active > most {
			largest, most = x, active
		}
		if n > mostLog {
			longest, mostLog = x, n
		}
	}
	switch {
	case activeSum > o.MemtableBytesMax:
		return largest, true
	case logSum > o.LogBytesMax:
		return longest, true
	}
	return oldest, oldest != nil
}

// flush freezes a bucket if asked to, flushes what is in line and truncates its log.
func (k *keeper) flush(ctx context.Context, b *Bucket, frozen, all bool) error {
	st := b.State().Store
	if frozen {
		m := &freeze{done: make(chan *store.Bucket, 1)}
		b.send(m)
		var late <-chan time.Time // never, if everything is to be flushed
		if !all {
			t := time.NewTimer(keeperPeriod)
			defer t.Stop()
			late = t.C
		}
		select {
		case st = <-m.done:
		case <-b.stopped:
			return nil
		case <-late:
			return nil // it is being rebuilt; what it freezes later is flushed in another round
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if st == nil {
		return nil
	}
	start := time.Now()
	logged := b.frozenBytes.Load() // what is in line by now, and is flushed therefore
	var deletes []uint64
	err := k.job(b, st, func() (err error) {
		deletes, err = st.Flush(ctx)
		return err
	})
	if err != nil {
		logged = 0
	}
	b.send(&kept{store: st, deletes: deletes, logged: logged})
	if err != nil {
		return err
	}
	wrote := st.TakeWrote() // another round may have been first
	if wrote {
		k.stats.flushed(time.Since(start))
	}
	if upto := st.Flushed(); upto > 0 {
		if err := k.s.currentLog().Truncate(uint64(b.id), upto); err != nil {
			k.s.o.Logger.Warn("log not truncated yet", slog.String("bucket", b.id.String()), slog.Any("error", err))
		}
	}
	if wrote {
		k.s.o.Flushed(b.id, time.Since(start), st.IOStats())
	}
	b.flushed.Store(true)
	poke(k.compacts)
	return nil
}

// job does something on disk for one bucket. What is wrong with this bucket only is
// its own affair: damage takes it out of service, a panic is its actor's. A bucket
// that has been closed meanwhile is no error.
func (k *keeper) job(b *Bucket, st *store.Bucket, do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			b.send(&jobPanicked{store: st, reason: fmt.Sprintf("%v\n%s", r, debug.Stack())})
			err = nil
		}
	}()
	switch err = do(); {
	case errors.Is(err, store.ErrBucketClosed):
		return nil
	case errors.Is(err, disk.ErrCorrupt):
		b.send(&broken{store: st, err: err})
		return nil
	}
	return err
}

// settle flushes everything, and with compact set merges what can be merged.
func (k *keeper) settle(ctx context.Context, compact bool) error {
	if err := k.round(ctx, true); err != nil {
		return err
	}
	if !compact {
		return nil
	}
	var errs []error
	for _, b := range k.s.Buckets() {
		if st := b.State(); st.Unavailable == nil && st.Store != nil {
			for more := true; more; {
				var err error
				more, err = k.tend(ctx, b, st.Store, true, true)
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (k *keeper) compacting() {
	t := time.NewTicker(k.s.o.ExpirePeriod)
	defer t.Stop()
	resting := make(map[*Bucket]*rest)
	for {
		expire := true
		select {
		case <-t.C:
		case <-k.expires:
		case <-k.compacts:
			expire = false
		case <-k.s.ctx.Done():
			return
		}
		wake := k.wakeResting.Swap(false)
		room := k.s.disk.compactionRoom()
		for b, r := range resting {
			switch {
			case isStopped(b):
				delete(resting, b)
			case r.wakes(wake, room):
				r.until = time.Time{}
				b.flushed.Store(true)
			}
		}
		k.rested(resting)
		// Round after round, so that no bucket waits for all that another has to do.
		buckets := k.s.Buckets()
		for len(buckets) > 0 && k.s.ctx.Err() == nil {
			busy := buckets[:0]
			for _, b := range buckets {
				due := b.flushed.Swap(false)
				if (expire || due) && k.tendOne(b, expire, resting) {
					b.flushed.Store(true)
					busy = append(busy, b)
				}
			}
			buckets, expire = busy, false
		}
	}
}

// rest is how long a bucket that cannot be compacted is left alone.
type rest struct {
	until time.Time
	pause time.Duration
	err   error
	// room is how much there must be more than before a bucket that rests for want of it
	// is woken.
	room int64
}

// restMax is the longest.
const restMax = time.Minute

// tendOne is tend, unless the bucket is to be left alone.
func (k *keeper) tendOne(b *Bucket, expire bool, resting map[*Bucket]*rest) (more bool) {
	st := b.State()
	if st.Unavailable != nil || st.Store == nil || k.s.ctx.Err() != nil {
		return false
	}
	r := resting[b]
	if r != nil && time.Now().Before(r.until) {
		if expire { // which may be what makes room
			k.stats.compacting.begin(b.id)
			err := k.expire(k.s.ctx, b, st.Store)
			k.stats.compacting.end()
			if err != nil && k.s.ctx.Err() == nil {
				k.s.o.Logger.Error("expired points not dropped", slog.String("bucket", b.id.String()), slog.Any("error", err))
			}
		}
		return false
	}
	ctx, cancel := context.WithCancelCause(k.s.ctx)
	k.cancelCompaction.Store(&cancel)
	k.stats.compacting.begin(b.id)
	room := k.s.disk.compactionRoom()
	start := time.Now()
	more, err := k.tend(ctx, b, st.Store, expire, false)
	k.stats.compacting.end()
	k.cancelCompaction.Store(nil)
	if err != nil && context.Cause(ctx) == errNoRoom {
		err = errNoRoom
	}
	cancel(nil)
	defer k.rested(resting)
	if err == nil || k.s.ctx.Err() != nil {
		delete(resting, b)
		if more {
			k.stats.compacted(time.Since(start))
		}
		return more
	}
	if r == nil {
		r = &rest{pause: keeperPeriod}
		resting[b] = r
	}
	waits := errors.Is(r.err, errNoRoom)
	r.pause, r.err = min(2*r.pause, restMax), err
	r.until = time.Now().Add(r.pause)
	if errors.Is(err, errNoRoom) {
		r.wants(room)
		if !waits {
			k.s.o.Logger.Info("compaction waits for room on the disk", slog.String("bucket", b.id.String()), slog.Any("error", err), slog.Duration("next", r.pause))
		}
		return false
	}
	k.stats.compactFailures.Add(1)
	k.s.o.Logger.Error("compaction failed", slog.String("bucket", b.id.String()), slog.Any("error", err), slog.Duration("next", r.pause))
	return false
}

// tend drops what has expired in a bucket and compacts once. It reports whether
// there may be more to compact.
func (k *keeper) tend(ctx context.Context, b *Bucket, st *store.Bucket, expire, all bool) (more bool, err error) {
	if expire {
		if err := k.expire(ctx, b, st); err != nil {
			return false, err
		}
	}
	if k.s.o.Data.Failed() != nil {
		return false, nil // round opens it again
	}
	err = k.job(b, st, func() (err error) {
		more, err = st.Compact(ctx, all)
		return err
	})
	if more {
		// A compaction leaves out what has expired.
		b.send(&kept{store: st, sweep: b.retention.Load() > 0})
	}
	return more && err == nil, err
}

// expire drops what has expired in a bucket.
func (k *keeper) expire(ctx context.Context, b *Bucket, st *store.Bucket) error {
	if k.s.o.Data.Failed() != nil {
		return nil // round opens it again
	}
	expired := 0
	err := k.job(b, st, func() (err error) {
		expired, err = st.Expire(ctx)
		return err
	})
	if expired > 0 {
		b.send(&kept{store: st, sweep: true})
	}
	return err
}
