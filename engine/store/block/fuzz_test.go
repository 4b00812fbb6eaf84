package block

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"headgate/engine/point"
)

// rowsFrom makes rows out of fuzz bytes: each byte decides something.
func rowsFrom(data []byte) *Rows {
	at := 0
	next := func() uint64 {
		if at >= len(data) {
			at++
			return uint64(at % 3)
		}
		at++
		return uint64(data[at-1])
	}
	word := func() uint64 {
		if at+8 > len(data) {
			return next()
		}
		at += 8
		return binary.LittleEndian.Uint64(data[at-8:])
	}
	r := &Rows{}
	id := uint64(0)
	for range 1 + next()%8 {
		id += 1 + next()
		t := int64(next()) * 1e9
		if next()%16 == 0 {
			t = int64(word())
		}
		r.Series = append(r.Series, point.SeriesID(id))
		step := 1 + int64(next())*int64(1+next()%4*1e9)
		for range 1 + next() {
			r.Times = append(r.Times, t)
			last := t
			if t += step; next()%8 == 0 {
				t += int64(next())
			}
			if t <= last {
				break
			}
		}
		r.Ends = append(r.Ends, uint32(len(r.Times)))
	}
	n := r.Len()
	for f := range next() % 6 {
		c := &point.Column{Field: point.FieldID(1 + f + next()), Type: point.FieldType(1 + next()%5)}
		if k := len(r.Columns); k > 0 {
			c.Field = max(c.Field, r.Columns[k-1].Field+1)
		}
		how, keep, v := next()%8, next()%4, word()
		for i := range n {
			if keep > 0 && i > 0 && next()%(keep+1) == 0 {
				continue
			}
			switch how {
			case 0:
				v = word()
			case 1:
				v += next()
			case 2:
				v = bitsOf(float64(next()) / 10)
			case 3:
				if next() == 0 {
					v = word()
				}
			case 4:
				v = next()
			case 5:
				v = bitsOf(float64(int64(word())) / 100)
			case 6:
				v -= next() << (next() % 64)
			}
			switch c.Type {
			case point.Boolean:
				c.AppendNum(i, v&1)
			case point.String:
				c.AppendString(i, binary.LittleEndian.AppendUint64(nil, v)[:v%9])
			default:
				c.AppendNum(i, v)
			}
		}
		if c.Rows == nil && c.Len() < n {
			continue
		}
		r.Columns = append(r.Columns, c)
	}
	return r
}

func FuzzRoundTrip(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		b := make([]byte, n*n*4)
		for i := range b {
			b[i] = byte(rng.Uint32() >> (rng.Uint32() % 3 * 8))
		}
		f.Add(b)
	}
	var k codec
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		k.roundTrip(t, rowsFrom(data))
	})
}

// mend sets the checksums of a block right as far as its lengths can be read, so
// that hostile bytes get past them.
func mend(data []byte) []byte {
	data = slices.Clone(data)
	if len(data) < headerFixed {
		return data
	}
	copy(data, magic)
	data[len(magic)] = version
	n := binary.LittleEndian.Uint32(data[lengthAt:])
	if n < headerFixed || int(n) > len(data) {
		return data
	}
	binary.LittleEndian.PutUint32(data[checksumAt:], headerChecksum(data[:n]))
	var b Block
	b.data = data
	r := reader{data: data, end: len(data)}
	b.header(&r)
	mendSection := func(s span) {
		if s.end-s.at >= crcLen && s.end <= len(data) {
			binary.LittleEndian.PutUint32(data[s.at:], crc32.Checksum(data[s.at+crcLen:s.end], castagnoli))
		}
	}
	mendSection(b.seriesAt)
	mendSection(b.times)
	for _, p := range b.presences {
		mendSection(p.span)
	}
	for _, p := range b.places {
		mendSection(p.span)
	}
	return data
}

// readAll does everything one can do with a block.
func readAll(data []byte) error {
	b, err := Parse(data)
	if err != nil {
		return err
	}
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	_, err = b.Times(nil)
	note(err)
	var c point.Column
	for i := range b.Columns() {
		note(b.Column(i, &c))
	}
	note(b.Verify())
	_, err = b.Describe()
	note(err)
	return first
}

// seedBlocks are blocks of all codings.
func seedBlocks(tb testing.TB) [][]byte {
	rng := rand.New(rand.NewPCG(3, 4))
	var blocks [][]byte
	var e Encoder
	for _, g := range numberGenerators() {
		for _, shape := range [][2]int{{1, 300}, {40, 20}} {
			r := grid(shape[0], shape[1])
			c := column(1, g.typ, r.Len(), g.make(rng))
			r.Columns = []*point.Column{c, thin(column(2, g.typ, r.Len(), g.make(rng)), func(i int) bool { return i%5 != 2 })}
			for _, l := range []Level{Fast, Best} {
				data, err := e.Encode(nil, 1, r, l)
				if err != nil {
					tb.Fatal(err)
				}
				blocks = append(blocks, data)
			}
		}
	}
	for _, gen := range textGenerators() {
		r := grid(2, 100)
		r.Columns = []*point.Column{textColumn(1, 200, gen(rng))}
		data, err := e.Encode(nil, 1, r, Best)
		if err != nil {
			tb.Fatal(err)
		}
		blocks = append(blocks, data)
	}
	for _, gen := range timeGenerators() {
		r := &Rows{Series: []point.SeriesID{4}, Ends: []uint32{200}, Times: gen(rng, 200)}
		data, err := e.Encode(nil, 1, r, Best)
		if err != nil {
			tb.Fatal(err)
		}
		blocks = append(blocks, data)
	}
	return blocks
}

func FuzzParse(f *testing.F) {
	for _, b := range seedBlocks(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = readAll(data)
		_ = readAll(mend(data))
	})
}

// TestDamage changes bytes of blocks: without mended checksums that is always
// noticed, with them it does no harm.
func TestDamage(t *testing.T) {
	rng := newRand(t)
	for _, data := range seedBlocks(t) {
		if err := readAll(data); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			bad := slices.Clone(data)
			switch at := rng.IntN(len(bad)); rng.IntN(3) {
			case 0:
				bad[at] ^= 1 << rng.IntN(8)
			case 1:
				bad = bad[:at]
			case 2:
				bad = append(bad, 0)
			}
			err := readAll(bad)
			if err == nil {
				t.Fatalf("damage went unnoticed")
			}
			checkCorrupt(t, err)
			if err := readAll(mend(bad)); err != nil {
				checkCorrupt(t, err)
			}
		}
	}
}

func checkCorrupt(t *testing.T, err error) {
	t.Helper()
	var c *CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &c) || c.Section == "" || c.Reason == "" {
		t.Fatalf("error %v is not a CorruptError that says where", err)
	}
}
