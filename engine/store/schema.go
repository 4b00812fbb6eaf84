package store

import (
	"hash/maphash"

	"headgate/engine/point"
)

// Schema is an immutable snapshot of a bucket's measurements and fields.
type Schema struct {
	seed         maphash.Seed
	measurements trie[*Measurement] // nil for one that has been freed
	n            int
	byID         []*schemaPage
}

const schemaPageLen = 256

type schemaPage [schemaPageLen]*Measurement

// Measurement is a measurement as a schema snapshot knows it. Immutable.
type Measurement struct {
	ID   point.MeasurementID
	Name string

	seed   maphash.Seed
	fields trie[Field]
	own    *measurement // the writer's side of it
}

// Field is a field of a measurement. Once defined it never changes.
type Field struct {
	ID   point.FieldID
	Type point.FieldType
	Name string
}

// Measurement finds a measurement by its unescaped name; nil if there is none.
func (s *Schema) Measurement(name []byte) *Measurement {
	m, _ := s.measurements.get(maphash.Bytes(s.seed, name), name)
	return m
}

// Len is the number of measurements.
func (s *Schema) Len() int { return s.n }

// measurementByID finds a measurement; nil if there is none.
func (s *Schema) measurementByID(id point.MeasurementID) *Measurement {
	if i := int(id) / schemaPageLen; i < len(s.byID) && s.byID[i] != nil {
		return s.byID[i][id%schemaPageLen]
	}
	return nil
}

// Field finds a field by its unescaped key. A nil measurement has no fields.
func (m *Measurement) Field(name []byte) (Field, bool) {
	if m == nil {
		return Field{}, false
	}
	return m.fields.get(maphash.Bytes(m.seed, name), name)
}

// Len is the number of fields. A nil measurement has none.
func (m *Measurement) Len() int {
	if m == nil {
		return 0
	}
	return m.fields.n
}

// with returns the schema with m in place of the measurement of its name.
func (s *Schema) with(m *Measurement) *Schema {
	c := *s
	if s.measurementByID(m.ID) == nil {
		c.n++
	}
	c.measurements = s.measurements.with(maphash.String(s.seed, m.Name), m.Name, m)
	c.setID(m.ID, m)
	return &c
}

// without returns the schema without a measurement that it has.
func (s *Schema) without(m *Measurement) *Schema {
	c := *s
	c.n--
	c.measurements = s.measurements.with(maphash.String(s.seed, m.Name), m.Name, nil)
	c.setID(m.ID, nil)
	return &c
}

// setID is for a schema that nobody else has yet.
func (s *Schema) setID(id point.MeasurementID, m *Measurement) {
	i := int(id) / schemaPageLen
	byID := make([]*schemaPage, max(len(s.byID), i+1))
	copy(byID, s.byID)
	page := new(schemaPage)
	if byID[i] != nil {
		*page = *byID[i]
	}
	page[id%schemaPageLen] = m
	byID[i] = page
	s.byID = byID
}

// withField returns the measurement with one more field.
func (m *Measurement) withField(f Field) *Measurement {
	c := *m
	c.fields = m.fields.with(maphash.String(m.seed, f.Name), f.Name, f)
	return &c
}

// What a definition occupies, its name aside: a leaf and its share of a node,
// the Measurement, what the memtable keeps for it.
const (
	measurementBytes = 560
	fieldBytes       = 112
)
