package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Batch is line protocol to write at once.
type Batch struct {
	// Org and Bucket are names or ids. An empty Org is left out.
	Org, Bucket string
	// Precision is ns, us, ms, s or auto; empty is ns.
	Precision string
	// Body is the line protocol, uncompressed. Write does not keep it.
	Body []byte
	// Compression is how Body travels: "gzip", "zstd", or "" for as it is.
	Compression string
	// DryRun has the server say what it would do, and do nothing.
	DryRun bool
	// Tries is how often it may be sent. Default 1.
	Tries int
	// Waiting is told before each wait for another try, unless it is nil.
	Waiting func(err error, wait time.Duration)
}

// writePath is where Write sends batches.
const writePath = "/api/v2/write"

const (
	waitMin = time.Second
	waitMax = time.Minute
)

// Write sends a batch until it is taken or refused for good. It waits as long as the
// server asks, up to a minute, or 1 s, 2 s, 4 s and so on when the server is not there. A batch
// whose answer was lost is safe to send again: the same points overwrite themselves.
func (c *Client) Write(ctx context.Context, b Batch) error {
	body, encoding, err := compress(b.Body, b.Compression)
	if err != nil {
		return err
	}
	q := url.Values{"bucket": {b.Bucket}}
	if b.Org != "" {
		q.Set("org", b.Org)
	}
	if b.Precision != "" {
		q.Set("precision", b.Precision)
	}
	if b.DryRun {
		q.Set("dry_run", "true")
	}
	headers := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	if encoding != "" {
		headers.Set("Content-Encoding", encoding)
	}
	backoff := waitMin
	for try := 1; ; try++ {
		resp, err := c.Do(ctx, Request{Method: http.MethodPost, Path: writePath, Query: q, Headers: headers, Body: bytes.NewReader(body)})
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			return errors.Join(err, resp.Body.Close())
		}
		wait, again := retryWait(err, backoff)
		if !again || ctx.Err() != nil {
			return err
		}
		if try >= b.Tries {
			if try > 1 {
				err = fmt.Errorf("after %d tries: %w", try, err)
			}
			return err
		}
		backoff = min(2*backoff, waitMax)
		if b.Waiting != nil {
			b.Waiting(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// retryWait is how long to wait before another try, and whether one makes sense.
func retryWait(err error, backoff time.Duration) (time.Duration, bool) {
	var refused *Error
	var unreachable *UnreachableError
	switch {
	case errors.As(err, &refused):
		if refused.RetryAfter > 0 {
			backoff = min(refused.RetryAfter, waitMax)
		}
		return backoff, refused.Temporary()
	case errors.As(err, &unreachable):
		return backoff, unreachable.Temporary()
	}
	return 0, false
}

var gzips = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is one
	return w
}}

var zstds = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
})

func compress(body []byte, how string) (b []byte, encoding string, err error) {
	switch how {
	case "gzip":
		var out bytes.Buffer
		w := gzips.Get().(*gzip.Writer)
		w.Reset(&out)
		_, err := w.Write(body)
		err = errors.Join(err, w.Close())
		gzips.Put(w)
		return out.Bytes(), how, err
	case "zstd":
		e, err := zstds()
		if err != nil {
			return nil, "", err
		}
		return e.EncodeAll(body, nil), how, nil
	case "", "none":
		return body, "", nil
	}
	return nil, "", fmt.Errorf("compression %q is none of gzip, zstd, none", how)
}
