package lineproto

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"headgate/engine/point"
)

// shape is what the parser knows of one measurement. It outlives the batch,
// except for what belongs to the batch's table.
type shape struct {
	name   []byte
	fields []shapeField // every field and type that has been seen
	slots  []uint32     // finds fields by name and type, beyond fieldsLinear: number + 1; 0 is empty

	layouts  []*layout
	replace  int     // the layout to give up next
	expected *layout // of the next line; nil if there is no telling
	previous *layout // of the last line
	wasted   int     // layouts learned and not met again, in a row

	// rowsLast and bodyLast are from the last batch that had the measurement.
	rowsLast, bodyLast int

	// The last rows of the table, this many, are not in the columns yet. Their
	// values are in the block of collecting.
	pending    int
	ahead      int64 // bytes reserved for rows that are only expected
	collecting *layout

	// Of the batch at hand.
	table *point.Table    // nil while the batch has none
	index int             // in Batch.Tables
	cols  []*point.Column // by number of the field; nil while there is none
}

type shapeField struct {
	name []byte
	typ  point.FieldType
	hash uint32
}

// layout is the fields of a line, in their order.
type layout struct {
	fields      []layoutField
	block       []uint64 // values of up to blockRows rows, row after row
	next        *layout  // what followed it lately; nil if nothing has
	keyBytesMax int      // of the longest key
	keyBytes    int      // of all keys
}

// layoutField compares a key with its = as words: word0 is the first eight bytes, word1
// the next or the last eight, word2 the last eight.
type layoutField struct {
	word0, word1, word2 uint64
	mask                uint64 // of word0, if the key is shorter
	len                 int32  // with =
	col                 int32
	typ                 point.FieldType
	key                 []byte // as sent, with =
}

const (
	fieldsLinear = 16
	blockRows    = 16
	layoutsMax   = 4
	// wastedMax is after how many useless layouts a measurement is taken to have none; then one
	// line in wastedMax is tried.
	wastedMax = 16

	// keptMax bounds what a parser keeps from one body to the next, and the layouts that
	// it makes of one: each unit is a measurement or a field, with up to about 300 bytes.
	keptMax = 1 << 14
	// layoutsAtOnceMax is how many measurements get a layout from their first line on.
	layoutsAtOnceMax = 256

	tableBytes  = 700 // what a measurement costs the batch and the parser, without its rows
	columnBytes = 230 // what a field costs
)

// weight is what a name, and what is kept with it, counts for in Parser.kept.
func weight(name []byte) int { return 1 + len(name)/128 }

// shapeTable finds shapes by measurement id.
type shapeTable struct {
	slots []shapeSlot
	n     int
}

type shapeSlot struct {
	id point.MeasurementID
	s  *shape
}

func (t *shapeTable) find(id point.MeasurementID) *shape {
	mask := len(t.slots) - 1
	for i := int(id) & mask; mask >= 0; i = (i + 1) & mask {
		if slot := &t.slots[i]; slot.id == id || slot.s == nil {
			return slot.s
		}
	}
	return nil
}

func (t *shapeTable) add(id point.MeasurementID, s *shape) {
	if 2*t.n >= len(t.slots) {
		old := t.slots
		t.slots = make([]shapeSlot, max(16, 2*len(old)))
		t.n = 0
		for _, slot := range old {
			if slot.s != nil {
				t.add(slot.id, slot.s)
			}
		}
	}
	mask := len(t.slots) - 1
	i := int(id) & mask
	for t.slots[i].s != nil {
		i = (i + 1) & mask
	}
	t.slots[i] = shapeSlot{id, s}
	t.n++
}

func (t *shapeTable) reset() {
	if len(t.slots) > scratchMax {
		t.slots = nil
	}
	clear(t.slots)
	t.n = 0
}

// shapeOf is the shape of the measurement with an id, which prefix starts with. The batch
// has a table for it afterwards.
func (p *Parser) shapeOf(id point.MeasurementID, prefix []byte) *shape {
	if s := p.byID.find(id); s != nil {
		return s
	}
	s := p.shapeNamed(prefix[:measurementEnd(prefix)], id)
	p.byID.add(id, s)
	return s
}

func measurementEnd(prefix []byte) int {
	for i := 1; i < len(prefix); i++ {
		if prefix[i] == ',' && prefix[i-1] != '\\' {
			return i
		}
	}
	return len(prefix)
}

// shapeNamed is the shape of a measurement, as sent. The batch has a table for it afterwards.
func (p *Parser) shapeNamed(name []byte, id point.MeasurementID) *shape {
	if bytes.IndexByte(name, '\\') >= 0 {
		name = unescapeName(nil, name)
	}
	s := p.shapes[string(name)]
	if s == nil {
		s = &shape{name: bytes.Clone(name)}
		p.kept += weight(name)
		p.shapes[string(s.name)] = s
	}
	if s.table == nil {
		s.index, s.table = p.batch.Table(s.name, id)
		p.current = append(p.current, s)
		p.charge(int64(tableBytes + 2*len(name)))
		s.expected, s.previous = nil, nil
		if len(s.layouts) > 0 {
			s.expected = s.layouts[0]
		}
	}
	if s.table.ID == 0 {
		s.table.ID = id
	}
	return s
}

// unescapeName appends a measurement or a field key as it is stored.
func unescapeName(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			switch b[i+1] {
			case ',', ' ', '=', '"':
				i++
			}
		}
		dst = append(dst, b[i])
	}
	return dst
}

// endShapes takes the batch out of the shapes, and forgets them all when they are too many.
func (p *Parser) endShapes() {
	for _, s := range p.current {
		if p.err == nil {
			s.rowsLast, s.bodyLast = s.table.Rows(), len(p.body)
		}
		s.table, s.ahead, s.pending = nil, 0, 0
		clear(s.cols)
	}
	clear(p.current)
	p.current = p.current[:0]
	p.byID.reset()
	if p.kept > keptMax {
		p.shapes, p.current, p.kept = nil, nil, 0
	}
}

// field finds or adds the number of a field, by its key as sent.
func (p *Parser) field(s *shape, key []byte, typ point.FieldType) int32 {
	name := key
	if bytes.IndexByte(key, '\\') >= 0 {
		p.key = unescapeName(p.key[:0], key)
		name = p.key
	}
	if len(s.fields) <= fieldsLinear {
		for i := range s.fields {
			if f := &s.fields[i]; f.typ == typ && string(f.name) == string(name) {
				return int32(i)
			}
		}
		return p.addField(s, name, typ, 0)
	}
	if len(s.slots) == 0 {
		for i := range s.fields {
			s.fields[i].hash = p.fieldHash(s.fields[i].name, s.fields[i].typ)
		}
		s.link()
	}
	hash := p.fieldHash(name, typ)
	mask := uint32(len(s.slots) - 1)
	for i := hash & mask; s.slots[i] != 0; i = (i + 1) & mask {
		n := s.slots[i] - 1
		if f := &s.fields[n]; f.hash == hash && f.typ == typ && string(f.name) == string(name) {
			return int32(n)
		}
	}
	return p.addField(s, name, typ, hash)
}

func (p *Parser) fieldHash(name []byte, typ point.FieldType) uint32 {
	return uint32(maphash.Bytes(p.fieldSeed, name)) + uint32(typ)
}

func (p *Parser) addField(s *shape, name []byte, typ point.FieldType, hash uint32) int32 {
	n := len(s.fields)
	s.fields = append(s.fields, shapeField{name: bytes.Clone(name), typ: typ, hash: hash})
	s.cols = append(s.cols, nil)
	p.kept += weight(name)
	if len(s.slots) > 0 {
		if 2*len(s.fields) > len(s.slots) {
			s.link()
		} else {
			s.place(n)
		}
	}
	return int32(n)
}

// link builds slots anew.
func (s *shape) link() {
	n := 4 * fieldsLinear
	for n < 4*len(s.fields) {
		n *= 2
	}
	s.slots = make([]uint32, n)
	for i := range s.fields {
		s.place(i)
	}
}

func (s *shape) place(n int) {
	mask := uint32(len(s.slots) - 1)
	i := s.fields[n].hash & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = uint32(n + 1)
}

// column is the batch's column of a field.
func (p *Parser) column(s *shape, n int32) *point.Column {
	if c := s.cols[n]; c != nil {
		return c
	}
	c := p.batch.NewColumn()
	f := &s.fields[n]
	c.Name, c.Type = f.name, f.typ
	if string(f.name) == "time" {
		p.batch.TimeField = true
	}
	if s.table.Columns == nil {
		s.table.Columns = make([]*point.Column, 0, len(s.fields))
	}
	s.table.Columns = append(s.table.Columns, c)
	s.cols[n] = c
	p.charge(int64(columnBytes + len(f.name)))
	return c
}

// learn makes the fields of the last line a layout that later lines are compared with.
func (p *Parser) learn(s *shape, buf []byte, fields []field) {
	l := s.layoutLike(fields)
	s.collecting = nil
	switch {
	case l != nil:
		s.wasted = 0
	case p.kept+len(fields) > keptMax, len(s.layouts) == 0 && s.table.Rows() == 1 && s.rowsLast == 0 && len(p.shapes) > layoutsAtOnceMax:
		// Too much, or one of very many measurements that may never be seen again.
	case !plainKeys(buf, fields):
	case s.wasted >= wastedMax && s.table.Rows()%wastedMax != 0:
	default:
		s.wasted++
		l = p.newLayout(s)
		p.kept -= l.weight()
		l.set(buf, fields)
		p.kept += l.weight()
	}
	if s.previous != nil && l != nil {
		s.previous.next = l
	}
	s.previous = l
	s.expected = l
	if l != nil && l.next != nil {
		s.expected = l.next
	}
}

// collect makes l the layout whose lines are pending.
func (s *shape) collect(l *layout) {
	s.collecting = l
	rows := 1
	if max(s.table.Rows(), s.rowsLast) >= blockRows {
		rows = blockRows
	}
	l.block = slices.Grow(l.block[:0], rows*len(l.fields))[:rows*len(l.fields)]
}

// plainKeys reports whether the keys mean the same wherever fields may start. See isPlain.
func plainKeys(buf []byte, fields []field) bool {
	for i := range fields {
		if !isPlain(buf[fields[i].key:fields[i].eq]) {
			return false
		}
	}
	return true
}

// layoutLike finds the layout with exactly these fields. Keys of one length that mean the same
// field are the same bytes.
func (s *shape) layoutLike(fields []field) *layout {
next:
	for _, l := range s.layouts {
		if len(l.fields) != len(fields) {
			continue
		}
		for i := range fields {
			if f := &l.fields[i]; f.col != fields[i].col || uint32(f.len) != fields[i].eq-fields[i].key+1 {
				continue next
			}
		}
		return l
	}
	return nil
}

// newLayout makes room for a layout, at the expense of an old one if there are enough.
func (p *Parser) newLayout(s *shape) *layout {
	if len(s.layouts) < layoutsMax {
		l := new(layout)
		s.layouts = append(s.layouts, l)
		return l
	}
	l := s.layouts[s.replace]
	s.replace = (s.replace + 1) % layoutsMax
	for _, other := range s.layouts {
		if other.next == l {
			other.next = nil
		}
	}
	l.next = nil
	if s.previous == l {
		s.previous = nil
	}
	return l
}

func (l *layout) weight() int { return len(l.fields) + l.keyBytes/128 }

func (l *layout) set(buf []byte, fields []field) {
	l.fields = slices.Grow(l.fields[:0], len(fields))[:len(fields)]
	l.keyBytesMax, l.keyBytes = 0, 0
	for i := range fields {
		f := &l.fields[i]
		key := buf[fields[i].key : fields[i].eq+1]
		f.key = append(f.key[:0], key...)
		f.len, f.col, f.typ = int32(len(key)), fields[i].col, fields[i].typ
		l.keyBytesMax = max(l.keyBytesMax, len(key)-1)
		l.keyBytes += len(key)
		var b [8]byte
		copy(b[:], key)
		f.word0, f.mask, f.word1, f.word2 = binary.LittleEndian.Uint64(b[:]), 1<<(8*min(len(key), 8))-1, 0, 0
		if len(key) >= 8 {
			f.mask = ^uint64(0)
			f.word2 = binary.LittleEndian.Uint64(key[len(key)-8:])
			f.word1 = f.word2
		}
		if len(key) >= 16 {
			f.word1 = binary.LittleEndian.Uint64(key[8:])
		}
	}
}
