package store

import (
	"fmt"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/store/block"
)

// TestDeleteMovesNeighbours: what shares a block with deleted points is written into
// another part, and the directory of the part that it was in no longer names it.
func TestDeleteMovesNeighbours(t *testing.T) {
	h := newHarness(t, newRand(t))
	h.stable = true
	defer h.close()
	const series, rows = 30, 1000 // several series a block, several blocks a part
	var points []testPoint
	for i := range series {
		for row := range rows {
			points = append(points, at("m", fmt.Sprintf("%02d", i), "i1", uint64(row), int64(1000+row)))
		}
	}
	h.options(Options{PartBytesMax: 1 << 30})
	h.write(points)
	h.flush()
	h.delete(point.TimeMin, point.TimeMax, func(m, key string) bool { return key == "m,host=12" })
	h.flush()
	parts, blocks := 0, 0
	for _, p := range h.b.version.Parts() {
		parts++
		for i := range p.Measurements {
			m := &p.Measurements[i]
			has := roaring.New()
			for _, meta := range m.Blocks {
				blocks++
				data, err := h.b.version.ReadBlock(p, meta.Number, nil)
				if err != nil {
					t.Fatal(err)
				}
				b, err := block.Parse(data)
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range b.Series() {
					has.Add(uint32(id))
				}
			}
			if !has.Equals(m.Series) {
				t.Errorf("part %d: the directory has %v, its blocks %v", p.ID, m.Series, has)
			}
		}
	}
	if parts != 2 || blocks < 3 {
		t.Errorf("%d parts with %d blocks show nothing", parts, blocks)
	}
}
