package store

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// Fault is a block to take out of a part, or to write again.
type Fault struct {
	Part  uint64
	Block uint32
	// Rewrite keeps what the block has of the series and fields that are defined. A
	// block that turns out to be damaged is taken out all the same.
	Rewrite bool
}

// Cut takes faults out of the data store, in one edit. What it writes again stands
// in the same place in the log's order. Nothing else is touched: the log is not, and
// what of it is flushed stays as it is. It is for repairing, with nobody writing.
func (b *Bucket) Cut(ctx context.Context, faults []Fault) (err error) {
	if err := b.begin(); err != nil {
		return err
	}
	defer b.jobs.Unlock()
	edit := new(disk.Edit)
	var writers []*partWriter
	defer func() {
		if err != nil {
			abortAll(writers)
		}
	}()
	of := make(map[uint64]map[uint32]Fault)
	for _, f := range faults {
		if of[f.Part] == nil {
			of[f.Part] = make(map[uint32]Fault)
		}
		of[f.Part][f.Block] = f
	}
	for _, p := range b.version.Parts() {
		if of[p.ID] == nil {
			continue
		}
		c := &partCut{b: b, part: p, faults: of[p.ID]}
		for i := range p.Measurements {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.measurement(&p.Measurements[i]); err != nil {
				return err
			}
		}
		if c.out != nil {
			writers = append(writers, c.out)
		}
		switch {
		case !c.changed:
		case len(c.kept) == 0:
			edit.Remove = append(edit.Remove, p)
		default:
			edit.Trim = append(edit.Trim, disk.Trim{Part: p, Measurements: c.kept})
		}
	}
	if len(edit.Remove)+len(edit.Trim) == 0 {
		return nil
	}
	return b.commit(ctx, edit, writers, 0)
}

// partCut is a Cut at work on one part.
type partCut struct {
	b      *Bucket
	part   *disk.Part
	faults map[uint32]Fault

	changed bool
	kept    []disk.Measurement
	out     *partWriter // what is written again; nil for nothing

	buf   []byte
	block block.Block
	rows  block.Rows
}

func (c *partCut) measurement(m *disk.Measurement) error {
	hit := false
	for i := range m.Blocks {
		if _, ok := c.faults[m.Blocks[i].Number]; ok {
			hit = true
		}
	}
	if !hit {
		c.kept = append(c.kept, *m)
		return nil
	}
	left := disk.Measurement{ID: m.ID, Fields: m.Fields, Series: roaring.New()}
	for i := range m.Blocks {
		meta := &m.Blocks[i]
		f, faulty := c.faults[meta.Number]
		if faulty {
			c.changed = true
		}
		if faulty && !f.Rewrite {
			continue
		}
		var err error
		if c.buf, err = c.b.version.ReadBlock(c.part, meta.Number, c.buf[:0]); err == nil {
			err = c.block.Reset(c.buf)
		}
		switch {
		case err != nil && faulty:
			continue
		case err != nil:
			return fmt.Errorf("part %d, block %d: %w", c.part.ID, meta.Number, err)
		case faulty:
			if err := c.rewrite(m.ID); err != nil {
				return err
			}
		default:
			left.Blocks = append(left.Blocks, *meta)
			for _, id := range c.block.Series() {
				left.Series.Add(uint32(id))
			}
		}
	}
	if len(left.Blocks) > 0 {
		c.kept = append(c.kept, left)
	}
	return nil
}

// rewrite writes what is defined of the open block again. Of what it cannot decode
// it writes nothing.
func (c *partCut) rewrite(id point.MeasurementID) error {
	times, err := c.block.Times(nil)
	if err != nil {
		return nil
	}
	u := c.b.undefinedIn(id, c.block.Series(), c.block.Columns())
	if u == nil {
		u = new(Undefined)
	}
	if u.Measurement != 0 {
		return nil
	}
	gone, without := roaring.New(), make(map[point.FieldID]bool)
	for _, s := range u.Series {
		gone.Add(uint32(s))
	}
	for _, f := range u.Fields {
		without[f] = true
	}
	var columns []*point.Column
	valued := make([]bool, len(times))
	for i, info := range c.block.Columns() {
		if without[info.Field] {
			continue
		}
		col := new(point.Column)
		if err := c.block.Column(i, col); err != nil {
			return nil
		}
		for v := range col.Len() {
			valued[col.Row(v)] = true
		}
		columns = append(columns, col)
	}
	c.rows.Reset()
	keep := make([]uint32, len(times)) // 1 + the new row
	start, n := uint32(0), uint32(0)
	for i, s := range c.block.Series() {
		before := n
		for row := start; row < c.block.Ends()[i]; row++ {
			if gone.Contains(uint32(s)) || len(without) > 0 && !valued[row] {
				continue
			}
			c.rows.Times = append(c.rows.Times, times[row])
			n++
			keep[row] = n
		}
		if n > before {
			c.rows.Series = append(c.rows.Series, s)
			c.rows.Ends = append(c.rows.Ends, n)
		}
		start = c.block.Ends()[i]
	}
	if n == 0 {
		return nil
	}
	for _, col := range columns {
		if kept := filterColumn(col, keep, int(n)); kept.Len() > 0 {
			c.rows.Columns = append(c.rows.Columns, kept)
		}
	}
	if c.out == nil {
		p := c.part
		c.out = c.b.newPart(&c.b.scratch, window{p.WindowMin, p.WindowMax}, p.SeqMin, p.SeqMax, p.Level, block.Best)
	}
	return c.out.add(id, &c.rows)
}
