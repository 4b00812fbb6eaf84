package httpfront

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// rejectedPoint is a rejected point as clients see it.
type rejectedPoint struct {
	Sequence    uint64    `json:"sequence"`
	Time        time.Time `json:"time"`
	Status      int       `json:"status"`
	Line        int       `json:"line"`
	Code        string    `json:"code"`
	Message     string    `json:"message"`
	Measurement string    `json:"measurement"`
	Text        string    `json:"text"`
	Address     string    `json:"address,omitempty"`
	UserAgent   string    `json:"userAgent,omitempty"`
	RequestID   string    `json:"requestID,omitempty"`
	More        int       `json:"more,omitempty"`
}

func showRejected(p *engine.RejectedPoint) rejectedPoint {
	return rejectedPoint{p.Sequence, p.Time.UTC(), statusOf[p.Kind], p.Line, p.Code, p.Message, p.Measurement, p.Text, p.Address, p.UserAgent, p.RequestID, p.More}
}

const (
	rejectedLimitDefault = 100
	rejectedLimitMax     = 1000
	// rejectedPulse is how often a follower hears something, an empty line at least, and
	// its permission is looked at again.
	rejectedPulse = 10 * time.Second

	contentTypeNDJSON = "application/x-ndjson"
)

// rejectedV2 is GET /api/v2/rejected, which is ours alone: the points that a bucket has
// lately rejected, for those who may read it; the oldest first. limit takes the newest so many,
// since those from a time on, or of the last so long, and after those with a larger sequence.
// follow=true goes on with what comes, a JSON object a line, until the client goes away.
func rejectedV2(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
	if err := s.answerRejected(c, p); err != nil {
		s.writeError(c, err, compact)
	}
}

func (s *Server) answerRejected(c *fasthttp.RequestCtx, p *engine.Principal) error {
	body := getBuffer()
	err := s.readSmallBody(c, body) // there is none, or it means nothing
	putBuffer(body)
	if err != nil {
		return err
	}
	args := c.QueryArgs()
	q, follow, err := s.parseRejected(args)
	if err != nil {
		return err
	}
	name := args.Peek("bucket")
	if len(name) == 0 {
		return engine.Errorf(engine.NotFound, "bucket not found: the parameter bucket is missing")
	}
	org, err := s.organization(args)
	if err != nil {
		return err
	}
	bucket, ok := s.bucketOf(org.ID, name)
	if !ok {
		return errBucketNotFound(name)
	}
	all := q.Limit
	q.Page = 1 // to know where they begin
	r, err := s.engine.Rejected(p, bucket.ID, q)
	if err != nil {
		return err
	}
	if len(r.Points) > 0 && all > 0 {
		r.Last = r.Points[0].Sequence - 1
	} else {
		r.Last = r.Newest
	}
	r.Points = nil
	return s.sendRejected(c, p, bucket.ID, r, follow)
}

func (s *Server) parseRejected(args *fasthttp.Args) (q engine.RejectedQuery, follow bool, err error) {
	q.Limit = rejectedLimitDefault
	if v := args.Peek("limit"); len(v) > 0 {
		if q.Limit, err = strconv.Atoi(string(v)); err != nil || q.Limit < 0 || q.Limit > rejectedLimitMax {
			return q, false, engine.Errorf(engine.Invalid, "limit must be between 0 and %d", rejectedLimitMax)
		}
	}
	if v := args.Peek("after"); len(v) > 0 {
		if q.After, err = strconv.ParseUint(string(v), 10, 64); err != nil {
			return q, false, engine.Errorf(engine.Invalid, "invalid after; it takes a sequence number")
		}
	}
	if v := string(args.Peek("since")); v != "" {
		if q.Since, err = time.Parse(time.RFC3339Nano, v); err != nil {
			d, err := time.ParseDuration(v)
			if err != nil || d < 0 {
				return q, false, engine.Errorf(engine.Invalid, "invalid since; it takes a time such as 2026-01-02T15:04:05Z, or a duration such as 15m")
			}
			q.Since = s.engine.Options().Now().Add(-d)
		}
	}
	switch string(args.Peek("follow")) {
	case "true":
		follow = true
	case "", "false":
	default:
		return q, false, engine.Errorf(engine.Invalid, "invalid follow; valid values are true and false")
	}
	return q, follow, nil
}

// followers are the clients that get rejected points.
type followers struct {
	// count is how many follow them, listing how many get those that are kept. Atomic.
	count, listing atomic.Int64
	// pulse is rejectedPulse, but for tests.
	pulse time.Duration
	// ctx ends when the server shuts down: they would never be done.
	ctx context.Context
	end context.CancelFunc
}

// rejectedStream is the answer to one of them. fasthttp reads it, in the goroutine of the
// connection, and closes it. It holds no more than a page of points, however slow its client
// is and however many there are to send.
type rejectedStream struct {
	server *Server
	bucket engine.BucketID
	count  *atomic.Int64
	caller *engine.Principal

	// last is the sequence up to which points have been taken to be sent; until is where
	// a list ends. missed is how many of a follower's have gone.
	last, until uint64
	missed      uint64
	page        []engine.RejectedPoint
	listed      int // how many a list has had
	ended       bool
	buf         []byte
	off         int

	// Of those who follow; a list has no ctx.
	again   func() (*engine.Principal, error)
	ctx     context.Context
	cancel  context.CancelFunc
	stop    func() // of the connection's watch
	pulse   *time.Timer
	changed <-chan struct{} // nil when there is more already
	once    sync.Once
}

// sendRejected answers with what r goes on with, up to now, or with follow whatever comes.
func (s *Server) sendRejected(c *fasthttp.RequestCtx, p *engine.Principal, bucket engine.BucketID, r engine.Rejected, follow bool) error {
	st := &rejectedStream{server: s, bucket: bucket, count: &s.followers.listing, caller: p, last: r.Last, until: r.Newest}
	if follow {
		st.count = &s.followers.count
	}
	if n := st.count.Add(1); n > int64(s.options.RejectedFollowersMax) {
		st.count.Add(-1)
		return &engine.Error{Kind: engine.Unavailable, RetryAfter: rejectedPulse,
			Message: "as many ask for rejected points as Options.RejectedFollowersMax (--max-rejected-followers) allows, " + strconv.Itoa(s.options.RejectedFollowersMax)}
	}
	if follow {
		st.missed = r.Missed
		st.again, st.pulse = s.authenticateAgain(c), time.NewTimer(s.followers.pulse)
		st.ctx, st.cancel = context.WithCancel(s.followers.ctx)
		st.stop = connOf(c).watch(st.cancel)
		st.buf = append(st.buf, '\n') // so that the client has the answer's head
		c.SetContentType(contentTypeNDJSON)
	} else {
		st.buf = fmt.Appendf(st.buf, `{"bucketID":"%s","last":%d,"missed":%d,"rejected":[`, bucket, r.Newest, r.Missed)
		c.SetContentType(jsonType)
	}
	c.SetBodyStream(st, -1)
	return nil
}

// authenticateAgain finds out later, when c is not to be looked at any more, what its
// caller may do then.
func (s *Server) authenticateAgain(c *fasthttp.RequestCtx) func() (*engine.Principal, error) {
	if s.authDisabled {
		return func() (*engine.Principal, error) { return s.engine.Operator(), nil }
	}
	if token := string(headerToken(c)); token != "" {
		return func() (*engine.Principal, error) { return s.engine.AuthenticateToken(token) }
	}
	key := string(c.Request.Header.Cookie(sessionCookie))
	return func() (*engine.Principal, error) { return s.engine.AuthenticateSession(key) }
}

// rejectedPage is how many points are taken at once.
const rejectedPage = 32

// Read implements io.Reader. Following ends when the client has gone, may not read any more, or
// the bucket or the server is gone.
func (st *rejectedStream) Read(p []byte) (int, error) {
	for st.off == len(st.buf) {
		st.buf, st.off = st.buf[:0], 0
		switch {
		case len(st.page) > 0:
			st.show()
		case st.ended:
			return 0, io.EOF
		case st.ctx == nil && (st.last >= st.until || !st.turn()):
			st.ended = true
			st.buf = append(st.buf, "]}"...)
		case st.ctx != nil && (!st.wait() || !st.turn()):
			return 0, io.EOF
		}
	}
	n := copy(p, st.buf[st.off:])
	st.off += n
	return n, nil
}

// show moves a point into buf.
func (st *rejectedStream) show() {
	point := &st.page[0]
	st.page = st.page[1:]
	if st.ctx == nil && point.Sequence > st.until {
		return
	}
	if st.ctx == nil && st.listed > 0 {
		st.buf = append(st.buf, ',')
	}
	st.listed++
	line, err := json.Marshal(showRejected(point))
	if err != nil { // cannot be
		line = []byte("{}")
	}
	st.buf = append(st.buf, line...)
	if st.ctx != nil {
		st.buf = append(st.buf, '\n')
	}
}

// turn takes the next page.
func (st *rejectedStream) turn() bool {
	r, err := st.server.engine.Rejected(st.caller, st.bucket, engine.RejectedQuery{After: st.last, Page: rejectedPage})
	if err != nil {
		return false
	}
	st.page, st.last, st.changed = r.Points, r.Last, r.Changed
	if r.Last < r.Newest {
		st.changed = nil
	}
	if st.missed += r.Missed; st.missed > 0 && st.ctx != nil {
		st.buf = append(strconv.AppendUint(append(st.buf, `{"missed":`...), st.missed, 10), "}\n"...)
		st.missed = 0
	}
	return true
}

// wait waits until there is more, or for the pulse. It reports whether to go on.
func (st *rejectedStream) wait() bool {
	if st.changed == nil {
		return st.ctx.Err() == nil
	}
	st.pulse.Reset(st.server.followers.pulse)
	select {
	case <-st.changed:
		return true
	case <-st.pulse.C:
		caller, err := st.again()
		st.caller = caller
		st.buf = append(st.buf, '\n')
		return err == nil
	case <-st.ctx.Done():
		return false
	}
}

// Close gives back what the client held.
func (st *rejectedStream) Close() error {
	st.once.Do(func() {
		if st.ctx != nil {
			st.cancel()
			st.stop()
			st.pulse.Stop()
		}
		st.count.Add(-1)
	})
	return nil
}
