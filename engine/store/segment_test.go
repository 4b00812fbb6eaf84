package store

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"

	"headgate/engine/point"
)

// TestNumbers packs numbers of all widths and reads them back in every way.
func TestNumbers(t *testing.T) {
	r := newRand(t)
	for round := range 400 {
		v := make([]uint64, 1+r.IntN(300))
		base, shift, scale := r.Uint64(), r.IntN(65), []uint64{1, 1, 1000, 1e9}[r.IntN(4)]
		for i := range v {
			v[i] = base + r.Uint64()>>shift/scale*scale
		}
		lo, hi := point.Bounds(v)
		if want := slices.MinFunc(v, compareSigned); lo != int64(want) {
			t.Fatalf("round %d: least is %d, not %d", round, lo, int64(want))
		}
		if want := slices.MaxFunc(v, compareSigned); hi != int64(want) {
			t.Fatalf("round %d: greatest is %d, not %d", round, hi, int64(want))
		}
		if shift == 0 || hi-lo < 0 {
			scale = 1 // distances wrap
		}
		n := numbers{base: uint64(lo), scale: scale, width: widthOf((uint64(hi) - uint64(lo)) / scale)}
		if n.width == 8 && scale == 1 {
			n.base = 0
		}
		var a arena
		a.expect(len(v) * int(n.width))
		a.make()
		n.u = a.take(len(v) * int(n.width))
		setNumbers(&n, v)
		where := fmt.Sprintf("round %d: %d numbers of width %d, scale %d", round, len(v), n.width, n.scale)
		got := make([]uint64, len(v))
		if fillNumbers(got, &n); !slices.Equal(got, v) {
			t.Fatalf("%s: filled %v, want %v", where, got, v)
		}
		cells := make([]rowCell, len(v))
		for i, k := range r.Perm(len(v)) {
			if got := n.at(i); got != v[i] {
				t.Fatalf("%s: at %d is %d, want %d", where, i, got, v[i])
			}
			cells[i] = rowCell{row: uint32(i), out: uint32(k)}
		}
		n.gather(got, cells)
		for _, c := range cells {
			if got[c.out] != v[c.row] {
				t.Fatalf("%s: gathered %d, want %d", where, got[c.out], v[c.row])
			}
		}
	}
}

func compareSigned(x, y uint64) int {
	if x == y {
		return 0
	} else if int64(x) < int64(y) {
		return -1
	}
	return 1
}

// TestPackSeen: the series of packed tables are live, however far apart they are.
func TestPackSeen(t *testing.T) {
	for _, step := range []int{1, 63, 64, 3000} {
		table := &point.Table{ID: 1, Columns: []*point.Column{{Field: 1, Type: point.Integer}}}
		for i := range 2 * segmentRowsMin {
			table.Columns[0].AppendNum(table.AppendRow(point.SeriesRef(70+i%segmentRowsMin*step), int64(i), 0), math.MaxUint64)
		}
		p := Pack(&point.Batch{Tables: []*point.Table{table}})
		n := 0
		for _, w := range p.tables[0].seen {
			n += bits.OnesCount64(w)
		}
		if p.tables[0].seen != nil && n != segmentRowsMin || p.tables[0].seen == nil && step < 3000 {
			t.Errorf("step %d: %d series seen, want %d", step, n, segmentRowsMin)
		}
	}
	b := NewBucket(1, Options{})
	for _, last := range []int{400, 100_000} { // dense, then far apart
		var points []testPoint
		for i := range last {
			points = append(points, pt("cpu", fmt.Sprint(i), "f1", 1))
		}
		write(t, b, points[:100])
		write(t, b, points[len(points)-2*segmentRowsMin/3:])
		if last > 400 {
			write(t, b, points)
			write(t, b, append(points[:segmentRowsMin:segmentRowsMin], points[last-1]))
		}
	}
	if n := len(b.active.points[0].live); n != 100_000 {
		t.Errorf("%d series are live, want %d", n, 100_000)
	}
}
