package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"unsafe"

	"headgate/engine/point"
)

// Block reads an encoded block. It aliases the bytes that it was made from, which
// must not change as long as it is used, and decodes a section when it is asked
// for: what is never asked for is never touched. A Block is not for concurrent
// use; any number of them may read the same bytes. Reset reuses one.
type Block struct {
	data        []byte
	measurement point.MeasurementID
	rows        int
	min, max    int64
	series      []point.SeriesID
	ends        []uint32
	times       span
	seriesAt    span
	columns     []ColumnInfo
	places      []place
	presences   []presence

	// presenceOf is which presence, from 1, is in presenceRows, and where the
	// values of each series end, in presenceEnds. 0 is none.
	presenceOf   int
	presenceRows []uint32
	presenceEnds []uint32
}

// span is where a section is, its checksum included.
type span struct{ at, end int }

// place is what a Block knows of a column beside its info.
type place struct {
	span
	presence int // from 1; 0 for a column that has a value in every row
	constant bool
}

type presence struct {
	span
	values int
}

// ColumnInfo describes a column of a block.
type ColumnInfo struct {
	Field point.FieldID
	Type  point.FieldType
	// Values is how many rows have a value.
	Values int
	// Min and Max are bits as in [point.Column.Nums], in the order of the type.
	// Of floats NaNs are left out, unless there is nothing else: then both are NaN.
	// They are 0 for strings.
	Min, Max uint64
	// Sum is the sum of integers (as two's complement) or unsigned values, and how
	// many booleans are true, if SumValid: it is not for floats, strings, and sums
	// that overflow.
	Sum      uint64
	SumValid bool
	// Encoding is how the values are stored, in a word: Describe says all.
	Encoding string
	// Bytes is the size of the section. Presence is not in it.
	Bytes int
}

// Parse reads the header and the series of a block. It believes nothing: whatever
// data holds, no method panics, and everything decoded fits the limits of this
// package. Errors are [*CorruptError]. The block aliases data.
func Parse(data []byte) (*Block, error) {
	b := new(Block)
	if err := b.Reset(data); err != nil {
		return nil, err
	}
	return b, nil
}

// Reset makes b the block in data, as Parse does, reusing its memory. What its
// methods returned before is overwritten. After an error b is of no use but for
// another Reset.
func (b *Block) Reset(data []byte) error {
	*b = Block{
		data: data, series: b.series[:0], ends: b.ends[:0], columns: b.columns[:0], places: b.places[:0],
		presences: b.presences[:0], presenceRows: b.presenceRows, presenceEnds: b.presenceEnds,
	}
	r := reader{data: data, end: len(data)}
	if b.header(&r); r.err != nil {
		r.err.Section = "header"
		return r.err
	}
	return b.readSeries()
}

func (b *Block) header(r *reader) {
	if len(b.data) < headerFixed || string(b.data[:len(magic)]) != magic {
		r.fail("no block begins here")
		return
	}
	if b.data[len(magic)] != version {
		r.fail("unknown version")
		return
	}
	n := binary.LittleEndian.Uint32(b.data[lengthAt:])
	if n < headerFixed || uint64(n) > uint64(len(b.data)) {
		r.fail("header is longer than the block")
		return
	}
	if headerChecksum(b.data[:n]) != binary.LittleEndian.Uint32(b.data[checksumAt:]) {
		r.fail("checksum does not match")
		return
	}
	r.at, r.end = headerFixed, int(n)
	b.measurement = point.MeasurementID(r.count(0, math.MaxUint32, "measurement out of range"))
	b.rows = r.count(1, RowsMax, "too many rows")
	series := r.count(1, b.rows, "more series than rows")
	columns := r.count(0, r.left(), "more columns than bytes")
	b.min = int64(r.varint())
	b.max = int64(uint64(b.min) + r.uvarint())
	if b.max < b.min {
		r.fail("time range is empty")
	}
	b.series = resize(b.series, series)
	b.ends = resize(b.ends, series)

	next := int(n)
	section := func() span {
		s := span{at: next}
		l := r.uvarint()
		if r.err == nil && (l < crcLen || l > uint64(len(b.data)-next)) {
			r.fail("section is longer than the block")
		}
		if r.err == nil {
			next += int(l)
		}
		s.end = next
		return s
	}
	b.seriesAt = section()
	b.times = section()
	for range r.count(0, r.left(), "more presences than bytes") {
		p := presence{values: r.count(1, b.rows, "more values than rows")}
		p.span = section()
		if r.err != nil {
			return
		}
		b.presences = append(b.presences, p)
	}
	field := uint64(0)
	for range columns {
		step := r.uvarint()
		flags := r.byte()
		c := ColumnInfo{Type: point.FieldType(flags & columnType), Values: b.rows}
		if field += step; step == 0 || step > math.MaxUint32 || field > math.MaxUint32 {
			r.fail("fields are out of order")
		}
		if !c.Type.Valid() || flags&^columnBits != 0 {
			r.fail("unknown field type")
		}
		c.Field = point.FieldID(field)
		p := place{constant: flags&columnConstant != 0}
		if flags&columnPresence != 0 {
			if p.presence = 1 + r.count(0, len(b.presences)-1, "unknown presence"); r.err == nil {
				c.Values = b.presences[p.presence-1].values
			}
		}
		if c.Type != point.String {
			s := r.stats(c.Type, flags, c.Values)
			c.Min, c.Max, c.Sum, c.SumValid = s.min, s.max, s.sum, s.sumValid
			if c.Type == point.Boolean && (c.Min|c.Max) > 1 {
				r.fail("boolean is neither 0 nor 1")
			}
		} else if p.constant {
			r.fail("constant strings have no minimum")
		}
		if !p.constant {
			p.span = section()
		}
		if r.err != nil {
			return
		}
		c.Encoding = b.encodingOf(c.Type, p)
		c.Bytes = p.end - p.at
		b.columns = append(b.columns, c)
		b.places = append(b.places, p)
	}
	if r.err == nil && (r.left() > 0 || next != len(b.data)) {
		r.fail("bytes after the last column")
	}
}

func (b *Block) encodingOf(t point.FieldType, p place) string {
	if p.constant {
		return "constant"
	}
	if p.end-p.at <= crcLen {
		return "unknown"
	}
	x := b.data[p.at+crcLen]
	switch {
	case t == point.String && x == stringsText:
		return "text"
	case t == point.String:
		return "dictionary"
	case t == point.Float && x == floatBits:
		return "bits"
	case t == point.Float:
		return "decimal"
	case int(x) < len(intsNames):
		return intsNames[x]
	}
	return "unknown"
}

// open checks a section's checksum and returns a reader of it.
func (b *Block) open(s span) reader {
	r := reader{data: b.data, at: s.at + crcLen, end: s.end}
	if crc32.Checksum(b.data[r.at:r.end], castagnoli) != binary.LittleEndian.Uint32(b.data[s.at:]) {
		r.at = s.at
		r.fail("checksum does not match")
	}
	return r
}

// finish is the error of a section that has been read.
func (r *reader) finish(section string) error {
	if r.err == nil && r.left() > 0 {
		r.fail("bytes after the section's end")
	}
	if r.err == nil {
		return nil
	}
	r.err.Section = section
	return r.err
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func getDecoder() *decoder { return decoders.Get().(*decoder) }

// putDecoder gives a decoder back. Nothing of it is in use any more.
func putDecoder(d *decoder) {
	d.reset()
	decoders.Put(d)
}

func (d *decoder) reset() {
	d.trace = nil
	if cap(d.text) > textKept {
		d.text = nil
	}
}

func (b *Block) readSeries() error {
	d := getDecoder()
	defer putDecoder(d)
	r := b.open(b.seriesAt)
	d.rows = resize(d.rows, len(b.series))
	wide := d.rows
	d.ints(&r, wide, nil, 0)
	if r.err == nil {
		last := uint64(0)
		for i, s := range wide {
			if s <= last || s > uint64(point.SeriesIDMax) {
				r.fail("series are out of order")
				break
			}
			b.series[i] = point.SeriesID(s)
			last = s
		}
	}
	d.ints(&r, wide, nil, 0)
	if r.err == nil {
		end := uint64(0)
		for i, n := range wide {
			if n == 0 || n > uint64(b.rows) || end+n > uint64(b.rows) {
				r.fail("series exceed the rows")
				break
			}
			end += n
			b.ends[i] = uint32(end)
		}
		if end != uint64(b.rows) {
			r.fail("series do not cover the rows")
		}
	}
	return r.finish("series")
}

// Measurement is the measurement of all rows.
func (b *Block) Measurement() point.MeasurementID { return b.measurement }

// Rows is the number of rows, at least 1.
func (b *Block) Rows() int { return b.rows }

// TimeRange is the time of the earliest and of the latest row, as the header says.
func (b *Block) TimeRange() (min, max int64) { return b.min, b.max }

// Series lists the series, ascending. It belongs to b.
func (b *Block) Series() []point.SeriesID { return b.series }

// Ends says where the rows of each series end, as [Rows.Ends]. It belongs to b.
func (b *Block) Ends() []uint32 { return b.ends }

// Columns describes the columns, in the order of their fields. It belongs to b.
func (b *Block) Columns() []ColumnInfo { return b.columns }

// Times returns the times of all rows, in dst's memory if it suffices.
func (b *Block) Times(dst []int64) ([]int64, error) {
	d := getDecoder()
	defer putDecoder(d)
	return b.readTimes(d, dst)
}

func (b *Block) readTimes(d *decoder, dst []int64) ([]int64, error) {
	dst = resize(dst, b.rows)
	times := asUint64(dst)
	r := b.open(b.times)
	switch r.byte() {
	case timesOwn:
		d.ints(&r, times, b.groups(), 0)
	case timesShared:
		d.note("shared")
		n := int(b.ends[0])
		if n*len(b.series) != b.rows {
			r.fail("series have different numbers of rows")
			break
		}
		if d.ints(&r, times[:n], nil, 0); r.err == nil {
			for i := n; i < len(times); i += n {
				copy(times[i:], times[:n])
			}
		}
	default:
		r.fail("unknown coding of times")
	}
	return dst, r.finish("times")
}

// groups is where the rows of series end, or nil for one series.
func (b *Block) groups() []uint32 {
	if len(b.ends) == 1 {
		return nil
	}
	return b.ends
}

// Column decodes column i of Columns into dst, reusing its memory. It sets
// everything but Name. Rows is nil if every row has a value. After an error dst
// is of no use but to be reused.
func (b *Block) Column(i int, dst *point.Column) error {
	d := getDecoder()
	defer putDecoder(d)
	return b.readColumn(d, i, dst)
}

func (b *Block) readColumn(d *decoder, i int, dst *point.Column) error {
	c, p := &b.columns[i], &b.places[i]
	dst.Field, dst.Type = c.Field, c.Type
	dst.Nums, dst.Ends, dst.Bytes = dst.Nums[:0], dst.Ends[:0], dst.Bytes[:0]
	ends := b.groups()
	if p.presence == 0 {
		dst.Rows = nil
	} else {
		if err := b.readPresence(d, p.presence); err != nil {
			return err
		}
		dst.Rows = append(dst.Rows[:0], b.presenceRows...)
		if ends = b.presenceEnds; len(ends) == 1 {
			ends = nil
		}
	}
	if p.constant {
		dst.Nums = resize(dst.Nums, c.Values)
		fill(dst.Nums, c.Min)
		return nil
	}
	r := b.open(p.span)
	if r.err == nil {
		if c.Type == point.String {
			d.readStrings(&r, dst, c.Values, ends)
		} else {
			dst.Nums = resize(dst.Nums, c.Values)
			d.numbers(&r, c.Type, dst.Nums, ends)
		}
	}
	if r.err == nil && r.left() == 0 {
		return nil // without making a name
	}
	return r.finish(b.columnName(i))
}

func (b *Block) columnName(i int) string {
	return fmt.Sprintf("column %d (field %d)", i, b.columns[i].Field)
}

// readPresence reads presence n, from 1, unless it is the one read last:
// neighbours often have the same.
func (b *Block) readPresence(d *decoder, n int) error {
	if b.presenceOf == n {
		return nil
	}
	b.presenceOf = 0
	p := &b.presences[n-1]
	b.presenceRows = resize(b.presenceRows, p.values)
	r := b.open(p.span)
	if r.err == nil {
		d.rowSet(&r, b.presenceRows, b.rows)
	}
	if r.err != nil || r.left() > 0 {
		return r.finish(fmt.Sprintf("presence %d", n))
	}
	b.presenceOf = n
	b.presenceEnds = valueEnds(b.presenceEnds, b.presenceRows, b.ends)
	return nil
}

// asUint64 reinterprets v.
func asUint64(v []int64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}
