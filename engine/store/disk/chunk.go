package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A chunk of definitions is names, which are much alike, so it is compressed if
// that makes it smaller. Its sealed value holds:
//
//	+---------+-----------------------------+
//	| 0x00    | the chunk                   |
//	+---------+-----------------------------+
//	| 0x01    | length, uvarint; zstd frame |
//	+---------+-----------------------------+
const (
	chunkPlain = 0x00
	chunkZstd  = 0x01
	// chunkPlainMax is the longest chunk that is not worth the trouble.
	chunkPlainMax = 256
	// chunkWindow is how far back the compressor looks. It keeps twice as much.
	chunkWindow = 1 << 20
	// chunkBytesMax bounds what a chunk says that it decompresses to.
	chunkBytesMax = 1 << 30
)

// zstdCodec is what compressing and decompressing need, made at the first use.
type zstdCodec struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
	err  error
}

func (z *zstdCodec) init() error {
	z.once.Do(func() {
		z.enc, z.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(chunkWindow), zstd.WithLowerEncoderMem(true))
		if z.err == nil {
			z.dec, z.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(chunkBytesMax))
		}
	})
	return z.err
}

// sealChunk is the sealed value of a chunk.
func (z *zstdCodec) sealChunk(key, chunk []byte) ([]byte, error) {
	if len(chunk) > chunkPlainMax && len(chunk) <= chunkBytesMax {
		if err := z.init(); err != nil {
			return nil, err
		}
		v := append(openSeal(len(chunk)/2), chunkZstd)
		v = z.enc.EncodeAll(chunk, binary.AppendUvarint(v, uint64(len(chunk))))
		if len(v) < len(chunk) {
			return seal(key, v), nil
		}
	}
	v := append(openSeal(len(chunk)+1), chunkPlain)
	return seal(key, append(v, chunk...)), nil
}

var errChunk = errors.New("chunk is not compressed as it should be")

// unsealChunk is the inverse of sealChunk. The result may be part of value.
func (z *zstdCodec) unsealChunk(key, value []byte) ([]byte, error) {
	p, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, errShort
	}
	if p[0] == chunkPlain {
		return p[1:], nil
	}
	size, n := binary.Uvarint(p[1:])
	if p[0] != chunkZstd || n <= 0 || size > chunkBytesMax {
		return nil, errChunk
	}
	if err := z.init(); err != nil {
		return nil, err
	}
	chunk, err := z.dec.DecodeAll(p[1+n:], make([]byte, 0, min(size, 64*uint64(len(p)))))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errChunk, err)
	}
	if uint64(len(chunk)) != size {
		return nil, errChunk
	}
	return chunk, nil
}
