package influxql

import (
	"fmt"

	"github.com/influxdata/influxdb/models"
	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"
)

// selectStatement streams the answer to a SELECT.
func (x *exec) selectStatement(stmt *influxql.SelectStatement) error {
	cur, err := x.openCursor(stmt)
	if err != nil {
		return err
	}
	em := &rowEmitter{x: x}
	if d := x.newDirectSelect(stmt, cur); d != nil {
		defer cur.Close()
		if err := d.run(em); err != nil {
			return err
		}
	} else if err := x.drain(cur, em); err != nil {
		return err
	}
	return em.close()
}

// drain emits the rows of a cursor.
func (x *exec) drain(cur query.Cursor, to *rowEmitter) error {
	em := query.NewEmitter(cur, to.chunkRows())
	defer em.Close()
	for {
		row, _, err := em.Emit()
		if err != nil {
			return err
		}
		// An interrupted iterator looks like one that has ended.
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if row == nil {
			return nil
		}
		if err := to.add(newRow(row)); err != nil {
			return err
		}
	}
}

// rowEmitter sends the rows of a statement: a series in chunks of Query.ChunkSize
// rows, or whole.
type rowEmitter struct {
	x *exec
	// pending is what is sent once it is known whether more follows.
	pending *Row
	bytes   int64 // that pending holds
	sent    bool
}

// chunkRows is how many rows of a series are made before they are added.
func (e *rowEmitter) chunkRows() int {
	if e.x.q.ChunkSize > 0 {
		return e.x.q.ChunkSize
	}
	return wholeChunkRows
}

// add sends the rows of r, or keeps them for later. r.Partial tells that the next
// rows are of the same series.
func (e *rowEmitter) add(r *Row) error {
	size := int64(len(r.Values)) * int64(rowBytes+cellBytes*len(r.Columns))
	if p := e.pending; p != nil && p.Partial && e.x.q.ChunkSize <= 0 {
		if err := e.x.Hold(size); err != nil {
			return err
		}
		p.Values = append(p.Values, r.Values...)
		p.Partial = r.Partial
		e.bytes += size
		return nil
	}
	if err := e.flush(true); err != nil {
		return err
	}
	e.pending = r
	if err := e.x.Hold(size); err != nil {
		return err
	}
	e.bytes = size
	return nil
}

func (e *rowEmitter) flush(more bool) error {
	if e.pending == nil {
		return nil
	}
	r := e.pending
	e.pending = nil
	e.x.Release(e.bytes)
	e.bytes, e.sent = 0, true
	return e.x.out.send(Result{Series: []*Row{r}, Partial: more})
}

// close sends the last rows; a statement without rows answers all the same.
func (e *rowEmitter) close() error {
	if err := e.flush(false); err != nil {
		return err
	}
	if !e.sent {
		return e.x.out.send(Result{})
	}
	return nil
}

// wholeChunkRows is how many rows of a series that goes out whole are made before
// they are counted; rowBytes and cellBytes are what they occupy, about.
const (
	wholeChunkRows = 10_000
	rowBytes       = 48
	cellBytes      = 24
)

// hold charges memory against the query's limit.
func (x *exec) hold(size int64) error {
	x.bufferBytes += size
	if limit := x.q.Limits.MaxBufferBytes; limit > 0 && x.bufferBytes > limit {
		return fmt.Errorf("query needs more than %d bytes of memory (Options.QueryBytesMax, --max-query-memory): narrow its time range, group by tags, aggregate or ask for chunks", limit)
	}
	return nil
}

// Hold implements [point.Meter] for what the statement's readers hold.
func (x *exec) Hold(bytes int64) error {
	err := x.hold(bytes)
	if err != nil {
		x.bufferBytes -= bytes
	}
	return err
}

// Release implements [point.Meter].
func (x *exec) Release(bytes int64) { x.bufferBytes -= bytes }

// openCursor normalizes, plans and starts a SELECT.
func (x *exec) openCursor(stmt *influxql.SelectStatement) (query.Cursor, error) {
	p, err := x.prepare(stmt)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Select(x.ctx)
}

func (x *exec) prepare(stmt *influxql.SelectStatement) (query.PreparedStatement, error) {
	if err := refuseSystemSources(stmt.Sources); err != nil {
		return nil, err
	}
	if err := checkCalls(stmt); err != nil {
		return nil, err
	}
	if err := x.normalize(stmt); err != nil {
		return nil, err
	}
	if err := x.boundOffsets(stmt, false); err != nil {
		return nil, err
	}
	x.windowsMax = windowsWanted(stmt)
	c, err := query.Compile(stmt, query.CompileOptions{Now: x.now})
	if err != nil {
		return nil, err
	}
	p, err := c.Prepare(x, query.SelectOptions{MaxSeriesN: x.q.Limits.MaxSeries, MaxBucketsN: x.q.Limits.MaxBuckets})
	if err != nil {
		return nil, err
	}
	if stmt.Target != nil {
		p.Close()
		return nil, ErrNotImplemented{"SELECT INTO"}
	}
	return p, nil
}

// windowsLimitMax is up to which LIMIT and OFFSET windows are cut.
const windowsLimitMax = 1000

// windowsWanted is how many windows of each tag set can show in the answer, 0 when
// that is not known: with LIMIT, and nothing but aggregates of a measurement, whose
// windows are also those of the rows. Windows without values may come between them.
func windowsWanted(stmt *influxql.SelectStatement) int {
	if stmt.Limit <= 0 || stmt.Limit+stmt.Offset > windowsLimitMax {
		return 0
	}
	if interval, err := stmt.GroupByInterval(); err != nil || interval <= 0 {
		return 0
	}
	for _, source := range stmt.Sources {
		if _, ok := source.(*influxql.Measurement); !ok {
			return 0
		}
	}
	plain := true
	for _, f := range stmt.Fields {
		influxql.WalkFunc(f.Expr, func(n influxql.Node) {
			call, ok := n.(*influxql.Call)
			if !ok {
				return
			}
			if aggregates[call.Name] == aggregateNone || len(call.Args) != 1 {
				plain = false
				return
			}
			if _, nested := call.Args[0].(*influxql.Call); nested {
				plain = false
			}
		})
	}
	if !plain {
		return 0
	}
	return stmt.Limit + stmt.Offset + 1 // fill(linear) looks at the next one
}

// refuseSystemSources keeps queries from naming the sources into which other
// databases rewrite their SHOW statements.
func refuseSystemSources(sources influxql.Sources) error {
	for _, s := range sources {
		switch s := s.(type) {
		case *influxql.Measurement:
			if !influxql.IsSystemName(s.Name) {
				continue
			}
			command := "the appropriate meta command"
			switch s.Name {
			case "_fieldKeys":
				command = "SHOW FIELD KEYS"
			case "_measurements":
				command = "SHOW MEASUREMENTS"
			case "_series":
				command = "SHOW SERIES"
			case "_tagKeys":
				command = "SHOW TAG KEYS"
			case "_tags":
				command = "SHOW TAG VALUES"
			}
			return fmt.Errorf("unable to use system source '%s': use %s instead", s.Name, command)
		case *influxql.SubQuery:
			if err := refuseSystemSources(s.Statement.Sources); err != nil {
				return err
			}
		}
	}
	return nil
}

// callArgumentMax bounds the count that is an argument of a function.
const callArgumentMax = 1_000_000

// checkCalls refuses functions that would allocate by a count in the query, such
// as sample(f, 1000000000000), before the query package does.
func checkCalls(stmt *influxql.SelectStatement) (err error) {
	influxql.WalkFunc(stmt, func(n influxql.Node) {
		call, ok := n.(*influxql.Call)
		if !ok {
			return
		}
		switch call.Name {
		case "sample", "top", "bottom", "moving_average", "holt_winters", "holt_winters_with_fit",
			"exponential_moving_average", "double_exponential_moving_average", "triple_exponential_moving_average",
			"triple_exponential_derivative", "relative_strength_index", "kaufmans_efficiency_ratio",
			"kaufmans_adaptive_moving_average", "chande_momentum_oscillator":
			for _, arg := range call.Args {
				if v, ok := arg.(*influxql.IntegerLiteral); ok && v.Val > callArgumentMax {
					err = fmt.Errorf("argument %d of %s() is over %d", v.Val, call.Name, callArgumentMax)
				}
			}
		}
	})
	return err
}

// normalize gives every measurement in node a database and a retention policy.
func (x *exec) normalize(node influxql.Node) (err error) {
	influxql.WalkFunc(node, func(n influxql.Node) {
		if m, ok := n.(*influxql.Measurement); ok && err == nil {
			err = x.normalizeMeasurement(m)
		}
	})
	return err
}

func (x *exec) normalizeMeasurement(m *influxql.Measurement) error {
	if !m.IsTarget && m.Name == "" && m.SystemIterator == "" && m.Regex == nil {
		return fmt.Errorf("invalid measurement")
	}
	if m.Database == "" {
		m.Database = x.q.Database
	}
	if m.Database == "" {
		return ErrDatabaseNameRequired
	}
	policy, known, err := x.defaultPolicy(m.Database)
	if err != nil {
		return err
	}
	if !known {
		return ErrDatabaseNotFound{m.Database}
	}
	if m.RetentionPolicy == "" {
		m.RetentionPolicy = x.q.RetentionPolicy
	}
	if m.RetentionPolicy == "" {
		m.RetentionPolicy = policy
	}
	if m.RetentionPolicy == "" {
		return noDefaultPolicy(m.Database)
	}
	return nil
}

// newRow takes over a row of the query package. Its not-a-numbers, which the
// cursors mark as null floats, become nulls.
func newRow(r *models.Row) *Row {
	for _, vs := range r.Values {
		for i, v := range vs {
			if v == query.NullFloat {
				vs[i] = nil
			}
		}
	}
	return &Row{Name: r.Name, Tags: r.Tags, Columns: r.Columns, Values: r.Values, Partial: r.Partial}
}
