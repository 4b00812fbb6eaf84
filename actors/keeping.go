package actors

import (
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store"
	"headgate/wal"
)

// What a bucket's actor does for the data store: it freezes memtables, orders
// deletes among the writes, and frees what has no points left. The work on disk
// is the keeper's.

// deletePoints logs a delete. It is applied once it is durable, in its place
// among the writes.
func (a *bucketActor) deletePoints(m *deletePoints) {
	c := m.call
	if err := a.usable(m.delete.Epoch); err != nil {
		c.complete(err)
		return
	}
	if a.b.shard.o.Data == nil {
		c.complete(errors.New("actors: deleting needs a data store"))
		return
	}
	rec := record.EncodeDelete(nil, record.Delete{Min: m.delete.Min, Max: m.delete.Max, Series: m.delete.Series})
	if err := a.log.Append(uint64(a.b.id), a.seq+1, rec, a.notify); err != nil {
		if errors.Is(err, wal.ErrRecordTooLarge) {
			c.complete(err)
			return
		}
		a.logFailed(err)
		c.complete(&UnavailableError{Bucket: a.b.id, Reason: Failed, Err: err})
		return
	}
	a.seq++
	a.b.inflight.push(inflightAppend{seq: a.seq, delete: m.delete, call: c})
}

// queueDelete puts a durable delete in line for the keeper.
func (a *bucketActor) queueDelete(in inflightAppend) {
	a.store.QueueDelete(in.seq, record.Delete{Min: in.delete.Min, Max: in.delete.Max, Series: in.delete.Series})
	a.b.frozenBytes.Add(a.b.logBytes.Swap(0))
	if in.call != nil {
		if a.b.deletes == nil {
			a.b.deletes = make(map[uint64]*call)
		}
		a.b.deletes[in.seq] = in.call
	}
	a.b.shard.keeper.wake()
}

// failDeletes answers the deletes that are in the log and have not been applied:
// the next incarnation applies them.
func (a *bucketActor) failDeletes(err error) {
	for seq, c := range a.b.deletes {
		delete(a.b.deletes, seq)
		c.complete(fmt.Errorf("%w: %w", ErrIndeterminate, err))
	}
}

// reply answers a freeze.
func (m *freeze) reply(s *store.Bucket) {
	select {
	case m.done <- s:
	default: // answered already
	}
}

// freeze puts the memtable in line.
func (a *bucketActor) freeze(m *freeze) {
	if a.store == nil || a.b.draining {
		m.reply(nil)
		return
	}
	a.store.Freeze(a.linked)
	a.b.frozenBytes.Add(a.b.logBytes.Swap(0))
	m.reply(a.store)
}

// kept takes note of what the keeper has done.
func (a *bucketActor) kept(m *kept) {
	if m.store != a.store {
		return // of an earlier incarnation: replaying has answered its deletes
	}
	a.b.frozenBytes.Add(-m.logged)
	if m.sweep || len(m.deletes) > 0 {
		a.sweep()
	}
	for _, seq := range m.deletes {
		if c := a.b.deletes[seq]; c != nil {
			delete(a.b.deletes, seq)
			c.complete(nil)
		}
	}
	a.account()
	if a.store != nil && a.failed == nil && a.store.Wasteful() {
		a.renew()
	}
}

// broken takes the bucket out of service, because what the store has on disk is
// damaged. What is in flight still becomes visible, and reads go on.
func (a *bucketActor) broken(m *broken) {
	if m.store != a.store || a.failed != nil || a.b.draining {
		return
	}
	a.failed = &UnavailableError{Bucket: a.b.id, Reason: Failed, Err: m.err}
	a.refuse(Failed, m.err, a.store)
	a.failDeletes(m.err)
}

// jobPanicked makes the keeper's panic the actor's: the supervisor restarts it, and
// one that does it again and again is quarantined.
func (a *bucketActor) jobPanicked(m *jobPanicked) {
	if m.store == a.store {
		panic("in the background: " + m.reason)
	}
}

// sweep frees the series and measurements that have no points left. The log says
// so before anything can use the names anew, and a new epoch turns back what was
// resolved before.
func (a *bucketActor) sweep() {
	if a.b.shard.o.Data == nil || a.store == nil || a.failed != nil {
		return
	}
	series := roaring.New()
	measurements := make(map[point.MeasurementID]bool)
	a.b.inflight.each(func(b *point.Batch) {
		for _, t := range b.Tables {
			if t.Rows() == 0 {
				continue
			}
			measurements[t.ID] = true
			for _, ref := range t.Series {
				series.Add(uint32(ref))
			}
		}
	})
	free, any := a.store.Dead(series, func(id point.MeasurementID) bool { return measurements[id] })
	if !any {
		return
	}
	rec := record.EncodeFree(nil, free)
	if err := a.log.Append(uint64(a.b.id), a.seq+1, rec, a.notify); err != nil {
		if !errors.Is(err, wal.ErrRecordTooLarge) {
			a.logFailed(err)
		}
		return // they stay defined until the next sweep
	}
	a.seq++
	a.b.inflight.push(inflightAppend{seq: a.seq, free: &free})
	a.store.Free(free)
	a.b.epoch++
	a.publish(a.b.State().Recovered)
}
