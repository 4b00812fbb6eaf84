package block

import (
	"encoding/binary"
	"math/bits"
)

// How a set of rows is stored, in its first byte.
const (
	rowsListed = iota // the row numbers
	rowsRuns          // how many runs, then the lengths of gaps and runs in turn
	rowsBitmap        // bit i%8 of byte i/8 is row i
)

// appendRowSet appends which of n rows are there, in the least of several ways.
func (e *Encoder) appendRowSet(dst []byte, rows []uint32, n int) []byte {
	at := len(dst)
	dst = append(dst, rowsListed)
	e.wide = resize(e.wide, len(rows))
	runs := 0
	for i, row := range rows {
		e.wide[i] = uint64(row)
		if i == 0 || row != rows[i-1]+1 {
			runs++
		}
	}
	dst = e.appendInts(dst, e.wide, nil, 0, hintNone)

	// Runs: the lengths of gaps and runs, in turn, the first gap may be empty.
	if runs < len(rows)/2 {
		e.wide = e.wide[:0]
		next := uint32(0)
		for i, row := range rows {
			if i == 0 || row != next {
				e.wide = append(e.wide, uint64(row-next), 0)
			}
			e.wide[len(e.wide)-1]++
			next = row + 1
		}
		e.trial = append(e.trial[:0], rowsRuns)
		e.trial = binary.AppendUvarint(e.trial, uint64(runs))
		e.trial = e.appendInts(e.trial, e.wide, nil, 0, hintNone)
		if len(e.trial) < len(dst)-at {
			dst = append(dst[:at], e.trial...)
		}
	}
	if 1+(n+7)/8 <= len(dst)-at {
		dst = append(dst[:at], rowsBitmap)
		dst = append(dst, make([]byte, (n+7)/8)...)
		for _, row := range rows {
			dst[at+1+int(row/8)] |= 1 << (row % 8)
		}
	}
	return dst
}

var rowSetNames = [...]string{rowsListed: "listed", rowsRuns: "alternating", rowsBitmap: "bitmap"}

// rowSet reads which len(dst) of n rows are there.
func (d *decoder) rowSet(r *reader, dst []uint32, n int) {
	how := r.byte()
	if int(how) < len(rowSetNames) {
		d.note(rowSetNames[how])
	}
	switch how {
	case rowsListed:
		d.rows = resize(d.rows, len(dst))
		d.ints(r, d.rows, nil, 0)
		next := uint64(0)
		for i, row := range d.rows {
			if r.err == nil && (row < next || row >= uint64(n)) {
				r.fail("row is out of order")
			}
			if r.err != nil {
				return
			}
			dst[i] = uint32(row)
			next = row + 1
		}
	case rowsRuns:
		runs := r.count(1, len(dst), "more runs than rows")
		d.rows = resize(d.rows, 2*runs)
		d.ints(r, d.rows, nil, 0)
		if r.err != nil {
			return
		}
		next := uint64(0)
		for i := 0; i < len(d.rows); i += 2 {
			gap, run := d.rows[i], d.rows[i+1]
			if gap > uint64(n) || run > uint64(len(dst)) || next+gap+run > uint64(n) {
				r.fail("rows exceed the block")
				return
			}
			next += gap
			for k := range dst[:run] {
				dst[k] = uint32(next) + uint32(k)
			}
			dst = dst[run:]
			next += run
		}
		if len(dst) > 0 {
			r.fail("fewer rows than values")
		}
	case rowsBitmap:
		src := r.bytes((n + 7) / 8)
		k := 0
		for i, x := range src {
			for ; x != 0; x &= x - 1 {
				row := i*8 + bits.TrailingZeros8(x)
				if k == len(dst) || row >= n {
					r.fail("more rows than values")
					return
				}
				dst[k] = uint32(row)
				k++
			}
		}
		if k < len(dst) {
			r.fail("fewer rows than values")
		}
	default:
		r.fail("unknown set of rows")
	}
}
