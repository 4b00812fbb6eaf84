package store

import (
	"context"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// Read implements [point.Reader].
//
// It goes through the wanted series one by one. A series has pieces: its rows in
// one block of a part, or in memory. Pieces are decoded when their turn comes and
// merged by time; where only one has rows, these are yielded as they were decoded,
// without a copy. Decoded blocks are kept for the next series, within limits.
func (v *View) Read(ctx context.Context, r point.ReadRequest, yield func(point.SeriesRows) error) error {
	q := getReading()
	defer putReading(q)
	q.ctx, q.req, q.view, q.yield, q.min, q.max = ctx, r, v, yield, max(r.Min, v.cutoff), r.Max
	m := v.measurement(r.Measurement)
	if m == nil || q.min > q.max || !q.wantFields(m) {
		return ctx.Err()
	}
	if q.series = v.wanted(m, &r); len(q.series) == 0 {
		return ctx.Err()
	}
	if err := q.open(m); err != nil {
		return err
	}
	for rank := range q.series {
		if rank%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := q.readSeries(rank); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// What a Read holds at most, about. A row's columns are its cells.
const (
	// groupRowsMax bounds the rows of a chunk.
	groupRowsMax = 1 << 14
	// groupCellsMax bounds the cells of a chunk, and those of the decoded blocks
	// that are kept.
	groupCellsMax = 1 << 22
)

// wanted returns the series to read, in the order in which they are wanted.
func (v *View) wanted(m *viewPoints, r *point.ReadRequest) []point.SeriesID {
	set := m.live
	if r.Series != nil {
		set = roaring.New()
		for _, id := range r.Series {
			set.Add(uint32(id))
		}
		set.And(m.live)
	}
	if r.ByID {
		return seriesIDs(set)
	}
	return v.inOrder(m, set)
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
	ctx      context.Context
	req      point.ReadRequest
	view     *View
	yield    func(point.SeriesRows) error
	min, max int64 // the times wanted

	series  []point.SeriesID // in the order in which they are yielded
	ranks   ranks            // of series
	all     bool             // every series is wanted
	fields  []Field          // the wanted ones that have values, by id, each once
	names   [][]byte         // of fields
	answers []int            // by position in req.Fields: index into fields, or -1
	bounds  []fieldBound

	parts  []partPoints // those that may have wanted rows, by SeqMax
	cache  blockCache
	memory memoryRows

	// Of the series under way.
	pieces []piece // by the first row that they may have, as the request's direction has it
	next   int     // how many have been loaded or passed over
	active []int   // loaded pieces with rows left
	left   int     // rows that are wanted still, if RowsMax says so
	step   int     // how many to look for at a time
	done   bool    // no more rows are wanted

	chunk chunk
	held  int64 // charged to the meter
}

// fieldBound is a condition on fields[field].
type fieldBound struct {
	field    int
	min, max float64
}

// wantFields reports whether there can be any rows.
func (q *reading) wantFields(m *viewPoints) bool {
	for _, f := range m.fields {
		if slices.Contains(q.req.Fields, f.Name) {
			q.fields = append(q.fields, f)
		}
	}
	index := make(map[string]int, len(q.fields))
	for i, f := range q.fields {
		index[f.Name] = i
		q.names = append(q.names, []byte(f.Name))
	}
	for _, name := range q.req.Fields {
		i, ok := index[name]
		if !ok {
			i = -1
		}
		q.answers = append(q.answers, i)
	}
	for _, b := range q.req.Where {
		i, ok := index[b.Field]
		if !ok {
			return false // no row has a value
		}
		q.bounds = append(q.bounds, fieldBound{i, b.Min, b.Max})
	}
	return len(q.fields) > 0
}

// open finds out where wanted rows may be.
func (q *reading) open(m *viewPoints) error {
	for _, p := range m.parts {
		if p.part.TimeMin <= q.max && p.part.TimeMax >= q.min && q.wants(p.m.Fields) {
			q.parts = append(q.parts, p)
		}
	}
	q.all = q.req.Series == nil
	q.ranks = newRanks(q.series)
	q.cache.init(q)
	q.chunk.init(q)
	return q.memory.init(q, m.segments())
}

// wants reports whether any of fields, which ascend, is wanted.
func (q *reading) wants(fields []point.FieldID) bool {
	for _, f := range q.fields {
		if _, ok := slices.BinarySearch(fields, f.ID); ok {
			return true
		}
	}
	return false
}

// hold charges bytes to the meter, or gives them back.
func (q *reading) hold(bytes int64) error {
	if q.req.Meter == nil || bytes == 0 {
		return nil
	}
	if bytes > 0 {
		if err := q.req.Meter.Hold(bytes); err != nil {
			return err
		}
	} else {
		q.req.Meter.Release(-bytes)
	}
	q.held += bytes
	return nil
}

// readings keeps the memory of a Read for another one: a small Read would else
// spend a third of its time on getting it.
var readings = sync.Pool{New: func() any { return new(reading) }}

func getReading() *reading { return readings.Get().(*reading) }

func putReading(q *reading) {
	if q.held > 0 {
		q.req.Meter.Release(q.held)
	}
	q.reset()
	readings.Put(q)
}

// readingKeptBytes bounds what each part of a reading keeps.
const readingKeptBytes = 4 << 20

// reset drops all references, and what is large.
func (q *reading) reset() {
	q.cache.reset()
	q.memory.reset()
	q.chunk.reset()
	clear(q.fields)
	clear(q.names)
	clear(q.parts)
	clear(q.pieces[:cap(q.pieces)])
	*q = reading{
		fields: q.fields[:0], names: q.names[:0], answers: q.answers[:0], bounds: q.bounds[:0], parts: q.parts[:0],
		cache: q.cache, memory: q.memory, chunk: q.chunk, pieces: q.pieces[:0], active: q.active[:0],
	}
}
