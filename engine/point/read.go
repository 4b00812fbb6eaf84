package point

import (
	"context"
	"errors"
)

// Reader is a consistent snapshot of one bucket's visible points, as the query
// side wants it. It may be used by several goroutines and sees no later write.
type Reader interface {
	// Measurements lists the measurements that have points, sorted.
	Measurements() []string
	// Fields maps the fields that have values to their types; nil for a
	// measurement without points. The caller must not change it.
	Fields(measurement string) map[string]FieldType
	// Series lists the series that have points, sorted by canonical key.
	Series(measurement string) []SeriesInfo
	// SeriesWhere lists those of Series whose tags pass the filter, in the same
	// order; all of them when it is nil. It asks an index where there is one, and
	// [FilterSeries] otherwise.
	SeriesWhere(measurement string, filter *TagFilter) ([]SeriesInfo, error)
	// Read calls yield for the rows in the request, in chunks: one or more for
	// each series that has any, the series in the order of Series, the chunks of
	// one series following each other with ascending times that do not overlap;
	// the request may ask for other orders. What yield is given is valid until it
	// returns: the reader may use the memory again. Read stops at the first error
	// of yield, but for [ErrSkipSeries], and when ctx ends.
	Read(ctx context.Context, r ReadRequest, yield func(SeriesRows) error) error
}

// ErrSkipSeries is what yield returns when it wants no more rows of the series at
// hand. Read goes on with the next series; it need not, but then yield is called
// with more chunks of that series and returns it again.
var ErrSkipSeries = errors.New("point: skip series")

// SeriesInfo is a series of a known measurement.
type SeriesInfo struct {
	ID SeriesID
	// Tags are sorted by key and shared: nobody changes them.
	Tags []Tag
}

// ReadRequest selects rows of one measurement.
type ReadRequest struct {
	Measurement string
	// Series selects series by id; nil means all.
	Series []SeriesID
	// Fields are the columns wanted. A row in which none has a value is left out.
	Fields []string
	// Min and Max bound the time in nanoseconds, both inclusive.
	Min, Max int64
	// Descending asks for the chunks of a series with the newest first. The rows
	// of a chunk ascend all the same.
	Descending bool
	// ByID asks for the series in the order of their ids, which is that of the
	// disk, instead of the order of Series: reading many is cheaper then.
	ByID bool
	// RowsMax is how many rows of each series are wanted at most, 0 for all: the
	// first ones, or with Descending the last ones. It is a hint: there may be
	// more.
	RowsMax int
	// Where lets the reader leave out rows that do not meet one of the bounds. It
	// is a hint: rows that do not may be yielded all the same. Each bound's field
	// is one of Fields. Rows that are left out do not count for RowsMax; those
	// that are yielded do, so that who filters them asks for all.
	Where []FieldBound
	// Meter is charged for what the reader holds: buffers, decoded blocks. nil
	// means that nobody counts.
	Meter Meter
}

// FieldBound is a condition that rows must meet: to have a value of the field, and
// for numbers one v that is not v < Min and not v > Max, compared as float64.
// Infinite bounds ask for any value.
type FieldBound struct {
	Field    string
	Min, Max float64
}

// Meter counts memory that is held on behalf of one query. It is used from the
// goroutine that reads.
type Meter interface {
	// Hold charges bytes more. On an error nothing is charged and the reading
	// must end with that error.
	Hold(bytes int64) error
	// Release gives back bytes that were charged.
	Release(bytes int64)
}

// SeriesRows is a chunk of one series' rows in time order, one row for each
// timestamp: of several values for one (series, time, field) the one written last.
type SeriesRows struct {
	Series SeriesID
	// Times are strictly ascending. There is at least one.
	Times []int64
	// Columns answers ReadRequest.Fields one to one; nil for a field without
	// values here. Column.Rows index Times. Two entries may be the same column.
	Columns []*Column
}
