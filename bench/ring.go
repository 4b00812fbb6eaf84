package bench

import (
	"fmt"
	"math"
	"time"
)

// Digits of what is patched in place. Nineteen digits of nanoseconds last from
// 2001 to 2262, ten of series for a hundred minutes at a million a second.
const (
	timeDigits     = 19
	seriesIDDigits = 10
)

// Body is one write request's line protocol, made in advance. Its timestamps, and
// the series numbers of HighCard, stand at known places and have a fixed width, so
// they can be moved on without making the text again.
type Body struct {
	text []byte
	// times are the distinct timestamps in ns, stamps the places of each, in order.
	times  []int64
	stamps []stamp
	// unit is the ns of one tick, timeWidth the digits of a timestamp.
	unit      int64
	timeWidth int
	// ids are the places of series numbers.
	ids []idStamp

	// wire is the compressed text, nil when the text is sent as it is.
	wire []byte
	// head is the request head.
	head []byte

	// Points and Values count the lines and their fields.
	Points, Values int
	// lineBytes is the size of the line protocol.
	lineBytes int
}

type stamp struct {
	at   int32 // offset in text
	time int32 // index in times
}

type idStamp struct {
	at      int32 // offset in text
	id      int64 // what stands there at first
	numbers *seriesCounter
}

// seriesCounter says by how much a source's series numbers have moved on while the
// ring was made; each time round they move on by that again.
type seriesCounter struct{ step int64 }

func (b *Body) setPrecision(p Precision) { b.unit, b.timeWidth = p.unit() }

// reset forgets the lines.
func (b *Body) reset() {
	b.text, b.times, b.stamps, b.ids = b.text[:0], b.times[:0], b.stamps[:0], b.ids[:0]
	b.Points, b.Values = 0, 0
}

// appendTime appends a timestamp that can be patched.
func (b *Body) appendTime(ns int64) {
	at := len(b.text)
	b.text = append(b.text, make([]byte, b.timeWidth)...)
	putDigits(b.text[at:], ns/b.unit)
	b.stampTime(at, ns)
}

func (b *Body) stampTime(at int, ns int64) {
	if n := len(b.times); n == 0 || b.times[n-1] != ns {
		b.times = append(b.times, ns)
	}
	b.stamps = append(b.stamps, stamp{int32(at), int32(len(b.times) - 1)})
}

// appendSeriesID appends a series number that can be patched.
func (b *Body) appendSeriesID(id int64, numbers *seriesCounter) {
	at := len(b.text)
	b.text = append(b.text, make([]byte, seriesIDDigits)...)
	b.stampSeriesID(at, id, numbers)
}

// stampSeriesID writes a series number that can be patched over what is there.
func (b *Body) stampSeriesID(at int, id int64, numbers *seriesCounter) {
	b.ids = append(b.ids, idStamp{int32(at), id, numbers})
	putDigits(b.text[at:at+seriesIDDigits], id)
}

// appendBody appends the lines of another body, which stays as it is.
func (b *Body) appendBody(from *Body) {
	base := len(b.text)
	b.text = append(b.text, from.text...)
	for _, s := range from.stamps {
		b.stampTime(base+int(s.at), from.times[s.time])
	}
	for _, s := range from.ids {
		b.ids = append(b.ids, idStamp{int32(base) + s.at, s.id, s.numbers})
	}
	b.Points += from.Points
	b.Values += from.Values
}

// Text returns the line protocol, uncompressed. It changes when the ring moves on.
func (b *Body) Text() []byte { return b.text }

// Wire returns what is sent.
func (b *Body) Wire() []byte {
	if b.wire != nil {
		return b.wire
	}
	return b.text
}

// shift moves the body on by so much time, and its series numbers by so many times
// round, since it was made.
func (b *Body) shift(ns, cycles int64) {
	var back [timeDigits]byte
	digits := back[:b.timeWidth]
	last := int32(-1)
	for _, s := range b.stamps {
		if s.time != last {
			last = s.time
			putDigits(digits, (b.times[last]+ns)/b.unit)
		}
		copy(b.text[s.at:], digits)
	}
	for _, s := range b.ids {
		putDigits(b.text[s.at:s.at+seriesIDDigits], s.id+cycles*s.numbers.step)
	}
}

// putDigits writes v with leading zeros over all of dst.
func putDigits(dst []byte, v int64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

// Ring is one connection's bodies, sent round and round. Each time round the
// timestamps of all of them move on by the time the ring spans, and series numbers
// by as much as they did in the ring, so that no point is ever sent twice but for
// wanted duplicates; compressed bodies are sent again as they are. Not safe for
// concurrent use.
type Ring struct {
	bodies []*Body
	next   int
	cycle  int64
	// newest is the latest time in the ring as it was made, period the time that
	// one cycle spans.
	newest, period int64
	// interval is the time between two reports, so between two rings as well.
	interval int64
	// maxID is the largest series number in the ring as it was made, idStep at
	// least what it grows by in a cycle.
	maxID, idStep int64
}

type ringOptions struct {
	sourceOptions
	lines int
	// bytesMax bounds what the ring may hold; it holds two bodies all the same.
	bytesMax    int
	bodiesMax   int
	compression Compression
	target      Target
	head        head
}

func newRing(o ringOptions) (*Ring, error) {
	unit, _ := o.precision.unit()
	setDefault(&o.interval, reportStep)
	o.start = time.Unix(0, o.start.UnixNano()/unit*unit)
	src, err := newLineSource(o.sourceOptions)
	if err != nil {
		return nil, err
	}
	r := &Ring{maxID: -1, interval: int64(o.interval)}
	held, oldest := 0, int64(math.MaxInt64)
	for len(r.bodies) < 2 || (held < o.bytesMax && len(r.bodies) < o.bodiesMax) {
		b := &Body{}
		b.setPrecision(o.precision)
		for range o.lines {
			src.appendLine(b)
		}
		b.lineBytes = len(b.text)
		for _, ns := range b.times {
			oldest, r.newest = min(oldest, ns), max(r.newest, ns)
		}
		for _, s := range b.ids {
			r.maxID = max(r.maxID, s.id)
		}
		if o.compression != None {
			if b.wire, err = o.compression.compress(b.text); err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			b.text, b.stamps, b.times, b.ids = nil, nil, nil, nil
		}
		b.head = o.head.append(nil, o.target, len(b.Wire()))
		r.bodies = append(r.bodies, b)
		held += len(b.Wire())
	}
	for _, b := range r.bodies {
		for _, s := range b.ids {
			r.idStep = max(r.idStep, s.numbers.step)
		}
	}
	r.period = r.newest - oldest + r.interval
	return r, nil
}

// Next returns the body to send, which stays the ring's and is as it is until the
// ring has come round to it again.
func (r *Ring) Next() *Body {
	b := r.bodies[r.next]
	if r.cycle > 0 && b.wire == nil {
		b.shift(r.cycle*r.period, r.cycle)
	}
	if r.next++; r.next == len(r.bodies) {
		r.next = 0
		r.cycle++
	}
	return b
}

// end returns a time later than all that were sent, and a series number above all.
func (r *Ring) end() (ns, series int64) {
	cycles := r.cycle
	if r.bodies[0].wire != nil {
		cycles = 0
	}
	return r.newest + cycles*r.period + r.interval, r.maxID + cycles*r.idStep + 1
}

// Repeats reports whether the ring has begun to send points a second time.
func (r *Ring) Repeats() bool {
	return r.bodies[0].wire != nil && (r.cycle > 1 || r.cycle == 1 && r.next > 0)
}
