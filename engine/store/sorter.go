package store

import (
	"cmp"
	"context"
	"slices"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// sortSegments yields the rows of segs, oldest segment first, that have a time in
// [lo, hi], sorted by series and time: of several values for one (series, time,
// field) the one written last. Each block.Rows is within the limits of a block
// unless a single row is not, and at least half full unless the rows end; a series
// is cut only where that demands it. What emit is given is valid until it returns.
// segs hold plain series ids and are not changed.
func sortSegments(ctx context.Context, segs []*segment, lo, hi int64, s *sorter, emit func(*block.Rows) error) error {
	defer s.release()
	if err := s.arrange(ctx, segs, lo, hi, nil, nil); err != nil {
		return err
	}
	for at := (cut{}); s.more(at); {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, next := s.block(at)
		if err := emit(rows); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// sorter is the memory that sorting needs: about 16 bytes for a row of the
// segments, 4 for a series, and one block. It may be used again and again, by one
// goroutine at a time.
//
// Sorting is by counting. The rows of each series are counted, which gives every
// series its place, and references to the rows are put there in the order of
// writing; within a series they nearly always are in the order of time already,
// and are sorted only if not. A block is a range of references. Its values are
// gathered segment by segment and there column by column, so that the loops are
// over plain arrays; taken in that order, the last value written stays.
type sorter struct {
	segs  []*segment
	refs  []segRow
	ends  []uint32 // of a series' refs, by its rank
	slots []slot   // one for each field, ascending
	// columns are the slots of the segments' columns, -1 for one that nobody
	// wants; those of segs[i] begin at columns[starts[i]].
	columns []int32
	starts  []int
	index   map[point.FieldID]int32

	// ids of the ranks; nil: rank r is id base+r.
	ids  []point.SeriesID
	base point.SeriesRef
	// sorted is up to which rank refs have been put into the order of time.
	sorted int

	// Of the block under way.
	rows    block.Rows
	taken   []refRange // its refs
	outs    []uint32   // the rows of the block that the taken refs are for
	segEnds []uint32   // of a segment's cells
	cells   []rowCell

	// While arranging: rows of few series; what seriesOf and timesOf return.
	found  []foundRow
	series []point.SeriesRef
	times  []int64
}

// refRange is refs from to to-1.
type refRange struct{ from, to uint32 }

// foundRow is a row of a wanted series.
type foundRow struct {
	segRow
	rank uint32
}

// segRow is a row of a segment.
type segRow struct {
	time int64
	seg  uint32 // in sorter.segs
	row  uint32
}

// rowCell says that a segment's row becomes row out of the block.
type rowCell struct{ row, out uint32 }

// bytes is what the memory takes.
func (s *sorter) bytes() int64 {
	n := cap(s.refs)*16 + cap(s.ends)*4 + cap(s.columns)*4 + cap(s.cells)*8 + cap(s.outs)*4 + cap(s.rows.Times)*8 + cap(s.found)*24 + cap(s.series)*4 + cap(s.times)*8
	for i := range s.slots {
		sl := &s.slots[i]
		n += cap(sl.nums)*8 + cap(sl.strs)*16 + cap(sl.has)*8 + cap(sl.rows)*4 + cap(sl.column.Ends)*4 + cap(sl.column.Bytes)
	}
	return int64(n)
}

// cut is a position in the sorted refs: ref of rank's range comes next.
type cut struct {
	rank int
	ref  uint32
}

// release drops the references to segments.
func (s *sorter) release() {
	clear(s.segs)
	s.segs = s.segs[:0]
	for i := range s.slots {
		clear(s.slots[i].strs[:cap(s.slots[i].strs)])
	}
	s.ids = nil
}

// arrange takes the wanted rows of segs into account. ranks and its ids select
// and order the series; nil means all, ascending. fields are the wanted fields,
// ascending; nil means all.
func (s *sorter) arrange(ctx context.Context, segs []*segment, lo, hi int64, ranks *ranks, fields []Field) error {
	s.release()
	rows := 0
	first, last := ^point.SeriesRef(0), point.SeriesRef(0)
	for _, seg := range segs {
		if seg.rows == 0 || seg.max < lo || seg.min > hi {
			continue
		}
		s.segs = append(s.segs, seg)
		rows += seg.rows
		if ranks == nil {
			first, last = min(first, seg.first), max(last, seg.last)
		}
	}
	s.findSlots(fields)
	s.refs, s.sorted, s.base = s.refs[:0], 0, first
	switch {
	case rows == 0:
		s.ends = s.ends[:0]
		return ctx.Err()
	case ranks != nil:
		s.ids = ranks.ids
	case int(last-first) >= 16*rows+4096:
		// Too far apart to count by id.
		ids := make([]point.SeriesID, 0, rows)
		for _, seg := range s.segs {
			for _, ref := range s.seriesOf(seg) {
				ids = append(ids, ref.ID())
			}
		}
		slices.Sort(ids)
		s.ids = slices.Compact(ids)
		r := newRanks(s.ids)
		ranks = &r
	}
	n := int(last-first) + 1
	if ranks != nil {
		n = len(s.ids)
	}
	s.ends = slices.Grow(s.ends[:0], n)[:n]
	clear(s.ends)
	few, err := s.find(ctx, lo, hi, ranks, rows/16)
	if err != nil {
		return err
	}
	if !few {
		clear(s.ends)
		if err := s.count(ctx, lo, hi, ranks); err != nil {
			return err
		}
	}
	sum := uint32(0)
	for i, n := range s.ends {
		s.ends[i] = sum // the beginning; place makes it the end
		sum += n
	}
	s.refs = slices.Grow(s.refs, int(sum))[:sum]
	if !few {
		return s.place(ctx, lo, hi, ranks)
	}
	for _, f := range s.found {
		s.refs[s.ends[f.rank]] = f.segRow
		s.ends[f.rank]++
	}
	return nil
}

// seriesOf is the series of a segment's rows, until the next call.
func (s *sorter) seriesOf(seg *segment) []point.SeriesRef {
	s.series = slices.Grow(s.series[:0], seg.rows)[:seg.rows]
	fillNumbers(s.series, &seg.series)
	return s.series
}

// timesOf is the times of a segment's rows, until the next call.
func (s *sorter) timesOf(seg *segment) []int64 {
	s.times = slices.Grow(s.times[:0], seg.rows)[:seg.rows]
	fillNumbers(s.times, &seg.times)
	return s.times
}

// find counts the wanted rows and remembers them, so that segments are passed over
// once only. It gives up after most rows, and when series are far apart.
func (s *sorter) find(ctx context.Context, lo, hi int64, ranks *ranks, most int) (bool, error) {
	s.found = s.found[:0]
	if ranks == nil || ranks.dense == nil {
		return false, nil
	}
	first, dense := ranks.lo, ranks.dense
	for k, seg := range s.segs {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		for i, ref := range s.seriesOf(seg) {
			at := uint64(ref - first) // wraps below first
			if at >= uint64(len(dense)) || dense[at] == 0 {
				continue
			}
			if t := int64(seg.times.at(i)); lo <= t && t <= hi {
				rank := dense[at] - 1
				s.found = append(s.found, foundRow{segRow{t, uint32(k), uint32(i)}, rank})
				s.ends[rank]++
			}
		}
		if len(s.found) > most {
			return false, nil
		}
	}
	return true, nil
}

func (s *sorter) count(ctx context.Context, lo, hi int64, ranks *ranks) error {
	ends := s.ends
	for _, seg := range s.segs {
		if err := ctx.Err(); err != nil {
			return err
		}
		inside := lo <= seg.min && seg.max <= hi
		if ranks == nil && inside {
			for _, ref := range s.seriesOf(seg) {
				ends[ref-s.base]++
			}
			continue
		}
		times := s.timesOf(seg)
		for i, ref := range s.seriesOf(seg) {
			if !inside && (times[i] < lo || times[i] > hi) {
				continue
			}
			if ranks == nil {
				ends[ref-s.base]++
			} else if rank := ranks.of(ref); rank != 0 {
				ends[rank-1]++
			}
		}
	}
	return nil
}

func (s *sorter) place(ctx context.Context, lo, hi int64, ranks *ranks) error {
	next, refs := s.ends, s.refs
	for k, seg := range s.segs {
		if err := ctx.Err(); err != nil {
			return err
		}
		inside := lo <= seg.min && seg.max <= hi
		times, series := s.timesOf(seg), s.seriesOf(seg)
		times = times[:len(series)]
		for i, ref := range series {
			t := times[i]
			if !inside && (t < lo || t > hi) {
				continue
			}
			var rank uint32
			if ranks == nil {
				rank = uint32(ref - s.base)
			} else if rank = ranks.of(ref); rank == 0 {
				continue
			} else {
				rank--
			}
			at := next[rank]
			next[rank] = at + 1
			refs[at] = segRow{t, uint32(k), uint32(i)}
		}
	}
	return nil
}

// fieldsDense is up to which id fields are found in an array.
const fieldsDense = 1 << 12

// findSlots makes a slot for each field of segs, or for each of fields, and
// says which one a column belongs to.
func (s *sorter) findSlots(fields []Field) {
	if s.index == nil {
		s.index = make(map[point.FieldID]int32)
	}
	clear(s.index)
	types := make([]Field, 0, max(len(fields), 16))
	var dense [fieldsDense / 64]uint64 // seen
	if fields != nil {
		types = append(types, fields...)
	} else {
		for _, seg := range s.segs {
			for i := range seg.columns {
				c := &seg.columns[i]
				if c.field < fieldsDense {
					if dense[c.field/64]&(1<<(c.field%64)) != 0 {
						continue
					}
					dense[c.field/64] |= 1 << (c.field % 64)
				} else if _, ok := s.index[c.field]; ok {
					continue
				} else {
					s.index[c.field] = 0
				}
				types = append(types, Field{ID: c.field, Type: c.typ})
			}
		}
		slices.SortFunc(types, func(x, y Field) int { return cmp.Compare(x.ID, y.ID) })
	}
	s.slots = slices.Grow(s.slots[:0], len(types))[:len(types)]
	var few [fieldsDense]int32 // 1 + slot
	for i, f := range types {
		s.slots[i].field, s.slots[i].typ = f.ID, f.Type
		if f.ID < fieldsDense {
			few[f.ID] = int32(i) + 1
		} else {
			s.index[f.ID] = int32(i) + 1
		}
	}
	s.columns, s.starts = s.columns[:0], s.starts[:0]
	for _, seg := range s.segs {
		s.starts = append(s.starts, len(s.columns))
		for i := range seg.columns {
			if f := seg.columns[i].field; f < fieldsDense {
				s.columns = append(s.columns, few[f]-1)
			} else {
				s.columns = append(s.columns, s.index[f]-1)
			}
		}
	}
	s.starts = append(s.starts, len(s.columns))
}

// id is the series of a rank.
func (s *sorter) id(rank int) point.SeriesID {
	if s.ids != nil {
		return s.ids[rank]
	}
	return point.SeriesID(s.base) + point.SeriesID(rank)
}

// run is the refs of a rank.
func (s *sorter) run(rank int) (from, to uint32) {
	if rank > 0 {
		from = s.ends[rank-1]
	}
	return from, s.ends[rank]
}

// more reports whether there are refs at or after at.
func (s *sorter) more(at cut) bool { return int(at.ref) < len(s.refs) }

// inOrder sorts the refs of a rank by time, and those of one time in the order of
// writing. Ranks are asked for in ascending order.
func (s *sorter) inOrder(rank int) []segRow {
	from, to := s.run(rank)
	run := s.refs[from:to]
	if rank < s.sorted {
		return run
	}
	s.sorted = rank + 1
	for i := 1; i < len(run); i++ {
		if run[i-1].time > run[i].time {
			slices.SortFunc(run, compareRefs)
			break
		}
	}
	return run
}

func compareRefs(x, y segRow) int {
	if c := cmp.Compare(x.time, y.time); c != 0 {
		return c
	}
	return cmp.Compare(uint64(x.seg)<<32|uint64(x.row), uint64(y.seg)<<32|uint64(y.row))
}

// block gathers the rows from at on that make a good block, and says where the
// next one begins.
func (s *sorter) block(at cut) (*block.Rows, cut) {
	most := block.RowsMax
	for {
		s.restart()
		next := s.take(at, most)
		columns := s.group()
		if n := s.rows.Len(); n > 1 && n*columns > block.CellsMax {
			most = max(1, min(most-1, block.CellsMax/columns))
			continue
		}
		if n := s.gather(); n > 0 { // the strings are too many
			most = n
			continue
		}
		return s.finish(), next
	}
}

// take takes refs for another block, of up to most rows from at on.
func (s *sorter) take(at cut, most int) cut {
	r := &s.rows
	from, base, outs := at.ref, len(r.Times), len(s.outs)
	for ; at.rank < len(s.ends); at.rank++ {
		_, end := s.run(at.rank)
		if at.ref == end {
			continue
		}
		had := len(r.Times) - base
		if had == most {
			break
		}
		run := s.inOrder(at.rank)
		run = run[len(run)-int(end-at.ref):]
		n := uint32(s.assign(run, most-had))
		if int(n) < len(run) && 2*had >= most {
			// The series does not fit, and the block is good without it.
			r.Times = r.Times[:base+had]
			s.outs = s.outs[:outs+int(at.ref-from)]
			break
		}
		r.Series = append(r.Series, s.id(at.rank))
		r.Ends = append(r.Ends, uint32(len(r.Times)))
		at.ref += n
		if int(n) < len(run) {
			break
		}
	}
	s.taken = append(s.taken, refRange{from, at.ref})
	return at
}

// restart begins a block.
func (s *sorter) restart() {
	s.rows.Reset()
	s.outs, s.taken = s.outs[:0], s.taken[:0]
}

// assign gives the refs of a series, sorted by time, their rows: at most most of
// them. It returns how many refs have got theirs.
func (s *sorter) assign(run []segRow, most int) int {
	times, outs := s.rows.Times, slices.Grow(s.outs, len(run))
	had := len(times)
	at := len(outs)
	for i := range run {
		t := run[i].time
		if n := len(times); n == had || times[n-1] != t {
			if n == had+most {
				break
			}
			times = append(times, t)
		}
		outs = append(outs, uint32(len(times)-1))
	}
	s.rows.Times, s.outs = times, outs
	return len(outs) - at
}

// add takes the refs from to to-1 of a rank, all of those with a time or none.
// That they are few enough is the caller's business.
func (s *sorter) add(rank int, from, to uint32) {
	s.assign(s.refs[from:to], int(to-from))
	s.taken = append(s.taken, refRange{from, to})
	s.rows.Series = append(s.rows.Series, s.id(rank))
	s.rows.Ends = append(s.rows.Ends, uint32(len(s.rows.Times)))
}

// group orders the taken refs by segment, and returns the number of columns that
// their segments have.
func (s *sorter) group() (columns int) {
	s.segEnds = slices.Grow(s.segEnds[:0], len(s.segs))[:len(s.segs)]
	clear(s.segEnds)
	for _, r := range s.taken {
		refs := s.refs[r.from:r.to]
		for i := range refs {
			s.segEnds[refs[i].seg]++
		}
	}
	for i := range s.slots {
		s.slots[i].used, s.slots[i].dense = false, 0
	}
	sum := uint32(0)
	for k, n := range s.segEnds {
		s.segEnds[k] = sum
		sum += n
		if n == 0 {
			continue
		}
		seg := s.segs[k]
		for i, c := range s.columns[s.starts[k]:s.starts[k+1]] {
			if c < 0 {
				continue
			}
			sl := &s.slots[c]
			if !sl.used {
				sl.used = true
				columns++
			}
			if c := &seg.columns[i]; c.rows == nil && c.n == seg.rows {
				sl.dense += int(n)
			}
		}
	}
	s.cells = slices.Grow(s.cells[:0], int(sum))[:sum]
	next, cells, outs := s.segEnds, s.cells, s.outs
	for _, r := range s.taken {
		refs := s.refs[r.from:r.to]
		out := outs[:len(refs)]
		outs = outs[len(refs):]
		for i := range refs {
			at := next[refs[i].seg]
			next[refs[i].seg] = at + 1
			cells[at] = rowCell{refs[i].row, out[i]}
		}
	}
	return columns
}

// gather gathers the values of the taken refs. If the strings are too many for a
// block it returns how many rows there should be instead.
func (s *sorter) gather() (fewer int) {
	n, refs := s.rows.Len(), len(s.cells)
	strings := false
	for i := range s.slots {
		if sl := &s.slots[i]; sl.used {
			sl.begin(n, sl.dense == refs)
			strings = strings || sl.typ == point.String
		}
	}
	from := uint32(0)
	for k, to := range s.segEnds {
		cells := s.cells[from:to]
		from = to
		if len(cells) == 0 {
			continue
		}
		seg := s.segs[k]
		ascending := false
		for i, c := range s.columns[s.starts[k]:s.starts[k+1]] {
			if c < 0 {
				continue
			}
			column := &seg.columns[i]
			if column.rows != nil && !ascending {
				ascending = true
				sortCells(cells)
			}
			s.slots[c].gather(column, cells)
		}
	}
	if strings {
		if fewer := s.stringRows(n); fewer < n {
			return fewer
		}
	}
	return 0
}

// finish makes the columns of what has been gathered.
func (s *sorter) finish() *block.Rows {
	for i := range s.slots {
		if sl := &s.slots[i]; sl.used {
			if c := sl.finish(s.rows.Len()); c != nil {
				s.rows.Columns = append(s.rows.Columns, c)
			}
		}
	}
	return &s.rows
}

// stringRows is how many of the n rows a block may have for its strings, at
// least one.
func (s *sorter) stringRows(n int) int {
	sum := 0
	for i := range s.slots {
		if sl := &s.slots[i]; sl.used && sl.typ == point.String {
			for _, v := range sl.strs[:n] {
				sum += len(v)
			}
		}
	}
	if sum <= block.StringBytesMax {
		return n
	}
	sum = 0
	for row := range n {
		for i := range s.slots {
			if sl := &s.slots[i]; sl.used && sl.typ == point.String {
				sum += len(sl.strs[row])
			}
		}
		if sum > block.StringBytesMax {
			return max(row, 1)
		}
	}
	return n
}

// sortCells sorts the cells of one segment by row, which they mostly are.
func sortCells(cells []rowCell) {
	for i := 1; i < len(cells); i++ {
		if cells[i-1].row > cells[i].row {
			slices.SortFunc(cells, func(x, y rowCell) int { return cmp.Compare(x.row, y.row) })
			return
		}
	}
}
