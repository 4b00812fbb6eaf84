package httpfront

import (
	"context"
	"encoding/json"
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

// rejectedAnswer is the answer of GET /api/v2/rejected.
type rejectedAnswer struct {
	BucketID string          `json:"bucketID"`
	Last     uint64          `json:"last"`
	Missed   uint64          `json:"missed"`
	Rejected []rejectedPoint `json:"rejected"`
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
		return engine.Errorf(engine.NotFound, "bucket not found")
	}
	org, err := s.organization(args)
	if err != nil {
		return err
	}
	bucket, ok := s.bucketOf(org.ID, name)
	if !ok {
		return errBucketNotFound(name)
	}
	r, err := s.engine.Rejected(p, bucket.ID, q)
	if err != nil {
		return err
	}
	if q.Limit == 0 {
		r.Points = nil
	}
	if follow {
		return s.followRejected(c, p, bucket.ID, r)
	}
	answer := rejectedAnswer{bucket.ID.String(), r.Last, r.Missed, make([]rejectedPoint, len(r.Points))}
	for i := range r.Points {
		answer.Rejected[i] = showRejected(&r.Points[i])
	}
	s.writeJSON(c, fasthttp.StatusOK, answer)
	return nil
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

// followers are the clients that follow rejected points.
type followers struct {
	// count is how many there are. Atomic.
	count atomic.Int64
	// pulse is rejectedPulse, but for tests.
	pulse time.Duration
	// ctx ends when the server shuts down: they would never be done.
	ctx context.Context
	end context.CancelFunc
}

// rejectedStream is the answer to one of them. fasthttp reads it, in the goroutine of the
// connection, and closes it.
type rejectedStream struct {
	server *Server
	bucket engine.BucketID
	again  func() (*engine.Principal, error)
	ctx    context.Context
	cancel context.CancelFunc
	stop   func() // of the connection's watch
	once   sync.Once
	pulse  *time.Timer

	caller *engine.Principal
	known  engine.Rejected // what of it has not been sent is in Points
	buf    []byte
	off    int
}

// followRejected answers with r and whatever comes.
func (s *Server) followRejected(c *fasthttp.RequestCtx, p *engine.Principal, bucket engine.BucketID, r engine.Rejected) error {
	if n := s.followers.count.Add(1); n > int64(s.options.RejectedFollowersMax) {
		s.followers.count.Add(-1)
		return &engine.Error{Kind: engine.Unavailable, RetryAfter: rejectedPulse,
			Message: "as many follow rejected points as Options.RejectedFollowersMax (--max-rejected-followers) allows, " + strconv.Itoa(s.options.RejectedFollowersMax)}
	}
	st := &rejectedStream{server: s, bucket: bucket, again: s.authenticateAgain(c), caller: p, known: r, pulse: time.NewTimer(s.followers.pulse)}
	st.ctx, st.cancel = context.WithCancel(s.followers.ctx)
	st.stop = connOf(c).watch(st.cancel)
	st.show()
	if len(st.buf) == 0 {
		st.buf = append(st.buf, '\n') // so that the client has the answer's head
	}
	c.SetContentType(contentTypeNDJSON)
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

// rejectedPiece is how much is made ready to be sent at once.
const rejectedPiece = 16 << 10

// show moves points into buf, which has been read.
func (st *rejectedStream) show() {
	st.buf, st.off = st.buf[:0], 0
	if n := st.known.Missed; n > 0 {
		st.known.Missed = 0
		st.buf = append(strconv.AppendUint(append(st.buf, `{"missed":`...), n, 10), "}\n"...)
	}
	for len(st.known.Points) > 0 && len(st.buf) < rejectedPiece {
		line, err := json.Marshal(showRejected(&st.known.Points[0]))
		if err == nil { // cannot fail
			st.buf = append(append(st.buf, line...), '\n')
		}
		st.known.Points = st.known.Points[1:]
	}
}

// Read implements io.Reader. It ends when the client has gone, may not read any more, or
// the bucket or the server is gone.
func (st *rejectedStream) Read(p []byte) (int, error) {
	for st.off == len(st.buf) {
		if len(st.known.Points) > 0 {
			st.show()
			continue
		}
		st.pulse.Reset(st.server.followers.pulse)
		select {
		case <-st.known.Changed:
		case <-st.pulse.C:
			caller, err := st.again()
			if err != nil {
				return 0, io.EOF
			}
			st.caller = caller
			st.buf, st.off = append(st.buf[:0], '\n'), 0
		case <-st.ctx.Done():
			return 0, io.EOF
		}
		r, err := st.server.engine.Rejected(st.caller, st.bucket, engine.RejectedQuery{After: st.known.Last})
		if err != nil {
			return 0, io.EOF
		}
		st.known = r
		if len(r.Points) > 0 || r.Missed > 0 {
			st.show()
		}
	}
	n := copy(p, st.buf[st.off:])
	st.off += n
	return n, nil
}

// Close gives back what the follower held.
func (st *rejectedStream) Close() error {
	st.once.Do(func() {
		st.cancel()
		st.stop()
		st.pulse.Stop()
		st.server.followers.count.Add(-1)
	})
	return nil
}
