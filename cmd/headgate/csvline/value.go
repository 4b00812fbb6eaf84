package csvline

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var dataTypes = []string{"string", "double", "long", "unsignedLong", "boolean", "duration", "base64Binary", "dateTime"}

// checkFormat looks at what follows a type's colon.
func checkFormat(c *column) error {
	if c.dataType == "boolean" && c.format != "" && strings.Count(c.format, ":") != 1 {
		return fmt.Errorf("boolean:%s is not boolean:TRUE,...:FALSE,... with lists of words", c.format)
	}
	return nil
}

// checkName refuses what no escape can make part of a line.
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("a name is empty")
	case strings.ContainsAny(s, "\n\r"):
		return errors.New("a name or tag cannot hold the end of a line")
	case s[len(s)-1] == '\\':
		return errors.New(`a name or tag cannot end in \`)
	}
	return nil
}

// checkStart refuses names that a parser takes for less, for it skips blanks before them.
func checkStart(s string) error {
	if s != "" && (s[0] == '\t' || s[0] == 0) {
		return errors.New("a measurement or field cannot begin with a tab or NUL")
	}
	return nil
}

// checkField refuses what no escape can make the name of a field. Among fields a backslash
// takes the next byte with it: of an odd number of them before a separator the last would
// take the one that escapes it.
func checkField(s string) error {
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			run++
			continue
		case run%2 == 1 && strings.IndexByte(", =", c) >= 0:
			return fmt.Errorf(`a field cannot hold \ before %q`, string(c))
		}
		run = 0
	}
	return errors.Join(checkName(s), checkStart(s))
}

// appendEscaped appends s with a backslash before each of special.
func appendEscaped(dst []byte, s, special string) []byte {
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// appendString appends s as a string value.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s, `"\`)
	return append(dst, '"')
}

// appendValue appends a cell as the value of a field.
func appendValue(dst []byte, v string, c *column, zone *time.Location) ([]byte, error) {
	switch c.dataType {
	case "string":
		return appendString(dst, v), nil
	case "double":
		f, err := strconv.ParseFloat(number(v, c.format), 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return dst, fmt.Errorf("%q is no double", v)
		}
		return strconv.AppendFloat(dst, f, 'g', -1, 64), nil
	case "long", "unsignedLong":
		text, err := whole(number(v, strings.TrimPrefix(c.format, "strict")), c.format == "strict")
		if err == nil && c.dataType == "long" {
			var n int64
			if n, err = strconv.ParseInt(text, 10, 64); err == nil {
				return append(strconv.AppendInt(dst, n, 10), 'i'), nil
			}
		} else if err == nil {
			var n uint64
			if n, err = strconv.ParseUint(text, 10, 64); err == nil {
				return append(strconv.AppendUint(dst, n, 10), 'u'), nil
			}
		}
		return dst, fmt.Errorf("%q is no %s", v, c.dataType)
	case "boolean":
		b, err := boolean(v, c.format)
		if err != nil {
			return dst, err
		}
		return strconv.AppendBool(dst, b), nil
	case "duration":
		d, err := time.ParseDuration(v)
		if err != nil {
			return dst, fmt.Errorf("%q is no duration", v)
		}
		return append(strconv.AppendInt(dst, int64(d), 10), 'i'), nil
	case "base64Binary":
		if _, err := base64.StdEncoding.DecodeString(v); err != nil {
			return dst, fmt.Errorf("%q is no base64", v)
		}
		return appendString(dst, v), nil
	case "dateTime": // of _value
		ts, _, err := parseTime(v, c.format, zone)
		if err != nil {
			return dst, err
		}
		return append(strconv.AppendInt(dst, ts, 10), 'i'), nil
	}
	if !isLiteral(v) {
		return dst, fmt.Errorf(`%q is no value of line protocol: give the column a type, such as %s|string in the header or --header "#datatype ..."`, v, c.label)
	}
	return append(dst, v...), nil
}

// isLiteral reports whether v is a value as line protocol writes it.
func isLiteral(v string) bool {
	switch v {
	case "t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE":
		return true
	}
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		for i := 1; i < n-1; i++ {
			if v[i] == '"' {
				return false
			}
			if v[i] == '\\' && (v[i+1] == '"' || v[i+1] == '\\') {
				i++
				if i == n-1 {
					return false
				}
			}
		}
		return true
	}
	text, suffix := v, byte(0)
	if n := len(v) - 1; n > 0 && (v[n] == 'i' || v[n] == 'u') {
		text, suffix = v[:n], v[n]
	}
	if strings.Trim(text, "0123456789+-.eE") != "" || text[0] == '+' {
		return false
	}
	var err error
	switch suffix {
	case 'i':
		_, err = strconv.ParseInt(text, 10, 64)
	case 'u':
		_, err = strconv.ParseUint(text, 10, 64)
	default:
		_, err = strconv.ParseFloat(text, 64)
	}
	return err == nil
}

// number is v with a point for what ends its whole part, and without what groups digits.
func number(v, format string) string {
	point, ignored := ".", ", _\t"
	if format != "" {
		point, ignored = format[:1], format[1:]
	}
	if point == "." && !strings.ContainsAny(v, ignored) {
		return v
	}
	var b strings.Builder
	for _, r := range v {
		switch {
		case string(r) == point:
			b.WriteByte('.')
		case strings.ContainsRune(ignored, r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// whole cuts a fraction off.
func whole(v string, strict bool) (string, error) {
	text, fraction, has := strings.Cut(v, ".")
	if has && strict {
		return "", errors.New("it has a fraction")
	}
	if has && strings.Trim(fraction, "0123456789") != "" {
		return "", errors.New("it is no number")
	}
	if has && strings.Trim(text, "+-") == "" {
		text += "0"
	}
	return text, nil
}

func boolean(v, format string) (bool, error) {
	if format == "" {
		switch strings.ToLower(v) {
		case "t", "true", "y", "yes", "1":
			return true, nil
		case "f", "false", "n", "no", "0":
			return false, nil
		}
		return false, fmt.Errorf("%q is no boolean: use true, t, yes, y, 1 or false, f, no, n, 0, or a type such as boolean:on:off", v)
	}
	yes, no, _ := strings.Cut(format, ":")
	switch {
	case has(yes, v):
		return true, nil
	case has(no, v):
		return false, nil
	case yes == "":
		return true, nil
	case no == "":
		return false, nil
	}
	return false, fmt.Errorf("%q is no boolean:%s", v, format)
}

func has(list, v string) bool {
	if list == "" {
		return false
	}
	for one := range strings.SplitSeq(list, ",") {
		if one == v {
			return true
		}
	}
	return false
}

// parseTime reads a time, in nanoseconds unless counted, when it is a number already.
func parseTime(v, format string, zone *time.Location) (ts int64, counted bool, err error) {
	if format == "" || format == "number" {
		ts, err := strconv.ParseInt(v, 10, 64)
		if err == nil || format == "number" {
			if err != nil {
				err = fmt.Errorf("%q is no timestamp", v)
			}
			return ts, true, err
		}
	}
	if zone == nil {
		zone = time.UTC
	}
	layout := format
	switch format {
	case "", "RFC3339", "RFC3339Nano":
		layout = time.RFC3339 // which reads fractions, too
	}
	at, err := time.ParseInLocation(layout, v, zone)
	if err != nil {
		return 0, false, fmt.Errorf("%q is no time like %s; a type such as dateTime:2006-01-02 tells its form", v, layout)
	}
	if at.Before(time.Unix(0, math.MinInt64)) || at.After(time.Unix(0, math.MaxInt64)) {
		return 0, false, fmt.Errorf("%q is before 1677 or after 2262", v)
	}
	return at.UnixNano(), false, nil
}

// location is a time zone by offset, such as -0500 or +02:00, or by name.
func location(name string) (*time.Location, error) {
	if at, err := time.Parse("-0700", strings.Replace(name, ":", "", 1)); err == nil {
		_, offset := at.Zone()
		return time.FixedZone(name, offset), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone: write an offset such as -0500, or a name such as Europe/London", name)
	}
	return zone, nil
}
