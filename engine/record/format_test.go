package record

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

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

// TestFormatDelete is TestFormat for the kinds that take something away.
func TestFormatDelete(t *testing.T) {
	set := roaring.BitmapOf(1, 2, 3, 7, 70_000)
	set.AddRange(1_000_000, 1_000_100)
	for _, c := range []struct {
		name, want string
		got        []byte
	}{
		{"delete", "0102293ebf4d098080a0f6f4acdbe01b04010604000000651101cc300e040002000063", EncodeDelete(nil, Delete{Min: -5, Max: 1e18, Series: set})},
		{"empty delete", "010245bf9aabffffffffffffffffff01feffffffffffffffff0100", EncodeDelete(nil, Delete{Min: math.MinInt64, Max: math.MaxInt64})},
		{"free", "0103aad2b3a7030504000007002a0104010604000000651101cc300e040002000063", EncodeFree(nil, Free{Measurements: []point.MeasurementID{9, 2, 300, 2}, Series: set})},
		{"empty free", "01030c210c7f0000", EncodeFree(nil, Free{})},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}
