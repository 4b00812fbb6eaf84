package httpfront

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"headgate/engine"
)

// encoding is a Content-Encoding of request bodies.
type encoding uint8

const (
	identity encoding = iota
	encodingGzip
	encodingDeflate
	encodingZstd
	// encodingSnappy is snappy and s2: frames when the body begins with a stream
	// identifier of either, one block otherwise. An s2 decoder reads both formats.
	encodingSnappy
)

// encodingNames is what a client may send, in any case.
var encodingNames = [...]struct {
	name string
	encoding
}{
	{"identity", identity}, {"gzip", encodingGzip}, {"x-gzip", encodingGzip}, {"deflate", encodingDeflate},
	{"zstd", encodingZstd}, {"snappy", encodingSnappy}, {"s2", encodingSnappy},
}

// String is the first name of e in encodingNames.
func (e encoding) String() string {
	for _, n := range encodingNames {
		if n.encoding == e {
			return n.name
		}
	}
	return "unknown"
}

// parseEncoding reads a Content-Encoding header; an empty one is identity.
func parseEncoding(name []byte) (encoding, error) {
	if len(name) == 0 {
		return identity, nil
	}
	name = bytes.TrimSpace(name)
	for _, e := range encodingNames {
		if len(name) == len(e.name) && bytes.EqualFold(name, []byte(e.name)) {
			return e.encoding, nil
		}
	}
	return 0, engine.Errorf(engine.UnsupportedEncoding,
		"unsupported Content-Encoding %q; accepted are gzip, x-gzip, deflate, zstd, snappy, s2 and identity", name)
}

// zstdWindowMax is the largest window that a zstd body may want: what every
// level but the "ultra" and "long" ones stays within. It is memory that the gate
// does not know of.
const zstdWindowMax = 8 << 20

// inflaters keeps decoders of each encoding for reuse. The zero value is ready.
type inflaters struct{ gzip, flate, zlib, zstd, s2 sync.Pool }

// inflate decodes src into b, at most l bytes of it, all charged to ch. The
// errors are Invalid for bad data, TooLarge, and what ch says.
func (in *inflaters) inflate(b *buffer, src []byte, enc encoding, l limit, ch *charge) error {
	input := bytes.NewReader(src)
	switch enc {
	case encodingGzip:
		z, _ := in.gzip.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		defer in.gzip.Put(z)
		if err := z.Reset(input); err != nil {
			return errInflate(enc, err)
		}
		return copyInflated(b, z, enc, l, ch)
	case encodingDeflate:
		return in.deflate(b, src, input, enc, l, ch)
	case encodingZstd:
		z, _ := in.zstd.Get().(*zstd.Decoder)
		if z == nil {
			var err error
			z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowMax))
			if err != nil {
				return err
			}
		}
		defer func() {
			_ = z.Reset(nil) // drops its references; cannot fail
			in.zstd.Put(z)
		}()
		if len(src) == 0 {
			return errInflate(enc, io.EOF)
		}
		if err := z.Reset(input); err != nil {
			return errInflate(enc, err)
		}
		return copyInflated(b, z, enc, l, ch)
	case encodingSnappy:
		return in.snappy(b, src, input, enc, l, ch)
	}
	b.data = append(b.data, src...)
	return nil
}

// deflate takes the zlib format, which the name means, and raw deflate, which
// some clients send under it. A zlib header is a multiple of 31.
func (in *inflaters) deflate(b *buffer, src []byte, input *bytes.Reader, enc encoding, l limit, ch *charge) error {
	if len(src) >= 2 && src[0]&0x0f == 8 && src[0]>>4 <= 7 && (uint(src[0])<<8|uint(src[1]))%31 == 0 {
		z, _ := in.zlib.Get().(io.ReadCloser)
		var err error
		if z == nil {
			z, err = zlib.NewReader(input)
		} else {
			err = z.(zlib.Resetter).Reset(input, nil)
		}
		if err != nil {
			return errInflate(enc, err)
		}
		defer in.zlib.Put(z)
		return copyInflated(b, z, enc, l, ch)
	}
	z, _ := in.flate.Get().(io.ReadCloser)
	if z == nil {
		z = flate.NewReader(input)
	} else if err := z.(flate.Resetter).Reset(input, nil); err != nil {
		return errInflate(enc, err)
	}
	defer in.flate.Put(z)
	return copyInflated(b, z, enc, l, ch)
}

var (
	magicSnappy = []byte("\xff\x06\x00\x00sNaPpY")
	magicS2     = []byte("\xff\x06\x00\x00S2sTwO")
)

func (in *inflaters) snappy(b *buffer, src []byte, input *bytes.Reader, enc encoding, l limit, ch *charge) error {
	if bytes.HasPrefix(src, magicSnappy) || bytes.HasPrefix(src, magicS2) {
		z, _ := in.s2.Get().(*s2.Reader)
		if z == nil {
			z = s2.NewReader(nil)
		}
		z.Reset(input)
		defer func() {
			z.Reset(nil)
			in.s2.Put(z)
		}()
		return copyInflated(b, z, enc, l, ch)
	}
	n, err := s2.DecodedLen(src)
	if err != nil {
		return errInflate(enc, err)
	}
	if int64(n) > l.bytes {
		return l.exceeded()
	}
	// The best that a block can do is a copy of 64 KiB or so for a few bytes; one
	// that promises more is a lie, and would cost the memory that it promises.
	if n > 1<<20 && n/(1<<16) > len(src) {
		return errInflate(enc, s2.ErrCorrupt)
	}
	if err := ch.cover(int64(n)); err != nil {
		return err
	}
	if cap(b.data) < n {
		b.data = make([]byte, 0, n)
	}
	out, err := s2.Decode(b.data[:n], src)
	if err != nil {
		return errInflate(enc, err)
	}
	b.data = out
	return nil
}

// copyInflated reads z to its end. It stops at the limit, not after it.
func copyInflated(b *buffer, z io.Reader, enc encoding, l limit, ch *charge) error {
	for idle := 0; idle < 100; idle++ {
		b.room(-1, l.bytes)
		n, err := z.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		if int64(len(b.data)) > l.bytes {
			return l.exceeded()
		}
		if errCharge := ch.cover(int64(len(b.data))); errCharge != nil {
			return errCharge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errInflate(enc, err)
		}
		if n > 0 {
			idle = 0
		}
	}
	return errInflate(enc, io.ErrNoProgress)
}

// errInflate says why a body cannot be inflated. The causes that InfluxDB has words for
// are in those words; an early end and a wrong number do not tell that it is the encoding
// that is wrong.
func errInflate(enc encoding, cause error) error {
	if cause == io.EOF || errors.Is(cause, io.ErrUnexpectedEOF) || errors.Is(cause, zstd.ErrMagicMismatch) {
		cause = fmt.Errorf("%w (Content-Encoding is %s: the body is not, is cut short or has more after it)", cause, enc)
	}
	return errRead(cause)
}
