package record

import (
	"encoding/binary"
	"math"
	"math/bits"

	"headgate/engine/point"
)

// What Decode charges against its budget. Encode counts the same way.
const (
	rowBytes     = 8 + 4 + 8 // time, series, and the series before they are narrowed
	sparseBytes  = 4 + 8     // a row number, and the same before it is narrowed
	tableBytes   = 160
	columnBytes  = 160
	defBytes     = 64
	budgetBytes  = 1 << 20
	budgetFactor = 256
	// overheadFactor bounds what is charged for tables, columns and definitions,
	// for each byte that they take in the record.
	overheadFactor = 64
)

// DecodedBytesMax bounds what Decode allocates for a record of n bytes.
func DecodedBytesMax(n int) int { return budgetBytes + budgetFactor*n }

// paddedLen is the least length of a record whose rows and values decode to n
// bytes.
func paddedLen(n int) int {
	const factor = budgetFactor - overheadFactor
	return max(0, (n-budgetBytes+factor-1)/factor)
}

// KindOf says what kind of record rec is, without verifying it.
func KindOf(rec []byte) (Kind, error) {
	if len(rec) < headerLen {
		return 0, &CorruptError{Offset: len(rec), Reason: "shorter than a header"}
	}
	if rec[0] != Version {
		return 0, &CorruptError{Offset: 0, Reason: "unknown version"}
	}
	return Kind(rec[1]), nil
}

// Decode reads a record of KindWrite into the empty batch b and appends its
// definitions to d. Everything is copied: rec may be reused afterwards. The
// tables' ids, series, times and columns are set; names and lines are not.
//
// Whatever rec holds, Decode does not panic and allocates at most
// [DecodedBytesMax] of its length. Every error is a [*CorruptError]; b and d are
// of no use after one.
func Decode(rec []byte, b *point.Batch, d *Definitions) error {
	if err := verify(rec, KindWrite, "not a write"); err != nil {
		return err
	}
	return decodeBody(rec, b, d)
}

// verify checks the header of a record that is to be of kind.
func verify(rec []byte, kind Kind, otherwise string) error {
	k, err := KindOf(rec)
	if err != nil {
		return err
	}
	if k != kind {
		return &CorruptError{Offset: 1, Reason: otherwise}
	}
	if binary.LittleEndian.Uint32(rec[2:]) != checksum(rec) {
		return &CorruptError{Offset: 2, Reason: "checksum does not match"}
	}
	return nil
}

// decodeBody is Decode without the header, so that fuzzing gets past the
// checksum.
func decodeBody(rec []byte, b *point.Batch, d *Definitions) error {
	r := decoder{rec: rec, at: headerLen, budget: DecodedBytesMax(len(rec))}
	r.definitions(d)
	n := r.count(len(rec), "tables")
	for range n {
		if r.err != nil {
			break
		}
		if t := r.table(); r.err == nil {
			b.Tables = append(b.Tables, t)
		}
	}
	r.padding()
	if r.err != nil {
		return r.err
	}
	return nil
}

// padding checks that nothing but zeros is left.
func (d *decoder) padding() {
	if d.err != nil {
		return
	}
	for _, x := range d.rec[d.at:] {
		if x != 0 {
			d.fail("bytes after the end")
			return
		}
	}
}

// decoder reads a record from front to back. After the first error it returns
// zeros; budget is what may still be allocated.
type decoder struct {
	rec    []byte
	at     int
	budget int
	err    *CorruptError
	wide   []uint64 // scratch
}

// scratch is n values of anything; the caller has charged them.
func (d *decoder) scratch(n int) []uint64 {
	if cap(d.wide) < n {
		d.wide = make([]uint64, n)
	}
	return d.wide[:n]
}

func (d *decoder) fail(reason string) {
	if d.err == nil {
		d.err = &CorruptError{Offset: d.at, Reason: reason}
	}
}

// charge takes n bytes from the budget and reports whether they were there.
func (d *decoder) charge(n int) bool {
	if n < 0 || n > d.budget {
		d.fail("decodes to more than its length allows")
		return false
	}
	d.budget -= n
	return d.err == nil
}

func (d *decoder) byte() byte {
	if d.err != nil || d.at >= len(d.rec) {
		d.fail("truncated")
		return 0
	}
	d.at++
	return d.rec[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.rec[d.at:])
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.at += n
	return v
}

// bytes returns the next n bytes, which alias the record.
func (d *decoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.rec)-d.at {
		d.fail("truncated")
		return nil
	}
	d.at += n
	return d.rec[d.at-n : d.at : d.at]
}

// count reads a number of things, at most limit.
func (d *decoder) count(limit int, what string) int {
	n := d.uvarint()
	if d.err == nil && n > uint64(limit) {
		d.fail("too many " + what)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// id reads a nonzero id.
func (d *decoder) id(limit uint64) uint32 {
	n := d.uvarint()
	if d.err == nil && (n == 0 || n > limit) {
		d.fail("id out of range")
	}
	if d.err != nil {
		return 0
	}
	return uint32(n)
}

func (d *decoder) name() []byte { return d.bytes(d.count(len(d.rec), "bytes in a name")) }

func (d *decoder) definitions(out *Definitions) {
	for range d.count(len(d.rec), "measurements") {
		m := MeasurementDef{ID: point.MeasurementID(d.id(math.MaxUint32))}
		name := d.name()
		if !d.charge(defBytes + len(name)) {
			return
		}
		m.Name = string(name)
		out.Measurements = append(out.Measurements, m)
	}
	for range d.count(len(d.rec), "fields") {
		f := FieldDef{Measurement: point.MeasurementID(d.id(math.MaxUint32)), ID: point.FieldID(d.id(math.MaxUint32)), Type: point.FieldType(d.byte())}
		name := d.name()
		if d.err == nil && !f.Type.Valid() {
			d.fail("unknown field type")
		}
		if !d.charge(defBytes + len(name)) {
			return
		}
		f.Name = string(name)
		out.Fields = append(out.Fields, f)
	}
	n := d.count(len(d.rec), "series")
	if n == 0 || d.err != nil {
		return
	}
	// One arena for all keys: find where they end first.
	first, total := len(out.Series), 0
	for range n {
		s := SeriesDef{ID: point.SeriesID(d.id(uint64(point.SeriesIDMax))), Measurement: point.MeasurementID(d.id(math.MaxUint32))}
		key := d.name()
		if !d.charge(defBytes + len(key)) {
			return
		}
		total += len(key)
		s.Key = key
		out.Series = append(out.Series, s)
	}
	arena := make([]byte, 0, total)
	for i := range out.Series[first:] {
		s := &out.Series[first+i]
		start := len(arena)
		arena = append(arena, s.Key...)
		s.Key = arena[start:len(arena):len(arena)]
	}
}

func (d *decoder) table() *point.Table {
	t := &point.Table{ID: point.MeasurementID(d.id(math.MaxUint32))}
	rows := d.count(math.MaxInt32, "rows")
	columns := d.count(len(d.rec), "columns")
	if d.err == nil && rows == 0 {
		d.fail("table without rows")
	}
	if !d.charge(tableBytes) || !d.charge(rowBytes*rows) {
		return nil
	}
	wide := d.scratch(rows)
	d.sequence(wide)
	t.Series = make([]point.SeriesRef, rows)
	for i, s := range wide {
		if d.err == nil && (s == 0 || s > uint64(point.SeriesIDMax)) {
			d.fail("series id out of range")
		}
		if d.err != nil {
			return nil
		}
		t.Series[i] = point.SeriesRef(s)
	}
	t.Times = make([]int64, rows)
	d.sequence(asUint64(t.Times))
	for range columns {
		c := d.column(rows)
		if d.err != nil {
			return nil
		}
		t.Columns = append(t.Columns, c)
	}
	return t
}

func (d *decoder) column(rows int) *point.Column {
	c := &point.Column{Field: point.FieldID(d.id(math.MaxUint32))}
	mode := d.byte()
	c.Type = point.FieldType(mode & (1<<presenceShift - 1))
	if d.err == nil && !c.Type.Valid() {
		d.fail("unknown field type")
	}
	n := rows
	presence := mode >> presenceShift
	if presence != presenceDense {
		n = d.count(rows, "values")
	}
	if d.err == nil && n == 0 {
		d.fail("column without values")
	}
	if !d.charge(columnBytes) {
		return nil
	}
	switch presence {
	case presenceDense, presencePrefix:
	case presenceBitmap:
		d.bitmap(c, rows, n)
	case presenceRows:
		d.rows(c, rows, n)
	default:
		d.fail("unknown presence")
	}
	if d.err != nil {
		return nil
	}
	if c.Type == point.String {
		d.strings(c, n)
		return c
	}
	if !d.charge(8 * n) {
		return nil
	}
	c.Nums = make([]uint64, n)
	switch c.Type {
	case point.Float:
		d.floats(c.Nums)
	case point.Boolean:
		d.sequence(c.Nums)
		for _, v := range c.Nums {
			if v > 1 {
				d.fail("boolean is neither 0 nor 1")
				break
			}
		}
	default:
		d.sequence(c.Nums)
	}
	return c
}

// bitmap reads the rows of a column with n values of which each byte of a bitmap
// covers eight.
func (d *decoder) bitmap(c *point.Column, rows, n int) {
	src := d.bytes((rows + 7) / 8)
	if d.err != nil || !d.charge(sparseBytes*n) {
		return
	}
	c.Rows = make([]uint32, 0, n)
	for i, x := range src {
		if bits.OnesCount8(x) > n-len(c.Rows) {
			d.fail("more rows than values")
			return
		}
		for ; x != 0; x &= x - 1 {
			c.Rows = append(c.Rows, uint32(i*8+bits.TrailingZeros8(x)))
		}
	}
	if len(c.Rows) != n || int(c.Rows[n-1]) >= rows {
		d.fail("rows do not match the values")
	}
}

// rows reads the row numbers of a column with n values.
func (d *decoder) rows(c *point.Column, rows, n int) {
	if !d.charge(sparseBytes * n) {
		return
	}
	wide := d.scratch(n)
	d.sequence(wide)
	c.Rows = make([]uint32, n)
	next := uint64(0)
	for i, r := range wide {
		if d.err == nil && (r < next || r >= uint64(rows)) {
			d.fail("row out of order")
		}
		if d.err != nil {
			return
		}
		c.Rows[i] = uint32(r)
		next = r + 1
	}
}
