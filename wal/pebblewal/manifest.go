package pebblewal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal"
)

// Pebble's manifest is a sequence of edits in blocks of 32 KiB. An edit is one
// full chunk, or a first, any middle and a last one:
//
//	 0                4           6      7
//	+----------------+-----------+------+---------+
//	| masked crc, LE | size, LE  | kind | payload |
//	+----------------+-----------+------+---------+
//
// Pebble stops at the first damaged edit, takes it for the torn end, and deletes
// the sstables that it has not heard of: a flipped bit loses records in silence.
// But each edit is synced before the next is written. If a whole chunk that starts
// an edit comes after the damage, then the damage is not the torn end.
const (
	manifestBlockBytes  = 32 << 10
	manifestHeaderBytes = 7

	chunkFull  = 1
	chunkFirst = 2
	chunkLast  = 4 // the highest kind
)

// checkManifest refuses a directory whose manifest is damaged before its end.
func checkManifest(fs vfs.FS, dir string) error {
	desc, err := pebble.Peek(dir, fs)
	if err != nil || !desc.Exists {
		return nil // a new directory, or one that Open has more to say about
	}
	f, err := fs.Open(fs.PathJoin(dir, desc.ManifestFilename))
	if err != nil {
		return nil // as above
	}
	data, err := io.ReadAll(f)
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("read %s: %w", desc.ManifestFilename, err)
	}
	if at, damaged := manifestDamage(data); damaged {
		return fmt.Errorf("%w: %s is damaged at offset %d, before its end", wal.ErrCorrupt, desc.ManifestFilename, at)
	}
	return nil
}

// manifestDamage returns the offset of the first damaged chunk that an edit follows.
func manifestDamage(data []byte) (at int, damaged bool) {
	for at < len(data) {
		if manifestBlockBytes-at%manifestBlockBytes < manifestHeaderBytes {
			at += manifestBlockBytes - at%manifestBlockBytes // padding
			continue
		}
		size, _, ok := manifestChunk(data, at)
		if !ok {
			break
		}
		at += size
	}
	for i := at + 1; i < len(data); i++ {
		if _, kind, ok := manifestChunk(data, i); ok && (kind == chunkFull || kind == chunkFirst) {
			return at, true
		}
	}
	return at, false
}

// manifestChunk returns the size of the chunk at offset at, header included.
func manifestChunk(data []byte, at int) (size int, kind byte, ok bool) {
	left := min(manifestBlockBytes-at%manifestBlockBytes, len(data)-at)
	if left < manifestHeaderBytes {
		return 0, 0, false
	}
	h := data[at:]
	kind = h[6]
	size = manifestHeaderBytes + int(binary.LittleEndian.Uint16(h[4:]))
	if kind == 0 || kind > chunkLast || size > left {
		return 0, 0, false
	}
	sum := crc32.Checksum(h[6:size], crc32.MakeTable(crc32.Castagnoli))
	masked := (sum>>15 | sum<<17) + 0xa282ead8
	return size, kind, masked == binary.LittleEndian.Uint32(h)
}
