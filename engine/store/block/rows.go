package block

import "headgate/engine/point"

// Rows is rows of one measurement, sorted by series and time: what a block
// encodes. Whoever fills it owns it; Encode only reads it.
type Rows struct {
	// Series are ascending, each once. The rows of Series[i] are
	// Ends[i-1] to Ends[i]-1, at least one.
	Series []point.SeriesID
	Ends   []uint32
	// Times are nanoseconds, strictly ascending within a series.
	Times []int64
	// Columns have Field and Type set, ascend by Field, each field once, and have
	// at least one value. Column.Rows index Times, or are nil when the column has
	// a value for every row.
	Columns []*point.Column
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.Times) }

// Reset empties r and keeps its memory, columns excepted.
func (r *Rows) Reset() {
	clear(r.Columns)
	r.Series, r.Ends, r.Times, r.Columns = r.Series[:0], r.Ends[:0], r.Times[:0], r.Columns[:0]
}

// What a block holds at most, unless a single row is larger. Who cuts rows into
// blocks ends one before it exceeds any of them.
const (
	// RowsMax is also a hard limit: Encode refuses more.
	RowsMax = 8192
	// CellsMax bounds rows times columns.
	CellsMax = 1 << 18
	// StringBytesMax bounds the sum of the string values.
	StringBytesMax = 1 << 20
	// ColumnBytesMax is a hard limit on the string values of one column, above what
	// a single row may have. It bounds what decoding allocates.
	ColumnBytesMax = 16 << 20
)
