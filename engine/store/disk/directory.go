package disk

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// A directory is a part without its blocks. All numbers are varints, those that
// can be negative zigzag; + is a difference from the one before it (from 0 or from
// windowMin for the first).
//
//	level windowMin windowMax-windowMin seqMin seqMax-seqMin blocksEver measurements
//	per measurement:  id+ fields field+ ... bitmapBytes bitmap blocks
//	per block:        number+ seriesMin+ seriesMax-seriesMin
//	                  timeMin-windowMin timeMax-timeMin rows values bytes
//
// The bitmap is roaring's portable format. blocksEver is how many blocks were
// ingested with the part; the numbers below it that are missing were trimmed.

var errFormat = errors.New("format is not what the version says")

// directoryBlockBytes is about what one of a part's blocks takes in a directory;
// only for estimates of size.
const directoryBlockBytes = 24

func (p *Part) encodeDirectory(key []byte) ([]byte, error) {
	blocks := 0
	for i := range p.Measurements {
		blocks += len(p.Measurements[i].Blocks)
	}
	v := openSeal(64 + blocks*directoryBlockBytes + 64*len(p.Measurements))
	v = append(v, p.Level)
	v = binary.AppendVarint(v, p.WindowMin)
	v = binary.AppendUvarint(v, uint64(p.WindowMax)-uint64(p.WindowMin))
	v = binary.AppendUvarint(v, p.SeqMin)
	v = binary.AppendUvarint(v, p.SeqMax-p.SeqMin)
	v = binary.AppendUvarint(v, uint64(p.blocksEver))
	v = binary.AppendUvarint(v, uint64(len(p.Measurements)))
	var id point.MeasurementID
	var number uint32
	for i := range p.Measurements {
		m := &p.Measurements[i]
		v = binary.AppendUvarint(v, uint64(m.ID-id))
		id = m.ID
		v = binary.AppendUvarint(v, uint64(len(m.Fields)))
		var field point.FieldID
		for _, f := range m.Fields {
			v = binary.AppendUvarint(v, uint64(f-field))
			field = f
		}
		bitmap, err := m.Series.ToBytes()
		if err != nil {
			return nil, err
		}
		v = binary.AppendUvarint(v, uint64(len(bitmap)))
		v = append(v, bitmap...)
		v = binary.AppendUvarint(v, uint64(len(m.Blocks)))
		var series point.SeriesID
		for j := range m.Blocks {
			b := &m.Blocks[j]
			v = binary.AppendUvarint(v, uint64(b.Number-number))
			number = b.Number
			v = binary.AppendVarint(v, int64(b.SeriesMin)-int64(series))
			series = b.SeriesMin
			v = binary.AppendUvarint(v, uint64(b.SeriesMax-b.SeriesMin))
			v = binary.AppendUvarint(v, uint64(b.TimeMin)-uint64(p.WindowMin))
			v = binary.AppendUvarint(v, uint64(b.TimeMax)-uint64(b.TimeMin))
			v = binary.AppendUvarint(v, uint64(b.Rows))
			v = binary.AppendUvarint(v, uint64(b.Values))
			v = binary.AppendUvarint(v, uint64(b.Bytes))
		}
	}
	return seal(key, v), nil
}

// decodeDirectory returns the part that value describes. The part keeps value.
func decodeDirectory(key, value []byte) (*Part, error) {
	payload, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 {
		return nil, errFormat
	}
	r := reader{b: payload[1:]}
	p := &Part{ID: keyNumber(key), Level: payload[0]}
	p.WindowMin = r.varint()
	p.WindowMax = int64(uint64(p.WindowMin) + r.uvarint())
	p.SeqMin = r.uvarint()
	p.SeqMax = p.SeqMin + r.uvarint()
	p.blocksEver = r.uint32()
	p.Measurements = make([]Measurement, r.count(4))
	var id point.MeasurementID
	var number uint32
	for i := range p.Measurements {
		m := &p.Measurements[i]
		id += point.MeasurementID(r.uint32())
		m.ID = id
		m.Fields = make([]point.FieldID, r.count(1))
		var field point.FieldID
		for j := range m.Fields {
			field += point.FieldID(r.uint32())
			m.Fields[j] = field
		}
		bitmap := r.bytes(r.count(1))
		if r.bad {
			return nil, errFormat
		}
		m.Series = roaring.New()
		if _, err := m.Series.FromBuffer(bitmap); err != nil {
			return nil, err
		}
		m.Blocks = make([]BlockMeta, r.count(8))
		var series point.SeriesID
		for j := range m.Blocks {
			b := &m.Blocks[j]
			number += r.uint32()
			b.Number = number
			b.SeriesMin = series + point.SeriesID(r.varint())
			series = b.SeriesMin
			b.SeriesMax = b.SeriesMin + point.SeriesID(r.uint32())
			b.TimeMin = int64(uint64(p.WindowMin) + r.uvarint())
			b.TimeMax = int64(uint64(b.TimeMin) + r.uvarint())
			b.Rows, b.Values, b.Bytes = r.uint32(), r.uint32(), r.uint32()
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errFormat
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.sum()
	return p, nil
}

// check says what is not as Part promises.
func (p *Part) check() error {
	switch {
	case p.ID == 0:
		return errors.New("part has no ID")
	case p.WindowMin > p.WindowMax:
		return errors.New("window ends before it begins")
	case p.SeqMin > p.SeqMax:
		return errors.New("sequence numbers end before they begin")
	case len(p.Measurements) == 0:
		return errors.New("part has no measurement")
	}
	next := uint32(0) // the lowest number that the next block may have
	for i := range p.Measurements {
		m := &p.Measurements[i]
		switch {
		case i > 0 && m.ID <= p.Measurements[i-1].ID:
			return errors.New("measurements do not ascend")
		case m.Series == nil || m.Series.IsEmpty():
			return errors.New("measurement has no series")
		case len(m.Blocks) == 0:
			return errors.New("measurement has no block")
		}
		for j := 1; j < len(m.Fields); j++ {
			if m.Fields[j] <= m.Fields[j-1] {
				return errors.New("fields do not ascend")
			}
		}
		for j := range m.Blocks {
			b := &m.Blocks[j]
			switch {
			case b.Number < next || b.Number >= p.blocksEver:
				return errors.New("block numbers do not ascend")
			case b.SeriesMin > b.SeriesMax:
				return errors.New("series of a block end before they begin")
			case j > 0 && b.SeriesMin < m.Blocks[j-1].SeriesMax:
				return errors.New("series of blocks do not ascend")
			case b.TimeMin > b.TimeMax || b.TimeMin < p.WindowMin || b.TimeMax > p.WindowMax:
				return errors.New("times of a block are not in the window")
			case b.Rows == 0:
				return errors.New("block has no row")
			}
			next = b.Number + 1
		}
	}
	return nil
}

// sum sets what is known of the blocks.
func (p *Part) sum() {
	p.TimeMin, p.TimeMax = math.MaxInt64, math.MinInt64
	p.Rows, p.Values, p.Bytes, p.blocks = 0, 0, 0, 0
	p.memory = partBytes
	for i := range p.Measurements {
		m := &p.Measurements[i]
		p.memory += measurementBytes + int64(len(m.Fields))*4 + int64(m.Series.GetSizeInBytes()) + int64(cap(m.Blocks))*blockMetaBytes
		p.blocks += len(m.Blocks)
		for j := range m.Blocks {
			b := &m.Blocks[j]
			p.TimeMin, p.TimeMax = min(p.TimeMin, b.TimeMin), max(p.TimeMax, b.TimeMax)
			p.Rows += int64(b.Rows)
			p.Values += int64(b.Values)
			p.Bytes += int64(b.Bytes)
		}
	}
}

// block returns what the directory says of a block, nil if it has none.
func (p *Part) block(number uint32) *BlockMeta {
	i, ok := slices.BinarySearchFunc(p.Measurements, number, func(m Measurement, n uint32) int {
		switch {
		case m.Blocks[len(m.Blocks)-1].Number < n:
			return -1
		case m.Blocks[0].Number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	blocks := p.Measurements[i].Blocks
	j, ok := slices.BinarySearchFunc(blocks, number, func(b BlockMeta, n uint32) int {
		return int(int64(b.Number) - int64(n))
	})
	if !ok {
		return nil
	}
	return &blocks[j]
}

// reader reads varints. After the end it returns zeros and is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	var n uint64
	for i, c := range r.b {
		if c < 0x80 {
			if i == binary.MaxVarintLen64-1 && c > 1 {
				break // over 64 bits
			}
			r.b = r.b[i+1:]
			return n | uint64(c)<<(7*i)
		}
		if i == binary.MaxVarintLen64-1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	r.b, r.bad = nil, true
	return 0
}

func (r *reader) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *reader) uint32() uint32 {
	n := r.uvarint()
	if n > math.MaxUint32 {
		r.bad = true
		return 0
	}
	return uint32(n)
}

// count reads how many of something follow, of which each takes bytesMin at least.
func (r *reader) count(bytesMin int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/bytesMin) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
