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
	em := query.NewEmitter(cur, x.q.ChunkSize)
	defer em.Close()
	emitted := false
	for {
		row, more, err := em.Emit()
		if err != nil {
			return err
		}
		// An interrupted iterator looks like one that has ended.
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if row == nil {
			break
		}
		if err := x.out.send(Result{Series: []*Row{newRow(row)}, Partial: more}); err != nil {
			return err
		}
		emitted = true
	}
	if !emitted {
		return x.out.send(Result{})
	}
	return nil
}

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
	if err := x.normalize(stmt); err != nil {
		return nil, err
	}
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
