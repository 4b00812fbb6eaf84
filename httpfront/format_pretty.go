package httpfront

import "headgate/engine"

// prettyFormat indents what a jsonFormat writes, by four blanks as InfluxDB 1.x
// does, while it is being written: no answer is held back for it.
type prettyFormat struct {
	json jsonFormat
	raw  []byte

	depth int
	// opened says that the last byte was an opening bracket, whose line break
	// depends on what comes next.
	opened            bool
	inString, escaped bool
}

func (f *prettyFormat) result(dst []byte, r *engine.Result) []byte {
	f.raw = f.json.result(f.raw[:0], r)
	return f.indent(dst, f.raw)
}

func (f *prettyFormat) end(dst []byte) []byte {
	f.raw = f.json.end(f.raw[:0])
	return f.indent(dst, f.raw)
}

func (f *prettyFormat) held() int64 { return int64(cap(f.raw)) }

// indent appends compact JSON, which may begin and end anywhere in a document.
func (f *prettyFormat) indent(dst, compact []byte) []byte {
	for _, c := range compact {
		if f.inString {
			switch {
			case f.escaped:
				f.escaped = false
			case c == '\\':
				f.escaped = true
			case c == '"':
				f.inString = false
			}
			dst = append(dst, c)
			continue
		}
		closing := c == '}' || c == ']'
		if f.opened {
			f.opened = false
			if closing {
				f.depth--
				dst = append(dst, c)
				continue
			}
			dst = f.newline(dst)
		}
		switch {
		case c == '{' || c == '[':
			f.depth++
			f.opened = true
			dst = append(dst, c)
		case closing:
			f.depth--
			dst = append(f.newline(dst), c)
		case c == ',':
			dst = f.newline(append(dst, c))
		case c == ':':
			dst = append(dst, c, ' ')
		default:
			f.inString = c == '"'
			dst = append(dst, c)
		}
	}
	return dst
}

func (f *prettyFormat) newline(dst []byte) []byte {
	dst = append(dst, '\n')
	for range f.depth {
		dst = append(dst, "    "...)
	}
	return dst
}
