package block

import (
	"math/rand/v2"
	"testing"

	"headgate/engine/point"
)

// cpuRows is what a fleet of monitoring agents makes: ten percentages a row.
func cpuRows(rng *rand.Rand, series, each int) *Rows {
	r := grid(series, each)
	for f := range 10 {
		c := &point.Column{Field: point.FieldID(1 + f), Type: point.Integer}
		for range series {
			next := walkInt(rng)
			for i := range each {
				c.Nums = append(c.Nums, next(i))
			}
		}
		r.Columns = append(r.Columns, c)
	}
	return r
}

// TestBytesPerValue holds what whole blocks take per value, all included.
func TestBytesPerValue(t *testing.T) {
	rng := newRand(t)
	var e Encoder
	for _, c := range []struct {
		series, each int
		level        Level
		most         float64
	}{
		{1, RowsMax, Best, 0.30},
		{8, RowsMax / 8, Best, 0.30},
		{1, RowsMax, Fast, 0.30},
		{160, 50, Fast, 0.32},
		{160, 50, Best, 0.32},
		{RowsMax, 1, Fast, 0.95}, // no series to follow: 101 values are 0.83 bytes
	} {
		r := cpuRows(rng, c.series, c.each)
		data, err := e.Encode(nil, 1, r, c.level)
		if err != nil {
			t.Fatal(err)
		}
		got := float64(len(data)) / float64(10*r.Len())
		t.Logf("%d series of %d rows, level %d: %.4f bytes per value", c.series, c.each, c.level, got)
		if got > c.most {
			t.Errorf("%d series of %d rows, level %d: %.3f bytes per value, over %.3f", c.series, c.each, c.level, got, c.most)
		}
	}
}

// TestAllocs holds that reuse allocates next to nothing.
func TestAllocs(t *testing.T) {
	rng := newRand(t)
	r := cpuRows(rng, 8, 512)
	n := r.Len()
	r.Columns = append(r.Columns,
		column(20, point.Float, n, walkFloat(rng)),
		thin(column(21, point.Float, n, numberGenerators()[16].make(rng)), func(i int) bool { return i%3 > 0 }),
		textColumn(22, n, textGenerators()["few"](rng)),
		textColumn(23, n, textGenerators()["lines"](rng)))
	for _, level := range []Level{Fast, Best} {
		var e Encoder
		var dst []byte
		// huff0 and zstd keep what they allocate; some goes with the garbage.
		if got := testing.AllocsPerRun(20, func() { dst, _ = e.Encode(dst[:0], 1, r, level) }); got > 10 {
			t.Errorf("level %d: encoding allocates %.0f times", level, got)
		}
		var b Block
		var d decoder // not from the pool, which may be emptied at any time
		var times []int64
		columns := make([]point.Column, len(r.Columns))
		if got := testing.AllocsPerRun(20, func() {
			if err := b.Reset(dst); err != nil {
				t.Fatal(err)
			}
			times, _ = b.readTimes(&d, times)
			for i := range columns {
				if err := b.readColumn(&d, i, &columns[i]); err != nil {
					t.Fatal(err)
				}
			}
		}); got > 10 {
			t.Errorf("level %d: decoding allocates %.0f times", level, got)
		}
	}
}
