package influxql

import (
	"math"
	"slices"
	"time"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"
)

// directSelect answers a SELECT of fields and tags, as they are, of one
// measurement: rows go from the merged columns to the answer, without the points
// and maps that expressions need. It stands in for the cursor that the query
// package has made over the same scan.
type directSelect struct {
	x    *exec
	scan *scan
	// columns are the names of the answer; from says for each which auxiliary
	// value it is, timeColumn for the time.
	columns []string
	from    []int
	loc     *time.Location
}

const timeColumn = -1

// newDirectSelect is nil when the statement needs cur. cur has not been read.
func (x *exec) newDirectSelect(stmt *influxql.SelectStatement, cur query.Cursor) *directSelect {
	if x.q.slow || len(x.scans) != 1 || len(stmt.Sources) != 1 || stmt.Fill != influxql.NullFill || stmt.FillValue != nil {
		return nil
	}
	if m, ok := stmt.Sources[0].(*influxql.Measurement); !ok || m.Regex != nil {
		return nil
	}
	sc := x.scans[0]
	p := sc.plan
	if p.opt.Expr != nil || p.main != nil || !p.opt.Ordered || p.opt.Dedupe || !p.sharedTags {
		return nil
	}
	byName := make(map[string]int, len(p.aux))
	for i := range p.aux {
		if _, ok := byName[p.aux[i].name]; ok {
			return nil // with different casts
		}
		byName[p.aux[i].name] = i
	}
	d := &directSelect{x: x, scan: sc, loc: stmt.Location}
	if d.loc == nil {
		d.loc = time.UTC
	}
	for _, c := range cur.Columns() {
		d.columns = append(d.columns, c.Val)
	}
	names := slices.Clone(d.columns) // of what the columns show
	rest := names
	if !stmt.OmitTime {
		if len(names) == 0 || names[0] != "time" {
			return nil
		}
		d.from = append(d.from, timeColumn)
		rest = names[1:]
	}
	wild := false
	aliases := false
	for i, f := range stmt.Fields {
		aliases = aliases || f.Alias != ""
		switch e := f.Expr.(type) {
		case *influxql.VarRef:
			if i < len(rest) {
				rest[i] = e.Val
			}
		case *influxql.Wildcard, *influxql.RegexLiteral:
			wild = true
		default:
			return nil
		}
	}
	if wild {
		// Columns are called by what they show unless there are aliases, or two
		// columns show the same.
		copy(names, d.columns)
		if aliases || len(rest) != len(p.aux) {
			return nil
		}
	} else if len(rest) != len(stmt.Fields) {
		return nil
	}
	for _, name := range rest {
		i, ok := byName[name]
		if !ok {
			return nil
		}
		d.from = append(d.from, i)
	}
	return d
}

// directBlockRows is how many rows' cells are allocated at once.
const directBlockRows = 256

func (d *directSelect) run(em *rowEmitter) error {
	sc := d.scan
	defer sc.close()
	for {
		set, err := sc.nextSet()
		if err != nil {
			return err
		}
		if set.itr == nil {
			return nil
		}
		itr := set.itr.(*mergeIterator[query.FloatPoint])
		err = d.emit(itr.rows, em)
		d.x.Release(set.bytes)
		if err != nil {
			return err
		}
	}
}

// emit sends the rows of one tag set.
func (d *directSelect) emit(rows *rowMerger, em *rowEmitter) error {
	opt := &d.scan.plan.opt
	var row *Row
	var cells []any
	size := em.chunkRows()
	n := 0
	for c := rows.next(); c != nil; c = rows.next() {
		if n++; n <= opt.Offset {
			continue
		}
		if opt.Limit > 0 && n > opt.Offset+opt.Limit {
			break
		}
		if n&0x3ff == 0 {
			if err := d.x.ctx.Err(); err != nil {
				return err
			}
		}
		if row != nil && len(row.Values) == size {
			row.Partial = true
			if err := em.add(row); err != nil {
				return err
			}
			row = nil
		}
		if row == nil {
			row = &Row{Name: d.scan.plan.name(), Tags: c.series.tags.KeyValues(), Columns: d.columns}
		}
		if len(cells) < len(d.from) {
			cells = make([]any, len(d.from)*max(1, min(directBlockRows, rows.n-n+1)))
		}
		values := cells[:len(d.from):len(d.from)]
		cells = cells[len(d.from):]
		for i, from := range d.from {
			if from == timeColumn {
				values[i] = time.Unix(0, c.at()).In(d.loc)
				continue
			}
			v := c.auxAt(from)
			if f, ok := v.(float64); ok && math.IsNaN(f) {
				v = nil
			}
			values[i] = v
		}
		row.Values = append(row.Values, values)
	}
	if row == nil {
		return nil
	}
	return em.add(row)
}
