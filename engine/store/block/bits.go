package block

import "encoding/binary"

// Packed integers are w bits each, lowest bit first, without gaps, padded with
// zero bits to a whole byte. Eight values take exactly w bytes, so that all
// groups of eight look alike: the loops below are unrolled over such a group and
// differ in how many values one unaligned 64-bit load covers.

// packedLen is how many bytes n values of w bits take.
func packedLen(n int, w uint) int { return (n*int(w) + 7) / 8 }

// pack appends the low w bits of each value.
func pack(dst []byte, v []uint64, w uint) []byte {
	if w == 0 {
		return dst
	}
	at := len(dst)
	n := packedLen(len(v), w)
	dst = growBytes(dst, n+8)
	out := dst[at:]
	mask := ^uint64(0) >> (64 - w)
	var acc uint64
	free := uint(64)
	p := 0
	if w <= 8 {
		for ; len(v) >= 8; v = v[8:] {
			c := v[:8:8]
			x := c[0]&mask | c[1]&mask<<(w&63) | c[2]&mask<<(2*w&63) | c[3]&mask<<(3*w&63)
			y := c[4]&mask | c[5]&mask<<(w&63) | c[6]&mask<<(2*w&63) | c[7]&mask<<(3*w&63)
			binary.LittleEndian.PutUint64(out[p:], x|y<<(4*w&63))
			p += int(w)
		}
	}
	for _, x := range v {
		x &= mask
		acc |= x << (64 - free)
		if w < free {
			free -= w
			continue
		}
		binary.LittleEndian.PutUint64(out[p:], acc)
		p += 8
		acc = x >> free
		free += 64 - w
	}
	if free < 64 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], acc)
		copy(out[p:n], last[:])
	}
	return dst[:at+n]
}

// unpack reads len(dst) values of w bits, 0 to 64, from src, which is at least
// packedLen long. Bytes after those may be read and do not matter.
func unpack(dst []uint64, src []byte, w uint) {
	if w == 0 {
		clear(dst)
		return
	}
	mask := ^uint64(0) >> (64 - w)
	i, p, step := 0, 0, int(w)
	last := len(src) - step - 8 // where a group may begin
	switch {
	case w <= 8:
		last = len(src) - 8
		for ; i+8 <= len(dst) && p <= last; i, p = i+8, p+step {
			x := binary.LittleEndian.Uint64(src[p:])
			d := dst[i : i+8 : i+8]
			d[0] = x & mask
			x >>= w & 63
			d[1] = x & mask
			x >>= w & 63
			d[2] = x & mask
			x >>= w & 63
			d[3] = x & mask
			x >>= w & 63
			d[4] = x & mask
			x >>= w & 63
			d[5] = x & mask
			x >>= w & 63
			d[6] = x & mask
			x >>= w & 63
			d[7] = x & mask
		}
	case w <= 15:
		half, shift := int(w/2), w*4&7
		for ; i+8 <= len(dst) && p <= last; i, p = i+8, p+step {
			x := binary.LittleEndian.Uint64(src[p:])
			y := binary.LittleEndian.Uint64(src[p+half:]) >> (shift & 63)
			d := dst[i : i+8 : i+8]
			d[0], d[4] = x&mask, y&mask
			x, y = x>>(w&63), y>>(w&63)
			d[1], d[5] = x&mask, y&mask
			x, y = x>>(w&63), y>>(w&63)
			d[2], d[6] = x&mask, y&mask
			x, y = x>>(w&63), y>>(w&63)
			d[3], d[7] = x&mask, y&mask
		}
	case w <= 28:
		o1, o2, o3 := int(w*2/8), int(w*4/8), int(w*6/8)
		s1, s2, s3 := w*2&7, w*4&7, w*6&7
		for ; i+8 <= len(dst) && p <= last; i, p = i+8, p+step {
			a := binary.LittleEndian.Uint64(src[p:])
			b := binary.LittleEndian.Uint64(src[p+o1:]) >> (s1 & 63)
			c := binary.LittleEndian.Uint64(src[p+o2:]) >> (s2 & 63)
			e := binary.LittleEndian.Uint64(src[p+o3:]) >> (s3 & 63)
			d := dst[i : i+8 : i+8]
			d[0], d[1] = a&mask, a>>(w&63)&mask
			d[2], d[3] = b&mask, b>>(w&63)&mask
			d[4], d[5] = c&mask, c>>(w&63)&mask
			d[6], d[7] = e&mask, e>>(w&63)&mask
		}
	case w <= 57:
		var o, sh [8]uint // in bytes and bits, where in a group values begin
		for k := range o {
			o[k], sh[k] = uint(k)*w>>3, uint(k)*w&7
		}
		for ; i+8 <= len(dst) && p <= last; i, p = i+8, p+step {
			g, d := src[p:p+step+8], dst[i:i+8:i+8]
			d[0] = binary.LittleEndian.Uint64(g) & mask
			d[1] = binary.LittleEndian.Uint64(g[o[1]:]) >> (sh[1] & 63) & mask
			d[2] = binary.LittleEndian.Uint64(g[o[2]:]) >> (sh[2] & 63) & mask
			d[3] = binary.LittleEndian.Uint64(g[o[3]:]) >> (sh[3] & 63) & mask
			d[4] = binary.LittleEndian.Uint64(g[o[4]:]) >> (sh[4] & 63) & mask
			d[5] = binary.LittleEndian.Uint64(g[o[5]:]) >> (sh[5] & 63) & mask
			d[6] = binary.LittleEndian.Uint64(g[o[6]:]) >> (sh[6] & 63) & mask
			d[7] = binary.LittleEndian.Uint64(g[o[7]:]) >> (sh[7] & 63) & mask
		}
	case w == 64:
		for ; i < len(dst) && p+8 <= len(src); i, p = i+1, p+8 {
			dst[i] = binary.LittleEndian.Uint64(src[p:])
		}
	default:
		last--
		for ; i+8 <= len(dst) && p <= last; i, p = i+8, p+step {
			d := dst[i : i+8 : i+8]
			bit := uint(0)
			for k := range d {
				o := p + int(bit>>3)
				d[k] = (binary.LittleEndian.Uint64(src[o:])>>(bit&7) | uint64(src[o+8])<<(64-bit&7)) & mask
				bit += w
			}
		}
	}
	if i < len(dst) {
		unpackTail(dst[i:], src[p:packedLen(len(dst), w)], w)
	}
}

// unpackTail reads what is too close to the end of the source for whole loads,
// at most some 80 values.
func unpackTail(dst []uint64, src []byte, w uint) {
	mask := ^uint64(0) >> (64 - w)
	bit := uint(0)
	for i := range dst {
		o := int(bit >> 3)
		dst[i] = loadBits(src, o, bit&7) & mask
		bit += w
	}
}

// loadBits reads 64 bits from bit shift of src[o:] on, 0 beyond its end.
func loadBits(src []byte, o int, shift uint) uint64 {
	if o+9 <= len(src) {
		return binary.LittleEndian.Uint64(src[o:])>>shift | uint64(src[o+8])<<(64-shift)
	}
	var b [9]byte
	copy(b[:], src[min(o, len(src)):])
	return binary.LittleEndian.Uint64(b[:])>>shift | uint64(b[8])<<(64-shift)
}

// growBytes extends b by n bytes of any content.
func growBytes(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		b = append(b, make([]byte, n)...)
		return b
	}
	return b[:len(b)+n]
}

// resize returns v with length n and any content, reusing its memory.
func resize[T any](v []T, n int) []T {
	if cap(v) < n {
		return make([]T, n, n+n/4)
	}
	return v[:n]
}
