package engine

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"
	"unsafe"

	"headgate/engine/point"
)

// RejectedPoint is a line that a bucket did not take: of a batch that was refused as a
// whole because lines of it are malformed, or a point that was dropped.
type RejectedPoint struct {
	// Sequence is larger for whatever came later, also over restarts, as long as the
	// clock is right.
	Sequence uint64
	Time     time.Time
	// Kind is that of the write's error: Invalid when nothing of the batch was written,
	// Unprocessable when only some points were dropped.
	Kind Kind
	// Line is the line's number in its batch, from 1.
	Line int
	// Code is malformed, or as in [PointError], and Message says it in words.
	Code, Message string
	// Measurement is the point's. Of a malformed line it is what stands in its place.
	Measurement string
	// Text is the line as it was sent, up to its end or 1 KiB.
	Text string
	SenderInfo
	// More is how many lines of the same batch, after this one, were rejected and are
	// not listed.
	More int
}

// SenderInfo says who sent a batch.
type SenderInfo struct {
	// Address is where it came from, host and port.
	Address string
	// UserAgent is what the client calls itself.
	UserAgent string
	// RequestID names the request: as its sender does, or else as the server.
	RequestID string
}

// Sender knows who sent a batch. It is asked only once something of the batch is
// rejected, before the write returns.
type Sender interface {
	SenderInfo() SenderInfo
}

// RejectedQuery chooses rejected points. The zero value chooses all that are kept.
type RejectedQuery struct {
	// After chooses those with a larger Sequence.
	After uint64
	// Since chooses those of this time or later.
	Since time.Time
	// Limit chooses the newest so many of them, 0 for all.
	Limit int
	// Page chooses the oldest so many of what is left, 0 for all.
	Page int
}

// Rejected is what is known of a bucket's rejected points.
type Rejected struct {
	// Points are those that were asked for, the oldest first.
	Points []RejectedPoint
	// Last is the Sequence up to which RejectedQuery has been answered: the newest one's,
	// or the last of the page's. With it as After, the next call goes on.
	Last uint64
	// Newest is the newest one's Sequence, whether it was asked for or not.
	Newest uint64
	// Missed is how many after RejectedQuery.After are not kept any more.
	Missed uint64
	// Changed is closed at the next rejection, or when the bucket is deleted.
	Changed <-chan struct{}
}

// Rejected returns the points that a bucket has lately rejected, as far as
// Options.RejectedPerBucketMax and RejectedBytesMax let them be kept. They are kept in
// memory only. p must be allowed to read the bucket: the lines are what anyone has sent. Errors
// are NotFound, Unauthorized and Forbidden.
func (e *Engine) Rejected(p *Principal, id BucketID, q RejectedQuery) (Rejected, error) {
	b, ok := e.BucketByID(id)
	if !ok {
		return Rejected{}, Errorf(NotFound, "bucket %q not found", id.String())
	}
	if err := p.CanRead(b); err != nil {
		return Rejected{}, err
	}
	answer := e.rejected.query(id, q, e.o.Now())
	e.forgetIfDeleted(id)
	return answer, nil
}

// forgetIfDeleted is called after a ring may have been made: the bucket may have been
// deleted meanwhile, and its ring before.
func (e *Engine) forgetIfDeleted(id BucketID) {
	if _, ok := e.BucketByID(id); !ok {
		e.rejected.drop(id)
	}
}

// RejectedStats is what all buckets' rejected points take.
type RejectedStats struct {
	Points int
	Bytes  int64
	// Buckets is how many have any.
	Buckets int
}

// RejectedStats adds up what is kept of rejected points.
func (e *Engine) RejectedStats() RejectedStats {
	s := &e.rejected
	s.mu.Lock()
	defer s.mu.Unlock()
	st := RejectedStats{Bytes: s.bytes}
	for _, r := range s.rings {
		if len(r.points) > 0 {
			st.Buckets++
			st.Points += len(r.points)
		}
	}
	return st
}

// rejectedPoints keeps the newest rejected points of each bucket. Only who has some to add
// or asks for them comes here: what is accepted costs nothing. A batch adds PointErrorsMax
// at most, so that one that is wrong altogether costs little more than its answer.
type rejectedPoints struct {
	perBucketMax int   // negative: none are kept
	bytesMax     int64 // of all buckets together

	mu    sync.Mutex
	rings map[BucketID]*rejectedRing // guarded by mu
	bytes int64                      // guarded by mu
	full  int                        // rings with points; guarded by mu
}

// rejectedRing is one bucket's. Guarded by rejectedPoints.mu.
type rejectedRing struct {
	points  []RejectedPoint
	bytes   int64
	first   uint64 // Sequence before the first one
	last    uint64
	changed chan struct{} // nil while nobody waits
}

const (
	// rejectedTextBytesMax is how much is kept of a line.
	rejectedTextBytesMax = 1 << 10
	// rejectedNameBytesMax is how much is kept of a measurement and of what a sender says
	// of itself.
	rejectedNameBytesMax = 256
)

func (r *RejectedPoint) bytes() int64 {
	return int64(unsafe.Sizeof(*r)) + int64(len(r.Code)+len(r.Message)+len(r.Measurement)+len(r.Text)+len(r.Address)+len(r.UserAgent)+len(r.RequestID))
}

// ring is id's, made when missing. Sequences begin with the time, so that those from before
// a restart are smaller.
func (s *rejectedPoints) ring(id BucketID, now time.Time) *rejectedRing {
	r := s.rings[id]
	if r == nil {
		if s.rings == nil {
			s.rings = make(map[BucketID]*rejectedRing)
		}
		first := uint64(now.UnixMilli())
		r = &rejectedRing{first: first, last: first}
		s.rings[id] = r
	}
	return r
}

// add keeps points for id, in order, and lets go of the oldest ones that there is no room
// for any more.
func (s *rejectedPoints) add(id BucketID, points []RejectedPoint, now time.Time) {
	if s.perBucketMax < 0 || len(points) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ring(id, now)
	for i := range points {
		p := &points[i]
		r.last++
		p.Sequence = r.last
		if len(r.points) == 0 {
			s.full++
		}
		r.points = append(r.points, *p)
		n := p.bytes()
		r.bytes += n
		s.bytes += n
		if len(r.points) > s.perBucketMax {
			s.forgetOldest(r)
		}
		for s.bytes > s.bytesMax {
			s.forgetOldest(s.victim(r))
		}
	}
	r.wake()
}

// victim is the ring that must give something up: r, which grows, if it has its share,
// else the largest.
func (s *rejectedPoints) victim(r *rejectedRing) *rejectedRing {
	if r.bytes*int64(s.full) >= s.bytesMax {
		return r
	}
	for _, other := range s.rings {
		if other.bytes > r.bytes {
			r = other
		}
	}
	return r
}

func (s *rejectedPoints) forgetOldest(r *rejectedRing) {
	n := r.points[0].bytes()
	r.bytes -= n
	s.bytes -= n
	r.points[0] = RejectedPoint{}
	if r.points = r.points[1:]; len(r.points) == 0 {
		r.points = nil
		s.full--
	}
}

func (r *rejectedRing) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// drop forgets a bucket.
func (s *rejectedPoints) drop(id BucketID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rings[id]
	if r == nil {
		return
	}
	delete(s.rings, id)
	s.bytes -= r.bytes
	if len(r.points) > 0 {
		s.full--
	}
	r.wake()
}

func (s *rejectedPoints) query(id BucketID, q RejectedQuery, now time.Time) Rejected {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ring(id, now)
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	answer := Rejected{Last: r.last, Newest: r.last, Changed: r.changed}
	points := r.points
	if q.After > 0 {
		newer := r.last - min(max(q.After, r.first), r.last)
		kept := min(newer, uint64(len(points)))
		answer.Missed = newer - kept
		points = points[uint64(len(points))-kept:]
	}
	for !q.Since.IsZero() && len(points) > 0 && points[0].Time.Before(q.Since) {
		points = points[1:]
	}
	if q.Limit > 0 && len(points) > q.Limit {
		points = points[len(points)-q.Limit:]
	}
	if q.Page > 0 && len(points) > q.Page {
		points = points[:q.Page]
		answer.Last = points[q.Page-1].Sequence
	}
	answer.Points = append([]RejectedPoint(nil), points...)
	return answer
}

// keepRejected keeps the lines that a write of body has lost, if it has lost any.
func (e *Engine) keepRejected(id BucketID, body []byte, err error, from Sender) {
	var failed *Error
	if e.rejected.perBucketMax < 0 || !errors.As(err, &failed) || failed.Malformed == 0 && (failed.Partial == nil || failed.Partial.Dropped == 0) {
		return
	}
	var who SenderInfo
	if from != nil {
		who = from.SenderInfo()
		for _, s := range []*string{&who.Address, &who.UserAgent, &who.RequestID} {
			*s = strings.ToValidUTF8(beginning(*s, rejectedNameBytesMax), "\ufffd")
		}
	}
	now := e.o.Now()
	lines := lineFinder{rest: body, line: 1}
	var points []RejectedPoint
	add := func(line int, code, message, measurement string) {
		p := RejectedPoint{Time: now, Kind: failed.Kind, Line: line, Code: code, Message: beginning(message, rejectedTextBytesMax), Text: string(lines.text(line)), SenderInfo: who}
		if code == codeMalformed {
			measurement = measurementOf(p.Text)
		}
		p.Measurement = strings.Clone(beginning(measurement, rejectedNameBytesMax)) // not with what it was a part of
		points = append(points, p)
	}
	more := 0
	if p := failed.Partial; p != nil {
		for i := range p.Points {
			measurement, _ := point.ParseSeriesKey([]byte(p.Points[i].Series))
			add(p.Points[i].Line, p.Points[i].Code, p.Points[i].Message, measurement)
		}
		more = p.Dropped - len(p.Points)
	} else {
		for _, l := range failed.Lines {
			add(l.Line, l.Code, l.Message, "")
		}
		more = failed.Malformed - len(failed.Lines)
	}
	if len(points) == 0 {
		return
	}
	points[len(points)-1].More = more
	e.rejected.add(id, points, now)
	e.forgetIfDeleted(id)
}

// measurementOf is what stands where a line has its measurement.
func measurementOf(line string) string {
	line = strings.TrimLeft(line, " \t\x00")
	for i := range len(line) {
		if (line[i] == ',' || line[i] == ' ') && (i == 0 || line[i-1] != '\\') {
			return line[:i]
		}
	}
	return line
}

// lineFinder finds the lines of a body by their numbers, which must not become smaller.
type lineFinder struct {
	rest []byte
	line int // number of the one that rest begins with
}

// text is what stands on a line, up to rejectedTextBytesMax of it. It aliases the body.
func (f *lineFinder) text(line int) []byte {
	for f.line < line {
		i := bytes.IndexByte(f.rest, '\n')
		if i < 0 {
			return nil
		}
		f.rest = f.rest[i+1:]
		f.line++
	}
	text := f.rest[:min(len(f.rest), rejectedTextBytesMax)]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return bytes.TrimSuffix(text, []byte{'\r'})
}
