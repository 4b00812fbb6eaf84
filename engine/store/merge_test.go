package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// copyRows copies rows from to to-1.
func copyRows(rows *block.Rows, from, to int) *block.Rows {
	out := &block.Rows{Times: append([]int64(nil), rows.Times[from:to]...)}
	start := 0
	for i, end := range rows.Ends {
		if lo, hi := max(start, from), min(int(end), to); lo < hi {
			out.Series = append(out.Series, rows.Series[i])
			out.Ends = append(out.Ends, uint32(hi-from))
		}
		start = int(end)
	}
	for _, c := range rows.Columns {
		b := new(columnBuilder)
		b.reset(c.Field, c.Type)
		b.add(0, c, from, to)
		if c := b.finish(to - from); c != nil {
			out.Columns = append(out.Columns, c)
		}
	}
	return out
}

// blockList is a source of blocks. It spoils the one before when asked for the
// next, as a reader does that uses its memory again.
type blockList struct {
	blocks []*block.Rows
	last   *block.Rows
	err    error // at the end
}

func (l *blockList) next() (*block.Rows, error) {
	if l.last != nil {
		for i := range l.last.Times {
			l.last.Times[i] = -1
		}
		for _, c := range l.last.Columns {
			clear(c.Nums)
			clear(c.Ends)
			clear(c.Bytes)
		}
	}
	if l.last = nil; len(l.blocks) > 0 {
		l.last, l.blocks = copyRows(l.blocks[0], 0, l.blocks[0].Len()), l.blocks[1:]
		return l.last, nil
	}
	return nil, l.err
}

// sortedBlocks sorts segs and cuts the rows at random.
func sortedBlocks(t testing.TB, r *rand.Rand, segs []*segment) []*block.Rows {
	var blocks []*block.Rows
	most := 1 + r.IntN(6000)
	err := sortSegments(context.Background(), segs, math.MinInt64, math.MaxInt64, new(sorter), func(rows *block.Rows) error {
		for at := 0; at < rows.Len(); {
			to := min(at+1+r.IntN(most), rows.Len())
			blocks = append(blocks, copyRows(rows, at, to))
			at = to
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

func TestMergeRows(t *testing.T) {
	r := newRand(t)
	var m merger
	for round := range 30 {
		ids := someIDs(r, 1+r.IntN(60))
		span := int64(1 + r.IntN(1000))
		fields := []int{1, 3, 12, 200}[r.IntN(4)]
		want := rowsModel{}
		var sources []rowSource
		var again *point.Table
		for k := range 1 + r.IntN(5) {
			var tables []*point.Table
			if k > 0 && r.IntN(4) == 0 { // written again
				tables = append(tables, again)
				want.table(again, math.MinInt64, math.MaxInt64)
			}
			for range 1 + r.IntN(3) {
				table := randomTable(r, 1+r.IntN(2000/fields*3+20), ids[r.IntN(len(ids)):], span, fields)
				if round%3 == 0 { // apart from the other sources
					for i := range table.Times {
						table.Times[i] += int64(k) * span
					}
				}
				tables = append(tables, table)
				again = table
				want.table(table, math.MinInt64, math.MaxInt64)
			}
			sources = append(sources, &blockList{blocks: sortedBlocks(t, r, segmentsOf(tables...))})
		}
		var filter *rowFilter
		if r.IntN(2) == 0 {
			filter = &rowFilter{min: []int64{math.MinInt64, r.Int64N(span)}[r.IntN(2)]}
			for range r.IntN(4) {
				d := rowDelete{min: r.Int64N(span), max: r.Int64N(span)}
				if r.IntN(4) > 0 {
					d.series = roaring.New()
					for range len(ids) {
						d.series.Add(uint32(ids[r.IntN(len(ids))]))
					}
				}
				if r.IntN(4) == 0 {
					d.max = d.min
				}
				filter.deletes = append(filter.deletes, d)
			}
			want.filter(filter)
		}
		check := rowsChecker{t: t}
		if err := mergeRows(context.Background(), sources, filter, &m, check.emit); err != nil {
			t.Fatal(err)
		}
		if err := check.diff(want); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

func (m rowsModel) filter(f *rowFilter) {
	for id, times := range m {
		for at := range times {
			drop := at < f.min
			for _, d := range f.deletes {
				drop = drop || d.min <= at && at <= d.max && (d.series == nil || d.series.Contains(uint32(id)))
			}
			if drop {
				delete(times, at)
			}
		}
		if len(times) == 0 {
			delete(m, id)
		}
	}
}

// TestMergeBlocks: blocks are filled, and end between series where they can.
func TestMergeBlocks(t *testing.T) {
	part := func(start int64, lens ...int) *blockList {
		l := new(blockList)
		for id, n := range lens {
			rows := &block.Rows{Series: []point.SeriesID{point.SeriesID(id + 1)}, Ends: []uint32{uint32(n)}}
			c := &point.Column{Field: 1, Type: typeOfField(1)}
			for i := range n {
				rows.Times = append(rows.Times, start+int64(i))
				c.Nums = append(c.Nums, 1)
			}
			if rows.Columns = []*point.Column{c}; n > 0 {
				l.blocks = append(l.blocks, rows)
			}
		}
		return l
	}
	for _, c := range []struct {
		sources []rowSource
		want    string
	}{
		{nil, "[]"},
		{[]rowSource{part(0)}, "[]"},
		{[]rowSource{part(0, 50, 50, 50), part(50, 50, 50, 50)}, "[300]"},
		{[]rowSource{part(0, 4000, 4000, 4000), part(4000, 4000, 4000, 4000)}, "[8000 8000 8000]"},
		{[]rowSource{part(0, 4000, 4000, 4000), part(0, 4000, 4000, 4000)}, "[8000 4000]"},
		{[]rowSource{part(0, 3000, 3000), part(2000, 0, 3000)}, "[8000]"},
		{[]rowSource{part(0, 8000), part(8000, 8000), part(16000, 8000)}, "[8192 8192 7616]"},
	} {
		check := rowsChecker{t: t}
		if err := mergeRows(context.Background(), c.sources, nil, new(merger), check.emit); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(check.blocks); got != c.want {
			t.Errorf("blocks of %s rows, want %s", got, c.want)
		}
	}
}

// TestMergeStrings cuts blocks by the bytes of their strings.
func TestMergeStrings(t *testing.T) {
	var sources []rowSource
	for k := range 2 {
		table := &point.Table{Columns: []*point.Column{{Field: 3, Type: typeOfField(3)}}}
		for i := range 30 {
			table.AppendRow(1, int64(i*2+k*30/2*3), 0)
			table.Columns[0].AppendString(i, make([]byte, block.StringBytesMax/14))
		}
		sources = append(sources, &blockList{blocks: sortedBlocks(t, rand.New(rand.NewPCG(1, 1)), segmentsOf(table))})
	}
	check := rowsChecker{t: t}
	if err := mergeRows(context.Background(), sources, nil, new(merger), check.emit); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, n := range check.blocks {
		rows += n
	}
	if rows != 60 || len(check.blocks) > 9 {
		t.Errorf("blocks of %v rows", check.blocks)
	}
}

func TestMergeStops(t *testing.T) {
	r := newRand(t)
	blocks := sortedBlocks(t, r, segmentsOf(randomTable(r, 20000, someIDs(r, 3000), 1<<30, 2)))
	stop := errors.New("enough")
	err := mergeRows(context.Background(), []rowSource{&blockList{blocks: blocks}}, nil, new(merger), func(*block.Rows) error { return stop })
	if err != stop {
		t.Errorf("stopped: %v", err)
	}
	err = mergeRows(context.Background(), []rowSource{&blockList{blocks: blocks[:1], err: stop}}, nil, new(merger), func(*block.Rows) error { return nil })
	if err != stop {
		t.Errorf("source with an error: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = mergeRows(ctx, []rowSource{&blockList{blocks: blocks}}, nil, new(merger), func(*block.Rows) error { cancel(); return nil })
	if err != context.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// cursorList is blockList without copies.
type cursorList struct{ blocks []*block.Rows }

func (l *cursorList) next() (*block.Rows, error) {
	if len(l.blocks) == 0 {
		return nil, nil
	}
	b := l.blocks[0]
	l.blocks = l.blocks[1:]
	return b, nil
}

// BenchmarkMergeAgain merges points that have been written twice.
func BenchmarkMergeAgain(b *testing.B) {
	const rows = 200_000
	var part []*block.Rows
	err := sortSegments(context.Background(), benchSegments(100, rows), math.MinInt64, math.MaxInt64, new(sorter), func(rows *block.Rows) error {
		part = append(part, copyRows(rows, 0, rows.Len()))
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	var m merger
	cpu := cpuTime(b)
	for b.Loop() {
		if err := mergeRows(context.Background(), []rowSource{&cursorList{part}, &cursorList{part}}, nil, &m, func(*block.Rows) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, cpu, rows*10)
}

func BenchmarkMerge(b *testing.B) {
	const rows = 500_000
	for _, series := range []int{100, 4000} {
		for _, sources := range []int{2, 10} {
			b.Run(fmt.Sprintf("series=%d/sources=%d/rows=%d/fields=10", series, sources, rows), func(b *testing.B) {
				segs := benchSegments(series, rows)
				parts := make([][]*block.Rows, sources)
				n := (len(segs) + sources - 1) / sources
				for i := range parts {
					err := sortSegments(context.Background(), segs[i*n:min((i+1)*n, len(segs))], math.MinInt64, math.MaxInt64, new(sorter), func(rows *block.Rows) error {
						parts[i] = append(parts[i], copyRows(rows, 0, rows.Len()))
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				var m merger
				b.ReportAllocs()
				cpu := cpuTime(b)
				for b.Loop() {
					var list []rowSource
					for _, p := range parts {
						list = append(list, &cursorList{p})
					}
					if err := mergeRows(context.Background(), list, nil, &m, func(*block.Rows) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
				reportCPU(b, cpu, rows*10)
			})
		}
	}
}
