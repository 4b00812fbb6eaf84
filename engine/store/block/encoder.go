package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"headgate/engine/point"
)

// The header's fixed part: doc.go draws it.
const (
	magic       = "hgb"
	version     = 1
	lengthAt    = 4
	checksumAt  = 8
	headerFixed = 12
	crcLen      = 4
)

// What a column's type byte says besides the type.
const (
	columnType     = 1<<3 - 1
	columnConstant = 1 << 3 // all values are the minimum; there is no section
	columnSum      = 1 << 4 // the sum is valid
	columnPresence = 1 << 5 // the number of a presence follows
	columnBits     = 1<<6 - 1
)

// Times are stored for each row, or once for all series.
const (
	timesOwn = iota
	timesShared
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encoder encodes blocks. It keeps scratch memory, so it is worth reusing, and is
// not for concurrent use. The zero value is ready.
type Encoder struct {
	coder
	level   Level
	scratch [depthMax + 1]intScratch
	sampled []uint64
	steps   []uint64
	narrow  []byte
	sym     []byte
	extra   []byte
	dict    []uint64

	wide      []uint64 // the integers to encode, where they have to be widened
	ends      []uint32 // of the values of a column
	positions []uint64
	headers   []byte
	trial     []byte
	strings   stringsEncoder

	// presences are the sets of rows that sparse columns have values in, each that
	// of the first column that has it, and numbers says which a column has, or -1.
	presences [][]uint32
	numbers   []int
}

// Encode appends a block with the rows r of a measurement to dst and returns the
// extended slice. The same rows always give the same bytes. It fails, and returns
// dst as it was, for rows that break the rules of [Rows] or exceed [RowsMax] or
// [ColumnBytesMax]; the error is [ErrRows].
func (e *Encoder) Encode(dst []byte, measurement point.MeasurementID, r *Rows, l Level) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrRows, err)
	}
	e.level = l
	start := len(dst)
	e.presences, e.numbers = e.presences[:0], e.numbers[:0]

	// The body is written first, the header, whose length depends on it, beside it;
	// then the body moves.
	h := e.headers[:0]
	h = append(h, magic...)
	h = append(h, version)
	h = append(h, make([]byte, headerFixed-lengthAt)...)
	h = binary.AppendUvarint(h, uint64(measurement))
	h = binary.AppendUvarint(h, uint64(r.Len()))
	h = binary.AppendUvarint(h, uint64(len(r.Series)))
	h = binary.AppendUvarint(h, uint64(len(r.Columns)))
	lo, hi := bounds(asUint64(r.Times))
	h = appendVarint(h, uint64(lo))
	h = binary.AppendUvarint(h, uint64(hi)-uint64(lo))

	at := len(dst)
	dst = e.appendSeries(openSection(dst), r)
	h = closeSection(h, dst, at)
	at = len(dst)
	dst = e.appendTimes(openSection(dst), r)
	h = closeSection(h, dst, at)

	h, dst = e.appendPresences(h, dst, r)
	field := point.FieldID(0)
	for i, c := range r.Columns {
		h = binary.AppendUvarint(h, uint64(c.Field-field))
		field = c.Field
		h, dst = e.appendColumn(h, dst, c, e.numbers[i], r)
	}

	binary.LittleEndian.PutUint32(h[lengthAt:], uint32(len(h)))
	binary.LittleEndian.PutUint32(h[checksumAt:], headerChecksum(h))
	e.headers = h
	body := len(dst) - start
	dst = growBytes(dst, len(h))
	copy(dst[start+len(h):], dst[start:start+body])
	copy(dst[start:], h)
	clear(e.presences)
	return dst, nil
}

// headerChecksum covers the header but for the checksum.
func headerChecksum(h []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, h[:checksumAt]), castagnoli, h[headerFixed:])
}

// openSection leaves room for a section's checksum.
func openSection(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// closeSection sets the checksum of the section that begins at at and ends dst,
// and appends its length to the header.
func closeSection(h, dst []byte, at int) []byte {
	s := dst[at:]
	binary.LittleEndian.PutUint32(s, crc32.Checksum(s[crcLen:], castagnoli))
	return binary.AppendUvarint(h, uint64(len(s)))
}

func (e *Encoder) appendSeries(dst []byte, r *Rows) []byte {
	e.wide = resize(e.wide, len(r.Series))
	for i, s := range r.Series {
		e.wide[i] = uint64(s)
	}
	dst = e.appendInts(dst, e.wide, nil, 0, hintNone)
	last := uint32(0)
	for i, end := range r.Ends {
		e.wide[i] = uint64(end - last)
		last = end
	}
	return e.appendInts(dst, e.wide, nil, 0, hintNone)
}

func (e *Encoder) appendTimes(dst []byte, r *Rows) []byte {
	times := asUint64(r.Times)
	n := int(r.Ends[0])
	shared := len(r.Series) > 1 && n*len(r.Series) == len(times)
	for i := n; shared && i < len(times); i += n {
		shared = slices.Equal(times[:n], times[i:i+n])
	}
	if shared {
		// Then every series has n rows: a second time at which times start over
		// would have ended the first series, too.
		return e.appendInts(append(dst, timesShared), times[:n], nil, 0, hintTimes)
	}
	return e.appendInts(append(dst, timesOwn), times, r.groups(), 0, hintTimes)
}

// presencesCompared is how many presences a column's is compared with, so that a
// thousand columns that all differ do not cost a million comparisons.
const presencesCompared = 8

// sparse reports whether c has no value for some row.
func (r *Rows) sparse(c *point.Column) bool { return c.Rows != nil && c.Len() < r.Len() }

// appendPresences appends the distinct sets of rows that columns have values in.
func (e *Encoder) appendPresences(h, dst []byte, r *Rows) (_, _ []byte) {
	for _, c := range r.Columns {
		number := -1
		if r.sparse(c) {
			if number = e.presenceOf(c); number < 0 {
				number = len(e.presences)
				e.presences = append(e.presences, c.Rows)
			}
		}
		e.numbers = append(e.numbers, number)
	}
	h = binary.AppendUvarint(h, uint64(len(e.presences)))
	for _, p := range e.presences {
		h = binary.AppendUvarint(h, uint64(len(p)))
		at := len(dst)
		dst = e.appendRowSet(openSection(dst), p, r.Len())
		h = closeSection(h, dst, at)
	}
	return h, dst
}

// presenceOf finds the presence of a column among the last ones, or -1.
func (e *Encoder) presenceOf(c *point.Column) int {
	for i := len(e.presences) - 1; i >= 0 && i >= len(e.presences)-presencesCompared; i-- {
		if slices.Equal(e.presences[i], c.Rows) {
			return i
		}
	}
	return -1
}

// valueEnds returns where the values of each series that has any end: nil if
// there is one group only.
func valueEnds(dst, rows, ends []uint32) []uint32 {
	dst = dst[:0]
	k := 0
	for _, end := range ends {
		from := k
		for k < len(rows) && rows[k] < end {
			k++
		}
		if k > from {
			dst = append(dst, uint32(k))
		}
	}
	return dst
}

// groups is what appendInts wants of rows.
func (r *Rows) groups() []uint32 {
	if len(r.Ends) == 1 {
		return nil
	}
	return r.Ends
}

func (e *Encoder) appendColumn(h, dst []byte, c *point.Column, number int, r *Rows) (_, _ []byte) {
	flags := byte(c.Type)
	ends := r.groups()
	if number >= 0 {
		flags |= columnPresence
		e.ends = valueEnds(e.ends, c.Rows, r.Ends)
		if ends = e.ends; len(ends) == 1 {
			ends = nil
		}
	}
	if c.Type == point.String {
		h = append(h, flags)
		if flags&columnPresence != 0 {
			h = binary.AppendUvarint(h, uint64(number))
		}
		at := len(dst)
		dst = e.appendStrings(openSection(dst), c, ends)
		return closeSection(h, dst, at), dst
	}
	s := statsOf(c.Type, c.Nums)
	if s.constant {
		flags |= columnConstant
	}
	if s.sumValid {
		flags |= columnSum
	}
	h = append(h, flags)
	if flags&columnPresence != 0 {
		h = binary.AppendUvarint(h, uint64(number))
	}
	h = s.appendTo(h, c.Type)
	if s.constant {
		return h, dst
	}
	at := len(dst)
	dst = openSection(dst)
	switch c.Type {
	case point.Float:
		dst = e.appendFloats(dst, c.Nums, ends)
	case point.Integer:
		dst = e.appendBounded(dst, c.Nums, ends, int64(s.min), int64(s.max), 0, hintNone)
	default:
		dst = e.appendInts(dst, c.Nums, ends, 0, hintNone)
	}
	return closeSection(h, dst, at), dst
}
