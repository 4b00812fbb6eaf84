package block

import (
	"fmt"
	"math"
	"strings"

	"headgate/engine/point"
)

var intsNames = [...]string{
	intsConstant: "constant", intsPlain: "plain", intsDelta: "delta", intsLinear: "linear", intsRuns: "runs", intsDict: "dictionary",
}

var residualNames = [...]string{
	resEqual: "equal", resPacked: "packed", resChunked: "chunked", resDirect: "symbols", resBucketed: "buckets",
}

var symbolNames = [...]string{
	symbolsRaw: "raw", symbolsSame: "same", symbolsHuffman: "huffman", symbolsHuffman4: "huffman4", symbolsFSE: "fse",
}

// SectionInfo describes a section of a block to a person.
type SectionInfo struct {
	// Name is "header", "series", "times", "presence 1" or "column 3 (field 7)".
	Name string
	// Type is the field type of a column, else 0.
	Type point.FieldType
	// Values is how many there are.
	Values int
	// Bytes is the size, with the checksum.
	Bytes int
	// Encoding lists the codings from the outside in: "delta constant packed:5".
	Encoding string
}

func (s SectionInfo) String() string {
	return fmt.Sprintf("%s: %d values in %d bytes, %s", s.Name, s.Values, s.Bytes, s.Encoding)
}

// note tells the tracer, if there is one, about a coding.
func (d *decoder) note(what string) {
	if d.trace != nil {
		d.trace(what)
	}
}

func (d *decoder) noteResiduals(p *residuals) {
	if d.trace == nil {
		return
	}
	s := residualNames[p.code]
	if p.code == resPacked {
		s += fmt.Sprintf(":%d", p.width)
	}
	if p.scale != 1 {
		s += fmt.Sprintf("*%d", p.scale)
	}
	if p.patched {
		s += "+patches"
	}
	d.trace(s)
}

func (d *decoder) noteDecimals(decimals, exceptions int) {
	if d.trace == nil {
		return
	}
	s := fmt.Sprintf("decimal:%d", decimals)
	if exceptions > 0 {
		s += fmt.Sprintf("+%d", exceptions)
	}
	d.trace(s)
}

// Describe says how each section of the block is stored. It decodes everything.
func (b *Block) Describe() ([]SectionInfo, error) {
	d := getDecoder()
	defer putDecoder(d)
	var words []string
	d.trace = func(s string) { words = append(words, s) }
	var all []SectionInfo
	add := func(name string, t point.FieldType, values int, s span) {
		all = append(all, SectionInfo{name, t, values, s.end - s.at, strings.Join(words, " ")})
		words = words[:0]
	}
	add("header", 0, 1, span{0, b.seriesAt.at})
	r := b.open(b.seriesAt)
	wide := make([]uint64, len(b.series))
	d.ints(&r, wide, nil, 0)
	d.ints(&r, wide, nil, 0)
	if err := r.finish("series"); err != nil {
		return all, err
	}
	add("series", 0, len(b.series), b.seriesAt)
	if _, err := b.readTimes(d, nil); err != nil {
		return all, err
	}
	add("times", 0, b.rows, b.times)
	for i := range b.presences {
		b.presenceOf = 0
		if err := b.readPresence(d, i+1); err != nil {
			return all, err
		}
		add(fmt.Sprintf("presence %d", i+1), 0, b.presences[i].values, b.presences[i].span)
	}
	var c point.Column
	for i := range b.columns {
		if b.places[i].presence > 0 {
			if err := b.readPresence(d, b.places[i].presence); err != nil {
				return all, err
			}
			words = words[:0]
		}
		if b.places[i].constant {
			words = append(words, "constant")
		}
		if err := b.readColumn(d, i, &c); err != nil {
			return all, err
		}
		add(b.columnName(i), b.columns[i].Type, b.columns[i].Values, b.places[i].span)
	}
	return all, nil
}

// Verify decodes everything and checks it: every checksum, the order and the range
// of the times, the statistics of the columns. The error is a [*CorruptError] that
// names the first section that is wrong.
func (b *Block) Verify() error {
	times, err := b.Times(nil)
	if err != nil {
		return err
	}
	wrong := func(section string, s span, reason string) error {
		return &CorruptError{Section: section, Offset: s.at, Reason: reason}
	}
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	start := uint32(0)
	for _, end := range b.ends {
		for k := start; k < end; k++ {
			if k > start && times[k] <= times[k-1] {
				return wrong("times", b.times, "times are out of order")
			}
			lo, hi = min(lo, times[k]), max(hi, times[k])
		}
		start = end
	}
	if lo != b.min || hi != b.max {
		return wrong("times", b.times, "times are not in the header's range")
	}
	// No column may have used a presence.
	for i := range b.presences {
		d := getDecoder()
		err := b.readPresence(d, i+1)
		putDecoder(d)
		if err != nil {
			return err
		}
	}
	var c point.Column
	for i := range b.columns {
		if err := b.Column(i, &c); err != nil {
			return err
		}
		if c.Type == point.String {
			continue
		}
		info := &b.columns[i]
		s := statsOf(c.Type, c.Nums)
		if s.constant != b.places[i].constant || s.sumValid != info.SumValid ||
			s.min != info.Min || s.max != info.Max || s.sum != info.Sum {
			return wrong(b.columnName(i), b.places[i].span, "statistics do not match the values")
		}
	}
	return nil
}
