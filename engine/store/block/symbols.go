package block

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/huff0"
)

// How a run of symbols (bytes) is stored: one byte for one of these, then, for
// the last three, the length.
const (
	symbolsRaw      = iota // n bytes
	symbolsSame            // one byte, n times
	symbolsHuffman         // Huffman's code, one stream
	symbolsHuffman4        // Huffman's code, four streams, quicker
	symbolsFSE             // tANS, for what takes less than a bit each
)

// Least numbers of symbols: below, a table costs more than it saves, and four
// streams more than they are worth.
const (
	symbolsMin  = 32
	streamsFour = 512
)

// coder is the scratch of the entropy coders.
type coder struct {
	huff *huff0.Scratch
	fse  *fse.Scratch
}

// appendSymbols appends sym; shannon is its entropy in bits.
func (c *coder) appendSymbols(dst, sym []byte, shannon float64) []byte {
	if c.huff == nil {
		c.huff = &huff0.Scratch{Reuse: huff0.ReusePolicyNone}
		c.fse = &fse.Scratch{}
	}
	if len(sym) > 0 && shannon == 0 {
		return append(dst, symbolsSame, sym[0])
	}
	mode, best := byte(symbolsRaw), sym
	if len(sym) >= symbolsMin {
		var out []byte
		var err error
		m := byte(symbolsHuffman)
		if len(sym) >= streamsFour {
			m = symbolsHuffman4
			out, _, err = huff0.Compress4X(sym, c.huff)
		} else {
			out, _, err = huff0.Compress1X(sym, c.huff)
		}
		if err == nil && len(out) < len(best) {
			mode, best = m, out
		}
		// Slower to read, so it has to save something.
		if shannon/8*1.06+16 < float64(len(best)) {
			out, err = fse.Compress(sym, c.fse)
			if err == nil && len(out)+len(out)/16 < len(best) {
				mode, best = symbolsFSE, out
			}
		}
	}
	dst = append(dst, mode)
	if mode != symbolsRaw {
		dst = binary.AppendUvarint(dst, uint64(len(best)))
	}
	return append(dst, best...)
}

// symbols reads len(dst) symbols.
func (c *coder) symbols(r *reader, dst []byte) {
	mode := r.byte()
	switch mode {
	case symbolsRaw:
		copy(dst, r.bytes(len(dst)))
		return
	case symbolsSame:
		s := r.byte()
		for i := range dst {
			dst[i] = s
		}
		return
	case symbolsHuffman, symbolsHuffman4, symbolsFSE:
	default:
		r.fail("unknown coding of symbols")
		return
	}
	src := r.bytes(r.count(1, r.left(), "symbols are longer than the section"))
	if r.err != nil {
		return
	}
	if c.huff == nil {
		c.huff = &huff0.Scratch{}
		c.fse = &fse.Scratch{}
	}
	var out []byte
	var err error
	if mode == symbolsFSE {
		c.fse.DecompressLimit = len(dst)
		out, err = fse.Decompress(src, c.fse)
		copy(dst, out)
	} else {
		var rest []byte
		if c.huff, rest, err = huff0.ReadTable(src, c.huff); err == nil {
			if mode == symbolsHuffman4 {
				out, err = c.huff.Decoder().Decompress4X(dst[:0:len(dst)], rest)
			} else {
				out, err = c.huff.Decoder().Decompress1X(dst[:0:len(dst)], rest)
			}
		}
	}
	if err != nil || len(out) != len(dst) {
		r.fail("symbols do not decode")
	}
}

// Numbers of any size become symbols by buckets: 0 to 7 are symbols themselves,
// and a longer number's symbol tells its length and the two bits after its
// highest one; the bits below those follow in a stream of their own. So a
// distribution with long tails costs a table of at most 252 symbols.
const bucketsExact = 8

// bucketOf returns the symbol of u and how many bits of u follow.
func bucketOf(u uint64) (symbol byte, extra uint) {
	if u < bucketsExact {
		return byte(u), 0
	}
	extra = uint(bits.Len64(u)) - 3
	return byte(bucketsExact + (extra-1)<<2 + uint(u>>(extra&63))&3), extra
}

type bucket struct {
	low   uint64
	extra uint8
}

const bucketsMax = bucketsExact + 61*4

// buckets is the inverse of bucketOf: symbols from bucketsMax on do not occur.
var buckets = func() (t [256]bucket) {
	for s := range uint64(bucketsMax) {
		if s < bucketsExact {
			t[s] = bucket{low: s}
			continue
		}
		extra := (s-bucketsExact)>>2 + 1
		t[s] = bucket{(4 | (s-bucketsExact)&3) << extra, uint8(extra)}
	}
	return t
}()

// appendExtras appends the bits that the symbols of v leave out.
func appendExtras(dst []byte, v []uint64) []byte {
	var acc uint64
	free := uint(64)
	for _, u := range v {
		_, w := bucketOf(u)
		if w == 0 {
			continue
		}
		u &= 1<<w - 1
		acc |= u << (64 - free)
		if w < free {
			free -= w
			continue
		}
		dst = binary.LittleEndian.AppendUint64(dst, acc)
		acc = u >> free
		free += 64 - w
	}
	var last [8]byte
	binary.LittleEndian.PutUint64(last[:], acc)
	return append(dst, last[:(64-free+7)/8]...)
}

// extras puts symbols and the bits that they leave out together. It returns how
// many bytes of src it used, or -1 for a symbol that does not occur. Bits beyond
// src read as zeros.
func extras(dst []uint64, sym, src []byte) int {
	bit := uint(0)
	sym = sym[:len(dst)]
	for i, s := range sym {
		b := &buckets[s]
		if b.extra == 0 {
			dst[i] = b.low
			continue
		}
		o := int(bit >> 3)
		w := uint(b.extra)
		var x uint64
		if o+8 <= len(src) && w <= 57 {
			x = binary.LittleEndian.Uint64(src[o:]) >> (bit & 7)
		} else {
			x = loadBits(src, o, bit&7)
		}
		dst[i] = b.low | x&(1<<(w&63)-1)
		bit += w
	}
	for _, s := range sym {
		if s >= bucketsMax {
			return -1
		}
	}
	return int(bit+7) / 8
}

// histogram counts symbols.
type histogram [256]uint32

// entropy is what n symbols take at best, in bits, and how many different ones
// there are.
func (h *histogram) entropy(n int) (shannon float64, distinct int) {
	for _, c := range h {
		if c > 0 {
			distinct++
			shannon += float64(c) * math.Log2(float64(n)/float64(c))
		}
	}
	return shannon, distinct
}
