package lineproto

import (
	"bytes"

	"headgate/engine/point"
)

// ScanSeries finds the series of every line of body, of which nothing else is read, and
// returns how many it has found. Every line must be plain and end with a newline.
func (p *Parser) ScanSeries(b *point.Batch, body []byte, o Options) int {
	if o.Precision == 0 {
		o.Precision = point.Nanosecond
	}
	p.begin(b, body, o)
	found := 0
	for pos := 0; pos < len(body); {
		space := indexFrom(body, pos, ' ')
		prefix := p.prefixLen(body, pos, space)
		if prefix > 0 {
			if _, s := p.series(body[pos:pos+prefix+1], pos); s != nil {
				found++
			}
		}
		pos = space + bytes.IndexByte(body[space:], '\n') + 1
	}
	_ = p.finish()
	b.Reset()
	return found
}
