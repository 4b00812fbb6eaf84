package influxql

import "time"

// Query is a text of InfluxQL statements, separated by semicolons, and what they
// default to.
type Query struct {
	Text string
	// Database and RetentionPolicy are used by statements that name none. An
	// empty RetentionPolicy means the database's default one.
	Database, RetentionPolicy string
	// Params are the values of $name placeholders: decoded JSON, in which
	// numbers may be json.Number, or the Go types of the same values.
	Params map[string]any
	// ReadOnly refuses statements that change something, but for CREATE DATABASE,
	// which warns. It is set for GET.
	ReadOnly bool
	// ChunkSize is the most rows of one series in one Result; a longer series
	// comes in several, of which all but the last have Row.Partial set. 0 gives
	// each series whole, however large it is.
	ChunkSize int
	// Now is the clock of now(); nil means time.Now. It is read once.
	Now func() time.Time
	// Limits bound each statement.
	Limits Limits

	// slow computes everything by way of points, as InfluxDB does. Tests compare.
	slow bool
	// spillBytes is how much one read of rows may gather, when it is not 0. Tests
	// make it small.
	spillBytes int64
}

// Limits bound what one statement may use. A zero limit does not limit, except
// for MaxTextBytes.
type Limits struct {
	// MaxTextBytes is the longest text that is parsed; 0 means
	// [TextBytesMaxDefault]. Planning a text takes seconds when it is much longer,
	// and cannot be interrupted.
	MaxTextBytes int
	// MaxPoints is the most rows that a SELECT may read.
	MaxPoints int
	// MaxSeries is the most series that one expression of a SELECT may read.
	MaxSeries int
	// MaxBuckets is the most GROUP BY time intervals that a SELECT may have.
	MaxBuckets int
	// MaxBufferBytes is the most memory that a statement may hold, about: series
	// that it has selected, rows that wait to be merged, windows of aggregates,
	// rows of the answer until they are emitted, and what the reader charges to
	// its [point.Meter]. Without ChunkSize the answer holds each series whole.
	MaxBufferBytes int64
}

// TextBytesMaxDefault is the longest query text, in bytes, unless Limits say
// otherwise. 5,000 hosts in a condition fit.
const TextBytesMaxDefault = 256 << 10

// Result is a chunk of the answer to one statement. Several results of one
// statement follow each other directly. An error ends its statement; rows of the
// same statement may have come before it.
type Result struct {
	// StatementID is the position of the statement in the query, from 0.
	StatementID int
	Series      []*Row
	Messages    []Message
	// Partial is set when more results of the same statement follow. It is not
	// set between the series of SHOW TAG KEYS and SHOW TAG VALUES.
	Partial bool
	// Err is the statement's error.
	Err error
}

// Row is a series of an answer: values under columns, for one name and tag set.
type Row struct {
	Name string
	// Tags is nil when the statement does not group by tags.
	Tags    map[string]string
	Columns []string
	// Values has one slice for each row, as long as Columns. A value is nil,
	// string, bool, int64, uint64, float64 (never NaN), int (SHOW statements
	// only), or time.Time for the column "time", in the time zone of the tz()
	// clause or else UTC.
	Values [][]any
	// Partial is set when the next Result goes on with the same series.
	Partial bool
}

// Message is a remark beside a statement's answer.
type Message struct {
	Level, Text string
}
