package block

import "encoding/binary"

// reader reads one section of a block from front to back. After the first error
// it returns zeros, so that callers check err where it matters only.
type reader struct {
	data []byte // the whole block
	at   int
	end  int // of the section
	err  *CorruptError
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = &CorruptError{Offset: r.at, Reason: reason}
	}
}

func (r *reader) left() int { return r.end - r.at }

func (r *reader) byte() byte {
	if r.err != nil || r.at >= r.end {
		r.fail("truncated")
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.data[r.at:r.end])
	if n <= 0 {
		r.fail("bad varint")
		return 0
	}
	r.at += n
	return v
}

func (r *reader) varint() uint64 { return unzigzag(r.uvarint()) }

// count reads a number from least to most.
func (r *reader) count(least, most int, reason string) int {
	n := r.uvarint()
	if r.err == nil && (most < least || n < uint64(least) || n > uint64(most)) {
		r.fail(reason)
	}
	if r.err != nil {
		return least
	}
	return int(n)
}

// bytes returns the next n bytes, which alias the block, or nil.
func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.left() {
		r.fail("truncated")
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at : r.at]
}

// packed passes over n values of w bits and returns their bytes with what follows
// them in the block, which is what unpack likes best; nil after an error.
func (r *reader) packed(n int, w uint) []byte {
	at := r.at
	if r.bytes(packedLen(n, w)) == nil && r.err != nil {
		return nil
	}
	return r.data[at:]
}

// zigzag maps small numbers of either sign to small unsigned ones.
func zigzag(v uint64) uint64 { return v<<1 ^ uint64(int64(v)>>63) }

func unzigzag(u uint64) uint64 { return u>>1 ^ -(u & 1) }

func appendVarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, zigzag(v)) }
