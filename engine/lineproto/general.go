package lineproto

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"headgate/engine/point"
)

// The general way: the whole grammar, in the order in which InfluxDB checks it,
// because a malformed line is answered with the first reason found.
//
// Two rules decide what a backslash does, and they differ for two backslashes in a
// row. In measurement and tags a delimiter counts unless the byte before it is a
// backslash. In the splitter of lines and among fields a backslash takes the next
// byte with it.

// keyBytesMax is the longest series key, and with the field key and four bytes
// between them the longest key of a value.
const (
	keyBytesMax       = 65535
	fieldSeparatorLen = 4
)

// lineEnd finds where the line that starts at body[i:] ends: at its newline, or at the end.
//
// Quotes count only after the first space, and only while there have been more = than commas; a
// newline inside a quote belongs to the line.
func lineEnd(body []byte, i int) int {
	var fields, quoted bool
	balance := 0 // = minus commas
	for ; i < len(body); i++ {
		switch c := body[i]; c {
		case '\\':
			if i+2 < len(body) {
				i++
			}
		case ' ':
			fields = true
		case '=':
			if fields && !quoted {
				balance++
			}
		case ',':
			if fields && !quoted {
				balance--
			}
		case '"':
			if fields && balance > 0 {
				quoted = !quoted
			}
		case '\n':
			if !quoted {
				return i
			}
		}
	}
	return i
}

// skipBlank skips what may stand before a part of a line.
func skipBlank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == 0) {
		i++
	}
	return i
}

// tagSpan is a tag in a line: key line[key:eq], value line[eq+1:end].
type tagSpan struct{ key, eq, end uint32 }

// scanPrefix checks measurement and tags. It returns where the measurement and
// the prefix end, and the tags sorted by key, in tags' memory.
func scanPrefix(line []byte, tags []tagSpan) (measurement, end int, _ []tagSpan, reason string) {
	tags = tags[:0]
	if line[0] == ',' {
		return 0, 0, tags, missingMeasurement
	}
	i := 1
	for ; ; i++ {
		if i >= len(line) {
			return i, i, tags, missingFields
		}
		if (line[i] == ',' || line[i] == ' ') && line[i-1] != '\\' {
			break
		}
	}
	measurement = i
	for line[i] == ',' {
		i++
		tag := tagSpan{key: uint32(i)}
		if i >= len(line) || line[i] == ' ' || line[i] == ',' || line[i] == '=' {
			return measurement, i, tags, missingTagKey
		}
		for i++; ; i++ {
			if i >= len(line) || (line[i] == ' ' || line[i] == ',') && line[i-1] != '\\' {
				return measurement, i, tags, missingTagValue
			}
			if line[i] == '=' && line[i-1] != '\\' {
				break
			}
		}
		tag.eq = uint32(i)
		i++
		if i >= len(line) || line[i] == ' ' || line[i] == ',' {
			return measurement, i, tags, missingTagValue
		}
		for i++; ; i++ { // the first byte of a value may be =
			if i >= len(line) {
				return measurement, i, tags, missingFields
			}
			if line[i-1] == '\\' {
				continue
			}
			if line[i] == '=' {
				return measurement, i, tags, invalidTagFormat
			}
			if line[i] == ',' || line[i] == ' ' {
				break
			}
		}
		tag.end = uint32(i)
		tags = append(tags, tag)
	}
	return measurement, i, tags, checkTags(line, tags, i)
}

// checkTags sorts tags and says what is wrong with their keys or their length.
func checkTags(line []byte, tags []tagSpan, end int) (reason string) {
	sorted := true
	for i, t := range tags {
		switch key := line[t.key:t.eq]; string(key) {
		case "time", "_field", "_measurement", "\x00", "\xff":
			return reservedTagKey(key)
		}
		if i > 0 && bytes.Compare(line[tags[i-1].key:tags[i-1].eq], line[t.key:t.eq]) >= 0 {
			sorted = false
		}
	}
	if !sorted {
		slices.SortFunc(tags, func(a, b tagSpan) int { return bytes.Compare(line[a.key:a.eq], line[b.key:b.eq]) })
		for i := 1; i < len(tags); i++ {
			if bytes.Equal(line[tags[i-1].key:tags[i-1].eq], line[tags[i].key:tags[i].eq]) {
				return duplicateTags
			}
		}
	}
	if end > keyBytesMax {
		return keyTooLong(end)
	}
	return ""
}

// field is a field of the line at hand.
type field struct {
	key, eq uint32 // line[key:eq] is the key as sent
	col     int32  // in shape.fields
	typ     point.FieldType
	// v is the value as point.Column.Nums holds it. Of a string it says where it
	// is in the line, see stringValue.
	v uint64
}

// stringValue packs where a string lies, without its quotes, and whether it has
// backslashes.
func stringValue(start, end int, escaped bool) uint64 {
	v := uint64(start)<<32 | uint64(end-start)<<1
	if escaped {
		v |= 1
	}
	return v
}

func unpackString(v uint64) (start, end int, escaped bool) {
	start = int(v >> 32)
	return start, start + int(uint32(v)>>1), v&1 != 0
}

// scanFields checks the fields at line[i:] and appends them to fields. end is where
// they end: at a space or at the end of the line.
func scanFields(line []byte, i, prefix int, fields []field) (_ []field, end int, reason string) {
	start := i
	key := i
	equals, commas := 0, 0
	var quoted, damaged bool // damaged: InfluxDB would store something else than was meant, or nothing sensible
scan:
	for i < len(line) {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i += 2
			continue
		case c == '"' && equals > commas:
			quoted = !quoted
		case quoted:
		case c == '=':
			equals++
			if i == start || (line[i-1] == ' ' || line[i-1] == ',') && line[i-2] != '\\' {
				return fields, i, missingFieldKey
			}
			if i+1 == len(line) || line[i+1] == ',' || line[i+1] == ' ' {
				return fields, i, missingFieldValue
			}
			f := field{key: uint32(key), eq: uint32(i)}
			switch first := line[i+1]; {
			case isDigit(first), first == '.', first == '-', first == 'N', first == 'n':
				i, f.typ, f.v, reason = scanNumber(line, i+1)
			case first != '"':
				i, f.v, reason = scanBoolean(line, i+1)
				f.typ = point.Boolean
			case equals > commas:
				i, f.v, reason = scanString(line, i+1)
				f.typ = point.String
				damaged = damaged || i < len(line) && line[i] != ',' && line[i] != ' '
			default: // a comma in a key: the quote does not count
				i++
			}
			if reason != "" {
				return fields, i, reason
			}
			fields = append(fields, f)
			continue
		case c == ',':
			commas++
			damaged = damaged || equals < commas
			key = i + 1
		case c == ' ':
			break scan
		}
		i++
	}
	switch {
	case quoted:
		return fields, i, unbalancedQuotes
	case equals == 0 || commas != equals-1 || damaged:
		return fields, i, invalidFieldFormat
	}
	for _, f := range fields {
		if line[f.eq-1] == '\\' {
			return fields, i, oddKey(line[f.key:i], int(f.eq-f.key))
		}
		if n := prefix + fieldSeparatorLen + int(f.eq-f.key); n > keyBytesMax {
			return fields, i, keyTooLong(n)
		}
	}
	return fields, i, ""
}

// oddKey is the reason for a key that ends in two backslashes. InfluxDB checks such a
// key up to the =, then reads it up to another = if there is one.
func oddKey(fields []byte, eq int) string {
	for i := eq + 1; i < len(fields); i++ {
		if fields[i] == '=' && fields[i-1] != '\\' {
			return invalidFieldFormat
		}
	}
	return "invalid value: field-key=" + string(cut(fields))
}

// scanString scans the string whose opening quote is at line[i].
func scanString(line []byte, i int) (end int, v uint64, reason string) {
	i++
	start, escaped := i, false
	for ; i < len(line); i++ {
		switch line[i] {
		case '"':
			return i + 1, stringValue(start, i, escaped), ""
		case '\\':
			if i+1 < len(line) {
				i++
				escaped = true
			}
		}
	}
	return i, 0, unbalancedQuotes
}

// appendUnescaped appends the value of a string with backslashes.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			i++
		}
		dst = append(dst, s[i])
	}
	return dst
}

func scanBoolean(line []byte, i int) (end int, v uint64, reason string) {
	end = i
	for end < len(line) && line[end] != ',' && line[end] != ' ' {
		end++
	}
	switch string(line[i:end]) {
	case "t", "T", "true", "True", "TRUE":
		return end, 1, ""
	case "f", "F", "false", "False", "FALSE":
		return end, 0, ""
	}
	return end, 0, invalidBoolean
}

// scanNumber scans the number at line[i:], which ends at a comma, a space or the
// end of the line.
func scanNumber(line []byte, i int) (end int, typ point.FieldType, v uint64, reason string) {
	start := i
	if line[i] == '-' {
		i++
	}
	var decimal, exponent bool
	var suffix byte
	digits := 0
	for ; i < len(line) && line[i] != ',' && line[i] != ' '; i++ {
		switch c := line[i]; {
		case isDigit(c):
			digits++
		case (c == 'i' || c == 'u') && i > start && suffix == 0:
			suffix = c
		case c == '.' && !decimal:
			decimal = true
		case (c == 'e' || c == 'E') && i > start:
			exponent = true
		case (c == '+' || c == '-') && (line[i-1] == 'e' || line[i-1] == 'E'):
		default:
			return i, 0, 0, invalidNumber
		}
	}
	text := line[start:i]
	if suffix != 0 {
		if decimal || exponent || digits == 0 || text[len(text)-1] != suffix || suffix == 'u' && text[0] == '-' {
			return i, 0, 0, invalidNumber
		}
		text = text[:len(text)-1]
	}
	// The strings live no longer than the calls: strconv clones what it quotes.
	s := unsafe.String(unsafe.SliceData(text), len(text))
	switch {
	case suffix == 'i':
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return i, 0, 0, integerOutOfRange(text)
		}
		return i, point.Integer, uint64(n), ""
	case suffix == 'u':
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return i, 0, 0, unsignedOutOfRange(text)
		}
		return i, point.Unsigned, n, ""
	case digits == 0 && !exponent:
		return i, 0, 0, invalidNumber
	}
	f, err := parseFloat(text)
	if err != nil {
		return i, 0, 0, invalidFloat
	}
	return i, point.Float, math.Float64bits(f), ""
}

// scanTime scans what follows the fields. has is false if there is no timestamp.
func scanTime(line []byte, i int, unit int64) (t int64, has bool, reason string) {
	i = skipBlank(line, i)
	start := i
	for ; i < len(line) && line[i] != ' ' && line[i] != '\n'; i++ {
		if !isDigit(line[i]) && (i > start || line[i] != '-') {
			return 0, false, badTimestamp
		}
	}
	text := line[start:i]
	if len(text) > 0 {
		has = true
		if len(text) == 1 && text[0] == '-' {
			return 0, false, loneMinus
		}
		n, err := strconv.ParseInt(unsafe.String(unsafe.SliceData(text), len(text)), 10, 64)
		if err != nil {
			return 0, false, outOfRange("ParseInt", text)
		}
		if unit == 0 && n == 0 {
			unit = 1
		} else if unit == 0 {
			if unit = autoUnit(uint64(n)); n < 0 || unit == 0 {
				return 0, false, unknownUnit
			}
		}
		t = n * unit
		if t/unit != n || t < point.TimeMin || t > point.TimeMax {
			return 0, false, timeOutsideRange
		}
	}
	for ; i < len(line); i++ {
		if line[i] != ' ' {
			return 0, false, pointIsInvalid
		}
	}
	return t, has, ""
}
