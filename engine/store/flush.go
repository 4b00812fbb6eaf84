package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// queued is one thing that waits to be flushed. The queue keeps the log's order:
// memtables before a delete are on disk before it is applied, and what comes
// after it is not.
type queued struct {
	// seq is the last record of the log that is in it.
	seq uint64
	// root is the points of a frozen memtable, nil for a delete.
	root   *viewRoot
	bytes  int64
	rows   int64
	values int64
	events events
	// del is what to delete from everything before.
	del *record.Delete
}

// ioStats counts what jobs do. Atomic.
type ioStats struct {
	parts, blocks, diskBytes, rows, values        atomic.Int64 // now
	flushes, flushedValues, flushedBytes          atomic.Int64 // since the bucket was opened
	compactions, compactedValues, compactedBytes  atomic.Int64
	deletes, expiredParts, deletedRewrittenBlocks atomic.Int64
}

// IOStats counts what a bucket has written to the data store since it was opened.
type IOStats struct {
	Flushes, FlushedValues, FlushedBytes          int64
	Compactions, CompactedValues, CompactedBytes  int64
	Deletes, ExpiredParts, DeletedRewrittenBlocks int64
}

// Add adds o's counts to s.
func (s *IOStats) Add(o IOStats) {
	s.Flushes += o.Flushes
	s.FlushedValues += o.FlushedValues
	s.FlushedBytes += o.FlushedBytes
	s.Compactions += o.Compactions
	s.CompactedValues += o.CompactedValues
	s.CompactedBytes += o.CompactedBytes
	s.Deletes += o.Deletes
	s.ExpiredParts += o.ExpiredParts
	s.DeletedRewrittenBlocks += o.DeletedRewrittenBlocks
}

// IOStats returns the current counts. They are read one by one.
func (b *Bucket) IOStats() IOStats {
	return IOStats{
		b.io.flushes.Load(), b.io.flushedValues.Load(), b.io.flushedBytes.Load(),
		b.io.compactions.Load(), b.io.compactedValues.Load(), b.io.compactedBytes.Load(),
		b.io.deletes.Load(), b.io.expiredParts.Load(), b.io.deletedRewrittenBlocks.Load(),
	}
}

// Freeze puts the active memtable in line for a Flush and starts another. seq is
// the last record of the log that has been linked, replayed or freed. It costs
// microseconds. Only for a bucket with a data store. Writer only.
func (b *Bucket) Freeze(seq uint64) {
	a := b.active
	q := &queued{seq: seq, bytes: a.bytes, rows: a.rows, values: a.values, events: b.events}
	b.events = nil
	b.deadInLog.Store(0)
	for _, p := range a.points {
		p.m.points = nil // else what is idle from now on would keep the memtable
	}
	// All at once, so that no Snapshot finds the points in neither place.
	b.mu.Lock()
	b.active = newMemtable(b)
	a.publish()
	q.root = a.root
	b.queue = append(b.queue, q)
	b.mu.Unlock()
	b.frozenBytes.Add(q.bytes)
	b.account()
}

// QueueDelete puts the delete that is record seq of the log in line, behind
// everything linked before. Flush applies it. Writer only.
func (b *Bucket) QueueDelete(seq uint64, d record.Delete) {
	b.Freeze(seq - 1)
	b.mu.Lock()
	b.queue = append(b.queue, &queued{seq: seq, del: &d})
	b.mu.Unlock()
}

// Queued is how many memtables and deletes wait to be flushed, and how many deletes
// have been applied and wait for a Flush to say so.
func (b *Bucket) Queued() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) + len(b.applied)
}

// jobScratch is what flushes and compactions use again and again.
type jobScratch struct {
	sorter  sorter
	merger  merger
	encoder block.Encoder
	buf     []byte
	fields  []point.FieldID
}

// begin takes the jobs lock and catches up with the data store; it fails when the
// bucket has been closed.
func (b *Bucket) begin() error {
	b.jobs.Lock()
	b.mu.Lock()
	closed := b.closed || b.retired
	b.mu.Unlock()
	if closed {
		b.jobs.Unlock()
		return ErrBucketClosed
	}
	b.catchUp()
	return nil
}

func (b *Bucket) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || b.retired
}

// Flush writes everything that is in line to the data store, in order, and
// applies the deletes among it. It returns the sequence numbers of the deletes
// that it has applied. After an error what has not been flushed stays in line and
// in memory; flushing again is safe.
func (b *Bucket) Flush(ctx context.Context) (deletes []uint64, err error) {
	if err := b.begin(); err != nil {
		return nil, err
	}
	defer b.jobs.Unlock()
	defer func() {
		b.mu.Lock()
		deletes, b.applied = b.applied, nil
		b.mu.Unlock()
	}()
	for {
		b.mu.Lock()
		queue := b.queue
		b.mu.Unlock()
		if len(queue) == 0 {
			return nil, nil
		}
		n := 0
		for n < len(queue) && queue[n].del == nil {
			n++
		}
		if n == 0 {
			if err := b.applyDelete(ctx, queue[0]); err != nil {
				return nil, fmt.Errorf("delete: %w", err)
			}
			continue
		}
		if empty(queue[:n]) && (n < len(queue) || queue[n-1].seq <= b.disk.Flushed()) {
			b.adopt(b.version.Retain(), n) // a delete that follows takes its number along
			continue
		}
		if err := b.flush(ctx, queue[:n]); err != nil {
			return nil, fmt.Errorf("flush: %w", err)
		}
	}
}

// TakeWrote reports whether a Flush has written memtables since the last call.
func (b *Bucket) TakeWrote() bool { return b.wrote.Swap(false) }

// empty reports whether there is nothing in frozen memtables.
func empty(tables []*queued) bool {
	return !slices.ContainsFunc(tables, func(q *queued) bool { return q.rows > 0 || len(q.events) > 0 })
}

// flush writes frozen memtables. Jobs only.
func (b *Bucket) flush(ctx context.Context, tables []*queued) (err error) {
	edit := &disk.Edit{Flushed: tables[len(tables)-1].seq}
	ids := make(map[point.MeasurementID][]*segment)
	var order []point.MeasurementID
	var all []*segment
	for _, q := range tables {
		edit.Definitions = append(edit.Definitions, q.events.chunks()...)
		q.root.each(func(m *measurementView) {
			id := m.p.m.id
			segments := m.segments
			if m.tail != nil {
				segments = append(slices.Clip(segments), m.tail)
			}
			if _, ok := ids[id]; !ok {
				order = append(order, id)
			}
			ids[id] = append(ids[id], segments...)
			all = append(all, segments...)
		})
	}
	slices.Sort(order)
	cutoff := b.cutoff()
	seqMin := b.disk.Flushed() + 1
	var writers []*partWriter
	defer func() {
		if err != nil {
			abortAll(writers)
		}
	}()
	windows := windowsOf(all, cutoff, windowWidth(b.retention.Load()))
	for _, w := range windows {
		pw := b.newPart(&b.scratch, w, min(seqMin, edit.Flushed), edit.Flushed, 0, block.Fast)
		writers = append(writers, pw)
		for _, id := range order {
			err := sortSegments(ctx, ids[id], max(w.min, cutoff), w.max, &b.scratch.sorter, func(r *block.Rows) error { return pw.add(id, r) })
			if err != nil {
				return err
			}
		}
	}
	if err := b.commit(ctx, edit, writers, len(tables)); err != nil {
		return err
	}
	b.touch(windows)
	b.io.flushes.Add(1)
	b.wrote.Store(true)
	for _, w := range writers {
		b.io.flushedValues.Add(w.values)
		b.io.flushedBytes.Add(w.bytes)
	}
	return nil
}

// partWriter encodes rows into the blocks of one part.
type partWriter struct {
	scratch *jobScratch
	w       *disk.PartWriter
	level   block.Level

	rows, values, bytes int64
}

func (b *Bucket) newPart(s *jobScratch, w window, seqMin, seqMax uint64, level uint8, l block.Level) *partWriter {
	return &partWriter{scratch: s, level: l, w: b.disk.NewPart(disk.Part{WindowMin: w.min, WindowMax: w.max, SeqMin: seqMin, SeqMax: seqMax, Level: level})}
}

func abortAll(writers []*partWriter) {
	for _, w := range writers {
		w.w.Abort()
	}
}

// add encodes r as the next block.
func (p *partWriter) add(id point.MeasurementID, r *block.Rows) error {
	s := p.scratch
	var err error
	if s.buf, err = s.encoder.Encode(s.buf[:0], id, r, p.level); err != nil {
		return fmt.Errorf("encode block of measurement %d: %w", id, err)
	}
	meta := disk.BlockMeta{
		SeriesMin: r.Series[0], SeriesMax: r.Series[len(r.Series)-1],
		TimeMin: math.MaxInt64, TimeMax: math.MinInt64,
		Rows: uint32(r.Len()), Bytes: uint32(len(s.buf)),
	}
	start := uint32(0)
	for _, end := range r.Ends {
		meta.TimeMin = min(meta.TimeMin, r.Times[start])
		meta.TimeMax = max(meta.TimeMax, r.Times[end-1])
		start = end
	}
	s.fields = s.fields[:0]
	for _, c := range r.Columns {
		meta.Values += uint32(c.Len())
		s.fields = append(s.fields, c.Field)
	}
	p.rows += int64(meta.Rows)
	p.values += int64(meta.Values)
	p.bytes += int64(meta.Bytes)
	return p.w.Add(id, meta, r.Series, s.fields, s.buf)
}

// commit makes an edit with the parts of writers durable, then visible, and takes
// done entries out of the queue. Jobs only.
func (b *Bucket) commit(ctx context.Context, edit *disk.Edit, writers []*partWriter, done int) error {
	for _, w := range writers {
		part, err := w.w.Finish()
		if err != nil {
			return err
		}
		if part != nil {
			edit.Add = append(edit.Add, part)
		}
	}
	if err := b.disk.Commit(ctx, edit); err != nil {
		return err
	}
	b.adopt(b.disk.Acquire(), done)
	return nil
}

// catchUp takes the data store's word for what is durable. After a failure it may be
// more than was known: a commit that failed may have come about all the same. Then
// what it was about must not be done again. Jobs only.
func (b *Bucket) catchUp() {
	fresh := b.disk.Acquire()
	if fresh == b.version || fresh.Flushed() < b.version.Flushed() { // the latter is damaged
		fresh.Release()
		return
	}
	done := 0
	b.mu.Lock()
	for done < len(b.queue) && b.queue[done].seq <= fresh.Flushed() {
		done++
	}
	b.mu.Unlock()
	b.adopt(fresh, done)
}

// adopt makes a version that is held for the caller the bucket's, at once with
// taking out of the queue what is in it. Jobs only.
func (b *Bucket) adopt(fresh *disk.Version, done int) {
	b.mu.Lock()
	old := b.version
	b.version = fresh
	var bytes, rows, values, dead int64
	for _, q := range b.queue[:done] {
		dead += q.events.freed()
		bytes += q.bytes
		rows += q.rows
		values += q.values
		if q.del != nil {
			b.applied = append(b.applied, q.seq)
		}
	}
	b.queue = slices.Clone(b.queue[done:])
	b.mu.Unlock()
	b.deadOnDisk.Add(dead)
	b.frozenBytes.Add(-bytes)
	b.points.Add(-rows)
	b.values.Add(-values)
	old.Release()
	b.countParts()
}

// countParts brings the counts of what is on disk up to date.
func (b *Bucket) countParts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version == nil {
		return
	}
	var blocks, bytes, rows, values int64
	for _, p := range b.version.Parts() {
		for i := range p.Measurements {
			blocks += int64(len(p.Measurements[i].Blocks))
		}
		bytes += p.Bytes
		rows += p.Rows
		values += p.Values
	}
	b.io.rows.Store(rows)
	b.io.values.Store(values)
	b.io.parts.Store(int64(len(b.version.Parts())))
	b.io.blocks.Store(blocks)
	b.io.diskBytes.Store(bytes)
}
