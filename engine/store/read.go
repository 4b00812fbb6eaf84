package store

import (
	"context"
	"slices"

	"headgate/engine/point"
)

// Read implements [point.Reader]. What it yields is the receiver's to keep.
//
// It passes over the segments twice: once to count each wanted series' rows in
// the time range, and once to collect them, their values column by column. Many
// rows are taken in groups of series, each with a second pass of its own, so
// that memory stays bounded unless one series alone is larger.
func (v *View) Read(ctx context.Context, r point.ReadRequest, yield func(point.SeriesRows) error) error {
	r.Min = max(r.Min, v.cutoff)
	m := v.measurement(r.Measurement)
	if m == nil || len(r.Fields) == 0 || r.Min > r.Max {
		return ctx.Err()
	}
	q := &reading{ctx: ctx, req: r, view: v, series: v.wanted(m, r.Series)}
	if len(q.series) == 0 {
		return ctx.Err()
	}
	q.rank = newRanks(q.series)
	q.wantFields(m)
	if err := q.addParts(m); err != nil {
		return err
	}
	for _, s := range m.segments() {
		q.addSegment(s)
	}
	if err := q.count(); err != nil {
		return err
	}
	for lo := 0; lo < len(q.series); {
		hi := q.groupEnd(lo)
		if err := q.group(lo, hi, yield); err != nil {
			return err
		}
		lo = hi
	}
	return ctx.Err()
}

// wanted returns the series to read, in key order.
func (v *View) wanted(m *viewPoints, ids []point.SeriesID) []point.SeriesID {
	if ids == nil {
		return v.ordered(m)
	}
	if len(ids) > int(m.live.GetCardinality())/16 {
		// Cheaper to pick from the order that is there than to sort anew.
		want := make(map[point.SeriesID]bool, len(ids))
		for _, id := range ids {
			want[id] = true
		}
		out := make([]point.SeriesID, 0, len(want))
		for _, id := range v.ordered(m) {
			if want[id] {
				out = append(out, id)
			}
		}
		return out
	}
	out := slices.Clone(ids)
	slices.Sort(out)
	out = slices.Compact(out)
	out = slices.DeleteFunc(out, func(id point.SeriesID) bool {
		of, _ := v.b.series.at(id)
		return of != m.m.id
	})
	v.sortByKey(out)
	return out
}

// ranks maps series ids to their position in the wanted order.
type ranks struct {
	ids   []point.SeriesID // by rank
	lo    point.SeriesRef
	dense []uint32 // 1 + rank by id-lo; nil if the ids are too far apart
	few   map[point.SeriesRef]uint32
}

func newRanks(ids []point.SeriesID) ranks {
	lo, hi := slices.Min(ids), slices.Max(ids)
	r := ranks{ids: ids, lo: point.SeriesRef(lo)}
	if int(hi-lo) < 16*len(ids)+4096 {
		r.dense = make([]uint32, hi-lo+1)
		for i, id := range ids {
			r.dense[id-lo] = uint32(i + 1)
		}
		return r
	}
	r.few = make(map[point.SeriesRef]uint32, len(ids))
	for i, id := range ids {
		r.few[point.SeriesRef(id)] = uint32(i + 1)
	}
	return r
}

// of is 1 + the rank of ref, 0 if it is not wanted.
func (r *ranks) of(ref point.SeriesRef) uint32 {
	if r.dense != nil {
		if i := ref - r.lo; uint64(i) < uint64(len(r.dense)) { // wraps below lo
			return r.dense[i]
		}
		return 0
	}
	return r.few[ref]
}

// reading is one Read under way.
type reading struct {
	ctx    context.Context
	req    point.ReadRequest
	view   *View
	series []point.SeriesID
	rank   ranks

	fields   []Field // wanted ones that have values, each once
	answers  []int   // by position in req.Fields: index into fields, or -1
	segments []*segment
	columns  [][]columnOf // by segment: the wanted columns
	values   []int        // by index into fields: values in all segments
	index    map[point.FieldID]int

	rows  []uint32 // by rank: rows of the series in the time range
	steps int      // rows since ctx was looked at

	// Of the group under way.
	refs    []rowRef
	starts  []int // by segment: its first ref
	outs    []uint32
	perm    []uint32
	bases   []int          // by rank-lo: rows of the output before the series'
	flat    [][]uint64     // by index into fields; nil if builders are needed
	builder []*cellBuilder // rank-lo times fields
}

type columnOf struct {
	field  int
	column *point.Column
}

// rowRef is a row of the group, in the order in which it was written.
type rowRef struct {
	time   int64
	row    uint32 // in its segment
	series uint32 // rank - the group's first
}

func (q *reading) wantFields(m *viewPoints) {
	byName := make(map[string]int, len(m.fields))
	for i, f := range m.fields {
		byName[f.Name] = i
	}
	index := make(map[int]int, len(q.req.Fields))
	for _, name := range q.req.Fields {
		i, ok := byName[name]
		if !ok {
			q.answers = append(q.answers, -1)
			continue
		}
		at, ok := index[i]
		if !ok {
			at = len(q.fields)
			index[i] = at
			q.fields = append(q.fields, m.fields[i])
		}
		q.answers = append(q.answers, at)
	}
	q.values = make([]int, len(q.fields))
	q.index = make(map[point.FieldID]int, len(q.fields))
	for i, f := range q.fields {
		q.index[f.ID] = i
	}
}

// addSegment takes the segment into account if it may have wanted rows.
func (q *reading) addSegment(s *segment) {
	if s.max < q.req.Min || s.min > q.req.Max {
		return
	}
	var columns []columnOf
	for _, c := range s.columns {
		if i, ok := q.index[c.Field]; ok {
			columns = append(columns, columnOf{i, c})
			q.values[i] += c.Len()
		}
	}
	if len(columns) > 0 {
		q.segments = append(q.segments, s)
		q.columns = append(q.columns, columns)
	}
}

// step looks at the context every few thousand rows.
func (q *reading) step(n int) error {
	if q.steps += n; q.steps < ctxRows {
		return nil
	}
	q.steps = 0
	return q.ctx.Err()
}

const ctxRows = 4096

// eachRow calls fn for the wanted rows of s with their rank.
func (q *reading) eachRow(s *segment, fn func(row int, rank uint32)) error {
	inside := q.req.Min <= s.min && s.max <= q.req.Max
	for at := 0; at < len(s.times); at += ctxRows {
		end := min(at+ctxRows, len(s.times))
		if err := q.step(end - at); err != nil {
			return err
		}
		for i := at; i < end; i++ {
			rank := q.rank.of(s.series[i])
			if rank == 0 {
				continue
			}
			if t := s.times[i]; !inside && (t < q.req.Min || t > q.req.Max) {
				continue
			}
			fn(i, rank-1)
		}
	}
	return nil
}

func (q *reading) count() error {
	q.rows = make([]uint32, len(q.series))
	for _, s := range q.segments {
		if err := q.eachRow(s, func(_ int, rank uint32) { q.rows[rank]++ }); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of a group, unless one series alone exceeds them.
const (
	groupRowsMax  = 1 << 20
	groupCellsMax = 1 << 20 // series times fields
)

func (q *reading) groupEnd(lo int) int {
	rows, hi := 0, lo
	for hi < len(q.series) {
		rows += int(q.rows[hi])
		if hi > lo && (rows > q.view.groupRows || (hi-lo)*len(q.fields) >= q.view.groupCells) {
			break
		}
		hi++
	}
	return hi
}

// group yields the series of ranks lo to hi-1.
func (q *reading) group(lo, hi int, yield func(point.SeriesRows) error) error {
	if err := q.collect(uint32(lo), uint32(hi)); err != nil || len(q.refs) == 0 {
		return err
	}
	times := q.arrange(lo, hi)
	if err := q.gather(lo, hi); err != nil {
		return err
	}
	for i := range hi - lo {
		if q.rows[lo+i] == 0 {
			continue
		}
		if err := q.step(int(q.rows[lo+i])); err != nil {
			return err
		}
		out, err := q.finish(lo, i, times[i])
		if err != nil {
			return err
		}
		if len(out.Times) == 0 {
			continue
		}
		out.Series = q.series[lo+i]
		if err := yield(out); err != nil {
			return err
		}
	}
	return nil
}
