package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/dustin/go-humanize/english"

	"headgate/engine/lineproto"
	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
)

// bucketActor is one incarnation of a bucket. Its fields are touched only from
// Receive. What must survive a panic lives in Bucket.
type bucketActor struct {
	b   *Bucket
	log wal.Log
	// notify is what this incarnation gives the log with each record.
	notify *notifier
	// store is nil while the bucket is unavailable.
	store *store.Bucket
	seq   uint64 // of the last record appended or replayed
	// linked is the last record whose effects are in store.
	linked uint64
	bytes  int64 // what has been added to the gate's memory for store
	failed error // why there are no writes although there is a store; see broken
}

// Receive implements actor.Actor.
func (a *bucketActor) Receive(ctx actor.Context) {
	defer func() {
		if r := recover(); r != nil {
			a.panicked(ctx.Message(), r)
			panic(r) // the supervisor restarts us, and Started rebuilds the bucket
		}
	}()
	switch m := ctx.Message().(type) {
	case *define:
		a.define(m)
	case *appendBatch:
		a.append(m)
	case *committed:
		a.committed(m)
	case *deletePoints:
		a.deletePoints(m)
	case *freeze:
		a.freeze(m)
	case *kept:
		a.kept(m)
	case *broken:
		a.broken(m)
	case *jobPanicked:
		a.jobPanicked(m)
	case *drain:
		a.b.draining = true
		a.drained()
	case *ping:
		m.done <- m.who
	case *rebuild:
		a.rebuild(m.log)
	case *actor.Started:
		a.rebuild(a.b.shard.currentLog())
	case *actor.Restarting:
		a.forget()
	case *actor.Stopped:
		a.stop()
	}
}

func (a *bucketActor) define(m *define) {
	c := m.call
	if err := a.usable(m.batch.Epoch); err != nil {
		c.complete(err)
		return
	}
	if h := a.b.shard.o.testHook; h != nil {
		h(a.b.id, "define")
	}
	_, err := a.store.Define(m.batch)
	a.account()
	c.complete(err)
}

func (a *bucketActor) append(m *appendBatch) {
	c := m.call
	c.received = time.Now()
	batch, packed, pendings := m.take()
	if err := a.usable(batch.Epoch); err != nil {
		c.complete(err)
		return
	}
	if h := a.b.shard.o.testHook; h != nil {
		h(a.b.id, "append")
	}
	if !a.b.shard.disk.take(len(m.record)) {
		c.complete(&UnavailableError{Bucket: a.b.id, Reason: DiskFull})
		return
	}
	if err := a.log.Append(uint64(a.b.id), a.seq+1, m.record, a.notify); err != nil {
		if errors.Is(err, wal.ErrRecordTooLarge) {
			c.complete(err)
			return
		}
		// The caller comes last: what happens on the way may panic, and then it is
		// answered once, by panicked.
		a.logFailed(err)
		c.complete(&UnavailableError{Bucket: a.b.id, Reason: Failed, Err: err})
		return
	}
	a.seq++
	a.b.logBytes.Add(int64(len(m.record)))
	a.store.Logged(pendings)
	a.b.inflight.push(inflightAppend{seq: a.seq, batch: batch, packed: packed, call: c, pendings: pendings})
}

// usable says why the bucket cannot take a batch that was resolved under epoch.
func (a *bucketActor) usable(epoch uint64) error {
	switch {
	case a.b.draining:
		return ErrDropped
	case a.store == nil:
		return a.b.State().Unavailable
	case a.failed != nil:
		return a.failed
	case a.b.epoch != epoch:
		return ErrStale
	}
	return nil
}

// committed makes durable batches visible and answers their callers, in order.
func (a *bucketActor) committed(m *committed) {
	if m.err != nil {
		a.failInflight(m.err)
		if m.log == a.log {
			a.logFailed(m.err)
		}
		return
	}
	a.b.committed = max(a.b.committed, m.upto)
	if a.store == nil && !a.b.draining {
		return // being rebuilt: rebuild answers what the log has committed
	}
	a.link()
	a.account()
	a.drained()
	a.pressed()
}

// pressed wakes the keeper when this bucket alone has enough to flush.
func (a *bucketActor) pressed() {
	if a.store == nil {
		return
	}
	o := &a.b.shard.o
	if active, _ := a.store.MemtableBytes(); active > o.MemtableBytesMax || a.b.logBytes.Load() > o.LogBytesMax {
		a.b.shard.keeper.wake()
	}
}

// link makes what the log has committed visible and answers its callers.
func (a *bucketActor) link() {
	now := time.Now()
	for {
		in, ok := a.b.inflight.peek(a.b.committed)
		if !ok {
			break
		}
		if a.store != nil {
			if in.batch != nil {
				a.store.Settle(in.pendings)
				a.store.Link(in.batch, in.packed) // a panic here leaves the call in line for rebuild to answer
				point.PutBatch(in.batch)
			}
			if in.free != nil {
				a.store.SettleFree(*in.free)
			}
			a.linked = max(a.linked, in.seq)
		}
		a.b.inflight.pop()
		if in.delete != nil && a.store != nil {
			a.queueDelete(in)
			continue
		}
		if in.call != nil {
			in.call.committed = now
			in.call.complete(nil)
		}
	}
}

// failInflight answers every call whose record is in the log: nobody knows
// whether it is durable.
func (a *bucketActor) failInflight(err error) {
	for {
		in, ok := a.b.inflight.peek(math.MaxUint64)
		if !ok {
			break
		}
		a.b.inflight.pop()
		if in.call != nil {
			in.call.complete(fmt.Errorf("%w: %w", ErrIndeterminate, err))
		}
	}
	a.failDeletes(err)
	a.drained()
}

// logFailed stops the writes until the supervisor has opened the log again;
// reads go on. Everything in flight has been or will be answered by committed.
func (a *bucketActor) logFailed(err error) {
	if a.store == nil {
		a.unavailable(Failed, err)
	} else {
		readable := a.store
		a.store = nil // forgotten by rebuild, with what the gate counts for it
		a.refuse(Failed, err, readable)
	}
	a.b.shard.system.Root.Send(a.b.shard.supervisor, &logFailed{log: a.log, err: err})
}

// unavailable takes the bucket out of service.
func (a *bucketActor) unavailable(r Reason, err error) {
	a.forget()
	a.refuse(r, err, nil)
}

// refuse stops the writes; readable, unless nil, still answers reads. A bucket
// that has been dropped stays so.
func (a *bucketActor) refuse(r Reason, err error, readable *store.Bucket) {
	if a.b.dropped {
		return
	}
	a.b.state.Store(&State{Unavailable: &UnavailableError{Bucket: a.b.id, Reason: r, Err: err}, Store: readable})
	if r != Recovering {
		a.b.shard.o.BucketFailed(a.b.id, r, err)
	}
}

// forget lets go of the state, which is rebuilt from the log or not at all.
func (a *bucketActor) forget() {
	a.store, a.failed = nil, nil
	a.b.share.AddMemory(-a.bytes)
	a.bytes = 0
}

// account tells the gate what the bucket holds now.
func (a *bucketActor) account() {
	if a.store == nil {
		return
	}
	n := a.store.MemoryBytes()
	if n != a.bytes {
		a.b.share.AddMemory(n - a.bytes)
		a.bytes = n
	}
}

// rebuild makes the bucket's state from the log: at start, after a panic, and
// after the log has been opened again. It blocks; the bucket takes no writes
// meanwhile.
func (a *bucketActor) rebuild(log wal.Log) {
	if a.b.draining {
		a.link() // a panic may have left calls in line that the log has committed
		a.drained()
		return
	}
	a.log, a.notify = log, &notifier{a.b, log}
	a.b.heals.Store(false)
	if n := len(a.b.panics); n >= a.b.shard.o.PanicsMax {
		a.closeStore() // the gate does not count it any more
		err := fmt.Errorf("%d %s within %s", n, english.PluralWord(n, "panic", ""), a.b.shard.o.PanicWindow)
		a.unavailable(Quarantined, err)
		a.failInflight(err)
		a.b.open()
		return
	}
	a.unavailable(Recovering, nil)
	a.closeStore()
	a.recover(log)
}

// renew is rebuild for the sake of the memory that freed series take. Nobody notices:
// reads go on with the store that there is, and what is written meanwhile waits and is
// resolved again.
func (a *bucketActor) renew() {
	old := a.b.store
	old.Retire()
	a.recover(a.log)
	if a.b.store != old {
		old.Close()
	}
}

// recover replays the log into a new store and puts that into service.
func (a *bucketActor) recover(log wal.Log) {
	start := time.Now()
	st, records, last, err := a.replay(log)
	if err != nil {
		if log.Failed() != nil {
			a.logFailed(err)
			return
		}
		a.unavailable(Failed, err)
		a.closeStore()
		a.failInflight(err)
		a.b.heals.Store(passes(err))
		a.b.open()
		return
	}
	// What is in flight has been replayed: its batches must not be linked twice.
	a.b.inflight.forgetBatches()
	a.store, a.seq, a.linked = st, last, last
	a.account()
	a.publish(Recovery{Records: records, Took: time.Since(start)})
	for seq, c := range a.b.deletes { // replaying has applied them
		delete(a.b.deletes, seq)
		c.complete(nil)
	}
	a.link()
	a.sweep()
	a.b.open()
}

// passes reports whether a recovery that has failed may work the next time: there was
// something the matter with a disk, and not with what is on it.
func passes(err error) bool {
	return errors.Is(err, wal.ErrUnreadable) ||
		errors.As(err, new(*dataError)) && !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, store.ErrInconsistent)
}

// closeStore lets go of the latest store; it waits for the job that runs, without a
// bound, since two stores of a bucket must not be open. Ping tells if the job hangs.
func (a *bucketActor) closeStore() {
	if a.b.store != nil {
		a.b.store.Close()
		a.b.store = nil
	}
}

// dataError is a failure of the data store during a recovery.
type dataError struct{ err error }

func (e *dataError) Error() string { return "data store: " + e.err.Error() }
func (e *dataError) Unwrap() error { return e.err }

// publish puts the store into service under the current epoch.
func (a *bucketActor) publish(r Recovery) {
	a.b.store = a.store
	a.b.state.Store(&State{Store: a.store, Index: lineproto.NewIndex(a.b.shard.o.IndexBytesMax), Epoch: a.b.epoch, Recovered: r})
	a.b.retain(a.store)
}

// replay reads every record of the bucket into a new store. It first waits for
// what is in flight: records that were queued before must be seen, and their
// callers will be told that they are durable.
func (a *bucketActor) replay(log wal.Log) (st *store.Bucket, records int, last uint64, err error) {
	ctx := a.b.shard.ctx
	select {
	case a.b.shard.replays <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, 0, ctx.Err()
	}
	defer func() { <-a.b.shard.replays }()
	if a.b.inflight.n > 0 {
		if err := log.Sync(ctx); err != nil {
			return nil, 0, 0, fmt.Errorf("wait for the log: %w", err)
		}
	}
	a.b.epoch++
	if st, err = a.openStore(); err != nil {
		return nil, 0, 0, err
	}
	last = st.Flushed()
	err = log.Replay(ctx, uint64(a.b.id), last, func(seq uint64, record []byte) error {
		if seq != last+1 {
			lost := fmt.Sprintf("record %d is", last+1)
			if seq-1 > last+1 {
				lost = fmt.Sprintf("records %d to %d are", last+1, seq-1)
			}
			return fmt.Errorf("%w: %s neither in the log nor in the data store", wal.ErrCorrupt, lost)
		}
		if err := st.Replay(seq, record); err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		records++
		a.b.replayed.Add(1)
		last = seq
		a.b.logBytes.Add(int64(len(record)))
		if records%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return a.flushReplayed(ctx, st, seq)
	})
	if err != nil {
		st.Close()
		return nil, records, last, err
	}
	return st, records, last, nil
}

// openStore opens the bucket's store as the disk has it.
func (a *bucketActor) openStore() (*store.Bucket, error) {
	s := a.b.shard
	a.b.logBytes.Store(0)
	a.b.frozenBytes.Store(0)
	if s.o.Data == nil {
		return store.NewBucket(a.b.epoch, s.o.Store), nil
	}
	d, err := s.o.Data.Bucket(a.b.id)
	if err != nil {
		return nil, &dataError{err}
	}
	st, err := store.OpenBucket(a.b.epoch, d, s.o.Store)
	if err != nil {
		return nil, &dataError{err}
	}
	if st.WastefulOnDisk() {
		if st, err = a.rewritten(st, d); err != nil {
			return nil, &dataError{err}
		}
	}
	a.b.retain(st)
	return st, nil
}

// rewritten writes the definitions of a store anew and opens it again. If they cannot
// be written, it can do without.
func (a *bucketActor) rewritten(st *store.Bucket, d *disk.Bucket) (*store.Bucket, error) {
	s := a.b.shard
	if err := st.RewriteDefinitions(s.ctx); err != nil {
		s.o.Logger.Warn("definitions not written anew", slog.String("bucket", a.b.id.String()), slog.Any("error", err))
		return st, nil
	}
	st.Close()
	return store.OpenBucket(a.b.epoch, d, s.o.Store)
}

// flushReplayed keeps the memory of a recovery bounded, and applies deletes in
// their place.
func (a *bucketActor) flushReplayed(ctx context.Context, st *store.Bucket, seq uint64) error {
	if a.b.shard.o.Data == nil {
		return nil
	}
	if active, _ := st.MemtableBytes(); active > a.b.shard.o.MemtableBytesMax {
		st.Freeze(seq)
		a.b.logBytes.Store(0)
	}
	if st.Queued() == 0 {
		return nil
	}
	a.b.retain(st)
	if _, err := st.Flush(ctx); err != nil {
		return &dataError{err}
	}
	st.TakeWrote() // or the keeper would count it with its own
	return nil
}

// panicked answers the caller whose message was at fault, at once: protoactor
// would let it wait for ever.
func (a *bucketActor) panicked(message, reason any) {
	now := time.Now()
	kept := a.b.panics[:0]
	for _, t := range a.b.panics {
		if now.Sub(t) < a.b.shard.o.PanicWindow {
			kept = append(kept, t)
		}
	}
	a.b.panics = append(kept, now)
	a.b.shard.o.Logger.Error("bucket actor panicked", slog.String("bucket", a.b.id.String()), slog.Any("panic", reason),
		slog.Int("panics", len(a.b.panics)), slog.String("stack", string(debug.Stack())))
	err := fmt.Errorf("%w: %v", ErrPanicked, reason)
	switch m := message.(type) {
	case *define:
		m.call.complete(err)
	case *appendBatch:
		m.call.complete(err)
	case *deletePoints:
		m.call.complete(err)
	case *freeze:
		m.reply(nil)
	}
	a.unavailable(Recovering, err)
}

// drained tells Shard.DropBucket that nothing is in flight any more.
func (a *bucketActor) drained() {
	if a.b.draining && a.b.inflight.n == 0 && !a.b.dropped {
		a.b.dropped = true
		a.forget()
		a.b.state.Store(&State{Unavailable: ErrDropped})
		close(a.b.drained)
	}
}

// stop is the last thing that an incarnation does. A shard that is closed in
// order has nothing in flight here.
func (a *bucketActor) stop() {
	a.failInflight(ErrClosing)
	a.forget()
	if a.b.store != nil {
		a.b.store.Close()
	}
	if !a.b.dropped {
		a.b.state.Store(&State{Unavailable: ErrClosing})
	}
	a.b.open()
	a.b.waiters.stop(a.b.State().Unavailable)
	close(a.b.stopped)
}

// open closes the latch of WaitOpen, once.
func (b *Bucket) open() {
	select {
	case <-b.opened:
	default:
		close(b.opened)
	}
}
