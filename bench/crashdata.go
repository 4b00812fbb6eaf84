package bench

import (
	"math"
	"strconv"
	"time"
)

// What Crash writes is a function of the seed, so the ledger keeps what became of
// each batch and never its points: they are made again to be compared.
//
// A writer's batches stand in slots. A slot has a fixed database, measurement and
// number of lines; line i of it has a fixed series and time. Writing a slot again
// gives its points new values under a new version, which is a field of each point.
//
//	m1,host=h7,w=3 v=41i,f=-12.5,i=99i,u=7u,s="...",b=true 1704067217000012000
//	 |       |   |    |                                      |
//	 |       |   |    version                                epoch + slot s + line ms
//	 |       |   writer
//	 |       a series of the writer; there are more of them from slot to slot
//	 one of crashMeasurements
const (
	crashDatabases    = 2
	crashMeasurements = 3
	crashLinesMax     = 1000 // a line a millisecond, a slot a second
)

// crashEpoch is the time of the first line of slot 0.
var crashEpoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// batchKind says what is the matter with a batch.
type batchKind uint8

const (
	// goodBatch is stored whole: 204.
	goodBatch batchKind = iota
	// mixedBatch has lines whose field has another type: they are dropped, the
	// others are stored: 422.
	mixedBatch
	// malformedBatch has a line that does not parse: nothing is stored: 400.
	malformedBatch
)

// crashData makes the points of one run.
type crashData struct{ seed uint64 }

// Salts keep the decisions that are made about one thing apart.
const (
	saltDatabase uint64 = iota + 1
	saltMeasurement
	saltLines
	saltKind
	saltHost
	saltMask
	saltDropped
	saltWire
	saltValue // and the next few, one a field
)

// mix hashes a few numbers.
func (d crashData) mix(salt uint64, parts ...int) uint64 {
	h := splitmix(d.seed ^ salt*0x9e3779b97f4a7c15)
	for _, p := range parts {
		h = splitmix(h ^ uint64(p))
	}
	return h
}

// splitmix is the finalizer of the SplitMix64 generator.
func splitmix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// slotKey names a slot.
type slotKey struct{ writer, slot int }

// slotShape is what never changes about a slot.
type slotShape struct {
	database, measurement string
	kind                  batchKind
	lines                 int
}

func (d crashData) shape(k slotKey, small bool) slotShape {
	s := slotShape{
		database:    crashDatabase(int(d.mix(saltDatabase, k.writer, k.slot) % crashDatabases)),
		measurement: crashMeasurement(int(d.mix(saltMeasurement, k.writer, k.slot) % crashMeasurements)),
	}
	switch h := d.mix(saltLines, k.writer, k.slot); {
	case small || h%10 < 5:
		s.lines = 1
	case h%10 < 9:
		s.lines = 2 + int(h>>32%60)
	default:
		s.lines = 100 + int(h>>32%(crashLinesMax-100))
	}
	if s.lines > 1 {
		switch d.mix(saltKind, k.writer, k.slot) % 8 {
		case 0:
			s.kind = malformedBatch
		case 1, 2:
			s.kind = mixedBatch
		}
	}
	return s
}

func crashDatabase(n int) string    { return "crash" + strconv.Itoa(n) }
func crashMeasurement(n int) string { return "m" + strconv.Itoa(n) }

// lineTime returns the timestamp of a line, in ns.
func lineTime(slot, line int) int64 {
	return crashEpoch.UnixNano() + int64(slot)*int64(time.Second) + int64(line)*int64(time.Millisecond)
}

// lineOfTime is the inverse of lineTime.
func lineOfTime(ns int64) (slot, line int, ok bool) {
	d := ns - crashEpoch.UnixNano()
	if d < 0 || d%int64(time.Millisecond) != 0 {
		return 0, 0, false
	}
	return int(d / int64(time.Second)), int(d % int64(time.Second) / int64(time.Millisecond)), true
}

// dropped reports whether the server must drop a line of a mixed batch.
func (d crashData) dropped(k slotKey, s slotShape, line int) bool {
	return s.kind == mixedBatch && line > 0 && (line == s.lines-1 || d.mix(saltDropped, k.writer, k.slot, line)%4 == 0)
}

// accepted returns how many lines of a slot are stored when it is written.
func (d crashData) accepted(k slotKey, s slotShape) int {
	if s.kind == malformedBatch {
		return 0
	}
	n := 0
	for line := range s.lines {
		if !d.dropped(k, s, line) {
			n++
		}
	}
	return n
}

// host returns the tag value that makes a line's series.
func (d crashData) host(k slotKey, line int) string {
	return "h" + strconv.Itoa(int(d.mix(saltHost, k.writer, k.slot, line)%uint64(8+k.slot/16)))
}

// crashPoint is the values of one line. A field that the line does not have is not
// set in has.
type crashPoint struct {
	host string
	has  fieldMask
	f    float64
	i    int64
	u    uint64
	s    string
	b    bool
}

// fieldMask has a bit for each field of a crashPoint but the version.
type fieldMask uint8

const (
	hasF fieldMask = 1 << iota
	hasI
	hasU
	hasS
	hasB
	hasAll = hasF | hasI | hasU | hasS | hasB
)

// point returns what a line says in one version of its slot. Which fields it has
// depends on the line alone, so that a new version leaves nothing of the old one.
func (d crashData) point(k slotKey, version, line int) crashPoint {
	value := func(field uint64) uint64 { return d.mix(saltValue+field, k.writer, k.slot, version, line) }
	p := crashPoint{host: d.host(k, line), has: hasAll}
	if line > 0 {
		p.has = fieldMask(d.mix(saltMask, k.writer, k.slot, line)) & hasAll
	}
	switch h := value(0); h % 3 {
	case 0:
		p.f = float64(int64(h>>40)-1<<23) / 1000
	case 1:
		p.f = float64(int64(h >> 56))
	default:
		// Any finite double: its sixteen digits must come back.
		p.f = math.Float64frombits(h&^(0x7ff<<52) | (0x3ff-64+h>>8%128)<<52)
	}
	p.i = int64(value(1))
	p.u = value(2)
	h := value(3)
	p.s = crashStrings[h%uint64(len(crashStrings))] + strconv.FormatUint(h>>32, 16)
	p.b = value(4)%2 == 0
	return p
}

// crashStrings are the beginnings of string values: with everything that line
// protocol and JSON have to escape.
var crashStrings = []string{"", "plain ", "a, b = c ", `quoted "x" `, `back\slash `, "größe 温度 ", "tab\there ", "# no comment "}

// appendBatch appends a batch's line protocol. ticks is how many ns a unit of the
// request's precision has.
func (d crashData) appendBatch(dst []byte, k slotKey, s slotShape, version int, ticks int64) []byte {
	for line := range s.lines {
		dst = append(dst, s.measurement...)
		dst = append(dst, ",host="...)
		switch {
		case s.kind == malformedBatch && line == s.lines-1:
			dst = append(dst, "bad"...)
			dst = d.appendWriter(dst, k, version)
			dst = append(dst, ",nope="...)
		case d.dropped(k, s, line):
			dst = append(dst, "bad"...)
			dst = d.appendWriter(dst, k, version)
			dst = append(dst, ",nope=1i,f=7i"...)
		default:
			p := d.point(k, version, line)
			dst = append(dst, p.host...)
			dst = d.appendWriter(dst, k, version)
			dst = p.appendFields(dst)
		}
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, lineTime(k.slot, line)/ticks, 10)
		dst = append(dst, '\n')
	}
	return dst
}

func (d crashData) appendWriter(dst []byte, k slotKey, version int) []byte {
	dst = append(dst, ",w="...)
	dst = strconv.AppendInt(dst, int64(k.writer), 10)
	dst = append(dst, " v="...)
	dst = strconv.AppendInt(dst, int64(version), 10)
	return append(dst, 'i')
}

func (p *crashPoint) appendFields(dst []byte) []byte {
	if p.has&hasF != 0 {
		dst = append(dst, ",f="...)
		dst = strconv.AppendFloat(dst, p.f, 'g', -1, 64)
	}
	if p.has&hasI != 0 {
		dst = append(dst, ",i="...)
		dst = append(strconv.AppendInt(dst, p.i, 10), 'i')
	}
	if p.has&hasU != 0 {
		dst = append(dst, ",u="...)
		dst = append(strconv.AppendUint(dst, p.u, 10), 'u')
	}
	if p.has&hasS != 0 {
		dst = append(dst, `,s="`...)
		for _, c := range []byte(p.s) {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = append(dst, '"')
	}
	if p.has&hasB != 0 {
		dst = append(dst, ",b="...)
		dst = strconv.AppendBool(dst, p.b)
	}
	return dst
}
