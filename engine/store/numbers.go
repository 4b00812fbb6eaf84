package store

import (
	"math/bits"
	"unsafe"
)

// numbers are integers as the memtable keeps them: each in as few whole bytes as
// the one that is furthest from the least takes. Number i is base + scale*u[i],
// modulo 2^64. Immutable.
type numbers struct {
	base, scale uint64
	width       uint8  // of each in u, in bytes: 0, 1, 2, 4 or 8
	u           []byte // little- or big-endian as the machine is; aligned to width
}

// unsigned are the types that numbers lie in memory as.
type unsigned interface {
	uint8 | uint16 | uint32 | uint64
}

// lanes is b as numbers of one width.
func lanes[T unsigned](b []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(t)))
}

// bytesOf is the memory of v.
func bytesOf[T ~uint32 | ~uint64 | ~int64](v []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(t)))
}

// asNumbers is v itself as numbers. It shares v's memory.
func asNumbers[T ~uint32 | ~uint64 | ~int64](v []T) numbers {
	var t T
	return numbers{scale: 1, width: uint8(unsafe.Sizeof(t)), u: bytesOf(v)}
}

// widthOf is the width of numbers up to span above the least.
func widthOf(span uint64) uint8 {
	switch n := bits.Len64(span); {
	case n == 0:
		return 0
	case n <= 8:
		return 1
	case n <= 16:
		return 2
	case n <= 32:
		return 4
	}
	return 8
}

// setNumbers fills n.u, which has room, with v, whose distances from base are
// multiples of scale and fit.
func setNumbers[T ~uint32 | ~uint64 | ~int64](n *numbers, v []T) {
	switch n.width {
	case 1:
		setLanes[uint8](n, v)
	case 2:
		setLanes[uint16](n, v)
	case 4:
		setLanes[uint32](n, v)
	case 8:
		setLanes[uint64](n, v)
	}
}

func setLanes[L unsigned, T ~uint32 | ~uint64 | ~int64](n *numbers, v []T) {
	out := lanes[L](n.u)[:len(v)]
	base := n.base
	if n.scale == 1 {
		for i, x := range v {
			out[i] = L(uint64(x) - base)
		}
		return
	}
	var last uint64 // neighbours are often equal, and division is slow
	var u L
	for i, x := range v {
		if d := uint64(x) - base; d != last {
			last, u = d, L(d/n.scale)
		}
		out[i] = u
	}
}

// at is number i.
func (n *numbers) at(i int) uint64 {
	switch n.width {
	case 1:
		return n.base + n.scale*uint64(n.u[i])
	case 2:
		return n.base + n.scale*uint64(lanes[uint16](n.u)[i])
	case 4:
		return n.base + n.scale*uint64(lanes[uint32](n.u)[i])
	case 8:
		return n.base + n.scale*lanes[uint64](n.u)[i]
	}
	return n.base
}

// fillNumbers sets dst to the numbers from 0 on.
func fillNumbers[T ~uint32 | ~uint64 | ~int64](dst []T, n *numbers) {
	switch n.width {
	case 0:
		for i := range dst {
			dst[i] = T(n.base)
		}
	case 1:
		fillLanes(dst, lanes[uint8](n.u), n)
	case 2:
		fillLanes(dst, lanes[uint16](n.u), n)
	case 4:
		fillLanes(dst, lanes[uint32](n.u), n)
	default:
		fillLanes(dst, lanes[uint64](n.u), n)
	}
}

func fillLanes[T ~uint32 | ~uint64 | ~int64, L unsigned](dst []T, u []L, n *numbers) {
	u = u[:len(dst)]
	base, scale := n.base, n.scale
	if scale == 1 {
		for i, x := range u {
			dst[i] = T(base + uint64(x))
		}
		return
	}
	for i, x := range u {
		dst[i] = T(base + scale*uint64(x))
	}
}

// gather sets out[cell.out] to number cell.row for each cell.
func (n *numbers) gather(out []uint64, cells []rowCell) {
	switch n.width {
	case 0:
		for _, cell := range cells {
			out[cell.out] = n.base
		}
	case 1:
		gatherLanes(out, cells, n.u, n)
	case 2:
		gatherLanes(out, cells, lanes[uint16](n.u), n)
	case 4:
		gatherLanes(out, cells, lanes[uint32](n.u), n)
	default:
		gatherLanes(out, cells, lanes[uint64](n.u), n)
	}
}

func gatherLanes[L unsigned](out []uint64, cells []rowCell, u []L, n *numbers) {
	base, scale := n.base, n.scale
	if scale == 1 {
		for _, cell := range cells {
			out[cell.out] = base + uint64(u[cell.row])
		}
		return
	}
	for _, cell := range cells {
		out[cell.out] = base + scale*uint64(u[cell.row])
	}
}
