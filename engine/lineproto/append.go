package lineproto

import (
	"bytes"
	"hash/maphash"
	"unsafe"

	"headgate/engine/point"
)

// general reads the line at body[pos:] the general way: it appends its point, or notes
// why it is malformed, or skips a blank line or a comment.
func (p *Parser) general(body []byte, pos, base int, line uint32) (next int, nextLine uint32) {
	start := skipBlank(body, pos)
	if start < len(body) && body[start] == '#' {
		return indexFrom(body, start, '\n') + 1, line + 1
	}
	end := lineEnd(body, pos)
	next, nextLine = end+1, line+1+uint32(bytes.Count(body[pos:end], []byte{'\n'}))
	if start >= end {
		return next, nextLine
	}
	text := body[start:end]
	if end < len(body) {
		text = bytes.TrimSuffix(text, []byte{'\r'}) // CRLF ends a line as LF does
	}
	text = bytes.TrimSuffix(text, []byte{'\n'}) // behind a backslash
	if len(text) == 0 {
		return next, nextLine
	}
	p.counts.general++
	if reason := p.generalLine(text, start == pos, base+start, base+next, line); reason != "" {
		if p.err == nil {
			p.err = new(SyntaxError)
		}
		p.err.add(text, int(line), reason)
	}
	return next, nextLine
}

// generalLine checks a line, and appends its point unless a line before was malformed. off is
// where it is in the body, and consumed where the next one is.
func (p *Parser) generalLine(text []byte, first bool, off, consumed int, line uint32) (reason string) {
	measurement, prefix, tags, reason := scanPrefix(text, p.tags)
	p.tags = tags
	if reason != "" {
		return reason
	}
	fields, end, reason := scanFields(text, skipBlank(text, prefix), prefix, p.fields[:0])
	p.fields = fields[:0]
	if reason != "" {
		return reason
	}
	t, has, reason := scanTime(text, end, p.unit)
	if reason != "" || p.err != nil {
		return reason
	}
	if !has {
		t = p.now
	}
	plain := first && isPlain(text[:prefix])
	ref, s := p.generalSeries(text[:prefix], measurement, off, plain)
	p.found = fields
	p.appendFields(s, text, ref, t, line, consumed)
	return ""
}

// generalSeries is the series of a prefix that scanPrefix has taken apart.
func (p *Parser) generalSeries(prefix []byte, measurement, off int, plain bool) (point.SeriesRef, *shape) {
	hash := maphash.Bytes(p.seed, prefix)
	if plain {
		if ref, s := p.known(prefix, hash, off); s != nil {
			return ref, s
		}
	}
	return p.resolve(prefix, measurement, hash, off, plain)
}

// appendPredicted appends the point whose values predicted has left in l's block. They
// go into the columns later, many rows at a time, unless the table is a small one.
func (p *Parser) appendPredicted(s *shape, l *layout, ref point.SeriesRef, t int64, line uint32, consumed int) {
	tb := s.table
	if len(tb.Times) == cap(tb.Times) {
		k := len(l.fields)
		at := s.pending * k
		p.flush(s)
		copy(l.block[:k], l.block[at:])
		for i := range l.fields {
			p.column(s, l.fields[i].col)
		}
		p.grow(s, consumed)
	}
	tb.Series = append(tb.Series, ref)
	tb.Times = append(tb.Times, t)
	tb.Lines = append(tb.Lines, line)
	s.pending++
	if s.pending*len(l.fields) == len(l.block) {
		p.flush(s)
		s.collect(l) // in a larger block, if the table has become large
	}
}

// flush moves the pending values of s into the columns.
func (p *Parser) flush(s *shape) {
	n := s.pending
	if n == 0 {
		return
	}
	s.pending = 0
	l := s.collecting
	k := len(l.fields)
	row := len(s.table.Times) - n
	for i := range l.fields {
		f := &l.fields[i]
		c := s.cols[f.col]
		if c == nil {
			c = p.column(s, f.col)
		}
		block := l.block[i : (n-1)*k+i+1]
		switch {
		case f.typ == point.String && len(c.Ends) == row && c.Rows == nil:
			p.flushStrings(c, block, k)
		case f.typ == point.String:
			for r, at := row, 0; at < len(block); r, at = r+1, at+k {
				p.appendString(c, r, p.buf, block[at])
			}
		case len(c.Nums) == row && row+n <= cap(c.Nums) && c.Rows == nil:
			nums := c.Nums[row : row+n]
			c.Nums = c.Nums[:row+n]
			for r, at := 0, 0; r < len(nums) && at < len(block); r, at = r+1, at+k {
				nums[r] = block[at]
			}
		default:
			for r, at := row, 0; at < len(block); r, at = r+1, at+k {
				c.AppendNum(r, block[at])
			}
		}
	}
}

// flushStrings appends every k-th value of block to a dense column.
func (p *Parser) flushStrings(c *point.Column, block []uint64, k int) {
	b, ends := c.Bytes, c.Ends
	for at := 0; at < len(block); at += k {
		start, end, escaped := unpackString(block[at])
		from := len(b)
		if escaped {
			b = appendUnescaped(b, p.buf[start:end])
		} else {
			b = append(b, p.buf[start:end]...)
		}
		if len(b)-from > point.StringBytesMax {
			p.batch.LongString = true
		}
		ends = append(ends, uint32(len(b)))
	}
	c.Bytes, c.Ends = b, ends
}

func (p *Parser) flushAll() {
	for _, s := range p.current {
		p.flush(s)
		s.collecting = nil
	}
}

// appendFields appends the point whose fields are in p.found, and learns their layout.
func (p *Parser) appendFields(s *shape, buf []byte, ref point.SeriesRef, t int64, line uint32, consumed int) {
	fields := p.found
	tb := s.table
	p.flush(s)
	row := len(tb.Times)
	for i := range fields {
		f := &fields[i]
		f.col = p.fieldAt(s, i, buf[f.key:f.eq], f.typ)
		p.column(s, f.col)
		if p.overLimit {
			return
		}
	}
	if row == cap(tb.Times) {
		p.grow(s, consumed)
	}
	tb.AppendRow(ref, t, line)
	for i := range fields {
		f := &fields[i]
		if c := s.cols[f.col]; f.typ == point.String {
			p.appendString(c, row, buf, f.v)
		} else {
			c.AppendNum(row, f.v)
		}
	}
	p.learn(s, buf, fields)
}

// fieldAt finds a line's i-th field, which is likely to be where it was in the last line.
func (p *Parser) fieldAt(s *shape, i int, key []byte, typ point.FieldType) int32 {
	if l := s.previous; l != nil && i < len(l.fields) {
		if f := &l.fields[i]; f.typ == typ && string(f.key[:f.len-1]) == string(key) {
			return f.col
		}
	}
	return p.field(s, key, typ)
}

func (p *Parser) appendString(c *point.Column, row int, buf []byte, v uint64) {
	start, end, escaped := unpackString(v)
	s := buf[start:end]
	if escaped {
		p.key = appendUnescaped(p.key[:0], s)
		s = p.key
	}
	if len(s) > point.StringBytesMax {
		p.batch.LongString = true
	}
	c.AppendString(row, s)
}

const (
	rowBytes = 4 + 8 + 4
	// rowsMin is how many rows a table begins with when nothing is known of it.
	rowsMin  = 4
	aheadMax = 2
)

// grow makes room for more rows: as many as the table will have if it goes on as it
// did up to here, where consumed bytes of the body have been read.
func (p *Parser) grow(s *shape, consumed int) {
	tb := s.table
	rows := len(tb.Times)
	want := rowsMin
	if len(p.current) > layoutsAtOnceMax {
		want = 1
	}
	switch {
	case rows > 0:
		want = int(int64(rows) * int64(len(p.body)) / int64(max(consumed, 1)))
	case s.rowsLast > 0:
		want = int(int64(s.rowsLast) * int64(len(p.body)) / int64(max(s.bodyLast, 1)))
	}
	want += want / 32
	var nums, texts int
	for _, c := range tb.Columns {
		switch {
		case c.Rows != nil:
		case c.Type == point.String && len(c.Ends) == rows:
			texts++
		case c.Type != point.String && len(c.Nums) == rows:
			nums++
		}
	}
	// What is only expected must not occupy more than aheadMax times the body.
	least := max(rows+rows/2, rows+1)
	bytesPerRow := int64(rowBytes + 8*nums + 4*texts)
	p.ahead -= s.ahead
	room := aheadMax*int64(len(p.body)) - p.ahead
	want = max(min(want, least+int(room/bytesPerRow)), least)
	s.ahead = int64(want-least) * bytesPerRow
	p.ahead += s.ahead
	p.charge(int64(want-cap(tb.Times)) * bytesPerRow)

	stride := want
	if want > 512 && want%64 == 0 {
		stride += 8 // not all columns at the same place in the processor's caches
	}
	half := (want + 1) / 2
	words := p.batch.Words(want + (2+texts)*half + nums*stride)
	tb.Times = append(times(words[:want])[:0], tb.Times...)
	words = words[want:]
	tb.Series = append(refs(words[:half])[:0], tb.Series...)
	words = words[half:]
	tb.Lines = append(halves(words[:half])[:0], tb.Lines...)
	words = words[half:]
	for _, c := range tb.Columns {
		switch {
		case c.Rows != nil:
		case c.Type == point.String && len(c.Ends) == rows:
			c.Ends = append(halves(words[:half])[:0], c.Ends...)
			words = words[half:]
		case c.Type != point.String && len(c.Nums) == rows:
			c.Nums = append(words[:0:want], c.Nums...)
			words = words[stride:]
		}
	}
}

// The memory of words, as something else.
func times(words []uint64) []int64 {
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(words))), len(words))
}
func halves(words []uint64) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
}
func refs(words []uint64) []point.SeriesRef {
	return unsafe.Slice((*point.SeriesRef)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
}
