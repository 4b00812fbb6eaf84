package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// A delete takes rows out of parts for good: blocks that have nothing else are
// dropped, others are written again without the rows, into a part of their own
// that stands in the same place in the log's order. All of it is one edit, with
// the delete's sequence number as flushed, so that after a crash it has happened
// or is replayed. Nothing at rest remembers deletes: no view has to ask.

// applyDelete applies a queued delete to all parts, which are all older than it.
// Jobs only.
func (b *Bucket) applyDelete(ctx context.Context, q *queued) (err error) {
	edit := &disk.Edit{Flushed: q.seq}
	var writers []*partWriter
	defer func() {
		if err != nil {
			abortAll(writers)
		}
	}()
	for _, p := range b.version.Parts() {
		if p.TimeMin > q.del.Max || p.TimeMax < q.del.Min {
			continue
		}
		d := &partDelete{b: b, ctx: ctx, part: p, del: q.del}
		for i := range p.Measurements {
			if err := d.measurement(&p.Measurements[i]); err != nil {
				return err
			}
		}
		if d.out != nil {
			writers = append(writers, d.out)
		}
		switch {
		case !d.changed:
		case len(d.kept) == 0:
			edit.Remove = append(edit.Remove, p)
		default:
			edit.Trim = append(edit.Trim, disk.Trim{Part: p, Measurements: d.kept})
		}
	}
	if err := b.commit(ctx, edit, writers, 1); err != nil {
		return err
	}
	b.io.deletes.Add(1)
	return nil
}

// partDelete is a delete at work on one part.
type partDelete struct {
	b    *Bucket
	ctx  context.Context
	part *disk.Part
	del  *record.Delete

	changed bool
	kept    []disk.Measurement // what the part keeps, if it changes
	out     *partWriter        // what is written again; nil for nothing

	block  block.Block
	buf    []byte
	rows   block.Rows
	column point.Column
}

// measurement decides about the blocks of one measurement.
func (d *partDelete) measurement(m *disk.Measurement) error {
	hit := roaring.And(m.Series, d.del.Series)
	if hit.IsEmpty() {
		d.kept = append(d.kept, *m)
		return nil
	}
	if d.del.Min <= d.part.TimeMin && d.part.TimeMax <= d.del.Max && hit.GetCardinality() == m.Series.GetCardinality() {
		d.changed = true
		return nil // nothing is left
	}
	left := disk.Measurement{ID: m.ID, Fields: m.Fields}
	remain := roaring.New() // of hit: those that kept blocks have
	moved := roaring.New()  // of the others: those that were in blocks that are written again
	for i := range m.Blocks {
		meta := &m.Blocks[i]
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if !overlaps(hit, meta.SeriesMin, meta.SeriesMax) {
			left.Blocks = append(left.Blocks, *meta)
			continue
		}
		if err := d.open(meta); err != nil {
			return err
		}
		if meta.TimeMin <= d.del.Max && meta.TimeMax >= d.del.Min {
			rewritten, err := d.rewrite(m.ID, hit)
			if err != nil {
				return err
			}
			if rewritten {
				d.changed = true
				for _, id := range d.block.Series() {
					if !hit.Contains(uint32(id)) {
						moved.Add(uint32(id))
					}
				}
				continue
			}
		}
		left.Blocks = append(left.Blocks, *meta)
		for _, id := range d.block.Series() {
			if hit.Contains(uint32(id)) {
				remain.Add(uint32(id))
			}
		}
	}
	if len(left.Blocks) > 0 {
		// Blocks are in order of series, so that only the first and the last series of
		// one are in another, too. A series that no block has would never be freed.
		for i := range left.Blocks {
			moved.Remove(uint32(left.Blocks[i].SeriesMin))
			moved.Remove(uint32(left.Blocks[i].SeriesMax))
		}
		left.Series = roaring.AndNot(m.Series, roaring.AndNot(hit, remain))
		left.Series.AndNot(moved)
		d.kept = append(d.kept, left)
	}
	return nil
}

func overlaps(set *roaring.Bitmap, lo, hi point.SeriesID) bool {
	return set.IntersectsWithInterval(uint64(lo), uint64(hi)+1)
}

func (d *partDelete) open(meta *disk.BlockMeta) error {
	var err error
	if d.buf, err = d.b.version.ReadBlock(d.part, meta.Number, d.buf[:0]); err != nil {
		return err
	}
	if err := d.block.Reset(d.buf); err != nil {
		return fmt.Errorf("part %d, block %d: %w", d.part.ID, meta.Number, err)
	}
	return nil
}

// rewrite writes the open block again without the deleted rows. It reports
// whether there were any.
func (d *partDelete) rewrite(id point.MeasurementID, hit *roaring.Bitmap) (bool, error) {
	times, err := d.block.Times(d.rows.Times[:0])
	if err != nil {
		return false, err
	}
	keep := make([]uint32, len(times)) // 1 + the new row
	d.rows.Reset()
	start, n := uint32(0), uint32(0)
	ends := d.block.Ends()
	kept := make([]int64, 0, len(times))
	for i, s := range d.block.Series() {
		deleted := hit.Contains(uint32(s))
		before := n
		for row := start; row < ends[i]; row++ {
			if t := times[row]; deleted && d.del.Min <= t && t <= d.del.Max {
				continue
			}
			kept = append(kept, times[row])
			n++
			keep[row] = n
		}
		if n > before {
			d.rows.Series = append(d.rows.Series, s)
			d.rows.Ends = append(d.rows.Ends, n)
		}
		start = ends[i]
	}
	if int(n) == len(times) {
		return false, nil
	}
	d.b.io.deletedRewrittenBlocks.Add(1)
	if n == 0 {
		return true, nil
	}
	d.rows.Times = kept
	for i := range d.block.Columns() {
		if err := d.block.Column(i, &d.column); err != nil {
			return false, err
		}
		if c := filterColumn(&d.column, keep, int(n)); c.Len() > 0 {
			d.rows.Columns = append(d.rows.Columns, c)
		}
	}
	if d.out == nil {
		p := d.part
		l := block.Fast
		if p.Level > 0 {
			l = block.Best
		}
		d.out = d.b.newPart(&d.b.scratch, window{p.WindowMin, p.WindowMax}, p.SeqMin, p.SeqMax, p.Level, l)
	}
	return true, d.out.add(id, &d.rows)
}

// filterColumn keeps the values of rows that keep gives a new number to, counted
// from 1. rows is how many there are.
func filterColumn(c *point.Column, keep []uint32, rows int) *point.Column {
	out := &point.Column{Type: c.Type, Field: c.Field}
	for i := range c.Len() {
		row := keep[c.Row(i)]
		if row == 0 {
			continue
		}
		out.Rows = append(out.Rows, row-1)
		if c.Type == point.String {
			out.Bytes = append(out.Bytes, c.StringAt(i)...)
			out.Ends = append(out.Ends, uint32(len(out.Bytes)))
		} else {
			out.Nums = append(out.Nums, c.Nums[i])
		}
	}
	if len(out.Rows) == rows {
		out.Rows = nil
	}
	return out
}

// Dead returns the series, and the measurements, that have no points any more,
// neither on disk nor in memory, and are not spared. The second result is false
// if there are none. spare is asked about what may be in a batch that has been
// handed to the log and is not linked yet. Writer only.
func (b *Bucket) Dead(spareSeries *roaring.Bitmap, spareMeasurement func(point.MeasurementID) bool) (record.Free, bool) {
	free := record.Free{Series: b.defined.Clone()}
	b.mu.Lock()
	b.active.publish()
	roots := []*viewRoot{b.active.root}
	for _, q := range b.queue {
		if q.root != nil {
			roots = append(roots, q.root)
		}
	}
	v := b.version
	if v != nil {
		v.Retain()
	}
	b.mu.Unlock()
	if v != nil {
		for _, p := range v.Parts() {
			for i := range p.Measurements {
				free.Series.AndNot(p.Measurements[i].Series)
			}
		}
		v.Release()
	}
	for _, r := range roots {
		r.each(func(m *measurementView) { free.Series.AndNot(m.p.set.of(m.live)) })
	}
	if spareSeries != nil {
		free.Series.AndNot(spareSeries)
	}
	pendings := *b.pendings.Load()
	for _, p := range pendings {
		if p.seriesLo <= p.seriesHi {
			free.Series.RemoveRange(uint64(p.seriesLo), uint64(p.seriesHi)+1)
		}
	}
	if free.Series.IsEmpty() {
		return record.Free{}, false
	}
	gone := make(map[point.MeasurementID]int)
	free.Series.Iterate(func(x uint32) bool {
		of, _ := b.series.at(point.SeriesID(x))
		gone[of]++
		return true
	})
	for id, n := range gone {
		if b.measurements[id].series == n && !spareMeasurement(id) && !pendingUses(pendings, id) {
			free.Measurements = append(free.Measurements, id)
		}
	}
	slices.Sort(free.Measurements)
	return free, true
}

// pendingUses reports whether a pending definition is of the measurement.
func pendingUses(ps []*Pending, id point.MeasurementID) bool {
	for _, p := range ps {
		if p.definesMeasurement(id) || slices.ContainsFunc(p.older, func(r fieldRange) bool { return r.measurement == id }) {
			return true
		}
	}
	return false
}
