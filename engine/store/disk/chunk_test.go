package disk

import (
	"bytes"
	"fmt"
	"testing"
)

func TestChunks(t *testing.T) {
	var z zstdCodec
	var names bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&names, "cpu,hostname=host_%d,region=eu-central-1;", i)
	}
	noise := make([]byte, 4000)
	for i := range noise {
		noise[i] = byte(i * i * 7919 >> 8)
	}
	key := []byte("key")
	for _, chunk := range [][]byte{nil, {1}, noise[:chunkPlainMax], noise, names.Bytes()} {
		v, err := z.sealChunk(key, chunk)
		if err != nil {
			t.Fatal(err)
		}
		got, err := z.unsealChunk(key, v)
		if err != nil || !bytes.Equal(got, chunk) {
			t.Fatalf("%d bytes come back as %d, %v", len(chunk), len(got), err)
		}
		if len(chunk) == names.Len() && len(v) > len(chunk)/5 {
			t.Errorf("%d bytes of names take %d", len(chunk), len(v))
		}
		for i := range min(len(v), 64) {
			bad := bytes.Clone(v)
			bad[i] ^= 0x10
			if _, err := z.unsealChunk(key, bad); err == nil {
				t.Fatalf("byte %d of %d is wrong and nobody says so", i, len(v))
			}
		}
	}
	// A right checksum over what no chunk is.
	for _, p := range [][]byte{{}, {2}, {chunkZstd}, {chunkZstd, 5}, {chunkZstd, 5, 1, 2, 3}, append([]byte{chunkZstd, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, noise...)} {
		if _, err := z.unsealChunk(key, seal(key, append(openSeal(0), p...))); err == nil {
			t.Errorf("%x is taken for a chunk", p)
		}
	}
}
