package httpfront

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

const rejectedTarget = "/api/v2/rejected?org=acme&bucket=b0"

// rejectedAnswer is the answer of GET /api/v2/rejected.
type rejectedAnswer struct {
	BucketID string
	Last     uint64
	Missed   uint64
	Rejected []rejectedPoint
}

func (f *front) rejected(t *testing.T, params string) rejectedAnswer {
	t.Helper()
	a := f.request(t, "GET", rejectedTarget+params, tokenHeader(), nil)
	var r rejectedAnswer
	if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.StatusCode != 200 {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return r
}

// fixed is points without what differs from run to run.
func fixed(points []rejectedPoint) []rejectedPoint {
	for i := range points {
		p := &points[i]
		p.Sequence, p.Time, p.Address = 0, time.Time{}, strings.Split(p.Address, ":")[0]
	}
	return points
}

func TestRejected(t *testing.T) {
	var log bytes.Buffer
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }})
	if a := f.request(t, "POST", writeTarget+"&dry_run=true", tokenHeader(), []byte("m f")); a.StatusCode != 400 || log.Len() != 0 {
		t.Fatalf("%s: a dry run is logged: %s", a.body, log.String())
	}
	h := tokenHeader("User-Agent", "agent/1", headerRequestID, "r-1", "Content-Encoding", "gzip")
	a := f.request(t, "POST", writeTarget, h, encode(t, "gzip", []byte("m f=1 1\nm f=\"<x>\" 2\nm f=2 2\nm f=3i 3")))
	if a.StatusCode != 422 {
		t.Fatal(a.body)
	}
	a = f.request(t, "POST", "/write?db=b0&u=any&p="+testToken, http.Header{"User-Agent": {"agent/2"}}, []byte("m f=1\nm f"))
	if a.StatusCode != 400 {
		t.Fatal(a.body)
	}
	r := f.rejected(t, "")
	id := r.Rejected[2].RequestID
	if len(id) != 16 {
		t.Errorf("request id %q", id)
	}
	conflict := func(want string) string {
		return `field type conflict: input field "f" on measurement "m" is type ` + want + `, already exists as type float`
	}
	want := []rejectedPoint{
		{Status: 422, Line: 2, Code: "field_type_conflict", Message: conflict("string"), Measurement: "m", Text: `m f="<x>" 2`, Address: "127.0.0.1", UserAgent: "agent/1", RequestID: "r-1"},
		{Status: 422, Line: 4, Code: "field_type_conflict", Message: conflict("integer"), Measurement: "m", Text: "m f=3i 3", Address: "127.0.0.1", UserAgent: "agent/1", RequestID: "r-1"},
		{Status: 400, Line: 2, Code: "malformed", Message: "invalid field format", Measurement: "m", Text: "m f", Address: "127.0.0.1", UserAgent: "agent/2", RequestID: id},
	}
	last, second := r.Last, r.Rejected[1].Sequence
	if got := fixed(r.Rejected); !reflect.DeepEqual(got, want) || r.Missed != 0 || last != second+1 {
		t.Errorf("got %+v, last %d\nwant %+v", got, last, want)
	}
	for params, n := range map[string]int{
		"&limit=1": 1, "&limit=0": 0, fmt.Sprintf("&after=%d", second): 1, fmt.Sprintf("&after=%d", last): 0, "&since=1h": 3, "&since=2100-01-01T00:00:00Z": 0,
		"&since=2020-01-01T00:00:00.5%2B02:00": 3,
	} {
		if r := f.rejected(t, params); len(r.Rejected) != n || r.Last != last {
			t.Errorf("%s: %d points, want %d", params, len(r.Rejected), n)
		}
	}
	for params, status := range map[string]int{
		"org=acme&bucket=b0&limit=-1": 400, "org=acme&bucket=b0&limit=1001": 400, "org=acme&bucket=b0&limit=x": 400, "org=acme&bucket=b0&after=-1": 400,
		"org=acme&bucket=b0&since=yesterday": 400, "org=acme&bucket=b0&since=-1h": 400, "org=acme&bucket=b0&follow=1": 400, "org=acme": 404, "org=acme&bucket=x": 404, "bucket=b0": 400, "org=x&bucket=b0": 404,
	} {
		if a := f.request(t, "GET", "/api/v2/rejected?"+params, tokenHeader(), nil); a.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", params, a.StatusCode, a.body, status)
		}
	}
	if a := f.request(t, "GET", "/api/v2/rejected?org=acme", tokenHeader(), nil); !strings.Contains(a.body, "parameter bucket is missing") {
		t.Errorf("without a bucket: %s", a.body)
	}
	if a := f.request(t, "GET", rejectedTarget, tokenHeader(), nil); strings.Contains(a.body, testToken) || a.Header.Get("Content-Type") != jsonType {
		t.Errorf("%v %s", a.Header, a.body)
	}
	a = f.request(t, "GET", "/metrics", nil, nil)
	for _, line := range []string{"headgate_rejected_points_kept 3", "headgate_lines_malformed_total 1", `headgate_dry_runs_total{outcome="invalid"} 1`, `headgate_points_dropped_total{reason="field_type_conflict"} 2`} {
		if !strings.Contains(a.body, line+"\n") {
			t.Errorf("metrics have no %s", line)
		}
	}
}

// TestRejectedInPages rejects more than is taken at once.
func TestRejectedInPages(t *testing.T) {
	f := newFront(t, frontConfig{})
	for i := range 3 {
		f.write(t, strings.Repeat(fmt.Sprintf("line%d\n", i), 75))
	}
	for params, n := range map[string]int{"&limit=1000": 225, "&limit=150": 150, "&limit=32": 32, "&limit=33": 33, "&limit=1": 1} {
		r := f.rejected(t, params)
		if len(r.Rejected) != n || r.Rejected[n-1].Sequence != r.Last || r.Rejected[0].Sequence != r.Last-uint64(n)+1 {
			t.Errorf("%s: %d points up to %d", params, len(r.Rejected), r.Last)
		}
		c := f.follow(t, params, tokenHeader())
		for i := range n {
			c.want(r.Rejected[i].Text)
		}
		c.Close()
	}
	f.waitFollowers(t, 0)
	if n := f.s.followers.listing.Load(); n != 0 {
		t.Errorf("%d list", n)
	}
}

// FuzzRejectedQuery: parameters are refused, or within their bounds.
func FuzzRejectedQuery(f *testing.F) {
	for _, s := range []string{"limit=0&after=1&since=1h", "since=2026-01-02T03:04:05.678%2B01:00&follow=true", "limit=1000&after=18446744073709551615&follow=false", "since=-1h", "limit=%zz"} {
		f.Add(s)
	}
	fs := new(fuzzServer)
	f.Cleanup(func() { fs.close(f) })
	f.Fuzz(func(t *testing.T, params string) {
		s := fs.get(t)
		var args fasthttp.Args
		args.Parse(params)
		q, _, err := s.parseRejected(&args)
		if err != nil {
			var e *engine.Error
			if !errors.As(err, &e) || e.Kind != engine.Invalid {
				t.Errorf("%q: %v", params, err)
			}
			return
		}
		if q.Limit < 0 || q.Limit > rejectedLimitMax {
			t.Errorf("%q: %+v", params, q)
		}
		b, ok := s.engine.BucketByName(s.engine.Operator().OrgID, "b0")
		if r, err := s.engine.Rejected(s.engine.Operator(), b.ID, q); ok && (err != nil || len(r.Points) > rejectedLimitMax) {
			t.Errorf("%q: %+v, %v", params, q, err)
		}
	})
}

// follower is a client that follows.
type follower struct {
	*client
	lines *bufio.Reader
}

func (f *front) follow(t *testing.T, params string, h http.Header) *follower {
	t.Helper()
	c := f.dial(t)
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s&follow=true%s HTTP/1.1\r\nHost: test\r\n", rejectedTarget, params)
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	c.send(b.String() + "\r\n")
	r, err := http.ReadResponse(c.r, &http.Request{Method: "GET"})
	if err != nil || r.StatusCode != 200 || r.Header.Get("Content-Type") != contentTypeNDJSON {
		t.Fatalf("%+v, %v", r, err)
	}
	return &follower{c, bufio.NewReader(r.Body)}
}

// next is the next line that is not empty, "" at the end.
func (f *follower) next() string {
	f.t.Helper()
	for {
		line, err := f.lines.ReadString('\n')
		if err == io.EOF && line == "" {
			return ""
		}
		if err != nil {
			f.t.Fatalf("%q: %v", line, err)
		}
		if line != "\n" {
			return line
		}
	}
}

func (f *follower) want(text string) {
	f.t.Helper()
	line := f.next()
	var p rejectedPoint
	if err := json.Unmarshal([]byte(line), &p); err != nil || p.Text != text {
		f.t.Fatalf("got %s (%v), want %s", line, err, text)
	}
}

// wait waits until n clients follow.
func (f *front) waitFollowers(t *testing.T, n int64) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for f.s.followers.count.Load() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d followers, want %d", f.s.followers.count.Load(), n)
		}
		f.request(t, "GET", "/ping", nil, nil) // some work in between
	}
}

func TestFollowRejected(t *testing.T) {
	f := newFront(t, frontConfig{options: func(e *engine.Options, o *Options) {
		o.RejectedFollowersMax = 2
		e.RejectedPerBucketMax = 5
	}})
	f.write(t, "old1\nold2")
	all, fresh := f.follow(t, "&limit=1", tokenHeader()), f.follow(t, "&limit=0", tokenHeader())
	all.want("old2")
	f.write(t, "new1\nnew2")
	for _, c := range []*follower{all, fresh} {
		c.want("new1")
		c.want("new2")
	}
	if a := f.request(t, "GET", rejectedTarget+"&follow=true", tokenHeader(), nil); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "--max-rejected-followers") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	// One that goes away makes room; so does one that never read.
	all.Close()
	f.waitFollowers(t, 1)
	third := f.follow(t, "&limit=0", tokenHeader())
	f.write(t, strings.Repeat("many\n", 10))
	if line := fresh.next(); line != "{\"missed\":5}\n" {
		t.Errorf("got %s", line)
	}
	for range 5 {
		fresh.want("many")
	}
	third.Close()
	f.waitFollowers(t, 1)
	f.stop(t) // does not wait for those who follow
	if line := fresh.next(); line != "" {
		t.Errorf("after the end: %s", line)
	}
	if n := f.s.followers.count.Load(); n != 0 {
		t.Errorf("%d followers", n)
	}
}

// TestFollowRejectedPermission takes away what lets a client follow.
func TestFollowRejectedPermission(t *testing.T) {
	f := newFront(t, frontConfig{server: func(s *Server) { s.followers.pulse = time.Millisecond }})
	op := f.e.Operator()
	org, _ := f.e.OrganizationByName("acme")
	b, _ := f.e.BucketByName(org.ID, "b0")
	a, token, err := f.e.CreateAuthorization(t.Context(), op, engine.AuthorizationRequest{OrgID: org.ID, UserID: op.UserID,
		Permissions: []engine.Permission{{Action: engine.ActionRead, Type: engine.ResourceBuckets, ID: b.ID, OrgID: org.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	c := f.follow(t, "", http.Header{"Authorization": {"Token " + token}})
	other := f.follow(t, "", tokenHeader())
	if err := f.e.DeleteAuthorization(t.Context(), op, a.ID); err != nil {
		t.Fatal(err)
	}
	if line := c.next(); line != "" {
		t.Errorf("without a token: %s", line)
	}
	f.write(t, "x")
	other.want("x")
	if err := f.e.DeleteBucket(t.Context(), op, b.ID); err != nil {
		t.Fatal(err)
	}
	if line := other.next(); line != "" {
		t.Errorf("without a bucket: %s", line)
	}
	f.waitFollowers(t, 0)
}
