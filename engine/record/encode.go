package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"slices"
	"sync"
	"unsafe"

	"headgate/engine/point"
)

// Version is the format that Encode writes. Decode refuses others.
const Version = 1

// Kind says what a record does.
type Kind byte

// KindWrite is a batch of points with its definitions.
const KindWrite Kind = 1

// headerLen is version, kind and checksum.
const headerLen = 6

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers everything but itself.
func checksum(rec []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, rec[:2]), castagnoli, rec[headerLen:])
}

// Definitions give names to ids.
type Definitions struct {
	Measurements []MeasurementDef
	Fields       []FieldDef
	Series       []SeriesDef
}

// MeasurementDef names a measurement.
type MeasurementDef struct {
	ID   point.MeasurementID
	Name string
}

// FieldDef names a field of a measurement and says its type.
type FieldDef struct {
	Measurement point.MeasurementID
	ID          point.FieldID
	Type        point.FieldType
	Name        string
}

// SeriesDef says what series an id stands for. Key is the canonical series key,
// which whoever made the definition owns.
type SeriesDef struct {
	ID          point.SeriesID
	Measurement point.MeasurementID
	Key         []byte
}

// Reset empties d, drops its references and keeps its memory.
func (d *Definitions) Reset() {
	clear(d.Measurements)
	clear(d.Fields)
	clear(d.Series)
	d.Measurements, d.Fields, d.Series = d.Measurements[:0], d.Fields[:0], d.Series[:0]
}

// How a column says which rows have a value.
const (
	presenceDense = iota
	presencePrefix
	presenceBitmap
	presenceRows
)

const presenceShift = 4

// Encode appends the record of batch b and definitions d to dst and returns the
// extended slice. d may be nil. It keeps neither b nor d.
//
// b is resolved: every table, column and row carries the id that the bucket has
// handed out. Anything else would poison the log, so Encode panics on it. Tables
// without rows and columns without values are left out.
func Encode(dst []byte, b *point.Batch, d *Definitions) []byte {
	e := encoders.Get().(*encoder)
	start := len(dst)
	dst = append(dst, Version, byte(KindWrite), 0, 0, 0, 0)
	dst = appendDefinitions(dst, d)
	dst = e.appendTables(dst, b)
	return e.finish(dst, start)
}

// finish pads the record that begins at start and sets its checksum. It puts e
// back into the pool.
func (e *encoder) finish(dst []byte, start int) []byte {
	if need := paddedLen(e.decodedBytes); need > len(dst)-start {
		at := len(dst)
		dst = grow(dst, start+need-at)
		clear(dst[at:])
	}
	rec := dst[start:]
	binary.LittleEndian.PutUint32(rec[2:], checksum(rec))
	e.reset()
	encoders.Put(e)
	return dst
}

func appendDefinitions(dst []byte, d *Definitions) []byte {
	if d == nil {
		return append(dst, 0, 0, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.Measurements)))
	for i := range d.Measurements {
		m := &d.Measurements[i]
		dst = binary.AppendUvarint(dst, uint64(m.ID))
		dst = append(binary.AppendUvarint(dst, uint64(len(m.Name))), m.Name...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.Fields)))
	for i := range d.Fields {
		f := &d.Fields[i]
		dst = binary.AppendUvarint(dst, uint64(f.Measurement))
		dst = append(binary.AppendUvarint(dst, uint64(f.ID)), byte(f.Type))
		dst = append(binary.AppendUvarint(dst, uint64(len(f.Name))), f.Name...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.Series)))
	for i := range d.Series {
		s := &d.Series[i]
		dst = binary.AppendUvarint(dst, uint64(s.ID))
		dst = binary.AppendUvarint(dst, uint64(s.Measurement))
		dst = append(binary.AppendUvarint(dst, uint64(len(s.Key))), s.Key...)
	}
	return dst
}

// encoder is what one Encode needs, kept for the next one.
type encoder struct {
	buf, buf2 []uint64
	dict      dictionary
	// decodedBytes is what Decode will charge for rows and values.
	decodedBytes int
}

var encoders = sync.Pool{New: func() any { return &encoder{dict: dictionary{seed: maphash.MakeSeed()}} }}

// scratchKept is the largest scratch buffer that is kept, in values.
const scratchKept = 1 << 17

func (e *encoder) reset() {
	e.decodedBytes = 0
	if cap(e.buf) > scratchKept {
		e.buf = nil
	}
	if cap(e.buf2) > scratchKept {
		e.buf2 = nil
	}
}

// scratch is for appendSequence and appendXOR, scratch2 for their callers.
func (e *encoder) scratch(n int) []uint64 {
	if cap(e.buf) < n {
		e.buf = make([]uint64, n+n/4)
	}
	return e.buf[:n]
}

func (e *encoder) scratch2(n int) []uint64 {
	if cap(e.buf2) < n {
		e.buf2 = make([]uint64, n+n/4)
	}
	return e.buf2[:n]
}

// grow extends dst by n bytes of any content.
func grow(dst []byte, n int) []byte {
	return slices.Grow(dst, n)[:len(dst)+n]
}

func (e *encoder) appendTables(dst []byte, b *point.Batch) []byte {
	n := 0
	for _, t := range b.Tables {
		if t.Rows() > 0 {
			n++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for _, t := range b.Tables {
		if t.Rows() > 0 {
			dst = e.appendTable(dst, t)
		}
	}
	return dst
}

func (e *encoder) appendTable(dst []byte, t *point.Table) []byte {
	rows := t.Rows()
	if t.ID == 0 || len(t.Series) != rows {
		panic(fmt.Sprintf("record: table %q has id %d, %d series and %d times", t.Name, t.ID, len(t.Series), rows))
	}
	columns := 0
	for _, c := range t.Columns {
		if c.Len() > 0 {
			columns++
		}
	}
	e.decodedBytes += rowBytes * rows
	dst = binary.AppendUvarint(dst, uint64(t.ID))
	dst = binary.AppendUvarint(dst, uint64(rows))
	dst = binary.AppendUvarint(dst, uint64(columns))
	series := e.scratch2(rows)
	var all point.SeriesRef
	for i, s := range t.Series {
		all |= s
		if s == 0 {
			all |= point.NewSeriesBit
		}
		series[i] = uint64(s)
	}
	if all.IsNew() {
		panic(fmt.Sprintf("record: table %q has a series without id", t.Name))
	}
	dst = e.appendSequence(dst, series, true, false)
	dst = e.appendSequence(dst, asUint64(t.Times), true, true)
	for _, c := range t.Columns {
		if c.Len() > 0 {
			dst = e.appendColumn(dst, c, rows)
		}
	}
	return dst
}

func (e *encoder) appendColumn(dst []byte, c *point.Column, rows int) []byte {
	n := c.Len()
	if c.Field == 0 || !c.Type.Valid() {
		panic(fmt.Sprintf("record: column %q has id %d and type %s", c.Name, c.Field, c.Type))
	}
	dst = binary.AppendUvarint(dst, uint64(c.Field))
	switch {
	case n == rows:
		dst = append(dst, byte(c.Type)|presenceDense<<presenceShift)
	case c.Rows == nil:
		dst = append(dst, byte(c.Type)|presencePrefix<<presenceShift)
		dst = binary.AppendUvarint(dst, uint64(n))
	case n > rows/8:
		e.decodedBytes += sparseBytes * n
		dst = append(dst, byte(c.Type)|presenceBitmap<<presenceShift)
		dst = binary.AppendUvarint(dst, uint64(n))
		at := len(dst)
		dst = grow(dst, (rows+7)/8)
		bitmap := dst[at:]
		clear(bitmap)
		for _, r := range c.Rows {
			bitmap[r/8] |= 1 << (r % 8)
		}
	default:
		e.decodedBytes += sparseBytes * n
		dst = append(dst, byte(c.Type)|presenceRows<<presenceShift)
		dst = binary.AppendUvarint(dst, uint64(n))
		list := e.scratch2(n)
		for i, r := range c.Rows {
			list[i] = uint64(r)
		}
		dst = e.appendSequence(dst, list, true, false)
	}
	switch c.Type {
	case point.Float:
		e.decodedBytes += 8 * n
		return e.appendFloats(dst, c.Nums)
	case point.String:
		// As Decode charges at worst: ends, lengths or indices, and the bytes.
		e.decodedBytes += 12*n + len(c.Bytes)
		return e.appendStrings(dst, c)
	default:
		e.decodedBytes += 8 * n
		return e.appendSequence(dst, c.Nums, false, false)
	}
}

// asUint64 reinterprets v: two's complement is what sequences are made of.
func asUint64(v []int64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}
