package influxql

import (
	"slices"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// valueRef says where the values under one name come from.
type valueRef struct {
	name string
	kind refKind
	// field is the index of the column in scanPlan.fields, of type from.
	field int
	from  point.FieldType
	// to is the type that the values are cast to.
	to point.FieldType
}

type refKind uint8

const (
	refNothing refKind = iota // always null
	refField
	refTag
	refSystem
)

// scanPlan is what one measurement is read for: an expression's main field, the
// auxiliary values beside it, and the fields that the condition needs.
type scanPlan struct {
	measurement string
	types       map[string]point.FieldType
	opt         query.IteratorOptions
	// call is the function that reduces the main field; nil for raw rows.
	call *influxql.Call
	// main drives the rows: only its values make one. nil when the rows are
	// those in which any auxiliary field has a value.
	main *valueRef
	aux  []valueRef
	// fields are the columns to read.
	fields []string
	// dims are the tag keys of the points handed up, sorted.
	dims []string
	// sharedTags is set when those are the tag sets' own dimensions.
	sharedTags bool
	// rowsMax bounds the rows of each series; 0 does not.
	rowsMax int
	// windowsMax bounds the windows of each tag set that an aggregate has to have,
	// the first ones in the direction of the query; 0 does not.
	windowsMax int
	// last takes the last rows instead of the first when rowsMax cuts.
	last bool
}

// newScanPlan resolves what opt asks of a measurement. It returns nil when the
// measurement can have nothing to hand up.
func newScanPlan(measurement string, types map[string]point.FieldType, opt query.IteratorOptions) *scanPlan {
	p := &scanPlan{measurement: measurement, types: types, opt: opt}
	var ref *influxql.VarRef
	switch e := opt.Expr.(type) {
	case *influxql.VarRef:
		ref = e
	case *influxql.Call:
		p.call = e
		ref, _ = e.Args[0].(*influxql.VarRef)
	}
	if ref != nil {
		main := p.resolve(*ref)
		if main.kind != refField && main.kind != refSystem {
			return nil
		}
		p.main = &main
	}
	for _, ref := range opt.Aux {
		p.aux = append(p.aux, p.resolve(ref))
	}
	if p.main == nil && !slices.ContainsFunc(p.aux, func(r valueRef) bool { return r.kind == refField }) {
		return nil
	}
	for _, ref := range influxql.ExprNames(opt.Condition) {
		p.resolve(ref)
	}
	p.dims = slices.Clone(opt.GetDimensions())
	slices.Sort(p.dims)
	p.dims = slices.Compact(p.dims)
	own := slices.Clone(opt.Dimensions)
	slices.Sort(own)
	p.sharedTags = slices.Equal(p.dims, slices.Compact(own))

	p.last = !opt.Ascending
	switch {
	case p.call != nil && opt.Interval.IsZero() && (p.call.Name == "first" || p.call.Name == "last"):
		p.rowsMax, p.last = 1, p.call.Name == "last"
	case opt.Expr == nil && opt.Limit > 0 && !opt.Dedupe:
		// No series can contribute more to its group than the group may have. One
		// more is what InfluxDB hands up; it shows in a subquery with a LIMIT
		// that is grouped by other tags than the query around it. Not with a main
		// field: top() hands down the LIMIT of its own answer, and InfluxDB looks
		// for the top of the first rows only.
		p.rowsMax = opt.Limit + opt.Offset + 1
	}
	return p
}

// resolve finds where the values of ref come from, adding its column to those to
// read. A name that is typed as a field and is none here, or one of a type that
// does not convert, is null; an untyped name that is no field is a tag.
func (p *scanPlan) resolve(ref influxql.VarRef) valueRef {
	if ref.Type != influxql.Tag {
		if from, ok := p.types[ref.Val]; ok {
			to, ok := castType(from, ref.Type)
			if !ok {
				return valueRef{name: ref.Val}
			}
			return valueRef{name: ref.Val, kind: refField, field: p.addField(ref.Val), from: from, to: to}
		}
		if isSystemColumn(ref.Val) {
			return valueRef{name: ref.Val, kind: refSystem, to: point.String}
		}
		switch ref.Type {
		case influxql.Float, influxql.Integer, influxql.Unsigned, influxql.String, influxql.Boolean, influxql.AnyField:
			return valueRef{name: ref.Val}
		}
	}
	return valueRef{name: ref.Val, kind: refTag, to: point.String}
}

func (p *scanPlan) addField(name string) int {
	if i := slices.Index(p.fields, name); i >= 0 {
		return i
	}
	p.fields = append(p.fields, name)
	return len(p.fields) - 1
}

// dataTypes are InfluxQL's names for our field types.
var dataTypes = [...]influxql.DataType{
	point.Float: influxql.Float, point.Integer: influxql.Integer, point.Unsigned: influxql.Unsigned,
	point.String: influxql.String, point.Boolean: influxql.Boolean,
}

// castType is the type in which a field of type from appears when a statement
// wants it as want. Numbers convert into each other, nothing else does.
func castType(from point.FieldType, want influxql.DataType) (point.FieldType, bool) {
	if want == influxql.Unknown || want == influxql.AnyField || want == dataTypes[from] {
		return from, true
	}
	if from > point.Unsigned {
		return 0, false
	}
	switch want {
	case influxql.Float:
		return point.Float, true
	case influxql.Integer:
		return point.Integer, true
	case influxql.Unsigned:
		return point.Unsigned, true
	}
	return 0, false
}

// seriesTags are the tags of the points of a series in set.
func (p *scanPlan) seriesTags(set *tagSet, tags []point.Tag) query.Tags {
	if p.sharedTags {
		return set.tags
	}
	return subsetTags(tags, p.dims)
}

// name is the measurement name of the points handed up.
func (p *scanPlan) name() string {
	if p.opt.StripName {
		return ""
	}
	return p.measurement
}

// reduces reports whether the call leaves less than rows of each series. With
// rowsMax 1 the one row of a series is the answer: first or last of all.
func (p *scanPlan) reduces() bool { return p.call != nil && p.rowsMax != 1 }
