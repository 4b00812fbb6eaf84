package pebblewal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// What is on disk is a Pebble store. Its keys sort by bucket and sequence number:
//
//	 0                8                16
//	+----------------+----------------+
//	| bucket, BE     | sequence, BE   |
//	+----------------+----------------+
//
// Its values carry a checksum over key and record. Pebble checks its own files,
// but a record that it hands back under another key, or from memory that has
// been overwritten, would be taken for good without ours.
//
//	 0         1                5
//	+---------+----------------+------------------+
//	| version | crc32c, LE     | record           |
//	+---------+----------------+------------------+
//
// There is no bucket above wal.BucketMax, so that every bucket has an end.
const (
	keyBytes         = 16
	valueHeaderBytes = 5
	valueVersion     = 1
)

func putKey(key []byte, bucket, seq uint64) {
	binary.BigEndian.PutUint64(key, bucket)
	binary.BigEndian.PutUint64(key[8:], seq)
}

func makeKey(bucket, seq uint64) []byte {
	key := make([]byte, keyBytes)
	putKey(key, bucket, seq)
	return key
}

func splitKey(key []byte) (bucket, seq uint64, err error) {
	if len(key) != keyBytes {
		return 0, 0, fmt.Errorf("key of %d bytes, want %d", len(key), keyBytes)
	}
	return binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:]), nil
}

// checksum is polynomial Castagnoli over key and record. The table is the
// standard library's own: MakeTable does not build it again.
func checksum(key, record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, key), table, record)
}

// putValue fills value, which must be valueHeaderBytes longer than record.
func putValue(value, key, record []byte) {
	value[0] = valueVersion
	binary.LittleEndian.PutUint32(value[1:], checksum(key, record))
	copy(value[valueHeaderBytes:], record)
}

// splitValue returns the record inside value, or why it is not one.
func splitValue(key, value []byte) (record []byte, reason string) {
	switch {
	case len(value) < valueHeaderBytes:
		return nil, fmt.Sprintf("value of %d bytes is too short", len(value))
	case value[0] != valueVersion:
		return nil, fmt.Sprintf("value has version %d, this program reads %d", value[0], valueVersion)
	}
	record = value[valueHeaderBytes:]
	if want, got := binary.LittleEndian.Uint32(value[1:]), checksum(key, record); want != got {
		return nil, fmt.Sprintf("checksum is %08x, want %08x", got, want)
	}
	return record, ""
}
