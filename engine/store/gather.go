package store

import (
	"cmp"
	"fmt"
	"slices"

	"headgate/engine/point"
)

// collect fills refs with the group's rows.
func (q *reading) collect(lo, hi uint32) error {
	q.refs, q.starts = q.refs[:0], q.starts[:0]
	for _, s := range q.segments {
		q.starts = append(q.starts, len(q.refs))
		err := q.eachRow(s, func(row int, rank uint32) {
			if rank-lo < hi-lo { // wraps below lo
				q.refs = append(q.refs, rowRef{s.times[row], uint32(row), rank - lo})
			}
		})
		if err != nil {
			return err
		}
	}
	q.starts = append(q.starts, len(q.refs))
	return nil
}

// arrange finds the output row of every ref: refs of a series by time, equal
// times in one row. It returns the times by series.
func (q *reading) arrange(lo, hi int) [][]int64 {
	n := len(q.refs)
	q.perm = slices.Grow(q.perm[:0], n)[:n]
	q.outs = slices.Grow(q.outs[:0], n)[:n]
	next := make([]int, hi-lo)
	sum := 0
	for i := range next {
		next[i] = sum
		sum += int(q.rows[lo+i])
	}
	for i := range q.refs {
		s := q.refs[i].series
		q.perm[next[s]] = uint32(i)
		next[s]++
	}
	times := make([][]int64, hi-lo)
	q.bases = slices.Grow(q.bases[:0], hi-lo+1)[:hi-lo+1]
	q.bases[0] = 0
	start := 0
	for i, end := range next {
		q.bases[i+1] = q.bases[i]
		if end > start {
			times[i] = q.arrangeSeries(q.perm[start:end])
			q.bases[i+1] += len(times[i])
		}
		start = end
	}
	return times
}

func (q *reading) arrangeSeries(perm []uint32) []int64 {
	refs := q.refs
	sorted := true
	for i := 1; i < len(perm) && sorted; i++ {
		sorted = refs[perm[i-1]].time <= refs[perm[i]].time
	}
	if !sorted {
		slices.SortFunc(perm, func(x, y uint32) int {
			if c := cmp.Compare(refs[x].time, refs[y].time); c != 0 {
				return c
			}
			return cmp.Compare(x, y)
		})
	}
	times := make([]int64, 0, len(perm))
	for _, i := range perm {
		if t := refs[i].time; len(times) == 0 || times[len(times)-1] != t {
			times = append(times, t)
		}
		q.outs[i] = uint32(len(times) - 1)
	}
	return times
}

// gather hands each value of the group's rows to its builder, in the order in
// which the values were written.
func (q *reading) gather(lo, hi int) error {
	n := (hi - lo) * len(q.fields)
	q.builder = slices.Grow(q.builder[:0], n)[:n]
	clear(q.builder)
	q.chooseFlat()
	for i := range q.segments {
		refs := q.refs[q.starts[i]:q.starts[i+1]]
		outs := q.outs[q.starts[i]:q.starts[i+1]]
		if len(refs) == 0 {
			continue
		}
		for _, c := range q.columns[i] {
			if err := q.step(len(refs)); err != nil {
				return err
			}
			if flat := q.flat[c.field]; flat != nil {
				for k := range refs {
					flat[q.bases[refs[k].series]+int(outs[k])] = c.column.Nums[refs[k].row]
				}
				continue
			}
			q.gatherColumn(lo, c, refs, outs)
		}
	}
	return nil
}

// chooseFlat finds the fields that have a value in every row of the group, which
// is most of them. Their values go straight to their place in one array: in the
// order of writing, the last one stays.
func (q *reading) chooseFlat() {
	dense := make([]int, len(q.fields))
	used := 0
	for i, s := range q.segments {
		if q.starts[i] == q.starts[i+1] {
			continue
		}
		used++
		for _, c := range q.columns[i] {
			if c.column.Type != point.String && c.column.Dense(len(s.times)) {
				dense[c.field]++
			}
		}
	}
	q.flat = make([][]uint64, len(q.fields))
	for f, n := range dense {
		if n == used {
			q.flat[f] = make([]uint64, q.bases[len(q.bases)-1])
		}
	}
}

func (q *reading) gatherColumn(lo int, c columnOf, refs []rowRef, outs []uint32) {
	col := c.column
	add := func(k, value int) {
		cell := &q.builder[int(refs[k].series)*len(q.fields)+c.field]
		if *cell == nil {
			room := min(int(q.rows[lo+int(refs[k].series)]), q.values[c.field])
			*cell = newCellBuilder(col.Type, room)
		}
		(*cell).add(outs[k], col, value)
	}
	if col.Rows == nil {
		n := uint32(col.Len())
		for k := range refs {
			if refs[k].row >= n {
				return
			}
			add(k, int(refs[k].row))
		}
		return
	}
	// Both lists ascend.
	rows := col.Rows
	at := 0
	for k := range refs {
		row := refs[k].row
		if len(rows)-at > 16*(len(refs)-k) {
			n, _ := slices.BinarySearch(rows[at:], row)
			at += n
		}
		for at < len(rows) && rows[at] < row {
			at++
		}
		if at == len(rows) {
			return
		}
		if rows[at] == row {
			add(k, at)
		}
	}
}

// finish makes the rows of the group's series i.
func (q *reading) finish(lo, i int, times []int64) (point.SeriesRows, error) {
	columns := make([]*point.Column, len(q.fields))
	full := false
	for f := range q.fields {
		if flat := q.flat[f]; flat != nil {
			from, to := q.bases[i], q.bases[i+1]
			columns[f] = &point.Column{Name: []byte(q.fields[f].Name), Type: q.fields[f].Type, Field: q.fields[f].ID, Nums: flat[from:to:to]}
			full = true
			continue
		}
		if cb := q.builder[i*len(q.fields)+f]; cb != nil {
			if cb.overflow {
				return point.SeriesRows{}, fmt.Errorf("read series %q: strings of field %q exceed 4 GiB; ask for a shorter time range", q.view.b.series.key(q.series[lo+i]), q.fields[f].Name)
			}
			columns[f] = cb.column(q.fields[f], len(times))
			full = full || columns[f].Dense(len(times))
		}
	}
	if !full {
		times = dropEmptyRows(times, columns)
	}
	out := point.SeriesRows{Times: times, Columns: make([]*point.Column, len(q.answers))}
	for k, at := range q.answers {
		if at >= 0 {
			out.Columns[k] = columns[at]
		}
	}
	return out, nil
}

// dropEmptyRows leaves out rows in which no column has a value.
func dropEmptyRows(times []int64, columns []*point.Column) []int64 {
	has := make([]uint32, len(times)) // later 1 + the new row number
	for _, c := range columns {
		if c != nil {
			for i := range c.Len() {
				has[c.Row(i)] = 1
			}
		}
	}
	n := uint32(0)
	for row := range has {
		if has[row] != 0 {
			times[n] = times[row]
			n++
			has[row] = n
		}
	}
	if int(n) == len(times) {
		return times
	}
	for _, c := range columns {
		if c != nil {
			for i, row := range c.Rows {
				c.Rows[i] = has[row] - 1
			}
			if c.Len() == int(n) {
				c.Rows = nil
			}
		}
	}
	return times[:n]
}
