package bench

import (
	"bytes"
	"fmt"
	"time"

	"github.com/klauspost/compress/gzip"
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
	// times are the distinct timestamps, stamps the places of each, in order.
	times  []int64
	stamps []stamp
	// ids are the places of series numbers, baseIDs what stands there at first.
	ids     []int32
	baseIDs []int64

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

// appendTime appends a timestamp that can be patched.
func (b *Body) appendTime(ns int64) {
	if n := len(b.times); n == 0 || b.times[n-1] != ns {
		b.times = append(b.times, ns)
	}
	b.stamps = append(b.stamps, stamp{int32(len(b.text)), int32(len(b.times) - 1)})
	b.text = append(b.text, make([]byte, timeDigits)...)
	putDigits(b.text[len(b.text)-timeDigits:], ns)
}

// appendSeriesID appends a series number that can be patched.
func (b *Body) appendSeriesID(id int64) {
	b.ids = append(b.ids, int32(len(b.text)))
	b.baseIDs = append(b.baseIDs, id)
	b.text = append(b.text, make([]byte, seriesIDDigits)...)
	putDigits(b.text[len(b.text)-seriesIDDigits:], id)
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

// shift moves the body on by so much time and so many series since it was made.
func (b *Body) shift(ns, ids int64) {
	var digits [timeDigits]byte
	last := int32(-1)
	for _, s := range b.stamps {
		if s.time != last {
			last = s.time
			putDigits(digits[:], b.times[last]+ns)
		}
		copy(b.text[s.at:], digits[:])
	}
	for i, at := range b.ids {
		putDigits(b.text[at:at+seriesIDDigits], b.baseIDs[i]+ids)
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
// by the number it holds, so that no point is ever sent twice; compressed bodies
// are sent again as they are. Not safe for concurrent use.
type Ring struct {
	bodies []*Body
	next   int
	cycle  int64
	// period is the time, ids the count of series numbers that one cycle spans.
	period, ids int64
}

type ringOptions struct {
	workload Workload
	seed     uint64
	hosts    int
	conn     int
	conns    int
	lines    int
	// bytesMax bounds what the ring may hold; it holds two bodies all the same.
	bytesMax  int
	bodiesMax int
	gzip      bool
	start     time.Time
	target    Target
	head      head
}

func newRing(o ringOptions) (*Ring, error) {
	src := newLineSource(o.workload, o.seed, o.hosts, o.conn, o.conns, o.start)
	r := &Ring{}
	held := 0
	for len(r.bodies) < 2 || (held < o.bytesMax && len(r.bodies) < o.bodiesMax) {
		b := &Body{}
		for range o.lines {
			src.appendLine(b)
		}
		b.lineBytes = len(b.text)
		if o.gzip {
			if err := b.compress(); err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
		}
		b.head = o.head.append(nil, o.target, len(b.Wire()))
		r.bodies = append(r.bodies, b)
		r.ids += int64(len(b.ids) * o.conns)
		held += len(b.Wire())
	}
	first, last := r.bodies[0].times, r.bodies[len(r.bodies)-1].times
	r.period = last[len(last)-1] - first[0] + int64(reportStep)
	return r, nil
}

// compress makes the wire form and lets go of the text.
func (b *Body) compress() error {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b.text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	b.wire = bytes.Clone(buf.Bytes())
	b.text, b.stamps, b.times = nil, nil, []int64{b.times[0], b.times[len(b.times)-1]}
	b.ids, b.baseIDs = nil, nil
	return nil
}

// Next returns the body to send, which stays the ring's and is as it is until the
// ring has come round to it again.
func (r *Ring) Next() *Body {
	b := r.bodies[r.next]
	if r.cycle > 0 && b.wire == nil {
		b.shift(r.cycle*r.period, r.cycle*r.ids)
	}
	if r.next++; r.next == len(r.bodies) {
		r.next = 0
		r.cycle++
	}
	return b
}

// Repeats reports whether the ring has begun to send points a second time.
func (r *Ring) Repeats() bool {
	return r.bodies[0].wire != nil && (r.cycle > 1 || r.cycle == 1 && r.next > 0)
}
