package record

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"headgate/engine/point"
)

// Strings are one byte of encoding, then:
//
//	stringsPlain       lengths: sequence of n; the bytes
//	stringsDictionary  k; lengths: sequence of k; the bytes; indices: sequence of n
//
// The dictionary lists distinct values in the order in which they first occur.
// It is given up as soon as values turn out not to repeat.
const (
	stringsPlain = iota
	stringsDictionary
)

const (
	dictionaryMax     = 255 // distinct values; an index is a byte at most
	dictionaryRowsMin = 8   // below this it cannot pay
	dictionaryProbe   = 64  // after so many values at most half may be distinct
)

// dictionary finds the distinct values of a string column.
type dictionary struct {
	seed  maphash.Seed
	slots [512]uint16 // 1 + index into first; twice dictionaryMax and a power of two
	first []int       // value numbers
}

// build fills indices and reports whether the values repeat enough.
func (t *dictionary) build(c *point.Column, indices []uint64) bool {
	if len(c.Ends) < dictionaryRowsMin {
		return false
	}
	clear(t.slots[:])
	t.first = t.first[:0]
	var prev []byte
	var last uint64
	for i := range c.Ends {
		s := c.StringAt(i)
		if i > 0 && bytes.Equal(s, prev) {
			indices[i] = last
			continue
		}
		h := maphash.Bytes(t.seed, s)
		for ; ; h++ {
			slot := &t.slots[h%uint64(len(t.slots))]
			if *slot == 0 {
				if len(t.first) == dictionaryMax {
					return false
				}
				t.first = append(t.first, i)
				*slot = uint16(len(t.first))
			} else if !bytes.Equal(c.StringAt(t.first[*slot-1]), s) {
				continue
			}
			last = uint64(*slot - 1)
			break
		}
		if i == dictionaryProbe && len(t.first) > dictionaryProbe/2 {
			return false
		}
		indices[i], prev = last, s
	}
	return len(t.first) <= len(c.Ends)/2
}

func (e *encoder) appendStrings(dst []byte, c *point.Column) []byte {
	n := len(c.Ends)
	indices := e.scratch2(n)
	if !e.dict.build(c, indices) {
		lengths := indices
		prev := uint32(0)
		for i, end := range c.Ends {
			lengths[i] = uint64(end - prev)
			prev = end
		}
		dst = append(dst, stringsPlain)
		dst = e.appendSequence(dst, lengths, false, false)
		return append(dst, c.Bytes[:prev]...)
	}
	k := len(e.dict.first)
	dst = binary.AppendUvarint(append(dst, stringsDictionary), uint64(k))
	var lengths [dictionaryMax]uint64
	for j, i := range e.dict.first {
		lengths[j] = uint64(len(c.StringAt(i)))
	}
	dst = e.appendSequence(dst, lengths[:k], false, false)
	for _, i := range e.dict.first {
		dst = append(dst, c.StringAt(i)...)
	}
	return e.appendSequence(dst, indices, false, false)
}

// strings reads n values into c.
func (d *decoder) strings(c *point.Column, n int) {
	switch d.byte() {
	case stringsPlain:
		lengths, total := d.lengths(n)
		src := d.bytes(total)
		if d.err != nil || !d.charge(4*n+total) {
			return
		}
		c.Bytes = append([]byte(nil), src...)
		c.Ends = make([]uint32, n)
		end := uint64(0)
		for i, l := range lengths {
			end += l
			c.Ends[i] = uint32(end)
		}
	case stringsDictionary:
		k := d.count(dictionaryMax, "dictionary")
		lengths, total := d.lengths(k)
		src := d.bytes(total)
		if d.err != nil {
			return
		}
		var values [dictionaryMax][]byte
		for i, l := range lengths {
			values[i], src = src[:l], src[l:]
		}
		if !d.charge(8 * n) {
			return
		}
		indices := d.scratch(n)
		d.sequence(indices)
		total = 0
		for _, x := range indices {
			if d.err == nil && x >= uint64(k) {
				d.fail("string index outside the dictionary")
			}
			if d.err != nil {
				return
			}
			total += len(values[x])
		}
		if total > stringBytesMax {
			d.fail("strings of a column exceed 4 GiB")
			return
		}
		if !d.charge(4*n + total) {
			return
		}
		c.Ends = make([]uint32, n)
		c.Bytes = make([]byte, 0, total)
		for i, x := range indices {
			c.Bytes = append(c.Bytes, values[x]...)
			c.Ends[i] = uint32(len(c.Bytes))
		}
	default:
		d.fail("unknown string encoding")
	}
}

// stringBytesMax is what the ends of a column can express.
const stringBytesMax = 1<<32 - 1

// lengths reads n string lengths, whose sum is at most what is left of the
// record.
func (d *decoder) lengths(n int) ([]uint64, int) {
	if d.err != nil || !d.charge(8*n) {
		return nil, 0
	}
	v := d.scratch(n)
	d.sequence(v)
	left := uint64(min(len(d.rec)-d.at, stringBytesMax))
	total := uint64(0)
	for _, l := range v {
		if d.err != nil {
			return nil, 0
		}
		if l > left-total {
			d.fail("strings longer than the record")
			return nil, 0
		}
		total += l
	}
	return v, int(total)
}
