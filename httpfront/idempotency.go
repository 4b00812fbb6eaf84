package httpfront

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// headerIdempotencyKey names a write, so that it can be sent again without being written
// again: draft-ietf-httpapi-idempotency-key-header. headerReplayed marks an answer that is
// the first one's.
const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotent-Replayed"
	// keyBytesMax is the longest key.
	keyBytesMax = 255
)

// idempotencyKeyOf is the key of c's request, "" if it has none. A key is written as the draft
// has it, in double quotes, or bare as nearly everyone writes it: 1 to 255 characters of
// visible ASCII.
func idempotencyKeyOf(c *fasthttp.RequestCtx) (string, error) {
	h := c.Request.Header.Peek(headerIdempotencyKey)
	if h == nil {
		return "", nil
	}
	if n := len(h); n >= 2 && h[0] == '"' && h[n-1] == '"' {
		h = h[1 : n-1]
	}
	ok := len(h) > 0 && len(h) <= keyBytesMax
	for i := 0; i < len(h) && ok; i++ {
		ok = h[i] > ' ' && h[i] < 0x7f && h[i] != '"' && h[i] != '\\'
	}
	if !ok {
		return "", engine.Errorf(engine.Invalid, "invalid %s header: it takes 1 to %d characters of visible ASCII, with or without quotes around them", headerIdempotencyKey, keyBytesMax)
	}
	return string(h), nil
}

// idempotencyKey is a key as one caller uses it for one bucket: what others call by the same
// name is something else.
type idempotencyKey struct {
	bucket engine.BucketID
	caller callerID
	key    string
}

// callerID is who sends a request: a token, or a user who has signed in.
type callerID struct{ authorization, user point.ID }

func callerOf(p *engine.Principal) callerID { return callerID{p.AuthorizationID, p.UserID} }

// fingerprint tells a request's content from any other.
type fingerprint [sha256.Size]byte

func fingerprintOf(body []byte, p engine.Precision) (f fingerprint) {
	h := sha256.New()
	var unit [8]byte
	binary.BigEndian.PutUint64(unit[:], uint64(p))
	h.Write(unit[:])
	h.Write(body)
	h.Sum(f[:0])
	return f
}

// idempotency remembers the answers of the writes that came with a key. A write whose answer
// is not final, 503 above all, runs again when it is sent again, but with the time of the
// first: points without a timestamp, which it may have stored already, overwrite themselves.
//
// It is bounded by the number of keys, by their bytes and by time; the oldest go first. A key
// that has gone, also by a restart, is a new one.
type idempotency struct {
	keysMax  int
	bytesMax int64
	window   time.Duration
	now      func() time.Time

	mu     sync.Mutex
	known  map[idempotencyKey]*remembered // guarded by mu
	order  list.List                      // of *remembered that do not run, the oldest first; guarded by mu
	bytes  int64                          // of those in order; guarded by mu
	counts idempotencyCounts              // guarded by mu
}

// idempotencyCounts is what metrics show.
type idempotencyCounts struct {
	replayed, mismatched, forgotten uint64
	keys                            int
	bytes                           int64
}

// remembered is what is known of one key. Guarded by idempotency.mu, but for key, content
// and first, which do not change.
type remembered struct {
	key     idempotencyKey
	content fingerprint
	first   time.Time // when it came for the first time
	// running is closed when the write that runs has ended; nil while none does.
	running chan struct{}
	final   bool
	err     error // the answer, if final
	bytes   int64
	ended   time.Time
	place   *list.Element // in order; nil while running
}

// rememberedBytes is what an answer takes beside its texts.
const rememberedBytes = 400

func newIdempotency(o *Options, now func() time.Time) *idempotency {
	return &idempotency{keysMax: o.IdempotencyKeysMax, bytesMax: o.IdempotencyBytesMax, window: o.IdempotencyWindow, now: now,
		known: make(map[idempotencyKey]*remembered)}
}

var errKeyReused = engine.Errorf(engine.Unprocessable, "this %s was used before for another body or precision; nothing was written", headerIdempotencyKey)

// keyInUseError is a write whose key belongs to one that has not ended.
type keyInUseError struct{}

func (*keyInUseError) Error() string {
	return "a write with this " + headerIdempotencyKey + " has not ended yet; nothing more was written"
}

// do runs a write unless its key says that it has run, and returns its answer and whether
// that is the first one's. It waits for a write with the same key that runs, at most for
// long. run gets the time that points without timestamp are to have.
func (d *idempotency) do(ctx context.Context, key idempotencyKey, content fingerprint, long time.Duration, run func(time.Time) error) (err error, replayed bool) {
	var expired <-chan time.Time
	for {
		r, wait, err := d.begin(key, content)
		if err != nil {
			return err, false
		}
		if wait == nil && r.final {
			return r.err, true
		}
		if wait == nil {
			err := errors.New("panicked")
			defer func() { d.end(r, err) }()
			err = run(r.first)
			return err, false
		}
		if expired == nil {
			t := time.NewTimer(long)
			defer t.Stop()
			expired = t.C
		}
		select {
		case <-wait:
		case <-expired:
			return new(keyInUseError), false
		case <-ctx.Done():
			return &engine.Error{Kind: engine.Unavailable, RetryAfter: time.Second, Message: "shutting down; nothing was written", Err: ctx.Err()}, false
		}
	}
}

// begin looks a key up. The caller has to run the write, and to end it, unless there is an
// error, or wait for one that runs, or the answer is final.
func (d *idempotency) begin(key idempotencyKey, content fingerprint) (r *remembered, wait <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for front := d.order.Front(); front != nil && now.Sub(front.Value.(*remembered).ended) >= d.window; front = d.order.Front() {
		d.forget(front.Value.(*remembered))
	}
	r = d.known[key]
	switch {
	case r == nil:
		r = &remembered{key: key, content: content, first: now}
		d.known[key] = r
	case r.content != content:
		d.counts.mismatched++
		return nil, nil, errKeyReused
	case r.running != nil:
		return r, r.running, nil
	case r.final:
		d.counts.replayed++
		return r, nil, nil
	default:
		d.order.Remove(r.place)
		d.bytes -= r.bytes
		r.place = nil
	}
	r.running = make(chan struct{})
	return r, nil, nil
}

// end notes what became of a write.
func (d *idempotency) end(r *remembered, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(r.running)
	r.running, r.ended = nil, d.now()
	r.err, r.final = finalAnswer(err)
	r.bytes = rememberedBytes + int64(len(r.key.key)) + answerBytes(r.err)
	r.place = d.order.PushBack(r)
	d.bytes += r.bytes
	for d.order.Len() > d.keysMax || d.bytes > d.bytesMax {
		d.counts.forgotten++
		d.forget(d.order.Front().Value.(*remembered))
	}
}

func (d *idempotency) forget(r *remembered) {
	d.order.Remove(r.place)
	d.bytes -= r.bytes
	delete(d.known, r.key)
}

func (d *idempotency) stats() idempotencyCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.counts
	c.keys, c.bytes = d.order.Len(), d.bytes
	return c
}

// finalAnswer reports whether the same write would get the same answer again, and is that
// answer without what need not be kept.
func finalAnswer(err error) (error, bool) {
	if err == nil {
		return nil, true
	}
	var e *engine.Error
	if !errors.As(err, &e) {
		return nil, false
	}
	switch e.Kind {
	case engine.Invalid, engine.Unprocessable, engine.TooLarge:
		kept := *e
		kept.Err = nil
		return &kept, true
	}
	return nil, false
}

// answerBytes is what an answer's texts take.
func answerBytes(err error) int64 {
	var e *engine.Error
	if !errors.As(err, &e) {
		return 0
	}
	const item = 128 // of a slice, beside its texts
	n := len(e.Message)
	for i := range e.Lines {
		n += item + len(e.Lines[i].Message) + len(e.Lines[i].Text)
	}
	if e.Partial != nil {
		for i := range e.Partial.Points {
			p := &e.Partial.Points[i]
			n += item + len(p.Series) + len(p.Field) + len(p.Message)
		}
	}
	return int64(n)
}
