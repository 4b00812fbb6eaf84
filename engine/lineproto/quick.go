package lineproto

import (
	"math/bits"

	"headgate/engine/point"
)

// The quick ways. They accept a line only if the general way would accept it with
// the same result, and return 0 at any doubt. buf has slackBytes behind last.

// predicted reads a line's fields, from buf[i:], as layout fields has them, into vals.
func (p *Parser) predicted(buf []byte, i, end, last int, fields []layoutField, vals []uint64) (next int, t int64) {
	vals = vals[:len(fields)]
	for k := range fields {
		f := &fields[k]
		n := int(f.len)
		if i+n > last {
			return 0, 0
		}
		if word(buf, i)&f.mask != f.word0 {
			return 0, 0
		}
		if n > 8 {
			if word(buf, i+n-8) != f.word2 {
				return 0, 0
			}
			if n > 16 {
				if word(buf, i+8) != f.word1 || n > 24 && string(buf[i+16:i+n-8]) != string(f.key[16:n-8]) {
					return 0, 0
				}
			}
		}
		i += n
		var v uint64
		switch f.typ {
		case point.Integer:
			// Up to seven digits and no sign: one word.
			x := word(buf, i) ^ zeros
			if d := digitsIn(x); uint(d-1) < 7 && buf[i+d] == 'i' {
				v = eightDigits(x << (64 - 8*uint(d)))
				i += d + 1
				break
			}
			fallthrough
		case point.Float, point.Unsigned:
			var typ point.FieldType
			if typ, v, i = number(buf, i); typ != f.typ {
				return 0, 0
			}
		case point.String:
			if v, i = quickString(buf, i, end); i == 0 || i > last {
				return 0, 0
			}
		case point.Boolean:
			if v, i = quickBoolean(buf, i); i == 0 {
				return 0, 0
			}
		}
		vals[k] = v
		if k == len(fields)-1 {
			break
		}
		if buf[i] != ',' {
			return 0, 0
		}
		i++
	}
	return p.quickTime(buf, i, end)
}

// keyByte tells which bytes a key may have on the free way.
var keyByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c != '=' && c != ',' && c != ' ' && c != '\\' && c != '\n'
	}
	return t
}()

// free reads a line's fields, from buf[i:], into p.fields.
func (p *Parser) free(buf []byte, i, end, last, prefix int) (next int, t int64) {
	fields := p.fields[:0]
	if i > last || buf[i] == '\t' || buf[i] == 0 {
		return 0, 0
	}
	for {
		key := i
		for i < last && keyByte[buf[i]] {
			i++
		}
		if i >= last || buf[i] != '=' || i == key || prefix+fieldSeparatorLen+i-key > keyBytesMax {
			return 0, 0
		}
		f := field{key: uint32(key), eq: uint32(i)}
		i++
		switch c := buf[i]; {
		case c == '"':
			f.typ = point.String
			if f.v, i = quickString(buf, i, end); i == 0 || i > last {
				return 0, 0
			}
		case c <= '9':
			if f.typ, f.v, i = number(buf, i); f.typ == 0 {
				return 0, 0
			}
		default:
			f.typ = point.Boolean
			if f.v, i = quickBoolean(buf, i); i == 0 {
				return 0, 0
			}
		}
		fields = append(fields, f)
		if buf[i] != ',' {
			break
		}
		i++
	}
	p.fields, p.found = fields[:0], fields
	return p.quickTime(buf, i, end)
}

// stamp is the last timestamp as it was sent: the next line often has the same.
type stamp struct {
	word0, word1, word2 uint64 // like layoutField's
	len                 int    // 0 if there is none, or it is short
	t                   int64
}

// quickTime reads what follows the fields: the end of the line, or a timestamp and the
// end of the line.
func (p *Parser) quickTime(buf []byte, i, end int) (next int, t int64) {
	t = p.now
	if buf[i] == ' ' {
		i++
		s := &p.stamp
		if n := s.len; n > 0 && word(buf, i) == s.word0 && word(buf, i+n-8) == s.word2 && (n <= 16 || word(buf, i+8) == s.word1) && !isDigit(buf[i+n]) {
			i, t = i+n, s.t
		} else {
			v, n := digits(buf, i)
			if n == 0 || n > 19 || v > p.timeMax {
				return p.autoTime(buf, i, end, v, n)
			}
			t = int64(v) * p.unit
			if s.len = 0; n >= 8 {
				*s = stamp{word(buf, i), word(buf, i+8), word(buf, i+n-8), n, t}
			}
			i += n
		}
	}
	switch buf[i] {
	case '\n':
		return i + 1, t
	case '\r':
		if buf[i+1] == '\n' && i+1 < end {
			return i + 2, t
		}
	}
	return 0, 0
}

const (
	wordTrue  = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24
	wordFalse = 'f' | 'a'<<8 | 'l'<<16 | 's'<<24 | 'e'<<32
)

// quickBoolean reads the boolean at buf[i:]; end is 0 if there is none.
func quickBoolean(buf []byte, i int) (v uint64, end int) {
	x := word(buf, i)
	// One branch for the two usual forms: which of them it is cannot be predicted.
	v = bit(uint32(x) == wordTrue)
	if v|bit(x&(1<<40-1) == wordFalse) != 0 {
		return v, i + 5 - int(v)
	}
	switch buf[i] {
	case 't', 'T':
		v, end = 1, i+1
		if w := string(buf[i : i+4]); w == "True" || w == "TRUE" {
			end = i + 4
		}
	case 'f', 'F':
		end = i + 1
		if w := string(buf[i : i+5]); w == "False" || w == "FALSE" {
			end = i + 5
		}
	}
	return v, end
}

const ones = 0x0101010101010101

// bytesEqual marks the bytes of x that equal the byte repeated in pattern. Only the lowest
// mark is sure.
func bytesEqual(x, pattern uint64) uint64 {
	x ^= pattern
	return (x - ones) &^ x & highs
}

// quickString reads the string whose quote is at buf[i]; after is 0 if there is none, or
// if it has a newline.
func quickString(buf []byte, i, end int) (v uint64, after int) {
	if buf[i] != '"' {
		return 0, 0
	}
	i++
	start, escaped := i, false
	for i+8 <= len(buf) {
		x := word(buf, i)
		m := bytesEqual(x, ones*'"') | bytesEqual(x, ones*'\\') | bytesEqual(x, ones*'\n')
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if i >= end {
			return 0, 0
		}
		switch buf[i] {
		case '"':
			return stringValue(start, i, escaped), i + 1
		case '\\':
			// The byte behind belongs to it, whatever it is but a newline.
			if buf[i+1] == '\n' {
				return 0, 0
			}
			escaped = true
			i += 2
		default:
			return 0, 0
		}
	}
	return 0, 0
}
