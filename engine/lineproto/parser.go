package lineproto

import (
	"bytes"
	"hash/maphash"
	"math"

	"headgate/engine/point"
)

// SeriesLookup knows the series that a bucket has defined. A parser asks it only
// about prefixes that the index does not hold.
type SeriesLookup interface {
	// LookupSeries returns the ids of the series with the canonical key and of
	// its measurement. It does not keep key. It may be called concurrently.
	LookupSeries(key []byte) (point.SeriesID, point.MeasurementID, bool)
}

// Options says how to read one body.
type Options struct {
	// Precision is the unit of the timestamps. Default: nanoseconds.
	Precision point.Precision
	// Now is the time of lines without a timestamp, in nanoseconds. It is
	// truncated to Precision, unless that is point.AutoPrecision.
	Now int64
	// Index is the bucket's; nil to do without.
	Index *Index
	// Series is the bucket's; nil if no series is defined yet.
	Series SeriesLookup
	// Epoch is the schema epoch from which on Series answers. The index forgets
	// what it learned in earlier ones.
	Epoch uint64
	// MemoryBytesMax limits, by estimate, what the batch and the way to it may
	// occupy, in bytes; a body that needs more is refused with ErrMemory. 0 is no limit.
	//
	// Values of known fields need 0.3 to 4 times the body: the shortest lines most.
	// A new series costs about 70 bytes and its key, a new field 230, a new
	// measurement 700, so a body that consists of nothing but short new names can need 6, 25
	// and 90 times its size. Eight times the body and 1 MiB is ample for any other.
	MemoryBytesMax int64
}

// Parser turns bodies of line protocol into batches. The zero value is ready. It is
// meant to be used again: it learns what the lines of a measurement look like.
// It must not be used concurrently.
type Parser struct {
	// Of the body at hand.
	o         Options
	batch     *point.Batch
	body      []byte
	unit      int64 // nanoseconds per unit of time, 0 if each timestamp says
	timeMax   uint64
	now       int64
	err       *SyntaxError
	overLimit bool
	memory    int64 // of tables, columns and new series, by estimate
	ahead     int64 // bytes reserved for rows that are only expected, in all tables

	young, old *generation
	seed       maphash.Seed
	last       int // entry of the last line in young, -1 if unknown
	stamp      stamp
	buf        []byte // what quick reads; pending strings lie there
	trust      int    // grows when entries follow each other as expected

	fresh     freshSeries
	shapes    map[string]*shape
	byID      shapeTable
	current   []*shape // with a table in the batch, in the order of the tables
	kept      int      // weight of all shapes
	fieldSeed maphash.Seed

	tags   []tagSpan
	fields []field
	found  []field // of the line at hand; in fields' memory
	key    []byte
	tail   []byte

	chunk []byte // room for names and keys to come

	// For tests.
	noFast bool // everything goes the general way
	noFree bool // what is not predicted goes the general way
	counts struct{ predicted, free, general int }
}

// Parse reads body into b, which must be empty. On success b holds every point, in order;
// otherwise b is empty and the error is a [*SyntaxError], [ErrMemory] or [ErrBodyTooLong].
// The batch does not refer to body.
func (p *Parser) Parse(b *point.Batch, body []byte, o Options) error {
	if len(body) > math.MaxInt32 {
		return ErrBodyTooLong
	}
	if o.Precision == 0 {
		o.Precision = point.Nanosecond
	}
	p.begin(b, body, o)
	p.parse()
	err := p.finish()
	if err != nil {
		b.Reset()
	}
	return err
}

func (p *Parser) begin(b *point.Batch, body []byte, o Options) {
	p.o, p.batch, p.body = o, b, body
	p.unit, p.timeMax, p.now = 0, 0, o.Now
	if o.Precision != point.AutoPrecision {
		p.unit = int64(o.Precision)
		p.timeMax = uint64(point.TimeMax / p.unit)
		p.now = o.Now - o.Now%p.unit
		if p.now > o.Now {
			p.now -= p.unit
		}
	}
	p.last, p.trust, p.stamp = -1, 0, stamp{}
	if o.Index != nil {
		p.seed = o.Index.seed
		p.young, p.old = o.Index.generations(o.Epoch)
	} else if p.seed == (maphash.Seed{}) {
		p.seed = maphash.MakeSeed()
	}
	if p.shapes == nil {
		p.shapes = make(map[string]*shape)
		p.fieldSeed = maphash.MakeSeed()
	}
	b.Epoch = o.Epoch
}

// finish returns what Parse does and lets go of the body and the batch.
func (p *Parser) finish() error {
	p.endShapes()
	p.fresh.reset()
	var err error
	switch {
	case p.err != nil:
		err = p.err
	case p.overLimit:
		err = ErrMemory
	}
	p.batch, p.body, p.buf, p.err, p.overLimit, p.memory, p.ahead = nil, nil, nil, nil, false, 0, 0
	p.o, p.young, p.old, p.chunk = Options{}, nil, nil, nil
	p.found = nil
	if cap(p.tail) > scratchMax {
		p.tail = nil
	}
	if cap(p.key) > scratchMax {
		p.key = nil
	}
	if cap(p.fields) > scratchMax {
		p.fields = nil
	}
	if cap(p.tags) > scratchMax {
		p.tags = nil
	}
	return err
}

// scratchMax is how many entries of scratch a parser keeps from one body to the next.
const scratchMax = 1 << 14

// tailBytesMax is the longest end of a body that is copied to be read quickly.
const tailBytesMax = 1 << 20

// slack ends every run of digits, every key and every line.
var slack = bytes.Repeat([]byte{'\n'}, slackBytes+1)

// parse reads the body the quick ways up to its last line, or its last few if they are short. What is
// left is read from a copy with slack behind it, so that whole words can be read up to
// the last byte.
func (p *Parser) parse() {
	body := p.body
	pos, line := 0, uint32(1)
	if p.noFast {
		p.slow(body, pos, line)
		return
	}
	if len(body) > slackBytes {
		stop := bytes.LastIndexByte(body[:len(body)-slackBytes], '\n') + 1
		pos, line = p.quick(body, len(body), stop, 0, line)
		pos = min(pos, len(body)) // the last line may lack its newline
	}
	rest := body[pos:]
	if len(rest) > tailBytesMax {
		p.slow(body, pos, line)
		return
	}
	p.tail = append(append(p.tail[:0], rest...), slack...)
	p.quick(p.tail, len(rest), len(rest), pos, line)
}

// slow reads body[pos:] the general way.
func (p *Parser) slow(body []byte, pos int, line uint32) {
	for pos < len(body) && !p.overLimit {
		pos, line = p.general(body, pos, 0, line)
	}
}

// quick reads the lines of buf[:end] that start before stop. base is where buf starts in the
// body. It returns where it stopped, which is at the start of a line, and the line's
// number.
func (p *Parser) quick(buf []byte, end, stop, base int, line uint32) (int, uint32) {
	pos := 0
	last := len(buf) - slackBytes // no field is read that starts behind it
	space := -1                   // the first space at or after pos, once it has been looked for
	p.buf = buf
	defer p.flushAll()
	for pos < stop {
		if p.overLimit {
			return end, line
		}
		if p.err != nil { // the rest is only checked
			pos, line = p.general(buf[:end], pos, base, line)
			continue
		}
		var ref point.SeriesRef
		var s *shape
		var prefix int // its length

		// The entry that followed the last one last time?
		if p.last >= 0 && p.trust >= 0 {
			if n := p.young.after(p.last); n >= 0 {
				e := &p.young.entries[n]
				prefix = int(e.len)
				if pos+prefix < end && buf[pos+prefix] == ' ' && string(buf[pos:pos+prefix]) == string(p.young.arena[e.off:int(e.off)+prefix]) {
					ref, s = point.SeriesRef(e.series), p.shapeOf(e.measurement, buf[pos:pos+prefix])
					p.last = n
					p.trust = min(p.trust+1, trustMax)
				}
			}
		}
		if s == nil {
			if space < pos {
				space = indexFrom(buf[:end], pos, ' ')
			}
			prefix = p.prefixLen(buf, pos, space)
			if prefix > 0 {
				ref, s = p.series(buf[pos:pos+prefix+1], base+pos)
			}
		}
		if s != nil {
			if next := p.quickLine(buf, pos, pos+prefix+1, end, last, s, ref, line); next > 0 {
				pos = next
				line++
				continue
			}
		}
		pos, line = p.general(buf[:end], pos, base, line)
	}
	return pos, line
}

// trustMax and trustMin bound how much a parser believes that series follow each other as
// they did before. Below zero it does not try, but goes on learning.
const (
	trustMax = 8
	trustMin = -8
)

// indexFrom is the position of c in b[i:], or len(b).
func indexFrom(b []byte, i int, c byte) int {
	if n := bytes.IndexByte(b[i:], c); n >= 0 {
		return i + n
	}
	return len(b)
}

// prefixLen is the length of the prefix of the line at buf[pos:], or 0 if it may be none that the
// quick ways understand. space is the first space from pos on.
func (p *Parser) prefixLen(buf []byte, pos, space int) int {
	if space >= len(buf) || space-pos > keyBytesMax {
		return 0
	}
	switch buf[pos] {
	case ' ', '\t', 0, '#', '\n', '\r':
		return 0
	}
	for buf[space-1] == '\\' {
		if bytes.IndexByte(buf[pos:space], '\n') >= 0 {
			return 0 // another line's space: do not look any further
		}
		space = indexFrom(buf, space+1, ' ')
		if space == len(buf) || space-pos > keyBytesMax {
			return 0
		}
	}
	return space - pos
}

// isPlain reports whether a prefix means the same to the splitter of lines and to the
// scanner of tags, wherever it stands at the start of a line.
func isPlain(prefix []byte) bool {
	return bytes.IndexByte(prefix, '\n') < 0 && (bytes.IndexByte(prefix, '\\') < 0 || !bytes.Contains(prefix, []byte(`\\`)))
}

// follow notes that the line's entry in young is n.
func (p *Parser) follow(n int) {
	if p.last >= 0 {
		if p.young.after(p.last) == n {
			p.trust = min(p.trust+1, trustMax)
		} else {
			p.trust = max(p.trust-1, trustMin)
			p.young.learn(p.last, n)
		}
	}
	p.last = n
}

// quickLine reads the fields and the timestamp at buf[i:] and appends the point. It returns
// where the next line starts, or 0 if the line must go the general way.
func (p *Parser) quickLine(buf []byte, start, i, end, last int, s *shape, ref point.SeriesRef, line uint32) int {
	prefix := i - 1 - start
	if l := s.expected; l != nil && prefix+l.keyBytesMax <= keyBytesMax-fieldSeparatorLen {
		if l != s.collecting {
			p.flush(s)
			s.collect(l)
		}
		vals := l.block[s.pending*len(l.fields):]
		if next, t := p.predicted(buf, i, end, last, l.fields, vals); next > 0 {
			p.counts.predicted++
			s.expected = l.next
			s.previous = l
			p.appendPredicted(s, l, ref, t, line, next)
			return next
		}
	}
	if p.noFree {
		return 0
	}
	next, t := p.free(buf, i, end, last, prefix)
	if next > 0 {
		p.counts.free++
		p.appendFields(s, buf, ref, t, line, next)
	}
	return next
}
