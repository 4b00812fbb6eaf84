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
	var out *directRows
	for {
		loaded, err := sc.nextSet()
		if err != nil {
			return err
		}
		if out != nil && (loaded.itr == nil || loaded.set != out.set) {
			if err := out.flush(false); err != nil {
				return err
			}
			out = nil
		}
		if loaded.itr == nil {
			return nil
		}
		if out == nil {
			out = &directRows{directSelect: d, set: loaded.set, em: em}
		}
		full, err := out.emit(loaded.itr.(*mergeIterator[query.FloatPoint]).rows)
		d.x.Release(loaded.bytes)
		if err != nil {
			return err
		}
		if full {
			sc.skipSlices()
		}
	}
}

// directRows are the rows of one tag set on their way out.
type directRows struct {
	*directSelect
	set   *tagSet
	em    *rowEmitter
	row   *Row
	n     int // rows so far, with those before OFFSET
	cells []any
}

// flush hands the rows so far to the emitter.
func (r *directRows) flush(partial bool) error {
	row := r.row
	if row == nil {
		return nil
	}
	r.row = nil
	row.Partial = partial
	return r.em.add(row)
}

// emit sends the rows of one slice of the set. full is set when LIMIT is reached.
func (r *directRows) emit(rows *rowMerger) (full bool, err error) {
	opt := &r.scan.plan.opt
	size := r.em.chunkRows()
	width := len(r.from)
	left := rows.n
	for c := rows.next(); c != nil; c = rows.next() {
		left--
		if r.n++; r.n <= opt.Offset {
			continue
		}
		if opt.Limit > 0 && r.n > opt.Offset+opt.Limit {
			return true, nil
		}
		if r.n&0x3ff == 0 {
			if err := r.x.ctx.Err(); err != nil {
				return false, err
			}
		}
		if r.row != nil && len(r.row.Values) == size {
			if err := r.flush(true); err != nil {
				return false, err
			}
		}
		if r.row == nil {
			r.row = &Row{Name: r.scan.plan.name(), Tags: r.set.tags.KeyValues(), Columns: r.columns}
		}
		if len(r.cells) < width {
			r.cells = make([]any, width*min(directBlockRows, left+1))
		}
		values := r.cells[:width:width]
		r.cells = r.cells[width:]
		for i, from := range r.from {
			if from == timeColumn {
				values[i] = time.Unix(0, c.at()).In(r.loc)
				continue
			}
			v := c.auxAt(from)
			if f, ok := v.(float64); ok && math.IsNaN(f) {
				v = nil
			}
			values[i] = v
		}
		r.row.Values = append(r.row.Values, values)
	}
	return false, nil
}
