package tagindex

import (
	"bytes"
	"unsafe"

	"headgate/engine/point"
)

// tagsOf calls yield for each tag of a canonical series key, in order, unescaped.
// The strings point into key unless a backslash had to be removed.
func tagsOf(key []byte, yield func(name, value string) bool) {
	if bytes.IndexByte(key, '\\') >= 0 {
		_, tags := point.ParseSeriesKey(key)
		for _, t := range tags {
			if !yield(t.Key, t.Value) {
				return
			}
		}
		return
	}
	at := bytes.IndexByte(key, ',')
	for at >= 0 {
		rest := key[at+1:]
		eq := bytes.IndexByte(rest, '=')
		if eq < 0 {
			eq = len(rest)
		}
		name, value := rest[:eq], rest[min(eq+1, len(rest)):]
		if at = bytes.IndexByte(value, ','); at >= 0 {
			value, key = value[:at], value
		}
		if !yield(stringOf(name), stringOf(value)) {
			return
		}
	}
}

// tagName is a tag key, prepared for being looked for.
type tagName struct {
	name   string
	needle []byte // ",name=", as a series key without backslashes has it
}

func newTagName(name string) tagName {
	return tagName{name: name, needle: []byte("," + name + "=")}
}

// valueIn is the value of the tag in a canonical series key, "" if it has none.
// The string points into key unless a backslash had to be removed.
//
// In a key without backslashes every comma starts a tag and the next equals sign
// ends its name, so that the needle is found where the tag is and nowhere else.
func (t *tagName) valueIn(key []byte) string {
	if bytes.IndexByte(key, '\\') >= 0 {
		found := ""
		tagsOf(key, func(name, value string) bool {
			if name == t.name {
				found = value
				return false
			}
			return true
		})
		return found
	}
	at := bytes.Index(key, t.needle)
	if at < 0 {
		return ""
	}
	value := key[at+len(t.needle):]
	if end := bytes.IndexByte(value, ','); end >= 0 {
		value = value[:end]
	}
	return stringOf(value)
}

// stringOf is b without a copy. b is part of a series key, which never changes
// and which the string keeps alive.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
