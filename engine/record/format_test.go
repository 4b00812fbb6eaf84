package record

import (
	"encoding/hex"
	"math"
	"testing"

	"headgate/engine/point"
)

// TestFormat holds the bytes of version 1 still: logs are full of them. If it
// fails, either undo what you did or raise Version and go on reading 1.
func TestFormat(t *testing.T) {
	float := math.Float64bits
	b := &point.Batch{Tables: []*point.Table{{
		ID: 1, Series: []point.SeriesRef{1, 2, 1}, Times: []int64{1e18, 1e18, 1e18 + 10e9},
		Columns: []*point.Column{
			{Field: 1, Type: point.Integer, Nums: []uint64{5, 1<<64 - 5, 300}},
			{Field: 2, Type: point.Float, Nums: []uint64{float(0.5), float(1.25)}},
			{Field: 3, Type: point.Boolean, Rows: []uint32{0, 2}, Nums: []uint64{1, 0}},
			{Field: 4, Type: point.String, Rows: []uint32{1}, Ends: []uint32{2}, Bytes: []byte("hi")},
			{Field: 5, Type: point.Float, Nums: []uint64{float(math.Pi), float(math.E), float(-math.Pi)}},
		},
	}}}
	d := &Definitions{
		Measurements: []MeasurementDef{{1, "cpu"}},
		Fields:       []FieldDef{{1, 1, point.Integer, "i"}},
		Series:       []SeriesDef{{2, 1, []byte("cpu,h=a")}},
	}
	const want = "01019e943822010103637075010101020169010201076370752c683d6101010305010202638080a0f6f4acdbe01b000a010205090a0000003101021102020464004b03250205010001042401020000046869050140182d4454fb2109400b000000000000000000717a50dff19e0c000000000000000080"
	if got := hex.EncodeToString(Encode(nil, b, d)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
