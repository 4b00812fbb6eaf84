package flux

import (
	"context"
	"errors"
	"sync"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/values"

	"github.com/apache/arrow/go/arrow/array"

	"headgate/engine/point"
)

const (
	fromKind    = "from"
	bucketsKind = "buckets"
	readKind    = "headgateRead"
)

// register tells Flux of our operations, once. It keeps them in maps of its own,
// which nobody writes to afterwards.
var register = sync.OnceFunc(func() {
	flux.RegisterOpSpec(fromKind, func() flux.OperationSpec { return new(fromSpec) })
	flux.RegisterOpSpec(bucketsKind, func() flux.OperationSpec { return new(bucketsSpec) })
	plan.RegisterProcedureSpec(fromKind, func(s flux.OperationSpec, _ plan.Administration) (plan.ProcedureSpec, error) {
		from, ok := s.(*fromSpec)
		if !ok {
			return nil, errors.New("flux: from has the wrong specification")
		}
		return &fromProcedure{from: *from}, nil
	}, fromKind)
	plan.RegisterProcedureSpec(bucketsKind, func(flux.OperationSpec, plan.Administration) (plan.ProcedureSpec, error) {
		return new(bucketsProcedure), nil
	}, bucketsKind)
	execute.RegisterSource(readKind, newReadSource)
	execute.RegisterSource(bucketsKind, newBucketsSource)
	execute.RegisterTransformation(filterKind, newFilter)
	execute.RegisterTransformation(windowKind, newWindow)
	plan.RegisterPhysicalRules(rules()...)
	replaceTransformations()
	guardAll()
})

// sources are the functions that streams of tables begin with.
var sources = sync.OnceValue(func() map[string]values.Value {
	parameters := map[string]semantic.PolyType{"bucket": semantic.String, "bucketID": semantic.String}
	return map[string]values.Value{
		fromKind: flux.FunctionValue(fromKind, newFrom, semantic.FunctionPolySignature{Parameters: parameters, Return: flux.TableObjectType}),
		bucketsKind: flux.FunctionValue(bucketsKind, func(flux.Arguments, *flux.Administration) (flux.OperationSpec, error) {
			return new(bucketsSpec), nil
		}, semantic.FunctionPolySignature{Return: flux.TableObjectType}),
	}
})

// fromSpec is a call of from().
type fromSpec struct{ Bucket, BucketID string }

func (*fromSpec) Kind() flux.OperationKind { return fromKind }

func newFrom(args flux.Arguments, _ *flux.Administration) (flux.OperationSpec, error) {
	name, named, err := args.GetString("bucket")
	if err != nil {
		return nil, err
	}
	id, byID, err := args.GetString("bucketID")
	if err != nil {
		return nil, err
	}
	if named == byID {
		return nil, &Error{Message: "must specify one of bucket or bucketID in from"}
	}
	return &fromSpec{Bucket: name, BucketID: id}, nil
}

// fromProcedure is a from() that no range has bounded.
type fromProcedure struct {
	plan.DefaultCost
	from fromSpec
}

func (*fromProcedure) Kind() plan.ProcedureKind { return fromKind }

func (p *fromProcedure) Copy() plan.ProcedureSpec { c := *p; return &c }

// PostPhysicalValidate refuses what the range rule has left.
func (p *fromProcedure) PostPhysicalValidate(plan.NodeID) error {
	name := p.from.Bucket
	if name == "" {
		name = p.from.BucketID
	}
	return &Error{Message: "cannot submit unbounded read to \"" + name + "\"; try bounding 'from' with a call to 'range'"}
}

// bucketsSpec is a call of buckets().
type bucketsSpec struct{}

func (*bucketsSpec) Kind() flux.OperationKind { return bucketsKind }

type bucketsProcedure struct{ plan.DefaultCost }

func (*bucketsProcedure) Kind() plan.ProcedureKind { return bucketsKind }

func (p *bucketsProcedure) Copy() plan.ProcedureSpec { return new(bucketsProcedure) }

func newBucketsSource(_ plan.ProcedureSpec, id execute.DatasetID, a execute.Administration) (execute.Source, error) {
	return execute.CreateSourceFromIterator(&bucketsSource{run: runOf(a.Context())}, id)
}

type bucketsSource struct{ run *run }

// Do implements execute.SourceIterator: one table, as InfluxDB's.
func (s *bucketsSource) Do(ctx context.Context, f func(flux.Table) error) error {
	buckets, err := s.run.host.Buckets(ctx)
	if err != nil {
		return s.run.fail(err)
	}
	if len(buckets) == 0 {
		return nil
	}
	organization := values.NewString(buckets[0].OrganizationID)
	cols := []flux.ColMeta{
		{Label: "name", Type: flux.TString}, {Label: "id", Type: flux.TString}, {Label: "organizationID", Type: flux.TString},
		{Label: "retentionPolicy", Type: flux.TString}, {Label: "retentionPeriod", Type: flux.TInt},
	}
	key := execute.NewGroupKey(cols[2:3], []values.Value{organization})
	text := make([]*array.BinaryBuilder, 4)
	for i := range text {
		text[i] = arrow.NewStringBuilder(s.run.alloc)
	}
	periods := arrow.NewIntBuilder(s.run.alloc)
	for _, b := range buckets {
		for i, v := range []string{b.Name, b.ID, b.OrganizationID, b.RetentionPolicy} {
			if i == 3 && v == "" {
				text[i].AppendNull()
				continue
			}
			text[i].AppendString(v)
		}
		periods.Append(int64(b.RetentionPeriod))
	}
	buffer := &arrow.TableBuffer{GroupKey: key, Columns: cols}
	for i := range text {
		buffer.Values = append(buffer.Values, text[i].NewBinaryArray())
		text[i].Release()
	}
	buffer.Values = append(buffer.Values, periods.NewInt64Array())
	periods.Release()
	return f(&table{key: key, cols: cols, buffers: []*arrow.TableBuffer{buffer}})
}

// readProcedure is a bounded read of a bucket, with what has been pushed down.
type readProcedure struct {
	plan.DefaultCost
	from   fromSpec
	bounds plan.Bounds
	// filter chooses tables by their tags, measurement and field; nil: all.
	filter *point.TagFilter
	// fold is what to make of each table, foldNone for its rows.
	fold fold
	// windows cuts the tables before they are folded; nil: not at all.
	windows *windows
}

func (*readProcedure) Kind() plan.ProcedureKind { return readKind }

func (p *readProcedure) Copy() plan.ProcedureSpec { c := *p; return &c }

// oneRow reports whether the read wants one row of each series.
func (p *readProcedure) oneRow() bool {
	return p.windows == nil && (p.fold == foldFirst || p.fold == foldLast)
}

// tablePerWindow reports whether each window becomes a table.
func (p *readProcedure) tablePerWindow() bool { return p.windows != nil && p.windows.time == "" }

// TimeBounds implements plan.BoundsAwareProcedureSpec.
func (p *readProcedure) TimeBounds(*plan.Bounds) *plan.Bounds { b := p.bounds; return &b }
