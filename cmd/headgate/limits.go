package main

import (
	"flag"
	"fmt"

	"headgate/engine"
)

// bucketLimits is the flags that say how much of what a bucket may have. Points
// over them are dropped; the others of their batch are written.
type bucketLimits struct {
	series, measurements, fields, tags, name, tagValue int
}

// limitFlag is one of them.
type limitFlag struct {
	name  string
	value *int
	of    func(*engine.Options) *int
	usage string
}

func (l *bucketLimits) flags() []limitFlag {
	return []limitFlag{
		{"max-series-per-bucket", &l.series, func(o *engine.Options) *int { return &o.SeriesPerBucketMax }, "most series of a bucket, a `number`; points of further ones are dropped and get 422"},
		{"max-measurements-per-bucket", &l.measurements, func(o *engine.Options) *int { return &o.MeasurementsPerBucketMax }, "most measurements of a bucket, a `number`; points of further ones are dropped and get 422"},
		{"max-fields-per-measurement", &l.fields, func(o *engine.Options) *int { return &o.FieldsPerMeasurementMax }, "most fields of a measurement, a `number`; points with further ones are dropped and get 422"},
		{"max-tags-per-point", &l.tags, func(o *engine.Options) *int { return &o.TagsPerPointMax }, "most tags of a new series, a `number`; points with more are dropped and get 422"},
		{"max-name-length", &l.name, func(o *engine.Options) *int { return &o.NameBytesMax }, "longest measurement, tag key and field key, a `number` of bytes; points with longer ones are dropped and get 422"},
		{"max-tag-value-length", &l.tagValue, func(o *engine.Options) *int { return &o.TagValueBytesMax }, "longest tag value, a `number` of bytes; points with longer ones are dropped and get 422"},
	}
}

// register adds the flags, with the defaults of o.
func (l *bucketLimits) register(fs *flag.FlagSet, o engine.Options) {
	for _, f := range l.flags() {
		fs.IntVar(f.value, f.name, *f.of(&o), f.usage)
	}
}

// check refuses values that the engine would take for its defaults, or not at all.
func (l *bucketLimits) check() error {
	for _, f := range l.flags() {
		if *f.value <= 0 {
			return fmt.Errorf("--%s must be more than 0", f.name)
		}
	}
	return nil
}

func (l *bucketLimits) apply(o *engine.Options) {
	for _, f := range l.flags() {
		*f.of(o) = *f.value
	}
}
