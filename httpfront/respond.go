package httpfront

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// writeJSON answers with v indented by tabs, without a newline at the end, as
// the management endpoints do.
func (s *Server) writeJSON(c *fasthttp.RequestCtx, status int, v any) {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		s.writeError(c, err, indented)
		return
	}
	c.SetContentType(jsonType)
	c.SetStatusCode(status)
	c.SetBody(b)
}

// noContent answers 204, without body, type or length.
func noContent(c *fasthttp.RequestCtx) { c.SetStatusCode(fasthttp.StatusNoContent) }

// decodeJSON reads the request's body, at most QueryBodyBytesMax, into v. Errors
// of the JSON are encoding/json's own, io.EOF for an empty body among them; others
// are *engine.Error and can be answered with as they are.
func (s *Server) decodeJSON(c *fasthttp.RequestCtx, v any) error {
	b := getBuffer()
	defer putBuffer(b)
	if err := s.readSmallBody(c, b); err != nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader(b.data)).Decode(v)
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s in quotes, escaped as encoding/json does, HTML's
// characters included.
func appendJSONString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		ch := s[i]
		if ch < utf8.RuneSelf {
			if ch >= ' ' && ch != '"' && ch != '\\' && ch != '<' && ch != '>' && ch != '&' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch ch {
			case '"', '\\':
				dst = append(dst, '\\', ch)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&15])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendJSONFloat appends f as encoding/json does; f is finite.
func appendJSONFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := max(f, -f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'e' {
		// e-09 becomes e-9.
		if n := len(dst); n >= 4 && dst[n-4] == 'e' && (dst[n-3] == '-' || dst[n-3] == '+') && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
	}
	return dst
}
