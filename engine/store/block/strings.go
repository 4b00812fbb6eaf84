package block

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/klauspost/compress/zstd"

	"headgate/engine/point"
)

// Strings begin with one byte: stringsText for lengths and bytes, stringsDict for
// the number of distinct strings, their lengths and bytes, and an index for each
// value. The bytes begin with one byte more.
const (
	stringsText = iota
	stringsDict
)

const (
	textRaw  = iota
	textZstd // after its length
)

// textCompressFrom is how many bytes are worth compressing, textRepeats how many
// times smaller text with repetitions gets at least (hexadecimal digits without
// any are halved), and textKept how many bytes of scratch are kept.
const (
	textCompressFrom = 64
	textRepeats      = 3
	textKept         = 1 << 20
)

// stringsEncoder is the scratch for strings.
type stringsEncoder struct {
	seed  maphash.Seed
	table []uint32 // 1 + index of a distinct string; open addressing
	// The distinct strings, in the order in which they appear.
	hashes  []uint64
	lens    []uint64
	text    []byte
	starts  []uint32
	indexes []uint64
	out     []byte
	zstd    [2]*zstd.Encoder // by Level
}

func (e *Encoder) appendStrings(dst []byte, c *point.Column, ends []uint32) []byte {
	s := &e.strings
	if s.distinct(c) {
		dst = append(dst, stringsDict)
		dst = binary.AppendUvarint(dst, uint64(len(s.lens)))
		dst = e.appendInts(dst, s.lens, nil, 0, hintNone)
		dst = e.appendText(dst, s.text)
		dst = e.appendInts(dst, s.indexes, ends, 0, hintNone)
	} else {
		s.lens = resize(s.lens, len(c.Ends))
		last := uint32(0)
		for i, end := range c.Ends {
			s.lens[i] = uint64(end - last)
			last = end
		}
		dst = append(dst, stringsText)
		dst = e.appendInts(dst, s.lens, ends, 0, hintNone)
		dst = e.appendText(dst, c.Bytes[:last])
	}
	if cap(s.text) > textKept || cap(s.out) > textKept {
		s.text, s.out = nil, nil
	}
	return dst
}

// distinct finds the distinct strings of c, unless there are too many for a
// dictionary to pay.
func (s *stringsEncoder) distinct(c *point.Column) bool {
	if s.table == nil {
		s.seed = maphash.MakeSeed()
		s.table = make([]uint32, 4*RowsMax/2) // never more than half full
	}
	n := c.Len()
	size := 16
	for size < 2*n {
		size *= 2
	}
	table := s.table[:size]
	clear(table)
	s.hashes, s.lens, s.text, s.starts = s.hashes[:0], s.lens[:0], s.text[:0], s.starts[:0]
	s.indexes = resize(s.indexes, n)
	var last []byte
	for i := range n {
		v := c.StringAt(i)
		if i > 0 && string(v) == string(last) {
			s.indexes[i] = s.indexes[i-1]
			continue
		}
		last = v
		h := maphash.Bytes(s.seed, v)
		at := h & uint64(size-1)
		for ; ; at = (at + 1) & uint64(size-1) {
			k := int(table[at]) - 1
			if k < 0 {
				k = len(s.lens)
				table[at] = uint32(k + 1)
				s.hashes = append(s.hashes, h)
				s.starts = append(s.starts, uint32(len(s.text)))
				s.lens = append(s.lens, uint64(len(v)))
				s.text = append(s.text, v...)
			} else if s.hashes[k] != h || string(s.text[s.starts[k]:int(s.starts[k])+int(s.lens[k])]) != string(v) {
				continue
			}
			s.indexes[i] = uint64(k)
			break
		}
		if i == 255 && len(s.lens) > 200 {
			return false
		}
	}
	return len(s.lens) <= max(1, n/2)
}

func (e *Encoder) appendText(dst, text []byte) []byte {
	if len(text) >= textCompressFrom {
		s := &e.strings
		s.out = s.compress(s.out[:0], text, Fast)
		if e.level == Best && len(s.out) < len(text)/textRepeats {
			n := len(s.out)
			s.out = s.compress(s.out, text, Best)
			if better := s.out[n:]; len(better) < n {
				s.out = append(s.out[:0], better...)
			} else {
				s.out = s.out[:n]
			}
		}
		if len(s.out) < len(text)-len(text)/16 {
			dst = append(dst, textZstd)
			dst = binary.AppendUvarint(dst, uint64(len(s.out)))
			return append(dst, s.out...)
		}
	}
	return append(append(dst, textRaw), text...)
}

// compress appends a zstd frame of text. Better finds more repetitions, if there
// are any, in ten times the time.
func (s *stringsEncoder) compress(dst, text []byte, l Level) []byte {
	if s.zstd[l] == nil {
		level := zstd.SpeedFastest
		if l == Best {
			level = zstd.SpeedBetterCompression
		}
		// The options are right, so there is no error.
		s.zstd[l], _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true),
			zstd.WithAllLitEntropyCompression(true), zstd.WithWindowSize(1<<20))
	}
	return s.zstd[l].EncodeAll(text, dst)
}

// readText returns n bytes of text, which are in *buf if they were compressed and
// in the block otherwise.
func (d *decoder) readText(r *reader, buf *[]byte, n int) []byte {
	switch r.byte() {
	case textRaw:
		return r.bytes(n)
	case textZstd:
		d.note("zstd")
	default:
		r.fail("unknown coding of text")
	}
	src := r.bytes(r.count(1, r.left(), "text is longer than the section"))
	if r.err != nil {
		return nil
	}
	if d.zstd == nil {
		// The options are right, so there is no error.
		d.zstd, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(ColumnBytesMax))
	}
	*buf = resize(*buf, n)
	out, err := d.zstd.DecodeAll(src, (*buf)[:0:n])
	if err != nil || len(out) != n {
		r.fail("text does not decompress")
		return nil
	}
	return out
}

// lengths reads n lengths and returns their sum.
func (d *decoder) lengths(r *reader, n int, ends []uint32) (sum int) {
	d.lens = resize(d.lens, n)
	d.ints(r, d.lens, ends, 0)
	if r.err != nil {
		return 0
	}
	for _, l := range d.lens {
		if l > ColumnBytesMax {
			r.fail("string is too long")
			return 0
		}
		sum += int(l)
	}
	if sum > ColumnBytesMax {
		r.fail("strings are too long")
		return 0
	}
	return sum
}

// readStrings reads n strings into c.
func (d *decoder) readStrings(r *reader, c *point.Column, n int, ends []uint32) {
	c.Ends = resize(c.Ends, n)
	switch r.byte() {
	case stringsText:
		d.note("text")
		sum := d.lengths(r, n, ends)
		at := uint32(0)
		for i, l := range d.lens {
			at += uint32(l)
			c.Ends[i] = at
		}
		if r.err == nil {
			text := d.readText(r, &c.Bytes, sum)
			c.Bytes = append(c.Bytes[:0], text...)
		}
	case stringsDict:
		d.note("dictionary")
		d.dictStrings(r, c, n, ends)
	default:
		r.fail("unknown coding of strings")
	}
}

func (d *decoder) dictStrings(r *reader, c *point.Column, n int, ends []uint32) {
	distinct := r.count(1, n, "more distinct strings than values")
	sum := d.lengths(r, distinct, nil)
	if r.err != nil {
		return
	}
	text := d.readText(r, &d.text, sum)
	d.rows = resize(d.rows, n)
	d.ints(r, d.rows, ends, 0)
	if r.err != nil {
		return
	}
	starts := resize(d.starts, distinct+1)
	d.starts = starts
	starts[0] = 0
	for i, l := range d.lens {
		starts[i+1] = starts[i] + uint32(l)
	}
	total := 0
	for i, k := range d.rows {
		if k >= uint64(distinct) {
			r.fail("index is beyond the dictionary")
			return
		}
		if total += int(starts[k+1] - starts[k]); total > ColumnBytesMax {
			r.fail("strings are too long")
			return
		}
		c.Ends[i] = uint32(total)
	}
	c.Bytes = resize(c.Bytes, total)
	at := 0
	for _, k := range d.rows {
		from, to := int(starts[k]), int(starts[k+1])
		// Most are short: sixteen bytes are copied sooner than a length is looked
		// at, and what is too much is overwritten by the next string.
		if to-from <= 16 && from+16 <= len(text) && at+16 <= total {
			x := binary.LittleEndian.Uint64(text[from:])
			y := binary.LittleEndian.Uint64(text[from+8:])
			binary.LittleEndian.PutUint64(c.Bytes[at:], x)
			binary.LittleEndian.PutUint64(c.Bytes[at+8:], y)
		} else {
			copy(c.Bytes[at:], text[from:to])
		}
		at += to - from
	}
}
