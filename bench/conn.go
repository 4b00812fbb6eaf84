package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// answerBytesMax is how much of an answer's body is kept unless Conn.keepBytes says
// otherwise; the rest is read and thrown away.
const answerBytesMax = 64 << 10

// Conn is one HTTP/1.1 connection, kept open from request to request. It does
// only what a benchmark needs, since its CPU is taken from the server's when both
// share a machine: net/http costs several times as much a request. Not safe for
// concurrent use.
type Conn struct {
	nc net.Conn
	br *bufio.Reader
	// answer is the body of the last answer; reused.
	answer []byte
	// keepBytes is how much of an answer's body is kept.
	keepBytes int64
	// spent is set when the connection cannot take another request.
	spent bool
	// out is the argument of the vectored write; reused.
	out     net.Buffers
	outBack [2][]byte
}

// Answer is the server's reply to one request.
type Answer struct {
	Status int
	// RetryAfter is the header's value, 0 without one.
	RetryAfter time.Duration
	// Body is the first 64 KiB of the body, valid until the connection's next Do.
	Body []byte
}

// Dial connects to the target.
func Dial(ctx context.Context, t Target) (*Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, t.network, t.address)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return &Conn{nc: nc, br: bufio.NewReaderSize(nc, 4<<10), keepBytes: answerBytesMax}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// Spent reports that the server ended the connection with its last answer, or
// that a request failed on it: dial again.
func (c *Conn) Spent() bool { return c.spent }

// Do sends one request, given as its head and its body, and waits for the answer
// until the deadline. After an error nobody knows whether the server acted upon
// the request.
func (c *Conn) Do(head, body []byte, deadline time.Time) (Answer, error) {
	a, err := c.do(head, body, deadline)
	if err != nil {
		c.spent = true
		return Answer{}, fmt.Errorf("bench: %w", err)
	}
	return a, nil
}

func (c *Conn) do(head, body []byte, deadline time.Time) (Answer, error) {
	if err := c.nc.SetDeadline(deadline); err != nil {
		return Answer{}, err
	}
	// A server may refuse a body it has not read to the end and close: then the
	// write fails, and the answer waits in the receive buffer all the same.
	_, writeErr := c.write(head, body)
	a, err := c.readAnswer()
	if err != nil {
		return Answer{}, errors.Join(writeErr, err)
	}
	if writeErr != nil {
		c.spent = true
	}
	return a, nil
}

// write sends both parts in one system call, and small ones in one segment.
func (c *Conn) write(head, body []byte) (int64, error) {
	if len(body) == 0 {
		n, err := c.nc.Write(head)
		return int64(n), err
	}
	c.outBack = [2][]byte{head, body}
	c.out = c.outBack[:]
	return c.out.WriteTo(c.nc)
}

func (c *Conn) readAnswer() (Answer, error) {
	for {
		a, framing, err := c.readHead()
		if err != nil {
			return Answer{}, err
		}
		if a.Status < 200 { // 100 Continue and the like come before the answer.
			continue
		}
		if a.Status != 204 && a.Status != 304 {
			if err := c.readBody(framing); err != nil {
				return Answer{}, err
			}
			a.Body = c.answer
		}
		return a, nil
	}
}

// framing says how an answer's body ends.
type framing struct {
	length  int64 // -1 when not given
	chunked bool
}

var (
	httpPrefix       = []byte("HTTP/1.")
	headerLength     = []byte("content-length")
	headerTransfer   = []byte("transfer-encoding")
	headerConnection = []byte("connection")
	headerRetryAfter = []byte("retry-after")
)

func (c *Conn) readHead() (Answer, framing, error) {
	line, err := c.readLine()
	if err != nil {
		return Answer{}, framing{}, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, httpPrefix) {
		return Answer{}, framing{}, fmt.Errorf("not an HTTP status line: %.60q", line)
	}
	if line[7] == '0' {
		c.spent = true
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return Answer{}, framing{}, fmt.Errorf("not an HTTP status line: %.60q", line)
	}
	a, f := Answer{Status: status}, framing{length: -1}
	for {
		line, err := c.readLine()
		if err != nil {
			return Answer{}, framing{}, err
		}
		if len(line) == 0 {
			return a, f, nil
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			return Answer{}, framing{}, fmt.Errorf("not an HTTP header: %.60q", line)
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, headerLength):
			if f.length, err = strconv.ParseInt(string(value), 10, 64); err != nil || f.length < 0 {
				return Answer{}, framing{}, fmt.Errorf("not a Content-Length: %.60q", value)
			}
		case bytes.EqualFold(name, headerTransfer):
			f.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, headerConnection):
			if bytes.EqualFold(value, []byte("close")) {
				c.spent = true
			}
		case bytes.EqualFold(name, headerRetryAfter):
			if seconds, err := strconv.Atoi(string(value)); err == nil && seconds > 0 {
				a.RetryAfter = time.Duration(seconds) * time.Second
			}
		}
	}
}

// readLine returns a line without its end, valid until the next read.
func (c *Conn) readLine() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

func (c *Conn) readBody(f framing) error {
	c.answer = c.answer[:0]
	switch {
	case f.chunked:
		return c.readChunks()
	case f.length >= 0:
		return c.readPart(f.length)
	}
	// Neither given: the body ends with the connection.
	c.spent = true
	for {
		if err := c.readPart(1); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
	}
}

func (c *Conn) readChunks() error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte{';'})
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("not a chunk size: %.60q", line)
		}
		if n > 0 {
			if err := c.readPart(n); err != nil {
				return err
			}
		}
		// The line after a chunk is empty; after the last one come trailers and
		// an empty line.
		for {
			line, err := c.readLine()
			if err != nil {
				return err
			}
			if len(line) == 0 {
				break
			}
			if n > 0 {
				return fmt.Errorf("chunk of %d bytes does not end where it should", n)
			}
		}
		if n == 0 {
			return nil
		}
	}
}

// readPart reads n bytes of a body and keeps what there is room for.
func (c *Conn) readPart(n int64) error {
	keep := min(n, c.keepBytes-int64(len(c.answer)))
	have := len(c.answer)
	if need := have + int(keep); cap(c.answer) < need {
		c.answer = append(make([]byte, 0, 2*need), c.answer...)
	}
	c.answer = c.answer[:have+int(keep)]
	got, err := io.ReadFull(c.br, c.answer[have:])
	c.answer = c.answer[:have+got]
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, c.br, n-keep)
	return err
}
