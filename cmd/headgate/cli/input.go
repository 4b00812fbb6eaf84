package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// counter counts what is read through it.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (r counter) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// interruptible reads another reader until ctx ends, also while that has nothing to give, as
// a terminal or a pipe. A read that is under way then is left behind.
type interruptible struct {
	ctx    context.Context
	chunks chan chunk
	chunk  chunk // what is left of the last one
}

type chunk struct {
	b   []byte
	err error
}

func newInterruptible(ctx context.Context, r io.Reader) *interruptible {
	i := &interruptible{ctx: ctx, chunks: make(chan chunk)}
	go func() {
		// While one is being taken from, the other is filled.
		for bufs := [2][]byte{make([]byte, 1<<16), make([]byte, 1<<16)}; ; bufs[0], bufs[1] = bufs[1], bufs[0] {
			n, err := r.Read(bufs[0])
			select {
			case i.chunks <- chunk{bufs[0][:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return i
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.chunk.b) == 0 && i.chunk.err == nil {
		select {
		case i.chunk = <-i.chunks:
		case <-i.ctx.Done():
			return 0, context.Cause(i.ctx)
		}
	}
	n := copy(p, i.chunk.b)
	if i.chunk.b = i.chunk.b[n:]; len(i.chunk.b) == 0 {
		return n, i.chunk.err
	}
	return n, nil
}

// inflate reads r decompressed as compression says: gzip, zstd, none, or auto to look
// at its first bytes.
func inflate(r io.Reader, compression string) (io.Reader, func(), error) {
	in := bufio.NewReaderSize(r, 1<<16)
	if compression == "auto" {
		compression = "none"
		head, _ := in.Peek(4)
		switch {
		case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
			compression = "gzip"
		case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			compression = "zstd"
		}
	}
	switch compression {
	case "gzip":
		z, err := gzip.NewReader(in)
		return z, func() {}, err
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case "none":
		return in, func() {}, nil
	}
	return nil, nil, usagef("--compression is auto, none, gzip or zstd, not %q", compression)
}

// latin1 reads ISO 8859-1 as UTF-8.
type latin1 struct {
	in   io.Reader
	rest []byte
}

func (r *latin1) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		var b [4096]byte
		n, err := r.in.Read(b[:])
		if n == 0 {
			return 0, err
		}
		for _, c := range b[:n] {
			r.rest = append(r.rest, string(rune(c))...)
		}
	}
	n := copy(p, r.rest)
	r.rest = append(r.rest[:0], r.rest[n:]...)
	return n, nil
}

func decode(r io.Reader, encoding string) (io.Reader, error) {
	switch strings.ToLower(strings.ReplaceAll(encoding, "_", "-")) {
	case "", "utf-8", "utf8", "ascii", "us-ascii":
		return withoutMark(r)
	case "iso-8859-1", "iso8859-1", "latin1", "latin-1":
		return &latin1{in: r}, nil
	}
	return nil, usagef("--encoding is UTF-8 or ISO-8859-1, not %q; iconv can make it so", encoding)
}

var errUTF16 = errors.New("this is UTF-16: convert it, as in iconv -f UTF-16 -t UTF-8")

// withoutMark reads r without the mark that some programs put before UTF-8. UTF-16, which
// has one of its own, is refused.
func withoutMark(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, _ := in.Peek(3)
	switch {
	case string(head) == "\ufeff":
		in.Discard(len(head)) // is there
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, errUTF16
	}
	return in, nil
}

// lineReader gives line protocol a line at a time. A string may hold the ends of lines.
type lineReader struct {
	in   *bufio.Reader
	max  int
	next int // the physical line that follows, from 1
	// pending is what follows a line that seemed to go on and did not.
	pending [][]byte
}

var errLong = errors.New("the line is over --max-line-length")

// physical reads up to the end of a line.
func (r *lineReader) physical() ([]byte, error) {
	if len(r.pending) > 0 {
		line := r.pending[0]
		r.pending = r.pending[1:]
		return line, nil
	}
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > r.max:
			return nil, fmt.Errorf("%w, %d bytes", errLong, r.max)
		case err == nil, err == io.EOF && len(line) > 0:
			return line, nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// stringLinesMax is how many lines a string may hold. A quote that is missing must not
// make one line of the rest of a file.
const stringLinesMax = 10_000

// line reads a line with all that belongs to it, and tells where it begins.
func (r *lineReader) line() (text []byte, at int, err error) {
	at = r.next
	text, err = r.physical()
	if err != nil {
		return nil, at, err
	}
	r.next++
	first := len(text)
	var parts [][]byte
	for open(text) {
		more, err := r.physical()
		if err == nil && len(text)+len(more) <= r.max && len(parts) < stringLinesMax {
			parts = append(parts, more)
			text = append(text, more...)
			r.next++
			continue
		}
		if err != nil && err != io.EOF {
			return nil, r.next, err
		}
		// The quote is never closed: the line is malformed, and those behind it are lines.
		if err == nil {
			parts = append(parts, more)
		}
		r.pending = append(parts, r.pending...)
		r.next = at + 1
		return text[:first], at, nil
	}
	return text, at, nil
}

// open is whether line ends inside a string.
func open(line []byte) bool {
	line = bytes.TrimLeft(line, " \t\x00")
	if len(line) == 0 || line[0] == '#' || bytes.IndexByte(line, '"') < 0 {
		return false
	}
	fields, value, quoted := false, false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line) && (!quoted || line[i+1] == '"' || line[i+1] == '\\'):
			i++
		case quoted:
			quoted = c != '"'
		case !fields:
			fields = c == ' '
		case c == '"' && value:
			quoted = true
		}
		value = fields && c == '=' && !quoted
	}
	return quoted
}

// source is one input of write.
type source struct {
	name string
	open func() (io.ReadCloser, error)
	size int64
}

// expand puts the files that a pattern matches in its place, for shells that leave that to
// their programs and for patterns in quotes.
func expand(names []string) ([]string, error) {
	var list []string
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil || !strings.ContainsAny(name, "*?[") {
			list = append(list, name)
			continue
		}
		found, err := filepath.Glob(name)
		if err != nil {
			return nil, usagef("%q is no pattern of files: %v", name, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no file matches %q", name)
		}
		list = append(list, found...)
	}
	return list, nil
}

func (c *call) sources(files []string) ([]source, error) {
	var list []source
	files, err := expand(files)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if name == "-" {
			list = append(list, source{"standard input", func() (io.ReadCloser, error) { return io.NopCloser(c.Stdin), nil }, 0})
			continue
		}
		f, err := c.open(name)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		size := int64(0)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		list = append(list, source{name, func() (io.ReadCloser, error) { return os.Open(name) }, size})
	}
	return list, nil
}

// open opens the file that a flag names, which must be no directory.
func (c *call) open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s is a directory: name files, as in --file '%s'", name, filepath.Join(name, "*"))
	}
	return f, nil
}
