package block

import (
	"encoding/binary"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// Integers, the one coding under times, values, lengths and indexes. They are
// 64-bit words whose sums and differences wrap, so that signed and unsigned
// values are the same. doc.go has the layout.
const (
	intsConstant = iota // one value
	intsPlain           // residuals of the values
	intsDelta           // per group the first value, then residuals of the differences
	intsLinear          // per group the first value, then residuals from a straight line
	intsRuns            // values and how often each is repeated
	intsDict            // distinct values and an index for each value
	intsCodes
)

// How residuals are stored: the low bits of their first byte.
const (
	resEqual    = iota // all are the base
	resPacked          // bit-packed
	resChunked         // bit-packed, each chunk with a width of its own
	resDirect          // entropy-coded symbols
	resBucketed        // entropy-coded buckets and the bits below
	resCodes
	resCode = 7

	resZigzag  = 1 << 3 // residuals are of either sign
	resScaled  = 1 << 4 // residuals are multiples of a scale, which follows
	resPatched = 1 << 5 // some packed ones have more bits, which follow
	resFlags   = resZigzag | resScaled | resPatched
)

const (
	// chunkLen is how many residuals share a width with resChunked.
	chunkLen = 128
	// depthMax is how deep integers nest: an index of a dictionary (1) may be
	// deltas whose firsts (2) are deltas with a first (3).
	depthMax = 3
)

// residuals describes how residuals relate to what they stand for:
// x = base + scale*residual.
type residuals struct {
	code   byte
	zigzag bool
	base   uint64
	scale  uint64
	width  uint
	// patched residuals have bits above width.
	patched bool
	// cost is an estimate of the size, in bits. Only when encoding.
	cost float64
	// shannon is the entropy of the symbols, packed what was best without them.
	// Only when encoding.
	shannon float64
	packed  packing
}

// packing is a way to store residuals without entropy coding.
type packing struct {
	code   byte
	zigzag bool
	base   uint64
	cost   float64
}

// setPacked makes p do without entropy coding.
func (p *residuals) setPacked() {
	p.code, p.zigzag, p.base, p.cost, p.shannon = p.packed.code, p.packed.zigzag, p.packed.base, p.packed.cost, 0
}

func (r *reader) residuals() residuals {
	b := r.byte()
	p := residuals{code: b & resCode, zigzag: b&resZigzag != 0, patched: b&resPatched != 0, scale: 1}
	if b&^(resCode|resFlags) != 0 || p.code >= resCodes || p.patched && p.code != resPacked {
		r.fail("unknown coding of residuals")
	}
	p.base = r.varint()
	if b&resScaled != 0 {
		p.scale = r.uvarint()
	}
	if p.code == resPacked {
		p.width = uint(r.byte())
		if p.width > 64 {
			r.fail("width is over 64 bits")
		}
	}
	return p
}

// decoder is scratch for decoding. It is not for concurrent use.
type decoder struct {
	coder
	sym     []byte
	scratch [depthMax + 1]struct{ a, b, firsts []uint64 }
	rows    []uint64
	lens    []uint64
	text    []byte
	starts  []uint32
	zstd    *zstd.Decoder
	// trace, if set, is told the coding of each piece.
	trace func(string)
}

// ints reads len(dst) integers in groups that end at ends, which ascend strictly;
// nil is one group.
func (d *decoder) ints(r *reader, dst []uint64, ends []uint32, depth int) {
	if len(dst) == 0 || r.err != nil {
		return
	}
	if depth > depthMax {
		r.fail("integers nest too deep")
		return
	}
	code := r.byte()
	if code < intsCodes {
		d.note(intsNames[code])
	}
	switch code {
	case intsConstant:
		fill(dst, r.varint())
	case intsPlain:
		p := r.residuals()
		if d.raw(r, &p, dst, depth); r.err == nil && p.code != resEqual {
			p.restore(dst)
		}
	case intsDelta:
		d.deltas(r, dst, ends, 0, false, depth)
	case intsLinear:
		d.deltas(r, dst, ends, r.varint(), true, depth)
	case intsRuns:
		d.runs(r, dst, depth)
	case intsDict:
		d.dict(r, dst, ends, depth)
	default:
		r.fail("unknown coding of integers")
	}
}

func fill(dst []uint64, v uint64) {
	for i := range dst {
		dst[i] = v
	}
}

// raw reads residuals as they are stored, without base and scale.
func (d *decoder) raw(r *reader, p *residuals, dst []uint64, depth int) {
	if r.err != nil {
		return
	}
	d.noteResiduals(p)
	switch p.code {
	case resEqual:
		fill(dst, p.base)
	case resPacked:
		if src := r.packed(len(dst), p.width); r.err == nil {
			unpack(dst, src, p.width)
			if p.patched {
				d.patch(r, p, dst, depth)
			}
		}
	case resChunked:
		widths := r.bytes((len(dst) + chunkLen - 1) / chunkLen)
		for _, w := range widths {
			n := min(chunkLen, len(dst))
			if w > 64 {
				r.fail("width is over 64 bits")
				return
			}
			src := r.packed(n, uint(w))
			if r.err != nil {
				return
			}
			unpack(dst[:n], src, uint(w))
			dst = dst[n:]
		}
	case resDirect, resBucketed:
		d.sym = resize(d.sym, len(dst))
		if r.left() > 0 && int(r.data[r.at]) < len(symbolNames) {
			d.note(symbolNames[r.data[r.at]])
		}
		if d.symbols(r, d.sym); r.err != nil {
			return
		}
		if p.code == resDirect {
			for i, s := range d.sym[:len(dst)] {
				dst[i] = uint64(s)
			}
			return
		}
		src := r.bytes(r.count(0, r.left(), "more bits than the section has"))
		if r.err == nil && extras(dst, d.sym, src) != len(src) {
			r.fail("bits do not match the symbols")
		}
	}
}

// patch adds the high bits of those residuals that have more than fit.
func (d *decoder) patch(r *reader, p *residuals, dst []uint64, depth int) {
	n := r.count(1, len(dst), "more patches than values")
	if r.err != nil || depth == depthMax {
		r.fail("integers nest too deep")
		return
	}
	s := &d.scratch[depth]
	s.a, s.b = resize(s.a, n), resize(s.b, n)
	at, high := s.a, s.b
	d.ints(r, at, nil, depth+1)
	d.ints(r, high, nil, depth+1)
	if r.err != nil {
		return
	}
	for i, k := range at {
		if k >= uint64(len(dst)) {
			r.fail("patch is beyond the values")
			return
		}
		dst[k] |= high[i] << (p.width & 63)
	}
}

// restore turns residuals into what they stand for.
func (p *residuals) restore(dst []uint64) {
	base, scale := p.base, p.scale
	switch {
	case p.zigzag:
		for i, u := range dst {
			dst[i] = base + scale*unzigzag(u)
		}
	case scale == 1:
		if base != 0 {
			for i, u := range dst {
				dst[i] = base + u
			}
		}
	default:
		for i, u := range dst {
			dst[i] = base + scale*u
		}
	}
}

// deltas reads intsDelta and intsLinear: group by group a first value and
// residuals, of the differences or from the line of the given slope.
func (d *decoder) deltas(r *reader, dst []uint64, ends []uint32, slope uint64, linear bool, depth int) {
	var one [1]uint32
	if ends == nil {
		one[0] = uint32(len(dst))
		ends = one[:]
	}
	s := &d.scratch[depth]
	s.firsts = resize(s.firsts, len(ends))
	d.ints(r, s.firsts, nil, depth+1)
	p := r.residuals()
	if len(ends) > len(dst) {
		r.fail("more groups than values")
	}
	if r.err != nil {
		return
	}
	rest := dst[len(ends):]
	if p.code == resEqual {
		d.noteResiduals(&p)
	} else if d.raw(r, &p, rest, depth); r.err != nil {
		return
	}
	start := 0
	for g, e := range ends {
		// The residuals are at the end of dst: those of a group never begin before
		// the group, so that each is read before it is overwritten.
		n := int(e) - start
		dst[start] = s.firsts[g]
		out := dst[start+1 : e]
		p.cumulate(out, rest[:n-1], dst[start], slope, linear)
		rest = rest[n-1:]
		start = int(e)
	}
}

// cumulate sums up residuals of differences from acc on, or adds residuals to a
// line.
func (p *residuals) cumulate(out, res []uint64, acc, slope uint64, linear bool) {
	base, scale := p.base, p.scale
	res = res[:len(out)]
	switch {
	case linear && p.code == resEqual:
		for i := range out {
			acc += slope
			out[i] = acc + base
		}
	case linear && p.zigzag:
		for i, u := range res {
			acc += slope
			out[i] = acc + base + scale*unzigzag(u)
		}
	case linear:
		for i, u := range res {
			acc += slope
			out[i] = acc + base + scale*u
		}
	case p.code == resEqual:
		for i := range out {
			acc += base
			out[i] = acc
		}
	case p.zigzag && scale == 1:
		for i, u := range res {
			acc += base + unzigzag(u)
			out[i] = acc
		}
	case p.zigzag:
		for i, u := range res {
			acc += base + scale*unzigzag(u)
			out[i] = acc
		}
	default:
		for i, u := range res {
			acc += base + scale*u
			out[i] = acc
		}
	}
}

func (d *decoder) runs(r *reader, dst []uint64, depth int) {
	n := r.count(1, len(dst), "more runs than values")
	if r.err != nil || depth == depthMax {
		r.fail("integers nest too deep")
		return
	}
	s := &d.scratch[depth]
	s.a, s.b = resize(s.a, n), resize(s.b, n)
	values, lens := s.a, s.b
	d.ints(r, values, nil, depth+1)
	d.ints(r, lens, nil, depth+1)
	if r.err != nil {
		return
	}
	for i, l := range lens {
		if l > uint64(len(dst)) {
			r.fail("runs are longer than the values")
			return
		}
		fill(dst[:l], values[i])
		dst = dst[l:]
	}
	if len(dst) > 0 {
		r.fail("runs are shorter than the values")
	}
}

func (d *decoder) dict(r *reader, dst []uint64, ends []uint32, depth int) {
	n := r.count(1, len(dst), "more distinct values than values")
	if r.err != nil || depth == depthMax {
		r.fail("integers nest too deep")
		return
	}
	s := &d.scratch[depth]
	s.a = resize(s.a, n)
	values := s.a
	d.ints(r, values, nil, depth+1)
	d.ints(r, dst, ends, depth+1)
	if r.err != nil {
		return
	}
	for i, k := range dst {
		if k >= uint64(n) {
			r.fail("index is beyond the dictionary")
			return
		}
		dst[i] = values[k]
	}
}

// appendTo appends the header of the residuals.
func (p *residuals) appendTo(dst []byte) []byte {
	b := p.code
	if p.zigzag {
		b |= resZigzag
	}
	if p.scale != 1 {
		b |= resScaled
	}
	if p.patched {
		b |= resPatched
	}
	dst = appendVarint(append(dst, b), p.base)
	if p.scale != 1 {
		dst = binary.AppendUvarint(dst, p.scale)
	}
	if p.code == resPacked {
		dst = append(dst, byte(p.width))
	}
	return dst
}

// exact divides multiples of a number without dividing.
type exact struct {
	inverse, most uint64
	shift         uint
}

func newExact(by uint64) exact {
	shift := uint(bits.TrailingZeros64(by))
	odd := by >> shift
	inv := odd // right to 3 bits; each round doubles them
	for range 5 {
		inv *= 2 - odd*inv
	}
	return exact{inv, ^uint64(0) / by, shift}
}

// divide returns v/by and true if v is a multiple, as an unsigned number.
func (x *exact) divide(v uint64) (uint64, bool) {
	q := bits.RotateLeft64(v*x.inverse, -int(x.shift))
	return q, q <= x.most
}

// signed returns v/by for a multiple of either sign.
func (x *exact) signed(v uint64) uint64 { return uint64(int64(v)>>(x.shift&63)) * x.inverse }

// commonDivisor is the greatest one of the distances between values, which are
// below 1<<63; 1 if all are equal.
func commonDivisor(v []uint64) uint64 {
	first, g := v[0], uint64(0)
	var x exact
	for _, u := range v[1:] {
		d := u - first
		if int64(d) < 0 {
			d = -d
		}
		if d == 0 {
			continue
		}
		if g != 0 {
			if _, ok := x.divide(d); ok {
				continue
			}
		}
		for d != 0 { // Euclid's
			g, d = d, g%d
		}
		if g == 1 {
			return 1
		}
		x = newExact(g)
	}
	return max(g, 1)
}
