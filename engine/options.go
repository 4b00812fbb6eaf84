package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"headgate/engine/point"
	"headgate/engine/store/disk"
	"headgate/wal/pebblewal"
)

// Options configures an Engine. The zero value of each field means its default.
type Options struct {
	// Dir is the data directory. It is created when missing. Required.
	Dir string
	// AuthDisabled takes every caller for the operator, and makes a default
	// organization at once in an empty data directory.
	AuthDisabled bool
	// MemoryBytesMax is the budget for everything that grows with the clients'
	// load: bodies and batches in flight, series index, memtables, query results.
	// Default a quarter of the memory of the machine or its cgroup; at least 32 MiB.
	// Too small, and writes are refused with Overloaded early; too large, and the
	// process may be killed by the operating system.
	MemoryBytesMax int64
	// BodyBytesMax is the largest request body as sent. Default 32 MiB.
	BodyBytesMax int64
	// InflatedBodyBytesMax is the largest request body after decompression, and
	// so the largest batch of line protocol. Default 128 MiB.
	InflatedBodyBytesMax int64
	// AdmissionWait is how long a write may wait for room before it is refused
	// with Overloaded. Default 1 s; negative refuses at once.
	AdmissionWait time.Duration
	// RetryAfterMax caps the advice when to try again that goes with a refusal. Default
	// 30 s. Too short, and those who cannot be helped yet come back all the time; too
	// long, and they stay away when they could be.
	RetryAfterMax time.Duration
	// WriteTimeout is how long a write may wait to become durable before the
	// caller gets Indeterminate. Default 10 s.
	WriteTimeout time.Duration
	// DeleteTimeout is how long a deletion may take before the caller gets
	// Indeterminate: it rewrites what it deletes from. Default 10 minutes.
	DeleteTimeout time.Duration
	// ShutdownTimeout is how long Close waits for writes in flight. Default 30 s.
	ShutdownTimeout time.Duration
	// QueryBytesMax is the most memory that one statement of a query may hold in
	// rows that wait to be merged; over it the statement fails. Default an eighth of
	// MemoryBytesMax, at least 8 MiB.
	QueryBytesMax int64
	// QueryTimeout is how long a query may run before it is stopped. Default 0: as
	// long as its caller waits.
	QueryTimeout time.Duration
	// SeriesPerBucketMax bounds the series of one bucket; points of further new
	// series are dropped. Default 10 million. A series costs less than 400 bytes of
	// memory: far too large a limit ends in Overloaded, when MemoryBytesMax is spent.
	SeriesPerBucketMax int
	// MeasurementsPerBucketMax bounds the measurements of one bucket; points of
	// further new ones are dropped. Default 1 million; at most 16 million. Each costs
	// some 2 KiB.
	MeasurementsPerBucketMax int
	// FieldsPerMeasurementMax bounds the fields of one measurement; points with
	// further new ones are dropped. Default 65,536; at most 16 million.
	FieldsPerMeasurementMax int
	// TagsPerPointMax bounds the tags of a new series; points of one that has more
	// are dropped. Default 1024.
	TagsPerPointMax int
	// NameBytesMax bounds the length of a new measurement or field key and of the tag
	// keys of a new series, and TagValueBytesMax that of its tag values, in bytes
	// without escapes; points with longer ones are dropped. Default 65,535 and at most
	// so, because line protocol takes no longer ones.
	NameBytesMax, TagValueBytesMax int
	// RejectedPerBucketMax is how many of the points that a bucket rejected last are
	// kept in memory for [Engine.Rejected]. Default 1000; negative keeps none.
	RejectedPerBucketMax int
	// RejectedBytesMax is how much memory those of all buckets may take together. When it
	// is spent, the bucket that has most, or has more than its share and wants more, loses
	// its oldest. Default a 128th of MemoryBytesMax.
	RejectedBytesMax int64
	// MemtableBytesMax is how much the points in memory may take before the largest
	// bucket's are written to the data store. Default an eighth of MemoryBytesMax,
	// from 4 MiB to 128 MiB. Too small, and the data store gets many small parts to
	// merge; too large, and restarts take longer.
	MemtableBytesMax int64
	// FlushAge is how long a point stays in memory and in the log before it is
	// written to the data store at the latest. Default 10 minutes.
	FlushAge time.Duration
	// DiskFreeMin is how many bytes must stay free on the file systems of log and data:
	// below it writes are refused, while reads, deletes, flushes and the compactions that
	// fit go on, until a quarter more than that is free. Default a twentieth of the file system,
	// from 8 MiB to 256 MiB, but at most an eighth. Too small, and flushes and
	// compactions find no room; too large, and space lies idle. Negative refuses
	// nothing: then a full disk is a log that fails, which loses nothing either.
	DiskFreeMin int64
	// BallastBytes is the size of a file in Dir that is given up when the disk is full,
	// whoever has filled it, and a delete or the log needs room. Default a hundredth of
	// the file system, at most 64 MiB; negative for none.
	BallastBytes int64
	// HealthTimeout is how long Health waits for the log, the catalogue and the buckets
	// to answer before it says that they hang. Default 5 s.
	HealthTimeout time.Duration
	// StallTimeout is how long a flush or a compaction may write nothing before Health
	// says that it hangs. Default 1 minute.
	StallTimeout time.Duration
	// PanicsMax panics of one bucket's actor within PanicWindow quarantine the
	// bucket. Defaults 5 and 1 minute.
	PanicsMax   int
	PanicWindow time.Duration
	// RecoverInBackground makes Open return before the log has been replayed;
	// until then writes and queries get Unavailable and Health fails.
	RecoverInBackground bool
	// Events is told what happens. Listeners must not block.
	Events EventListener
	// Logger gets what an operator should know. Default: discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time

	// diskBytes is the size of the file system that Dir is on, 0 if that is not known.
	diskBytes int64
	// files lets tests put log and data store on another file system.
	files func(*pebblewal.Options, *disk.Options)
}

// EnsureDefaults fills in the zero fields.
func (o *Options) EnsureDefaults() {
	if o.MemoryBytesMax == 0 {
		o.MemoryBytesMax = max(machineMemoryBytes()/4, memoryBytesMin)
	}
	setDefault(&o.MemtableBytesMax, min(max(o.MemoryBytesMax/8, 4<<20), 128<<20))
	setDefault(&o.FlushAge, 10*time.Minute)
	setDefault(&o.QueryBytesMax, max(o.MemoryBytesMax/8, 8<<20))
	setDefault(&o.BodyBytesMax, 32<<20)
	setDefault(&o.InflatedBodyBytesMax, 128<<20)
	setDefault(&o.AdmissionWait, time.Second)
	setDefault(&o.RetryAfterMax, 30*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.DeleteTimeout, 10*time.Minute)
	setDefault(&o.ShutdownTimeout, 30*time.Second)
	setDefault(&o.SeriesPerBucketMax, 10_000_000)
	setDefault(&o.MeasurementsPerBucketMax, 1_000_000)
	setDefault(&o.FieldsPerMeasurementMax, 65_536)
	setDefault(&o.TagsPerPointMax, 1024)
	setDefault(&o.NameBytesMax, keyBytesMax)
	setDefault(&o.TagValueBytesMax, keyBytesMax)
	setDefault(&o.RejectedPerBucketMax, 1000)
	setDefault(&o.RejectedBytesMax, o.MemoryBytesMax/128)
	setDefault(&o.HealthTimeout, 5*time.Second)
	setDefault(&o.StallTimeout, time.Minute)
	setDefault(&o.PanicsMax, 5)
	setDefault(&o.PanicWindow, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Events.EnsureDefaults()
}

const (
	memoryBytesMin = 32 << 20
	schemaMax      = 16_000_000 // of what has ids in a schema
	keyBytesMax    = 65_535     // of line protocol's keys
)

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *Options) Validate() error {
	switch {
	case o.Dir == "":
		return errors.New("engine: Options.Dir (--data-dir) is empty")
	case o.MemoryBytesMax < memoryBytesMin:
		return fmt.Errorf("engine: Options.MemoryBytesMax (--memory) is %d bytes, below the least that works, %d (32MiB)", o.MemoryBytesMax, memoryBytesMin)
	case o.BodyBytesMax < 1, o.InflatedBodyBytesMax < 1:
		return errors.New("engine: Options.BodyBytesMax and InflatedBodyBytesMax must be positive")
	case o.InflatedBodyBytesMax > 1<<30:
		return fmt.Errorf("engine: Options.InflatedBodyBytesMax (--max-inflated-body) is %d, over the largest batch that can be logged, %d", o.InflatedBodyBytesMax, 1<<30)
	case o.QueryBytesMax < 1:
		return errors.New("engine: Options.QueryBytesMax must be positive")
	case o.MemtableBytesMax < 64<<10 || o.MemtableBytesMax > o.MemoryBytesMax/2:
		return fmt.Errorf("engine: Options.MemtableBytesMax (--memtable) is %d bytes, not between 64KiB and half of Options.MemoryBytesMax (--memory) %d", o.MemtableBytesMax, o.MemoryBytesMax)
	case o.RetryAfterMax < time.Second:
		return fmt.Errorf("engine: Options.RetryAfterMax (--max-retry-after) is %s, below the least that can be said, 1s", o.RetryAfterMax)
	case o.FlushAge < 0:
		return errors.New("engine: Options.FlushAge (--flush-age) is negative")
	case o.QueryTimeout < 0, o.WriteTimeout < 0, o.DeleteTimeout < 0, o.ShutdownTimeout < 0, o.PanicWindow < 0, o.HealthTimeout < 0, o.StallTimeout < 0:
		return errors.New("engine: a timeout in Options is negative")
	case o.SeriesPerBucketMax < 1, o.PanicsMax < 1:
		return errors.New("engine: SeriesPerBucketMax and PanicsMax in Options must be positive")
	case o.RejectedBytesMax < 1:
		return errors.New("engine: Options.RejectedBytesMax (--rejected-memory) must be positive")
	case o.SeriesPerBucketMax > int(point.SeriesIDMax):
		return fmt.Errorf("engine: Options.SeriesPerBucketMax (--max-series-per-bucket) is %d, over the most that a bucket can have, %d", o.SeriesPerBucketMax, point.SeriesIDMax)
	}
	for _, l := range []struct {
		name     string
		value    int
		valueMax int
	}{
		{"MeasurementsPerBucketMax (--max-measurements-per-bucket)", o.MeasurementsPerBucketMax, schemaMax},
		{"FieldsPerMeasurementMax (--max-fields-per-measurement)", o.FieldsPerMeasurementMax, schemaMax},
		{"TagsPerPointMax (--max-tags-per-point)", o.TagsPerPointMax, keyBytesMax},
		{"NameBytesMax (--max-name-length)", o.NameBytesMax, keyBytesMax},
		{"TagValueBytesMax (--max-tag-value-length)", o.TagValueBytesMax, keyBytesMax},
	} {
		if l.value < 1 || l.value > l.valueMax {
			return fmt.Errorf("engine: Options.%s is %d, not between 1 and %d", l.name, l.value, l.valueMax)
		}
	}
	return nil
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
