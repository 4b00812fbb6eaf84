package influxql

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// explainStatement answers EXPLAIN with the plan of a SELECT, and EXPLAIN ANALYZE
// with what running it took.
func (x *exec) explainStatement(stmt *influxql.ExplainStatement) error {
	if stmt.Analyze {
		return x.explainAnalyze(stmt.Statement)
	}
	p, err := x.prepare(stmt.Statement)
	if err != nil {
		return err
	}
	defer p.Close()
	plan, err := p.Explain()
	if err != nil {
		return err
	}
	return x.out.sendRows(textRow("QUERY PLAN", strings.TrimSpace(plan)))
}

// textRow is a series with one line of text in each row.
func textRow(column, text string) *Row {
	row := &Row{Columns: []string{column}}
	for line := range strings.SplitSeq(text, "\n") {
		row.Values = append(row.Values, []any{line})
	}
	return row
}

func (x *exec) explainAnalyze(stmt *influxql.SelectStatement) error {
	start := time.Now()
	cur, err := x.openCursor(stmt)
	if err != nil {
		return err
	}
	planned := time.Since(start)
	em := query.NewEmitter(cur, 10_000)
	defer em.Close()
	emitted := 0
	for {
		row, _, err := em.Emit()
		if err != nil {
			return err
		}
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if row == nil {
			break
		}
		emitted += len(row.Values)
	}
	total := time.Since(start)

	var text strings.Builder
	text.WriteString(".\n└── select\n")
	fmt.Fprintf(&text, "    ├── execution_time: %v\n", total-planned)
	fmt.Fprintf(&text, "    ├── planning_time: %v\n", planned)
	fmt.Fprintf(&text, "    ├── total_time: %v\n", total)
	fmt.Fprintf(&text, "    ├── rows_emitted: %d\n", emitted)
	text.WriteString("    └── scan\n")
	fmt.Fprintf(&text, "        ├── reads: %d\n", x.stats.batches)
	fmt.Fprintf(&text, "        ├── series: %d\n", x.stats.series)
	fmt.Fprintf(&text, "        └── points: %d\n", x.stats.points)
	return x.out.sendRows(textRow("EXPLAIN ANALYZE", text.String()))
}

// scanCost is what a scan would read: the series that match and their values of
// each field in the expression, beside it and in the condition.
func (x *exec) scanCost(s *snapshot, measurement string, opt query.IteratorOptions) (query.IteratorCost, error) {
	types := s.Fields(measurement)
	if types == nil {
		return query.IteratorCost{}, nil
	}
	sel, err := x.selection(s, measurement, types, opt)
	if err != nil {
		return query.IteratorCost{}, err
	}
	cost := query.IteratorCost{NumShards: 1}
	matched := make(map[point.SeriesID]bool)
	for _, set := range sel.sets {
		cost.NumSeries += int64(len(set.series))
		for _, ss := range set.series {
			matched[sel.series[ss.index].ID] = true
		}
	}
	var fields []string
	add := func(ref influxql.VarRef) {
		if _, ok := types[ref.Val]; ok && ref.Type != influxql.Tag && !slices.Contains(fields, ref.Val) {
			fields = append(fields, ref.Val)
		}
	}
	for _, ref := range influxql.ExprNames(opt.Expr) {
		add(ref)
	}
	for _, ref := range opt.Aux {
		add(ref)
	}
	for _, ref := range influxql.ExprNames(opt.Condition) {
		add(ref)
	}
	if len(matched) == 0 || len(fields) == 0 {
		return cost, nil
	}
	req := point.ReadRequest{Measurement: measurement, Fields: fields, Min: opt.StartTime, Max: opt.EndTime, Meter: x}
	if !sel.all {
		for id := range matched {
			req.Series = append(req.Series, id)
		}
		slices.Sort(req.Series)
	}
	err = s.Read(x.ctx, req, func(sr point.SeriesRows) error {
		if matched[sr.Series] {
			for _, c := range sr.Columns {
				if c != nil {
					cost.CachedValues += int64(c.Len())
				}
			}
		}
		return nil
	})
	return cost, err
}
