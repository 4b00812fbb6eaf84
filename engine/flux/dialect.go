package flux

import (
	"bytes"
	"io"
)

// prefixWriter writes another prefix for the # that begins lines of annotation.
// Lines of data begin with an empty column, so that a # there is in quotes.
type prefixWriter struct {
	w      io.Writer
	prefix string
	out    []byte
	quoted bool
	inLine bool
}

func (p *prefixWriter) Write(b []byte) (int, error) {
	p.out = p.out[:0]
	for rest := b; len(rest) > 0; {
		n := bytes.IndexAny(rest, "\"\n#")
		if n < 0 {
			p.out = append(p.out, rest...)
			p.inLine = true
			break
		}
		p.inLine = p.inLine || n > 0
		p.out = append(p.out, rest[:n]...)
		switch c := rest[n]; {
		case c == '#' && !p.inLine && !p.quoted:
			p.out = append(p.out, p.prefix...)
			p.inLine = true
		default:
			p.out = append(p.out, c)
			p.quoted = p.quoted != (c == '"')
			p.inLine = c != '\n' || p.quoted
		}
		rest = rest[n+1:]
	}
	if _, err := p.w.Write(p.out); err != nil {
		return 0, err
	}
	return len(b), nil
}
