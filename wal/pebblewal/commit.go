package pebblewal

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"headgate/wal"
	"headgate/wal/fence"
)

const maxInt = math.MaxInt

// entryKind is what an entry asks for.
type entryKind uint8

const (
	appendRecord entryKind = iota
	truncateBucket
	dropBucket
	probeDisk
)

// entry is one thing to commit. The queue owns it, then its group.
type entry struct {
	kind     entryKind
	bucket   uint64
	seq      uint64
	record   []byte       // of appendRecord
	notifier wal.Notifier // of appendRecord
	done     chan error   // of the other kinds; has room for the answer
}

// entryOverheadBytes is what an entry without a record is counted as.
const entryOverheadBytes = 64

func (e *entry) bytes() int { return len(e.record) + entryOverheadBytes }

// answer answers every kind but appendRecord, whose notifiers are told by note.
func (e *entry) answer(err error) {
	if e.done != nil {
		e.done <- err
	}
}

// entryQueue is a FIFO of entries.
type entryQueue struct {
	entries []entry
	head    int
	bytes   int // of all entries
}

func (q *entryQueue) empty() bool { return q.head == len(q.entries) }

func (q *entryQueue) push(e entry) {
	if q.head > 0 && len(q.entries) == cap(q.entries) && q.head >= len(q.entries)/2 {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
	q.bytes += e.bytes()
}

// take moves entries to dst until they are bytesMax or more, or would be, or
// there are none; at least one.
func (q *entryQueue) take(dst []entry, bytesMax int) []entry {
	n, bytes := 0, 0
	for i := range q.entries[q.head:] {
		b := q.entries[q.head+i].bytes()
		if n > 0 && bytes+b > bytesMax {
			break
		}
		bytes += b
		n++
	}
	taken := q.entries[q.head : q.head+n]
	dst = append(dst, taken...)
	clear(taken)
	q.head += n
	q.bytes -= bytes
	if q.empty() {
		q.entries, q.head = q.entries[:0], 0
		if cap(q.entries) > queueRetainMax {
			q.entries = nil
		}
	}
	return dst
}

// queueRetainMax entries of an emptied queue are kept for the next burst.
const queueRetainMax = 1 << 16

// note is what one notifier is to be told about one group.
type note struct {
	bucket   uint64
	upto     uint64
	notifier wal.Notifier
}

// notes gathers one note for each bucket of a group. A bucket whose notifier
// changes within the group gets one for each.
type notes struct {
	list   []note
	lookup map[uint64]int // bucket to the index of its latest note
}

// of replaces the notes by those of entries.
func (n *notes) of(entries []entry) {
	n.reset()
	if n.lookup == nil {
		n.lookup = make(map[uint64]int)
	}
	at := -1 // where the entry before has its note
	for i := range entries {
		e := &entries[i]
		if e.kind != appendRecord {
			continue
		}
		if at < 0 || n.list[at].bucket != e.bucket {
			var ok bool
			if at, ok = n.lookup[e.bucket]; !ok {
				at = -1
			}
		}
		if at < 0 || n.list[at].notifier != e.notifier {
			at = len(n.list)
			n.list = append(n.list, note{bucket: e.bucket, notifier: e.notifier})
			n.lookup[e.bucket] = at
		}
		n.list[at].upto = e.seq
	}
}

// reset drops references.
func (n *notes) reset() {
	if len(n.list) > notesRetainMax {
		*n = notes{} // clearing a map takes as long as it once was large
	}
	clear(n.list)
	n.list = n.list[:0]
	clear(n.lookup)
}

// notesRetainMax notes are kept for the next group.
const notesRetainMax = 4096

// tell calls the notifiers.
func (n *notes) tell(err error) {
	for i := range n.list {
		n.list[i].notifier.Committed(n.list[i].upto, err)
	}
}

// group is the entries of one commit. Each committer has one, and uses it again.
type group struct {
	entries []entry // immutable from take to answer
	notes   notes
	batch   *pebble.Batch
	mark    fence.Mark
	markBuf [fence.MarkBytes]byte
	records int
	bytes   int64
	start   time.Time

	// apply and wait are the calls into Pebble, bound once so that a commit
	// allocates nothing.
	apply, wait func() error
}

func newGroup(l *Log) *group {
	g := &group{batch: l.db.NewBatch(pebble.WithMaxRetainedSizeBytes(2 * (l.o.GroupBytesMax + 64<<10)))}
	g.apply = func() error {
		if err := g.build(); err != nil {
			return err
		}
		return l.db.ApplyNoSyncWait(g.batch, pebble.Sync)
	}
	g.wait = func() error { return g.batch.SyncWait() }
	return g
}

// build writes the entries into the batch, in order.
func (g *group) build() error {
	g.mark.Put(g.markBuf[:])
	if err := g.batch.LogData(g.markBuf[:], nil); err != nil {
		return err
	}
	for i := range g.entries {
		e := &g.entries[i]
		switch e.kind {
		case appendRecord:
			op := g.batch.SetDeferred(keyBytes, valueHeaderBytes+len(e.record))
			putKey(op.Key, e.bucket, e.seq)
			putValue(op.Value, op.Key, e.record)
			if err := op.Finish(); err != nil {
				return err
			}
		case truncateBucket, dropBucket:
			op := g.batch.DeleteRangeDeferred(keyBytes, keyBytes)
			putKey(op.Key, e.bucket, 0)
			if e.kind == truncateBucket && e.seq < math.MaxUint64 {
				putKey(op.Value, e.bucket, e.seq+1)
			} else {
				putKey(op.Value, e.bucket+1, 0)
			}
			if err := op.Finish(); err != nil {
				return err
			}
		case probeDisk: // the mark is enough to write and sync
		}
	}
	return nil
}

// Append implements wal.Log.
func (l *Log) Append(bucket, seq uint64, record []byte, n wal.Notifier) error {
	switch {
	case bucket > wal.BucketMax:
		return fmt.Errorf("pebblewal: bucket %d is over wal.BucketMax", bucket)
	case len(record) > l.o.RecordBytesMax:
		return fmt.Errorf("%w: record is %d bytes, over Options.RecordBytesMax %d", wal.ErrRecordTooLarge, len(record), l.o.RecordBytesMax)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	// A gap would be taken for damage when the log is read back.
	if last, ok := l.last[bucket]; ok && seq != last+1 {
		return fmt.Errorf("pebblewal: bucket %d: record %d appended after record %d", bucket, seq, last)
	}
	l.last[bucket] = seq
	l.stats.PendingRecords++
	l.stats.PendingBytes += int64(len(record))
	l.push(entry{kind: appendRecord, bucket: bucket, seq: seq, record: record, notifier: n})
	return nil
}

// push queues an entry. The caller holds mu.
func (l *Log) push(e entry) {
	l.queue.push(e)
	l.call()
}

// call wakes a committer, if one waits, when there is something to do. The caller
// holds mu.
func (l *Log) call() {
	if !l.called && l.ready() {
		l.called = true
		l.work.Signal()
	}
}

// ready says whether a group should be made of the queue now. The caller holds mu.
//
// Every group costs a write, a sync and a dozen hand-overs, however little it holds.
// What comes while a group syncs waits for it, therefore, and goes into one group
// and not into two, the first of which would be closed as soon as the sync begins.
// Building and writing a large group takes so long that the disk should not wait.
func (l *Log) ready() bool {
	return !l.queue.empty() && !l.applying && (len(l.inflight) == 0 || l.queue.bytes >= overlapBytesMin)
}

// overlapBytesMin of queued entries are made a group while another one syncs:
// copying them takes some ten microseconds, a tenth of a fast sync.
const overlapBytesMin = 64 << 10

// Truncate implements wal.Log.
func (l *Log) Truncate(bucket, upto uint64) error {
	return l.do(context.Background(), entry{kind: truncateBucket, bucket: bucket, seq: upto})
}

// Drop implements wal.Log.
func (l *Log) Drop(bucket uint64) error {
	return l.do(context.Background(), entry{kind: dropBucket, bucket: bucket})
}

// Sync implements wal.Log.
func (l *Log) Sync(ctx context.Context) error {
	return l.do(ctx, entry{kind: probeDisk})
}

// do queues an entry that is not a record and waits for its answer.
func (l *Log) do(ctx context.Context, e entry) error {
	if e.bucket > wal.BucketMax {
		return fmt.Errorf("pebblewal: bucket %d is over wal.BucketMax", e.bucket)
	}
	e.done = make(chan error, 1)
	l.mu.Lock()
	if err := l.usable(); err != nil {
		l.mu.Unlock()
		return err
	}
	if e.kind == dropBucket {
		delete(l.last, e.bucket)
	}
	l.push(e)
	l.mu.Unlock()
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit is a committer. It ends when the log has failed, or is closing and has
// nothing queued.
func (l *Log) commit(g *group) {
	ok := true
	for ok && l.take(g) {
		ok = l.finish(g)
	}
	l.mu.Lock()
	l.committers--
	l.work.Broadcast() // nothing else might wake the other one to end
	last := l.committers == 0
	vouch := last && ok && l.failure == nil && l.ordinal > 0
	if vouch {
		l.inflight = append(l.inflight, g)
	}
	l.mu.Unlock()
	if vouch {
		// A log that is being closed ends with a group of nothing but a mark, which
		// says that everything before was synced.
		l.finish(g)
	}
	if last {
		close(l.idle)
	}
}

// take waits for something to commit and puts it into g.
func (l *Log) take(g *group) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.ready() && l.failure == nil && !(l.closing && l.queue.empty()) {
		l.called = false
		l.work.Wait()
	}
	l.called = false
	if l.failure != nil || l.queue.empty() {
		return false
	}
	g.entries = l.queue.take(g.entries, l.o.GroupBytesMax)
	for i := range g.entries {
		if e := &g.entries[i]; e.kind == appendRecord {
			g.records++
			g.bytes += int64(len(e.record))
		}
	}
	l.inflight = append(l.inflight, g)
	l.applying = true
	return true
}

// finish commits a group that is in flight and makes it ready for the next. It
// returns false when the log has failed: abandon answers.
func (l *Log) finish(g *group) bool {
	if err := l.apply(g); err != nil {
		l.fence.Fail(err)
		return false
	}
	// Notes are made while the disk is busy.
	g.notes.of(g.entries)
	if err := l.protect(g.wait); err != nil {
		l.fence.Fail(err)
	}
	if !l.answer(g) {
		return false
	}
	g.reset()
	return true
}

// apply hands a group to Pebble and lets the other committer do so.
func (l *Log) apply(g *group) error {
	g.start = time.Now()
	l.ordinal++
	g.mark = fence.Mark{Ordinal: l.ordinal, Synced: l.synced.Load(), Manifest: l.fence.Synced()}
	err := l.protect(g.apply)
	if err != nil {
		return err // nothing may be applied after it
	}
	l.mu.Lock()
	l.applying = false
	l.call()
	l.mu.Unlock()
	return nil
}

// answer tells the notifiers of a durable group, after those of the groups before.
func (l *Log) answer(g *group) bool {
	latency := time.Since(g.start)
	l.mu.Lock()
	for l.failure == nil && l.inflight[0] != g {
		l.order.Wait()
	}
	l.mu.Unlock()
	l.notifying.Lock()
	defer l.notifying.Unlock()
	l.mu.Lock()
	// Checked after the sync: the fence fails before it pretends, and tells the log of
	// it later.
	if l.failure != nil || l.fence.Failed() != nil {
		l.mu.Unlock()
		return false
	}
	s := &l.stats
	s.Records += uint64(g.records)
	s.RecordBytes += uint64(g.bytes)
	s.Groups++
	s.SyncLatency.Observe(latency)
	s.PendingRecords -= int64(g.records)
	s.PendingBytes -= g.bytes
	l.mu.Unlock()
	l.synced.Store(g.mark.Ordinal)
	g.notes.tell(nil)
	for i := range g.entries {
		g.entries[i].answer(nil)
	}
	// Not sooner, or what has just been pushed would call the other committer to
	// make a group of it, and this one is about to look.
	l.mu.Lock()
	l.inflight = append(l.inflight[:0], l.inflight[1:]...)
	l.order.Signal()
	l.mu.Unlock()
	return true
}

// reset drops references and makes the group ready for the next commit.
func (g *group) reset() {
	clear(g.entries)
	g.entries = g.entries[:0]
	g.notes.reset()
	g.records, g.bytes = 0, 0
	g.batch.Reset()
}
