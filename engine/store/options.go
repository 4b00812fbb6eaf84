package store

import (
	"errors"
	"fmt"

	"headgate/engine/point"
)

// Options configures a bucket.
type Options struct {
	// SeriesMax is how many series a bucket may have; a Define beyond it fails
	// with ErrSeriesLimit. Each takes about 40 bytes and its key, whether or not
	// its points are still in memory. Default point.SeriesIDMax, which is as good
	// as none.
	SeriesMax int
}

// EnsureDefaults fills zeros.
func (o *Options) EnsureDefaults() {
	if o.SeriesMax == 0 {
		o.SeriesMax = int(point.SeriesIDMax)
	}
}

// Validate refuses what cannot work.
func (o *Options) Validate() error {
	if o.SeriesMax < 1 || o.SeriesMax > int(point.SeriesIDMax) {
		return fmt.Errorf("store: Options.SeriesMax is %d, not between 1 and %d", o.SeriesMax, point.SeriesIDMax)
	}
	return nil
}

// Limits that no option changes: they keep what is indexed by id small even
// when ids have gaps.
const (
	measurementMax   = 1 << 24
	fieldMax         = 1 << 24 // of one measurement
	seriesKeyLenMax  = 1<<16 - 1
	seriesChunkBytes = 1 << 20 // a series key and its header fit
)

// Errors of Define. Nothing has changed after any of them.
var (
	// ErrConflict: a field of the batch exists with another type by now. The
	// caller resolves the batch against the schema again.
	ErrConflict = errors.New("store: field exists with another type")
	// ErrSeriesLimit: the batch's new series would exceed Options.SeriesMax.
	ErrSeriesLimit = errors.New("store: too many series")
	// ErrSchemaLimit: the bucket has 16 million measurements, or the measurement
	// 16 million fields.
	ErrSchemaLimit = errors.New("store: too many measurements or fields")
	// ErrSeriesKey: a series key is longer than 65,535 bytes.
	ErrSeriesKey = errors.New("store: series key too long")
)

// ErrInconsistent is what the error of a Replay is when the record decodes but
// contradicts the records before it, or uses what none has defined.
var ErrInconsistent = errors.New("store: inconsistent record")
