package point

import "sync"

// Batch is the points of one write request in columns: one [Table] for each
// measurement, in the order in which the measurements first appear.
//
// A batch is made by the parser (or by [engine.Builder]), resolved against the
// bucket's schema, encoded as a record and handed to the bucket actor, which
// copies its columns into the memtable. It is owned by one goroutine at a time.
type Batch struct {
	// Tables has one entry per measurement; no entry is empty once the batch is
	// resolved.
	Tables []*Table
	// NewSeries lists the series that the bucket did not know when the batch
	// was parsed; rows name them with NewSeriesBit. Each is listed once.
	NewSeries []NewSeries
	// Epoch is the schema epoch under which the rows' ids were looked up.
	Epoch uint64
	// LongString is set when a string value is longer than StringBytesMax.
	LongString bool
	// TimeField is set when a table may have a field called "time", which
	// InfluxDB does not store.
	TimeField bool

	byName map[string]int
	memory memory
	made   made
}

// StringBytesMax is the longest string value that is stored, in bytes.
const StringBytesMax = 1 << 20

// NewSeries is a series that a batch wants defined.
type NewSeries struct {
	// Key is the canonical series key. Owned by the batch.
	Key []byte
	// Table is the index of the series' measurement in Batch.Tables.
	Table int
	// ID is set by the bucket when the series has been defined.
	ID SeriesID
}

// Table is a batch's points of one measurement. Rows are in line order.
type Table struct {
	// Name is the unescaped measurement. Owned by the batch.
	Name []byte
	// ID is the measurement's id, 0 while it is not defined.
	ID MeasurementID
	// Series, Times and Lines have one entry per row. Times are nanoseconds.
	// Lines are line numbers in the request body, from 1.
	Series []SeriesRef
	Times  []int64
	Lines  []uint32
	// Columns has one entry per field and type that occurs. Before the batch is
	// resolved a field may have several columns of different types.
	Columns []*Column

	byField map[columnKey]int // index in Columns; nil while there are few
}

// Rows is the number of points in the table.
func (t *Table) Rows() int { return len(t.Times) }

// Column is the values of one field, one type, in one table. Only values that are
// present are stored: value i belongs to row Rows[i], or to row i while Rows is
// nil and the column is dense.
type Column struct {
	// Name is the unescaped field key. Owned by the batch.
	Name []byte
	Type FieldType
	// Field is the field's id, 0 while it is not defined.
	Field FieldID

	// Rows is nil when value i belongs to row i, for all i < Len().
	Rows []uint32

	// Nums holds Float (as math.Float64bits), Integer (as two's complement),
	// Unsigned and Boolean (0 or 1) values; nil for String.
	Nums []uint64
	// Ends and Bytes hold String values: value i is Bytes[Ends[i-1]:Ends[i]].
	Ends  []uint32
	Bytes []byte
}

// Len is the number of values present.
func (c *Column) Len() int {
	if c.Type == String {
		return len(c.Ends)
	}
	return len(c.Nums)
}

// Row is the row of value i.
func (c *Column) Row(i int) int {
	if c.Rows == nil {
		return i
	}
	return int(c.Rows[i])
}

// StringAt is string value i. It aliases the column.
func (c *Column) StringAt(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = c.Ends[i-1]
	}
	return c.Bytes[start:c.Ends[i]]
}

// AppendNum sets the value of row, which is the last row or a later one than any
// before. A second value for the same row replaces the first: the last value of a
// field in a line wins.
func (c *Column) AppendNum(row int, v uint64) {
	n := len(c.Nums)
	if c.Rows == nil {
		if row == n {
			c.Nums = append(c.Nums, v)
			return
		}
		if row == n-1 {
			c.Nums[row] = v
			return
		}
		c.sparse(n)
	} else if n > 0 && int(c.Rows[n-1]) == row {
		c.Nums[n-1] = v
		return
	}
	c.Rows = append(c.Rows, uint32(row))
	c.Nums = append(c.Nums, v)
}

// AppendString is AppendNum for strings. It copies v. The caller keeps the sum
// of a column's strings below 4 GiB.
func (c *Column) AppendString(row int, v []byte) {
	n := len(c.Ends)
	if n > 0 && c.Row(n-1) == row {
		c.Bytes = append(c.Bytes[:len(c.Bytes)-len(c.StringAt(n-1))], v...)
		c.Ends[n-1] = uint32(len(c.Bytes))
		return
	}
	if c.Rows == nil && row != n {
		c.sparse(n)
	}
	if c.Rows != nil {
		c.Rows = append(c.Rows, uint32(row))
	}
	c.Bytes = append(c.Bytes, v...)
	c.Ends = append(c.Ends, uint32(len(c.Bytes)))
}

// sparse gives the column an explicit row list for its first n values. Rows is
// non-nil afterwards, even for n = 0.
func (c *Column) sparse(n int) {
	if cap(c.Rows) == 0 {
		c.Rows = make([]uint32, 0, max(8, n+1))
	}
	c.Rows = c.Rows[:0]
	for i := range n {
		c.Rows = append(c.Rows, uint32(i))
	}
}

// Dense reports whether the column has a value in each of the first rows rows.
func (c *Column) Dense(rows int) bool { return c.Rows == nil && c.Len() == rows }

// AppendRow adds a point without fields and returns its row.
func (t *Table) AppendRow(ref SeriesRef, time int64, line uint32) int {
	t.Series = append(t.Series, ref)
	t.Times = append(t.Times, time)
	t.Lines = append(t.Lines, line)
	return len(t.Times) - 1
}

// columnsLinear is up to how many columns Column looks through one by one.
const columnsLinear = 16

type columnKey struct {
	name string
	typ  FieldType
}

// Column finds or adds the column of a field and type. It is the slow way: the
// parser remembers the columns of a measurement's last line.
func (t *Table) Column(name []byte, typ FieldType) *Column {
	if len(t.Columns) > columnsLinear {
		if len(t.byField) != len(t.Columns) { // Columns may have been changed from outside
			t.byField = make(map[columnKey]int, 2*len(t.Columns))
			for i, c := range t.Columns {
				t.byField[columnKey{string(c.Name), c.Type}] = i
			}
		}
		if i, ok := t.byField[columnKey{string(name), typ}]; ok {
			return t.Columns[i]
		}
	} else {
		for _, c := range t.Columns {
			if c.Type == typ && string(c.Name) == string(name) {
				return c
			}
		}
	}
	c := &Column{Name: append([]byte(nil), name...), Type: typ}
	if t.byField != nil {
		t.byField[columnKey{string(name), typ}] = len(t.Columns)
	}
	t.Columns = append(t.Columns, c)
	return c
}

// Table finds or adds the table of the measurement name. id is 0 when unknown.
func (b *Batch) Table(name []byte, id MeasurementID) (index int, t *Table) {
	if i, ok := b.byName[string(name)]; ok {
		return i, b.Tables[i]
	}
	if b.byName == nil {
		b.byName = make(map[string]int)
	}
	t = b.made.table()
	t.Name, t.ID = append([]byte(nil), name...), id
	b.byName[string(name)] = len(b.Tables)
	b.Tables = append(b.Tables, t)
	return len(b.Tables) - 1, t
}

// Points is the number of points in the batch.
func (b *Batch) Points() int {
	n := 0
	for _, t := range b.Tables {
		n += t.Rows()
	}
	return n
}

// Values is the number of field values in the batch.
func (b *Batch) Values() int {
	n := 0
	for _, t := range b.Tables {
		for _, c := range t.Columns {
			n += c.Len()
		}
	}
	return n
}

// MemoryBytes is what the batch's columns occupy, to the nearest allocation.
func (b *Batch) MemoryBytes() int64 {
	var n int64
	for _, t := range b.Tables {
		n += t.MemoryBytes()
	}
	for i := range b.NewSeries {
		n += int64(cap(b.NewSeries[i].Key)) + 40
	}
	return n
}

// MemoryBytes is what the table's columns occupy.
func (t *Table) MemoryBytes() int64 {
	n := int64(160 + cap(t.Series)*4 + cap(t.Times)*8 + cap(t.Lines)*4)
	for _, c := range t.Columns {
		n += c.MemoryBytes()
	}
	return n
}

// MemoryBytes is what the column occupies.
func (c *Column) MemoryBytes() int64 {
	return int64(160 + cap(c.Name) + cap(c.Rows)*4 + cap(c.Nums)*8 + cap(c.Ends)*4 + cap(c.Bytes))
}

var batches = sync.Pool{New: func() any { return new(Batch) }}

// GetBatch returns an empty batch from the pool.
func GetBatch() *Batch { return batches.Get().(*Batch) }

// PutBatch gives a batch back. Only its owner may, once, and nothing that was
// reached through the batch may be used afterwards.
func PutBatch(b *Batch) {
	b.Reset()
	batches.Put(b)
}

// Reset empties the batch and drops its references to tables and keys.
func (b *Batch) Reset() {
	clear(b.Tables)
	clear(b.NewSeries)
	clear(b.byName)
	b.memory.reset()
	b.made.reset()
	*b = Batch{Tables: b.Tables[:0], NewSeries: b.NewSeries[:0], byName: b.byName, memory: b.memory, made: b.made}
}
