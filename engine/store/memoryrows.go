package store

import "slices"

// memoryRows is the wanted rows of the memtables, sorted. Their values are gathered
// as the series are read, those of several series at a time.
type memoryRows struct {
	q       *reading
	sorter  sorter
	rowsMax int
	bytes   int64 // charged

	rows columnRows // those gathered
	// ranges are the rows of the ranks from first on.
	first  int
	ranges []refRange
	// left is the refs of rank that have not been gathered.
	rank int
	left refRange
}

// memoryRowsMax is how many rows are gathered at a time, about.
const memoryRowsMax = 8192

func (m *memoryRows) init(q *reading, segments []*segment) error {
	m.q, m.rank = q, -1
	m.rowsMax = min(memoryRowsMax, q.chunk.rowsMax)
	m.rows.columns = slices.Grow(m.rows.columns[:0], len(q.fields))[:len(q.fields)]
	if len(segments) == 0 {
		m.sorter.refs = m.sorter.refs[:0]
		return nil
	}
	if err := m.sorter.arrange(q.ctx, segments, q.min, q.max, &q.ranks, q.fields); err != nil {
		return err
	}
	return m.charge()
}

func (m *memoryRows) reset() {
	m.sorter.release()
	m.rows.times = nil
	clear(m.rows.columns)
	*m = memoryRows{sorter: m.sorter, rows: m.rows, ranges: m.ranges[:0]}
	if m.sorter.bytes() > readingKeptBytes {
		m.sorter = sorter{}
	}
}

func (m *memoryRows) charge() error {
	n := m.sorter.bytes()
	err := m.q.hold(n - m.bytes)
	if err == nil {
		m.bytes = n
	}
	return err
}

// times are the first and last time that a series has in memory.
func (m *memoryRows) times(rank int) (lo, hi int64, ok bool) {
	if len(m.sorter.refs) == 0 {
		return 0, 0, false
	}
	run := m.sorter.inOrder(rank)
	if len(run) == 0 {
		return 0, 0, false
	}
	return run[0].time, run[len(run)-1].time, true
}

// more reports whether the rank that was loaded last has rows left.
func (m *memoryRows) more() bool { return m.left.from < m.left.to }

// load makes the next rows of a rank the piece's. If it is the rank that was
// loaded last, they take the place of the rows before.
func (m *memoryRows) load(rank int, p *piece) error {
	if m.rank == rank {
		var next refRange
		next, m.left = m.split(m.left, m.rowsMax)
		m.restart(rank)
		m.add(rank, next)
		if err := m.gather(); err != nil {
			return err
		}
	} else {
		m.rank = rank
		_, m.left = m.split(m.run(rank), m.firstMax())
		if i := rank - m.first; i < 0 || i >= len(m.ranges) {
			if err := m.gatherFrom(rank); err != nil {
				return err
			}
		}
	}
	at := m.ranges[rank-m.first]
	p.rows, p.from, p.to = &m.rows, int(at.from), int(at.to)
	return nil
}

func (m *memoryRows) run(rank int) refRange {
	from, to := m.sorter.run(rank)
	return refRange{from, to}
}

// firstMax is how many rows of a series are gathered at first.
func (m *memoryRows) firstMax() int {
	if n := m.q.req.RowsMax; n > 0 {
		return min(n, m.rowsMax)
	}
	return m.rowsMax
}

// split cuts the next refs, about most of them, off a range. The refs of one time
// stay together.
func (m *memoryRows) split(r refRange, most int) (next, left refRange) {
	refs := m.sorter.refs
	if int(r.to-r.from) <= most {
		return r, refRange{r.to, r.to}
	}
	if m.q.req.Descending {
		at := r.to - uint32(most)
		for at > r.from && refs[at-1].time == refs[at].time {
			at--
		}
		return refRange{at, r.to}, refRange{r.from, at}
	}
	at := r.from + uint32(most)
	for at < r.to && refs[at-1].time == refs[at].time {
		at++
	}
	return refRange{r.from, at}, refRange{at, r.to}
}

// gatherFrom gathers the first rows of a rank, and those of the next ranks as long
// as they are few.
func (m *memoryRows) gatherFrom(rank int) error {
	m.restart(rank)
	sum := 0
	for next := rank; next < len(m.q.series); next++ {
		m.sorter.inOrder(next)
		first, _ := m.split(m.run(next), m.firstMax())
		if sum += int(first.to - first.from); sum > m.rowsMax && next > rank {
			break
		}
		m.add(next, first)
	}
	return m.gather()
}

// restart forgets what has been gathered.
func (m *memoryRows) restart(rank int) {
	m.sorter.restart()
	m.first, m.ranges = rank, m.ranges[:0]
}

// add makes the refs of the next rank some of those to gather.
func (m *memoryRows) add(rank int, refs refRange) {
	from := uint32(m.sorter.rows.Len())
	if refs.from < refs.to {
		m.sorter.add(rank, refs.from, refs.to)
	}
	m.ranges = append(m.ranges, refRange{from, uint32(m.sorter.rows.Len())})
}

// gather makes rows of the refs that have been added.
func (m *memoryRows) gather() error {
	m.sorter.group()
	m.sorter.gather()
	rows := m.sorter.finish()
	m.rows.times = rows.Times
	clear(m.rows.columns)
	f := 0
	for _, c := range rows.Columns { // both ascend
		for m.q.fields[f].ID != c.Field {
			f++
		}
		m.rows.columns[f] = c
	}
	return m.charge()
}
