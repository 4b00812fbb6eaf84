package store

import (
	"fmt"
	"slices"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// addParts decodes the wanted columns of the blocks that may have wanted rows.
func (q *reading) addParts(m *viewPoints) error {
	lo, hi := slices.Min(q.series), slices.Max(q.series)
	var b block.Block
	for _, p := range m.parts {
		for i := range p.m.Blocks {
			meta := &p.m.Blocks[i]
			if meta.TimeMax < q.req.Min || meta.TimeMin > q.req.Max || meta.SeriesMax < lo || meta.SeriesMin > hi {
				continue
			}
			if err := q.ctx.Err(); err != nil {
				return err
			}
			data, err := q.view.version.ReadBlock(p.part, meta.Number, nil)
			if err != nil {
				return err
			}
			if err := b.Reset(data); err != nil {
				return fmt.Errorf("part %d, block %d: %w", p.part.ID, meta.Number, err)
			}
			s := &segment{min: meta.TimeMin, max: meta.TimeMax}
			if s.times, err = b.Times(nil); err != nil {
				return err
			}
			s.series = make([]point.SeriesRef, 0, len(s.times))
			for k, end := range b.Ends() {
				for len(s.series) < int(end) {
					s.series = append(s.series, point.SeriesRef(b.Series()[k]))
				}
			}
			for k, c := range b.Columns() {
				if _, ok := q.index[c.Field]; !ok {
					continue
				}
				col := new(point.Column)
				if err := b.Column(k, col); err != nil {
					return err
				}
				s.columns = append(s.columns, col)
			}
			q.addSegment(s)
		}
	}
	return nil
}
