package influxql

import (
	"slices"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// loadSystem makes the rows of a system column, such as _seriesKey, for each
// series in sets: strings at time 0, from the series' name and tags alone. The
// exact cardinality statements count them.
func (sc *scan) loadSystem(sets []*tagSet, found []foundSet) error {
	p := sc.plan
	series := sc.sel.series
	g := newGatherer(sc.x, p)
	for i, set := range sets {
		for n, s := range set.series {
			if n&0x3fff == 0x3fff && sc.x.ctx.Err() != nil {
				return sc.x.ctx.Err()
			}
			tags := series[s.index].Tags
			if !g.passesSystem(s.rest, tags) {
				continue
			}
			strs := p.systemValues(tags)
			if len(strs) == 0 {
				continue
			}
			r := &rows{times: make([]int64, len(strs)), main: values{typ: point.String, strs: strs}}
			r.aux = make([]auxValues, len(p.aux))
			for i := range p.aux {
				if p.aux[i].kind != refTag {
					continue
				}
				if v := point.TagValue(tags, p.aux[i].name); v != "" {
					r.aux[i].constant = v
				}
			}
			rows := &seriesRows{tags: p.seriesTags(set, tags)}
			rows.add(r)
			f := &found[i]
			size := r.memoryBytes()
			if p.reduces() {
				var itr query.Iterator
				var err error
				if itr, size, err = sc.reduce(rows); err != nil {
					return err
				}
				if itr == nil {
					continue
				}
				f.series = append(f.series, foundSeries{index: s.index, points: itr})
			} else {
				f.series = append(f.series, foundSeries{index: s.index, rows: rows})
			}
			f.bytes += size
			if err := sc.account(r.len(), size); err != nil {
				return err
			}
		}
	}
	return nil
}

// systemValues are the values of the plan's system column for one series.
func (p *scanPlan) systemValues(tags []point.Tag) []string {
	var strs []string
	switch p.main.name {
	case "_name":
		return []string{p.measurement}
	case "_seriesKey":
		return []string{string(point.AppendSeriesKey(nil, p.measurement, tags))}
	case "_tagKey":
		for _, t := range tags {
			strs = append(strs, t.Key)
		}
	case "_tagValue":
		data := make(map[string]any, len(tags)+1)
		for _, t := range tags {
			data[t.Key] = t.Value
		}
		for _, t := range tags {
			data["_tagKey"] = t.Key
			if p.opt.Condition == nil || influxql.EvalBool(p.opt.Condition, data) {
				strs = append(strs, t.Value)
			}
		}
	case "_fieldKey":
		for name := range p.types {
			strs = append(strs, name)
		}
		slices.Sort(strs)
	}
	return strs
}

// passesSystem evaluates what tags did not decide, with fields as null and
// comparisons of _tagKey, which systemValues sees to, as true.
func (g *gatherer) passesSystem(rest influxql.Expr, tags []point.Tag) bool {
	if rest == nil {
		return true
	}
	isTagKey := func(e influxql.Expr) bool {
		ref, ok := e.(*influxql.VarRef)
		return ok && ref.Val == "_tagKey"
	}
	rest = influxql.RewriteExpr(influxql.CloneExpr(rest), func(e influxql.Expr) influxql.Expr {
		if b, ok := e.(*influxql.BinaryExpr); ok && (isTagKey(b.LHS) || isTagKey(b.RHS)) {
			return &influxql.BooleanLiteral{Val: true}
		}
		return e
	})
	row := point.SeriesRows{Times: []int64{0}, Columns: make([]*point.Column, len(g.plan.fields))}
	return len(g.newRowCondition(rest).keep(g, []int32{0}, &row, tags)) == 1
}
