package point

import "context"

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
	// Read calls yield once for each series that has rows in the request, in
	// the order of Series. It stops at the first error, and when ctx ends.
	Read(ctx context.Context, r ReadRequest, yield func(SeriesRows) error) error
}

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
}

// SeriesRows is one series' rows in time order, one row for each timestamp: of
// several values for one (series, time, field) the one written last.
type SeriesRows struct {
	Series SeriesID
	// Times are strictly ascending.
	Times []int64
	// Columns answers ReadRequest.Fields one to one; nil for a field without
	// values here. Column.Rows index Times.
	Columns []*Column
}
