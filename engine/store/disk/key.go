package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"headgate/engine/point"
)

// Keys. Numbers are big-endian, so that Pebble's order is theirs.
//
//	 0      1        9      17      21
//	+------+--------+------+-------+
//	| 0x01 | bucket |                  state
//	| 0x02 | bucket | n    |           chunk n of the definitions
//	| 0x03 | bucket | part |           directory of a part
//	| 0x10 | bucket | part | block |   block
//	+------+--------+------+-------+
//
// Blocks are ingested and never pass Pebble's memtable, everything else does. Their
// keys are apart, so that no sstable with metadata overlaps one with blocks, which
// would have Pebble compact them together.
const (
	kindState      = 0x01
	kindDefinition = 0x02
	kindDirectory  = 0x03
	kindBlock      = 0x10

	bucketKeyBytes = 9
	partKeyBytes   = 17
	blockKeyBytes  = 21
)

func bucketKey(kind byte, b point.BucketID) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(b))
}

// bucketEnd is the first key after a bucket's of a kind.
func bucketEnd(kind byte, b point.BucketID) []byte {
	if b+1 == 0 {
		return []byte{kind + 1}
	}
	return bucketKey(kind, b+1)
}

// numberKey is the key of a chunk, of a directory, or the first of a part's blocks.
func numberKey(kind byte, b point.BucketID, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, blockKeyBytes), bucketKey(kind, b)...), n)
}

func putBlockKey(key []byte, b point.BucketID, part uint64, block uint32) {
	key[0] = kindBlock
	binary.BigEndian.PutUint64(key[1:], uint64(b))
	binary.BigEndian.PutUint64(key[bucketKeyBytes:], part)
	binary.BigEndian.PutUint32(key[partKeyBytes:], block)
}

func keyBucket(key []byte) point.BucketID { return point.BucketID(binary.BigEndian.Uint64(key[1:])) }

func keyNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[bucketKeyBytes:]) }

// A value that is not a block is sealed:
//
//	+---------+---------+------------------------------------+
//	| version | payload | CRC-32C of key, version, payload   |
//	+---------+---------+------------------------------------+
const (
	valueVersion = 1
	sealBytes    = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openSeal begins a sealed value; seal ends it.
func openSeal(size int) []byte { return append(make([]byte, 0, size+sealBytes), valueVersion) }

func seal(key, value []byte) []byte {
	crc := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.LittleEndian.AppendUint32(value, crc)
}

var (
	errShort    = errors.New("value is too short")
	errChecksum = errors.New("checksum does not match")
	errVersion  = errors.New("version is not known: written by a later release")
)

// unseal returns the payload, which is part of value.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 1 {
		return nil, errShort
	}
	crc := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[:n])
	if binary.LittleEndian.Uint32(value[n:]) != crc {
		return nil, errChecksum
	}
	if value[0] != valueVersion {
		return nil, errVersion
	}
	return value[1:n], nil
}

// state is what a bucket has once.
//
//	+---------+----------+-------------+------------+-------+
//	| flushed | nextPart | firstChunk  | nextChunk  | parts |  uvarints
//	+---------+----------+-------------+------------+-------+
type state struct {
	flushed    uint64
	nextPart   uint64 // the ID of the next part; from 1
	firstChunk uint64 // of the definitions
	nextChunk  uint64
	parts      uint64 // how many directories there are
}

func (s *state) encode(key []byte) []byte {
	v := openSeal(5 * binary.MaxVarintLen64)
	for _, n := range [...]uint64{s.flushed, s.nextPart, s.firstChunk, s.nextChunk, s.parts} {
		v = binary.AppendUvarint(v, n)
	}
	return seal(key, v)
}

func (s *state) decode(key, value []byte) error {
	p, err := unseal(key, value)
	if err != nil {
		return err
	}
	r := reader{b: p}
	*s = state{flushed: r.uvarint(), nextPart: r.uvarint(), firstChunk: r.uvarint(), nextChunk: r.uvarint(), parts: r.uvarint()}
	if r.bad || len(r.b) > 0 || s.nextPart == 0 || s.firstChunk > s.nextChunk {
		return errFormat
	}
	return nil
}
