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
