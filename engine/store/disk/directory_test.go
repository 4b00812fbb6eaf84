package disk

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"headgate/engine/point"
)

// bigPart makes a directory of many blocks without writing them.
func bigPart(blocks int) *Part {
	p := &Part{ID: 1, WindowMax: math.MaxInt32, SeqMax: 9, blocksEver: uint32(blocks)}
	p.Measurements = []Measurement{{ID: 1, Fields: []point.FieldID{1, 2, 3}}}
	m := &p.Measurements[0]
	m.Series = newBitmap(uint64(blocks))
	for i := range blocks {
		m.Blocks = append(m.Blocks, BlockMeta{
			Number: uint32(i), SeriesMin: point.SeriesID(i), SeriesMax: point.SeriesID(i), TimeMin: 1000, TimeMax: 1_000_000, Rows: 8192, Values: 81920, Bytes: 60_000,
		})
	}
	p.sum()
	return p
}

func TestDirectoryRoundTrip(t *testing.T) {
	key := numberKey(kindDirectory, 1, 1)
	for _, p := range []*Part{
		bigPart(1000),
		{ID: 1, WindowMin: math.MinInt64, WindowMax: math.MaxInt64, SeqMin: 3, SeqMax: math.MaxUint64, Level: 255, blocksEver: math.MaxUint32, Measurements: []Measurement{
			{ID: 0, Fields: []point.FieldID{}, Series: newBitmap(1), Blocks: []BlockMeta{{Number: 3, TimeMin: math.MinInt64, TimeMax: math.MaxInt64, Rows: math.MaxUint32, Values: math.MaxUint32, Bytes: math.MaxUint32}}},
			{ID: math.MaxUint32, Fields: []point.FieldID{0, math.MaxUint32}, Series: newBitmap(70000), Blocks: []BlockMeta{{Number: 9, SeriesMax: math.MaxUint32, Rows: 1}, {Number: 10, SeriesMin: math.MaxUint32, SeriesMax: math.MaxUint32, TimeMin: 4, TimeMax: 4, Rows: 1}}},
		}},
	} {
		p.sum()
		value, err := p.encodeDirectory(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeDirectory(key, value)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Measurements {
			m, g := &p.Measurements[i], &got.Measurements[i]
			if g.ID != m.ID || !slices.Equal(g.Fields, m.Fields) || !slices.Equal(g.Blocks, m.Blocks) || !g.Series.Equals(m.Series) {
				t.Errorf("got %+v, want %+v", g, m)
			}
		}
		again, err := got.encodeDirectory(key)
		if err != nil || !bytes.Equal(again, value) {
			t.Errorf("encodes to something else, %v", err)
		}
		for i := range min(len(value), 300) {
			value[i] ^= 4
			if _, err := decodeDirectory(key, value); err == nil {
				t.Errorf("byte %d flipped and not noticed", i)
			}
			value[i] ^= 4
		}
	}
}

// Whatever a directory says, it is decoded or refused.
func FuzzDirectory(f *testing.F) {
	key := numberKey(kindDirectory, 1, 1)
	value, err := bigPart(3).encodeDirectory(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value[1 : len(value)-4])
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := decodeDirectory(key, seal(key, append(openSeal(len(payload)), payload...)))
		if err != nil {
			return
		}
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.encodeDirectory(key); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkLoadDirectory(b *testing.B) {
	key := numberKey(kindDirectory, 1, 1)
	value, err := bigPart(100_000).encodeDirectory(key)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ReportMetric(float64(len(value))/100_000, "bytes/block")
	for b.Loop() {
		if _, err := decodeDirectory(key, value); err != nil {
			b.Fatal(err)
		}
	}
}
