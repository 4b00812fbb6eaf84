package influxql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"
	_ "time/tzdata" // tz() works on machines without a time zone database

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// Run parses q and, if all of it parses, executes its statements in order. Each
// chunk of an answer goes to emit from the calling goroutine.
//
// A statement that fails emits a Result with its error; each statement after it
// emits [ErrNotExecuted]. Neither is an error of Run, which returns
//   - a *[ParseError], before anything was run or emitted;
//   - emit's own error, at once and without calling emit again;
//   - the context's error, after the interrupted statement has emitted
//     [ErrInterrupted].
//
// DELETE and DROP MEASUREMENT emit nothing when they succeed. Every other
// statement emits at least one Result.
func Run(ctx context.Context, h Host, q Query, emit func(Result) error) error {
	parsed, err := parse(q)
	if err != nil {
		return &ParseError{Err: err}
	}
	now := time.Now
	if q.Now != nil {
		now = q.Now
	}
	// The query package names its interrupt iterators in messages and only uses
	// them when there is a channel, so there always is one.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	out := &output{emit: emit}
	clock := now().UTC()
	for i, stmt := range parsed.Statements {
		out.statement = i
		x := newExec(ctx, h, &q, clock, out)
		err := x.runStatement(stmt)
		if out.err != nil {
			return out.err
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
		out.send(Result{Err: err})
		for out.statement++; out.statement < len(parsed.Statements); out.statement++ {
			out.send(Result{Err: ErrNotExecuted})
		}
		break
	}
	if out.err != nil {
		return out.err
	}
	return ctx.Err()
}

// parse reads all statements of q.
func parse(q Query) (*influxql.Query, error) {
	if err := checkText(&q); err != nil {
		return nil, err
	}
	p := influxql.NewParser(strings.NewReader(q.Text))
	if len(q.Params) > 0 {
		params := make(map[string]any, len(q.Params))
		for name, v := range q.Params {
			params[name] = paramValue(v)
		}
		p.SetParams(params)
	}
	parsed, err := p.ParseQuery()
	if err != nil {
		return nil, err
	}
	for _, stmt := range parsed.Statements {
		if e, ok := stmt.(*influxql.ExplainStatement); ok {
			stmt = e.Statement
		}
		if err := balance(stmt); err != nil {
			return nil, err
		}
	}
	return parsed, nil
}

// paramValue makes Go numbers the types that the parser binds.
func paramValue(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case float32:
		return float64(v)
	}
	return v
}

// output numbers the results of the statement at hand and remembers that emit
// has failed, so that it is not called again.
type output struct {
	emit      func(Result) error
	statement int
	err       error
}

var errEmit = errors.New("influxql: emit failed")

func (o *output) send(r Result) error {
	if o.err != nil {
		return errEmit
	}
	r.StatementID = o.statement
	if o.err = o.emit(r); o.err != nil {
		return errEmit
	}
	return nil
}

// sendRows sends one result, whose series is left out when it is nil.
func (o *output) sendRows(row *Row) error {
	var r Result
	if row != nil {
		r.Series = []*Row{row}
	}
	return o.send(r)
}

// exec is the execution of one statement. It is owned by the goroutine of Run.
type exec struct {
	ctx  context.Context
	host Host
	q    *Query
	now  time.Time
	out  *output

	snapshots  map[bucketName]*snapshot
	selections map[selectionKey]*selection
	// scans are the statement's scans so far.
	scans []*scan
	// windowsMax is how many windows of each tag set the statement needs, 0 for
	// all.
	windowsMax int
	stats      scanStats
	// bufferBytes is what the statement holds at the moment, selectionBytes the
	// part of it that is selections.
	bufferBytes, selectionBytes int64
}

func newExec(ctx context.Context, h Host, q *Query, now time.Time, out *output) *exec {
	return &exec{
		ctx: ctx, host: h, q: q, now: now, out: out,
		snapshots: make(map[bucketName]*snapshot), selections: make(map[selectionKey]*selection),
	}
}

// forget drops what the statement's scans have shared.
func (x *exec) forget() {
	x.Release(x.selectionBytes)
	x.selectionBytes, x.scans = 0, nil
	clear(x.selections)
}

// scanStats counts what a statement's scans did, for limits and EXPLAIN ANALYZE.
type scanStats struct {
	series, points, batches int
}

func (x *exec) runStatement(stmt influxql.Statement) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Statement: stmt.String(), Value: v, Stack: debug.Stack()}
		}
		x.forget()
	}()
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if stmt, ok := stmt.(*influxql.SelectStatement); ok {
		return x.selectStatement(stmt)
	}
	return x.otherStatement(stmt)
}

// bucketName is how queries name a bucket.
type bucketName struct{ database, policy string }

// snapshot is a bucket as one statement sees it, with what was asked about it.
type snapshot struct {
	point.Reader
	series  map[string][]point.SeriesInfo
	tagKeys map[string][]string
}

// snapshot opens the bucket behind a database and policy, once per statement.
func (x *exec) snapshot(database, policy string) (*snapshot, error) {
	name := bucketName{database, policy}
	if s, ok := x.snapshots[name]; ok {
		return s, nil
	}
	r, err := x.host.Snapshot(x.ctx, database, policy)
	if err != nil {
		return nil, err
	}
	s := newSnapshot(r)
	x.snapshots[name] = s
	return s, nil
}

func newSnapshot(r point.Reader) *snapshot {
	return &snapshot{Reader: r, series: make(map[string][]point.SeriesInfo), tagKeys: make(map[string][]string)}
}

// Series remembers the answer: planning asks several times.
func (s *snapshot) Series(measurement string) []point.SeriesInfo {
	series, ok := s.series[measurement]
	if !ok {
		series = s.Reader.Series(measurement)
		s.series[measurement] = series
	}
	return series
}

// defaultPolicy names a database's default retention policy. known is false when
// there is no such database.
func (x *exec) defaultPolicy(database string) (policy string, known bool, err error) {
	policies, err := x.host.RetentionPolicies(x.ctx, database)
	if err != nil {
		return "", false, err
	}
	for _, p := range policies {
		if p.Default {
			return p.Name, true, nil
		}
	}
	return "", len(policies) > 0, nil
}

// valuer evaluates now() and time literals in conditions of statements that the
// query package does not compile.
func (x *exec) valuer() influxql.Valuer { return &influxql.NowValuer{Now: x.now} }

var _ query.ShardMapper = (*exec)(nil)
