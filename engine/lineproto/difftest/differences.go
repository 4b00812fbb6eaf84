package difftest

import (
	"bytes"
	"strings"
)

// A difference is something that Headgate answers otherwise than InfluxDB, on
// purpose. Exactly one of body and line is set.
type difference struct {
	name string
	row  string // of CONTRACT.md part 1, which asks for it
	// body reports whether a body is a case of it, so that the two cannot be compared.
	body func(body []byte, theirs, ours verdict) bool
	// line reports whether a line that only Headgate takes for malformed, or for another
	// reason, is a case of it.
	line func(line, reason string) bool
}

// differences is the whole list.
var differences = []difference{
	{name: "long lines are cut, and only the first 100 are quoted", row: "7", body: func(_ []byte, theirs, ours verdict) bool {
		return theirs.message != "" && ours.message != "" && (len(theirs.message) > 1024 || len(theirs.entries()) > 100)
	}},
	{name: "CRLF ends a line as LF does", row: "12", body: func(body []byte, _, _ verdict) bool {
		return bytes.Contains(body, []byte("\r\n"))
	}},
	{name: "a quote, or an escaped newline, in a comment", row: "14", body: func(body []byte, _, _ verdict) bool {
		for line := range bytes.Lines(body) {
			if line = bytes.TrimLeft(line, " \t\x00"); len(line) > 0 && line[0] == '#' && bytes.ContainsAny(line, `"\`) {
				return true
			}
		}
		return false
	}},
	{name: "text after a closing quote", row: "13", line: func(line, reason string) bool {
		return reason == "invalid field format" && strings.Count(line, `"`) >= 2
	}},

	// The rest is input from which InfluxDB stores damaged keys, or fails while it
	// stores them (row 29: whatever the bytes, the answer is 204, 400 or 422).
	{name: "= behind two backslashes ends a key when it is checked, but not when it is stored", row: "29", line: func(line, reason string) bool {
		return reason == "invalid field format" && strings.Contains(line, `\\=`)
	}},
	{name: "comma in a field key: the quote of its value does not count when it is checked, but when it is stored", row: "29", line: func(line, reason string) bool {
		return reason == "invalid field format" && strings.Contains(line, ",") && strings.Contains(line, `="`)
	}},
	{name: "empty field key behind a tab or NUL", row: "29", line: func(line, reason string) bool {
		return reason == "missing field key" && (strings.Contains(line, "\t=") || strings.Contains(line, "\x00="))
	}},
	{name: "newline instead of a timestamp, inside a quote that only the splitter of lines sees", row: "29", line: func(line, reason string) bool {
		return reason == "point is invalid" && strings.Contains(line, "\n") && strings.Contains(line, `"`)
	}},
}

// verdict is what a parser says of a body.
type verdict struct {
	points  []string // as text, in the order of the lines
	message string   // empty if the body is good
}

const unable = "unable to parse '"

// entries are the malformed lines with their reasons.
func (v verdict) entries() []string {
	if v.message == "" {
		return nil
	}
	return strings.Split(strings.TrimPrefix(v.message, unable), "\n"+unable)
}

// explain returns the names of the differences that make theirs and ours differ, and
// whether they explain it all.
func explain(body []byte, theirs, ours verdict) (names []string, ok bool) {
	for _, d := range differences {
		if d.body != nil && d.body(body, theirs, ours) {
			return []string{d.name}, true
		}
	}
	rest := theirs.entries()
	for _, entry := range ours.entries() {
		if len(rest) > 0 && rest[0] == entry {
			rest = rest[1:]
			continue
		}
		i := strings.LastIndex(entry, "': ")
		if len(rest) > 0 && strings.HasPrefix(rest[0], entry[:i]+"': ") {
			rest = rest[1:] // they find fault with the line later
		}
		found := false
		for _, d := range differences {
			if d.line != nil && d.line(entry[:i], entry[i+len("': "):]) {
				names, found = append(names, d.name), true
				break
			}
		}
		if !found {
			return names, false
		}
	}
	return names, len(rest) == 0 && len(names) > 0
}
