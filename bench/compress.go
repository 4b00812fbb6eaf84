package bench

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Compression names how bodies are compressed, and is their Content-Encoding.
type Compression string

// The compressions. Peers know gzip at most.
const (
	None Compression = "none"
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
	// S2 is a stream of frames.
	S2 Compression = "s2"
	// Snappy is one block, as Prometheus sends it.
	Snappy Compression = "snappy"
)

// Compressions lists every compression.
func Compressions() []Compression { return []Compression{None, Gzip, Zstd, S2, Snappy} }

// encoding returns the Content-Encoding, "" for none.
func (c Compression) encoding() string {
	if c == None {
		return ""
	}
	return string(c)
}

// compress returns the compressed text, at each format's default level.
func (c Compression) compress(text []byte) ([]byte, error) {
	var (
		buf bytes.Buffer
		w   io.WriteCloser
	)
	switch c {
	case Snappy:
		return s2.EncodeSnappy(nil, text), nil
	case Gzip:
		w = gzip.NewWriter(&buf)
	case S2:
		w = s2.NewWriter(&buf, s2.WriterConcurrency(1))
	case Zstd:
		z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		w = z
	default:
		return nil, fmt.Errorf("unknown compression %q; there are %s", c, namesOf(Compressions()))
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(buf.Bytes()), nil
}
