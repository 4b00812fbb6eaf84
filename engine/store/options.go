package store

import (
	"errors"
	"fmt"
	"time"

	"headgate/engine/point"
)

// Options configures a bucket.
type Options struct {
	// SeriesMax is how many series a bucket may have; a Define beyond it fails
	// with ErrSeriesLimit. Each takes about 40 bytes and its key, whether or not
	// its points are still in memory. Default point.SeriesIDMax, which is as good
	// as none.
	SeriesMax int
	// MeasurementsMax is how many measurements a bucket may have; a Define beyond it
	// fails with ErrMeasurementLimit. Default and at most 16 Mi.
	MeasurementsMax int
	// FieldsMax is how many fields a measurement may have; a Define beyond it fails
	// with ErrFieldLimit. Default and at most 16 Mi.
	FieldsMax int
	// PartBytesMax is where a compaction starts another part. Default 512 MiB.
	PartBytesMax int64
	// CompactPartsMin is how many parts, none much larger than the others, a window has before
	// they are merged. Default 16; at least 2.
	CompactPartsMin int
	// DeadMin is how many series and measurements have been freed, at least, before their
	// memory and their definitions are worth getting back. Default 65,536.
	DeadMin int
	// CompactQuiet is how long a window has had no new parts before what is left of it
	// is merged whatever its number. Default 30 min.
	CompactQuiet time.Duration
	// CompactionRoom is asked before a compaction whether the disk has room for about so
	// many bytes, which are those that it merges and goes on to hold beside what it makes
	// of them. It is asked again for less when there is none. An error is why not, and
	// Compact's if nothing fits. Default: there always is.
	CompactionRoom func(bytes int64) error
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// EnsureDefaults fills zeros.
func (o *Options) EnsureDefaults() {
	if o.SeriesMax == 0 {
		o.SeriesMax = int(point.SeriesIDMax)
	}
	if o.MeasurementsMax == 0 {
		o.MeasurementsMax = measurementMax
	}
	if o.FieldsMax == 0 {
		o.FieldsMax = fieldMax
	}
	if o.PartBytesMax == 0 {
		o.PartBytesMax = 512 << 20
	}
	if o.CompactPartsMin == 0 {
		o.CompactPartsMin = 16
	}
	if o.DeadMin == 0 {
		o.DeadMin = 1 << 16
	}
	if o.CompactQuiet == 0 {
		o.CompactQuiet = 30 * time.Minute
	}
	if o.CompactionRoom == nil {
		o.CompactionRoom = func(int64) error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Validate refuses what cannot work.
func (o *Options) Validate() error {
	if o.SeriesMax < 1 || o.SeriesMax > int(point.SeriesIDMax) {
		return fmt.Errorf("store: Options.SeriesMax is %d, not between 1 and %d", o.SeriesMax, point.SeriesIDMax)
	}
	if o.MeasurementsMax < 1 || o.MeasurementsMax > measurementMax {
		return fmt.Errorf("store: Options.MeasurementsMax is %d, not between 1 and %d", o.MeasurementsMax, measurementMax)
	}
	if o.FieldsMax < 1 || o.FieldsMax > fieldMax {
		return fmt.Errorf("store: Options.FieldsMax is %d, not between 1 and %d", o.FieldsMax, fieldMax)
	}
	if o.PartBytesMax < 1 {
		return fmt.Errorf("store: Options.PartBytesMax is %d, not positive", o.PartBytesMax)
	}
	if o.CompactPartsMin < 2 {
		return fmt.Errorf("store: Options.CompactPartsMin is %d, not at least 2", o.CompactPartsMin)
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
	// ErrMeasurementLimit: the batch's new measurements would exceed
	// Options.MeasurementsMax. Its caller resolves it against the schema again.
	ErrMeasurementLimit = errors.New("store: too many measurements")
	// ErrFieldLimit: the batch's new fields would exceed Options.FieldsMax. Its
	// caller resolves it against the schema again.
	ErrFieldLimit = errors.New("store: too many fields")
	// ErrSchemaLimit: the bucket has handed out all 16 million ids of measurements.
	ErrSchemaLimit = errors.New("store: no ids left for measurements")
	// ErrSeriesKey: a series key is longer than 65,535 bytes.
	ErrSeriesKey = errors.New("store: series key too long")
	// ErrBucketClosed: the bucket has been closed, and its jobs with it.
	ErrBucketClosed = errors.New("store: bucket closed")
)

// ErrInconsistent is what the error of a Replay is when the record decodes but
// contradicts the records before it, or uses what none has defined.
var ErrInconsistent = errors.New("store: inconsistent record")
