package store

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// SeriesWhere implements [point.Reader] with the bucket's tag index, which first
// catches up with the series that are new since the last question.
func (v *View) SeriesWhere(measurement string, filter *point.TagFilter) ([]point.SeriesInfo, error) {
	if filter == nil {
		return v.Series(measurement), nil
	}
	m := v.measurement(measurement)
	if m == nil {
		return nil, nil
	}
	if v.freed != v.b.freed.Load() {
		// Series that this view shows may have left the index.
		return point.FilterSeries(v.Series(measurement), filter), nil
	}
	ctx := context.Background()
	if err := v.b.tags.CatchUp(ctx, m.def.ID, point.SeriesID(v.b.series.visible.Load())); err != nil {
		return nil, err
	}
	ask := tagQuestion{v: v, m: m}
	found, err := ask.eval(ctx, filter)
	if err != nil {
		return nil, err
	}
	if v.freed != v.b.freed.Load() {
		return point.FilterSeries(v.Series(measurement), filter), nil
	}
	found.And(m.live)
	if found.IsEmpty() {
		return nil, nil
	}
	return v.seriesInfos(v.inOrder(m, found)), nil
}

// inOrder lists the series of set, which are among the live ones, in key order.
func (v *View) inOrder(m *viewPoints, set *roaring.Bitmap) []point.SeriesID {
	n := set.GetCardinality()
	if n < m.live.GetCardinality()/16 {
		ids := seriesIDs(set)
		v.sortByKey(ids)
		return ids
	}
	all := v.ordered(m)
	if n == uint64(len(all)) {
		return all
	}
	ids := make([]point.SeriesID, 0, n)
	for _, id := range all {
		if set.Contains(uint32(id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// tagQuestion evaluates a filter. What eval returns is the caller's own.
type tagQuestion struct {
	v *View
	m *viewPoints
}

func (q *tagQuestion) eval(ctx context.Context, f *point.TagFilter) (*roaring.Bitmap, error) {
	x, id := q.v.b.tags, q.m.def.ID
	switch f.Op {
	case point.TagAnd:
		all := q.m.live
		if len(f.Terms) == 0 {
			return all.Clone(), nil
		}
		var out *roaring.Bitmap
		for _, term := range f.Terms {
			set, err := q.eval(ctx, term)
			if err != nil {
				return nil, err
			}
			if out == nil {
				out = set
			} else {
				out.And(set)
			}
			if out.IsEmpty() {
				break
			}
		}
		return out, nil
	case point.TagOr:
		out := roaring.New()
		for _, term := range f.Terms {
			set, err := q.eval(ctx, term)
			if err != nil {
				return nil, err
			}
			out.Or(set)
		}
		return out, nil
	case point.TagEqual:
		return x.Equal(id, f.Key, f.Value), nil
	case point.TagNotEqual:
		return x.NotEqual(id, f.Key, f.Value), nil
	case point.TagMatch:
		return x.Matches(ctx, id, f.Key, f.Regexp)
	case point.TagNotMatch:
		return x.NotMatches(ctx, id, f.Key, f.Regexp)
	}
	return nil, fmt.Errorf("store: tag filter with operation %d", f.Op)
}
