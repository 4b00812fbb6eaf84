package fence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Pebble writes its manifest and its own log in blocks of 32 KiB. A record is one
// full chunk, or a first, any middle and a last one; none crosses a block. What is
// left of a block that has no room for a header is zero.
//
//	 0               4          6      7              11               19
//	+---------------+----------+------+--------------+----------------+---------
//	| masked crc, LE| size, LE | kind | log number   | synced offset  | payload
//	+---------------+----------+------+--------------+----------------+---------
//	                           '-------------- checked by crc ---------- ...
//
// A kind is a position and a format: 1 to 4 are full, first, middle and last
// without log number and synced offset, 5 to 8 with the log number only, 9 to 12
// with both. The log number tells a chunk from what a recycled file held before.
const (
	blockBytes      = 32 << 10
	chunkHeaderMin  = 7
	chunkKinds      = 12
	positionFull    = 0
	positionFirst   = 1
	positionLast    = 3
	positionsOfKind = 4
)

var errChunk = errors.New("no chunk here")

// chunk is one valid chunk of a block.
type chunk struct {
	size    int // header included
	header  int
	end     int64 // offset in the file, set by scanChunks
	starts  bool
	ends    bool
	payload []byte
}

// readChunk returns the chunk at an offset of a block. logNumber is the file's, or
// 0 for a file whose chunks have none.
func readChunk(block []byte, at int, logNumber uint32) (chunk, error) {
	b := block[at:]
	if len(b) < chunkHeaderMin {
		return chunk{}, errChunk
	}
	kind := int(b[6])
	if kind < 1 || kind > chunkKinds {
		return chunk{}, errChunk
	}
	format, position := (kind-1)/positionsOfKind, (kind-1)%positionsOfKind
	header := [...]int{7, 11, 19}[format]
	size := header + int(binary.LittleEndian.Uint16(b[4:]))
	if size > len(b) || (format > 0) != (logNumber > 0) {
		return chunk{}, errChunk
	}
	if format > 0 && binary.LittleEndian.Uint32(b[7:]) != logNumber {
		return chunk{}, errChunk
	}
	if checksum(b[6:size]) != binary.LittleEndian.Uint32(b) {
		return chunk{}, errChunk
	}
	return chunk{
		size:    size,
		header:  header,
		starts:  position == positionFull || position == positionFirst,
		ends:    position == positionFull || position == positionLast,
		payload: b[header:size],
	}, nil
}

// emptyEdit returns what appends an edit of no fields, which Pebble reads and which
// changes nothing, to a manifest of that length.
func emptyEdit(length uint64) []byte {
	room := blockBytes - int(length%blockBytes)
	b := make([]byte, chunkHeaderMin)
	b[6] = 1 + positionFull
	binary.LittleEndian.PutUint32(b, checksum(b[6:]))
	if room < chunkHeaderMin {
		b = append(make([]byte, room), b...)
	}
	return b
}

// checksum is Pebble's: CRC-32C, masked.
func checksum(b []byte) uint32 {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// scanChunks calls fn with every valid chunk of a file, and with the offset of the
// first chunk, if any, that cannot be read as the one after its predecessor: from
// there on every offset is tried. damage is -1 before that.
func scanChunks(r io.Reader, logNumber uint32, fn func(c chunk, damage int64)) (damage int64, err error) {
	padding := chunkHeaderMin // what has no room for a header in the file's one format
	block := make([]byte, blockBytes)
	damage = -1
	for base := int64(0); ; base += blockBytes {
		n, err := io.ReadFull(r, block)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return damage, fmt.Errorf("read at offset %d: %w", base, err)
		}
		for at := 0; at < n; {
			if damage < 0 && blockBytes-at < padding {
				break
			}
			c, cerr := readChunk(block[:n], at, logNumber)
			switch {
			case cerr == nil:
				at += c.size
				padding = c.header
				c.end = base + int64(at)
				fn(c, damage)
			case damage < 0:
				damage = base + int64(at)
			default:
				// There may be many zeros.
				for at++; at+6 < n && (block[at+6] < 1 || block[at+6] > chunkKinds); at++ {
				}
			}
		}
		if n < blockBytes {
			return damage, nil
		}
	}
}
