package fence

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
)

// putChunk appends a chunk to a file of Pebble's.
func putChunk(file []byte, kind byte, logNumber uint32, payload int) []byte {
	header := [...]int{7, 11, 19}[(kind-1)/positionsOfKind]
	c := make([]byte, header+payload)
	binary.LittleEndian.PutUint16(c[4:], uint16(payload))
	c[6] = kind
	if header > 7 {
		binary.LittleEndian.PutUint32(c[7:], logNumber)
	}
	for i := range payload {
		c[header+i] = byte(i)
	}
	sum := crc32.Checksum(c[6:], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(c, (sum>>15|sum<<17)+0xa282ead8)
	return append(file, c...)
}

// A record may begin wherever its header fits, which depends on the format; what is
// left of a block otherwise is no damage.
func TestChunksAtTheEndOfABlock(t *testing.T) {
	for _, tc := range []struct {
		name             string
		full, first, end byte // kinds
		header           int
		logNumber        uint32
	}{
		{"manifest", 1, 2, 4, 7, 0},
		{"recyclable", 5, 6, 8, 11, 3},
		{"with synced offset", 9, 10, 12, 19, 3},
	} {
		for left := range 24 {
			file := putChunk(nil, tc.full, tc.logNumber, blockBytes-tc.header-left)
			records := 2
			if left >= tc.header {
				file = putChunk(file, tc.first, tc.logNumber, left-tc.header)
				file = putChunk(file, tc.end, tc.logNumber, 100)
			} else {
				file = append(file, make([]byte, left)...)
				file = putChunk(file, tc.full, tc.logNumber, 100)
			}
			starts, ends := 0, 0
			damage, err := scanChunks(bytes.NewReader(file), tc.logNumber, func(c chunk, damage int64) {
				if c.starts {
					starts++
				}
				if c.ends {
					ends++
				}
			})
			if err != nil || damage >= 0 || starts != records || ends != records {
				t.Errorf("%s, %d bytes left: damage at %d, %d starts, %d ends, %v", tc.name, left, damage, starts, ends, err)
			}
		}
	}
}

// Pebble and scanChunks read the edit at the end of a manifest wherever that is in a
// block.
func TestEmptyEdit(t *testing.T) {
	for left := range 3 * chunkHeaderMin {
		var file bytes.Buffer
		w := record.NewWriter(&file)
		if _, err := w.WriteRecord(make([]byte, blockBytes-chunkHeaderMin-left)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			file.Write(emptyEdit(uint64(file.Len())))
		}
		r := record.NewReader(bytes.NewReader(file.Bytes()), 0)
		for i := range 3 {
			edit, err := r.Next()
			if err != nil {
				t.Fatalf("%d bytes left: record %d: %v", left, i, err)
			}
			if b, err := io.ReadAll(edit); err != nil || (len(b) == 0) != (i > 0) {
				t.Errorf("%d bytes left: record %d of %d bytes, %v", left, i, len(b), err)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%d bytes left: at the end: %v", left, err)
		}
		records := 0
		damage, err := scanChunks(bytes.NewReader(file.Bytes()), 0, func(c chunk, _ int64) {
			if c.starts && c.ends {
				records++
			}
		})
		if err != nil || damage >= 0 || records != 3 {
			t.Errorf("%d bytes left: %d records, damage at %d, %v", left, records, damage, err)
		}
	}
}
