package point

// memory is one block of memory that a batch cuts its columns from and uses again
// after a Reset. What does not fit is allocated beside it; the next block is as
// large as all of that together.
type memory struct {
	block []uint64 // what has been handed out; the rest is behind
	want  int      // words handed out since reset
	next  int      // words that the next block shall have
}

// wordsKept is the largest block that a batch keeps, in words: 16 MiB.
const wordsKept = 2 << 20

// Words returns n words of memory, holding anything. They are good until the batch
// is reset or put back.
func (b *Batch) Words(n int) []uint64 {
	m := &b.memory
	m.want += n
	if m.want == n && max(n, m.next) > cap(m.block) {
		m.block = make([]uint64, 0, max(n, m.next))
	}
	at := len(m.block)
	if n > cap(m.block)-at {
		return make([]uint64, n)
	}
	m.block = m.block[:at+n]
	return m.block[at : at+n : at+n]
}

// reset takes back what has been handed out.
func (m *memory) reset() {
	m.block = m.block[:0]
	switch {
	case cap(m.block) > wordsKept:
		m.block, m.next = nil, 0
	case m.want > cap(m.block):
		m.next = min(m.want+m.want/8, wordsKept)
	}
	m.want = 0
}

// made is the tables and columns that a batch has made, and makes again after a
// Reset out of the same memory.
type made struct {
	tables              []*Table
	columns             []*Column
	tablesIn, columnsIn int // how many are in use
}

const (
	// tablesKept and columnsKept are how many a batch keeps.
	tablesKept  = 64
	columnsKept = 1024
)

func (m *made) table() *Table {
	if m.tablesIn < len(m.tables) {
		m.tablesIn++
		return m.tables[m.tablesIn-1]
	}
	t := new(Table)
	if len(m.tables) < tablesKept {
		m.tables = append(m.tables, t)
		m.tablesIn++
	}
	return t
}

// NewColumn returns a column without name, type and values. It is good until the
// batch is reset or put back.
func (b *Batch) NewColumn() *Column {
	m := &b.made
	if m.columnsIn == len(m.columns) {
		if len(m.columns) >= columnsKept {
			return new(Column)
		}
		block := make([]Column, 8)
		for i := range block {
			m.columns = append(m.columns, &block[i])
		}
	}
	m.columnsIn++
	return m.columns[m.columnsIn-1]
}

// reset takes back what is in use.
func (m *made) reset() {
	for _, t := range m.tables[:m.tablesIn] {
		*t = Table{Columns: t.Columns[:0]}
	}
	for _, c := range m.columns[:m.columnsIn] {
		*c = Column{}
	}
	m.tablesIn, m.columnsIn = 0, 0
}
