package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// rowsModel is rows as a map, to compare with: series, time, field. Values are
// uint64 or string.
type rowsModel map[point.SeriesID]map[int64]map[point.FieldID]any

func (m rowsModel) set(id point.SeriesID, t int64, f point.FieldID, v any) {
	if m[id] == nil {
		m[id] = map[int64]map[point.FieldID]any{}
	}
	if m[id][t] == nil {
		m[id][t] = map[point.FieldID]any{}
	}
	m[id][t][f] = v
}

// valueAt is value i of c, copied.
func valueAt(c *point.Column, i int) any {
	if c.Type == point.String {
		return string(c.StringAt(i))
	}
	return c.Nums[i]
}

// table puts the rows of t into the model.
func (m rowsModel) table(t *point.Table, lo, hi int64) {
	for _, c := range t.Columns {
		for i := range c.Len() {
			if row := c.Row(i); lo <= t.Times[row] && t.Times[row] <= hi {
				m.set(t.Series[row].ID(), t.Times[row], c.Field, valueAt(c, i))
			}
		}
	}
}

// segmentsOf packs tables.
func segmentsOf(tables ...*point.Table) []*segment {
	var segs []*segment
	for _, t := range tables {
		segs = append(segs, newSegment(t.Series, t.Times, t.Columns))
	}
	return segs
}

// typeOfField is the type of a field in these tests.
func typeOfField(f point.FieldID) point.FieldType { return point.FieldType(1 + f%5) }

// randomTable makes n rows of some of the series, times up to span, and some
// fields; some of its columns are sparse, and numbers are narrow or wide.
func randomTable(r *rand.Rand, n int, ids []point.SeriesID, span int64, fields int) *point.Table {
	table := new(point.Table)
	start, step := r.Int64N(span), r.Int64N(3)
	for i := range n {
		id, t := ids[r.IntN(len(ids))], r.Int64N(span)
		if step > 0 { // in order, as agents send
			id, t = ids[i%len(ids)], (start+int64(i/len(ids))*step)%span
		}
		table.AppendRow(point.SeriesRef(id), t, 0)
	}
	has := make([]bool, n)
	for k := range fields {
		f := point.FieldID(1 + (k*7919)%6000)
		share := []int{0, 1, 1, 1, 2, 10}[r.IntN(6)]
		if share == 0 && len(table.Columns) > 0 {
			continue
		}
		c := &point.Column{Field: f, Type: typeOfField(f)}
		base, shift := r.Uint64(), []int{0, 1, 31, 32, 33, 47, 48, 56, 57, 64}[r.IntN(10)]
		for i := range n {
			if share > 1 && r.IntN(share) > 0 {
				continue
			}
			has[i] = true
			if c.Type == point.String {
				c.AppendString(i, fmt.Append(nil, "v", r.IntN(1000)))
			} else {
				c.AppendNum(i, base+r.Uint64()>>shift)
			}
		}
		if c.Len() > 0 {
			table.Columns = append(table.Columns, c)
		}
	}
	// Every row has a field.
	last := &point.Column{Field: 6001, Type: typeOfField(6001)}
	for i := range n {
		if !has[i] {
			last.AppendNum(i, r.Uint64())
		}
	}
	if last.Len() > 0 {
		table.Columns = append(table.Columns, last)
	}
	return table
}

// checkRows tells what is wrong with rows as the rows of a block.
func checkRows(rows *block.Rows) error {
	n, strings := rows.Len(), 0
	if n == 0 || len(rows.Series) != len(rows.Ends) || int(rows.Ends[len(rows.Ends)-1]) != n {
		return fmt.Errorf("%d rows, %d series, ends %v", n, len(rows.Series), rows.Ends)
	}
	from := uint32(0)
	for i, to := range rows.Ends {
		if i > 0 && rows.Series[i] <= rows.Series[i-1] || to <= from {
			return fmt.Errorf("series %v, ends %v", rows.Series, rows.Ends)
		}
		for k := from + 1; k < to; k++ {
			if rows.Times[k] <= rows.Times[k-1] {
				return fmt.Errorf("times %v", rows.Times[from:to])
			}
		}
		from = to
	}
	for i, c := range rows.Columns {
		if i > 0 && c.Field <= rows.Columns[i-1].Field || c.Len() == 0 || c.Type != typeOfField(c.Field) {
			return fmt.Errorf("column %d: field %d, %s, %d values", i, c.Field, c.Type, c.Len())
		}
		if c.Rows == nil && c.Len() != n || len(c.Rows) == n || c.Rows != nil && len(c.Rows) != c.Len() {
			return fmt.Errorf("field %d: %d values, %d rows of %d", c.Field, c.Len(), len(c.Rows), n)
		}
		for k, row := range c.Rows {
			if int(row) >= n || k > 0 && row <= c.Rows[k-1] {
				return fmt.Errorf("field %d: rows %v", c.Field, c.Rows)
			}
		}
		strings += len(c.Bytes)
	}
	if n > 1 && (n > block.RowsMax || n*len(rows.Columns) > block.CellsMax || strings > block.StringBytesMax) {
		return fmt.Errorf("%d rows, %d columns, %d bytes of strings", n, len(rows.Columns), strings)
	}
	return nil
}

// rowsChecker collects the rows that are emitted, checks each block and that
// together they are in order.
type rowsChecker struct {
	t      testing.TB
	got    rowsModel
	last   point.SeriesID
	lastAt int64
	blocks []int // rows
}

func (c *rowsChecker) emit(rows *block.Rows) error {
	c.t.Helper()
	if err := checkRows(rows); err != nil {
		c.t.Fatal(err)
	}
	if c.got == nil {
		c.got = rowsModel{}
	}
	id, at := rows.Series[0], rows.Times[0]
	if id < c.last || id == c.last && at <= c.lastAt {
		c.t.Fatalf("block begins at (%d, %d) after (%d, %d)", id, at, c.last, c.lastAt)
	}
	c.last, c.lastAt = rows.Series[len(rows.Series)-1], rows.Times[rows.Len()-1]
	seriesOf := make([]point.SeriesID, 0, rows.Len())
	for i, id := range rows.Series {
		for len(seriesOf) < int(rows.Ends[i]) {
			seriesOf = append(seriesOf, id)
		}
	}
	for _, col := range rows.Columns {
		for i := range col.Len() {
			row := col.Row(i)
			if _, ok := c.got[seriesOf[row]][rows.Times[row]][col.Field]; ok {
				c.t.Fatalf("series %d, time %d, field %d twice", seriesOf[row], rows.Times[row], col.Field)
			}
			c.got.set(seriesOf[row], rows.Times[row], col.Field, valueAt(col, i))
		}
	}
	c.blocks = append(c.blocks, rows.Len())
	return nil
}

// diff compares the collected rows with want.
func (c *rowsChecker) diff(want rowsModel) error {
	if len(c.got) != len(want) {
		return fmt.Errorf("%d series, want %d", len(c.got), len(want))
	}
	for id, times := range want {
		if len(c.got[id]) != len(times) {
			return fmt.Errorf("series %d: %d rows, want %d", id, len(c.got[id]), len(times))
		}
		for t, row := range times {
			if len(c.got[id][t]) != len(row) {
				return fmt.Errorf("series %d, time %d: %v, want %v", id, t, c.got[id][t], row)
			}
			for f, v := range row {
				if c.got[id][t][f] != v {
					return fmt.Errorf("series %d, time %d, field %d: %v, want %v", id, t, f, c.got[id][t][f], v)
				}
			}
		}
	}
	return nil
}

// someIDs is n ids in ascending order, close together or far apart.
func someIDs(r *rand.Rand, n int) []point.SeriesID {
	ids := make([]point.SeriesID, n)
	gap, id := 1+r.Uint32N(3), uint32(0)
	if r.IntN(3) == 0 {
		gap = 1_000_000
	}
	for i := range ids {
		id += 1 + r.Uint32N(gap)
		ids[i] = point.SeriesID(id)
	}
	return ids
}

func TestSortSegments(t *testing.T) {
	r := newRand(t)
	var s sorter // reused, as by a flush
	for round := range 20 {
		ids := someIDs(r, 1+r.IntN(400))
		span := int64(1 + r.IntN(2000))
		fields := []int{1, 3, 12, 200}[r.IntN(4)]
		var tables []*point.Table
		for range 1 + r.IntN(8) {
			tables = append(tables, randomTable(r, 1+r.IntN(3000/fields*3+20), ids, span, fields))
		}
		lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
		if r.IntN(2) == 0 {
			lo, hi = r.Int64N(span), r.Int64N(span)
		}
		want := rowsModel{}
		for _, table := range tables {
			want.table(table, lo, hi)
		}
		check := rowsChecker{t: t}
		if err := sortSegments(context.Background(), segmentsOf(tables...), lo, hi, &s, check.emit); err != nil {
			t.Fatal(err)
		}
		if err := check.diff(want); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// TestSortBlocks: blocks end between series where they can, and within limits.
func TestSortBlocks(t *testing.T) {
	rowsOf := func(columns int, lens ...int) *point.Table {
		table := new(point.Table)
		for id, n := range lens {
			for i := range n {
				table.AppendRow(point.SeriesRef(id+1), int64(i), 0)
			}
		}
		for f := range columns {
			c := &point.Column{Field: point.FieldID(f*5 + 1), Type: typeOfField(1)}
			c.Nums = make([]uint64, table.Rows())
			table.Columns = append(table.Columns, c)
		}
		return table
	}
	long := rowsOf(0, 40)
	for i := range 40 {
		if len(long.Columns) == 0 {
			long.Columns = append(long.Columns, &point.Column{Field: 3, Type: point.String})
		}
		long.Columns[0].AppendString(i, make([]byte, block.StringBytesMax/8))
	}
	for _, c := range []struct {
		table *point.Table
		want  string
	}{
		{rowsOf(1, 1), "[1]"},
		{rowsOf(1, 5000, 5000, 5000), "[5000 5000 5000]"},
		{rowsOf(1, 3000, 3000, 3000), "[6000 3000]"},
		{rowsOf(1, 3000, 9000, 10), "[8192 3818]"},
		{rowsOf(1, 20000, 20000), "[8192 8192 8192 8192 7232]"},
		{rowsOf(1, 100, 8192), "[8192 100]"},
		{rowsOf(64, 3000, 3000), "[3000 3000]"},
		{rowsOf(64, 9000), "[4096 4096 808]"},
		{rowsOf(300, 2000), "[873 873 254]"},
		{long, "[8 8 8 8 8]"},
	} {
		check := rowsChecker{t: t}
		var s sorter
		if err := sortSegments(context.Background(), segmentsOf(c.table), 0, 1<<40, &s, check.emit); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(check.blocks); got != c.want {
			t.Errorf("blocks of %s rows, want %s", got, c.want)
		}
	}
}

func TestSortStops(t *testing.T) {
	r := newRand(t)
	segs := segmentsOf(randomTable(r, 20000, []point.SeriesID{1, 2, 3}, 1<<30, 2))
	var s sorter
	stop := errors.New("enough")
	if err := sortSegments(context.Background(), segs, 0, 1<<30, &s, func(*block.Rows) error { return stop }); err != stop {
		t.Errorf("stopped: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := sortSegments(ctx, segs, 0, 1<<30, &s, func(*block.Rows) error { cancel(); return nil }); err != context.Canceled {
		t.Errorf("canceled: %v", err)
	}
	for _, none := range [][]*segment{nil, segs} {
		if err := sortSegments(context.Background(), none, 1<<40, 1<<41, &s, func(*block.Rows) error { return stop }); err != nil {
			t.Errorf("nothing to sort: %v", err)
		}
	}
}

// benchSegments has rows of n series in turn, in batches of 5,000.
func benchSegments(n, rows int) []*segment {
	var segs []*segment
	for at := 0; at < rows; at += 5000 {
		segs = append(segs, segmentsOf(benchTable(min(5000, rows-at), n, at))...)
	}
	return segs
}

func BenchmarkSort(b *testing.B) {
	for _, c := range []struct{ series, rows int }{{100, 500_000}, {1000, 500_000}, {4000, 500_000}, {10_000, 500_000}, {1_000_000, 1_000_000}} {
		b.Run(fmt.Sprintf("series=%d/rows=%d/fields=10", c.series, c.rows), func(b *testing.B) {
			segs := benchSegments(c.series, c.rows)
			var s sorter
			b.ReportAllocs()
			cpu := cpuTime(b)
			for b.Loop() {
				if err := sortSegments(context.Background(), segs, math.MinInt64, math.MaxInt64, &s, func(*block.Rows) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			reportCPU(b, cpu, c.rows*10)
		})
	}
}
