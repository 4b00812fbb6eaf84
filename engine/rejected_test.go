package engine

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type testSender SenderInfo

func (s testSender) SenderInfo() SenderInfo { return SenderInfo(s) }

func (e *testEngine) rejectedLines(q RejectedQuery) Rejected {
	e.t.Helper()
	r, err := e.Rejected(e.Operator(), e.bucket.ID, q)
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

func TestRejected(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := openTest(t, t.TempDir(), func(o *Options) { o.Now = func() time.Time { return now } }).create("b", 0)
	if r := e.rejectedLines(RejectedQuery{}); len(r.Points) != 0 {
		t.Fatalf("%+v", r)
	}
	changed := e.rejectedLines(RejectedQuery{}).Changed
	a, err := e.Admit(t.Context(), e.bucket.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	from := testSender{Address: "1.2.3.4:5", UserAgent: "agent\xff", RequestID: strings.Repeat("x", 1000)}
	if err := e.WriteAdmitted(t.Context(), a, []byte("m f=1 1\n\nm f=2i 2\r\nm f=3 3\n\nm,t=a f=\"4\" 4"), WriteOptions{From: from}); err == nil {
		t.Fatal("no conflict")
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	if err := e.write("# c\nm f=1 5\n m,t=a f=x " + strings.Repeat("9", 2000) + "\nm\\ n g"); err == nil {
		t.Fatal("not malformed")
	}
	r := e.rejectedLines(RejectedQuery{})
	who := SenderInfo{Address: "1.2.3.4:5", UserAgent: "agent\ufffd", RequestID: strings.Repeat("x", rejectedNameBytesMax)}
	first := uint64(now.UnixMilli())
	conflict := func(want string) string {
		return `field type conflict: input field "f" on measurement "m" is type ` + want + `, already exists as type float`
	}
	want := []RejectedPoint{
		{first + 1, now, Unprocessable, 3, "field_type_conflict", conflict("integer"), "m", "m f=2i 2", who, 0},
		{first + 2, now, Unprocessable, 6, "field_type_conflict", conflict("string"), "m", `m,t=a f="4" 4`, who, 0},
		{first + 3, now, Invalid, 3, "malformed", "invalid boolean", "m", " m,t=a f=x " + strings.Repeat("9", rejectedTextBytesMax-11), SenderInfo{}, 0},
		{first + 4, now, Invalid, 4, "malformed", "invalid field format", `m\ n`, `m\ n g`, SenderInfo{}, 0},
	}
	for i := range r.Points {
		if !reflect.DeepEqual(r.Points[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", r.Points[i], want[i])
		}
	}
	if len(r.Points) != len(want) || r.Last != first+4 || r.Missed != 0 {
		t.Errorf("%d points, last %d, missed %d", len(r.Points), r.Last, r.Missed)
	}
	for _, c := range []struct {
		q    RejectedQuery
		want []RejectedPoint
	}{
		{RejectedQuery{Limit: 1}, want[3:]}, {RejectedQuery{After: first + 2}, want[2:]}, {RejectedQuery{After: first + 4}, nil}, {RejectedQuery{After: 1}, want},
		{RejectedQuery{After: first + 99}, nil}, {RejectedQuery{Since: now}, want}, {RejectedQuery{Since: now.Add(1)}, nil}, {RejectedQuery{After: first + 1, Limit: 2}, want[2:]},
		{RejectedQuery{After: first + 1, Page: 2}, want[1:3]}, {RejectedQuery{Limit: 3, Page: 1}, want[1:2]}, {RejectedQuery{Page: 9}, want},
	} {
		if r := e.rejectedLines(c.q); !slices.Equal(r.Points, c.want) || r.Missed != 0 {
			t.Errorf("%+v: %d points, missed %d, want %d", c.q, len(r.Points), r.Missed, len(c.want))
		} else if n := len(r.Points); r.Newest != first+4 || c.q.Page == 0 && r.Last != r.Newest || c.q.Page > 0 && r.Last != r.Points[n-1].Sequence {
			t.Errorf("%+v: last %d, newest %d", c.q, r.Last, r.Newest)
		}
	}

	// Deleting the bucket forgets them and tells those who wait.
	changed = e.rejectedLines(RejectedQuery{}).Changed
	if err := e.DeleteBucket(t.Context(), e.Operator(), e.bucket.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the deletion")
	}
	var failed *Error
	if _, err := e.Rejected(e.Operator(), e.bucket.ID, RejectedQuery{}); !errors.As(err, &failed) || failed.Kind != NotFound {
		t.Error(err)
	}
	if st := e.RejectedStats(); st != (RejectedStats{}) || len(e.rejected.rings) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRejectedIsBounded rejects more than is kept, of one batch, of one bucket and of all.
func TestRejectedIsBounded(t *testing.T) {
	const perBucket, bytesMax = 150, 200 << 10
	e := openTest(t, t.TempDir(), func(o *Options) { o.RejectedPerBucketMax, o.RejectedBytesMax = perBucket, bytesMax }).create("b", 0)
	quiet := e.bucket
	bad := strings.Repeat("x\n", 3)
	if e.write(bad) == nil {
		t.Fatal("not malformed")
	}
	e.create("loud", 0)
	first := e.rejectedLines(RejectedQuery{}).Last
	if e.write("m f=1 1\n"+strings.Repeat("m f=1i 1\n", 250)) == nil {
		t.Fatal("no conflict")
	}
	r := e.rejectedLines(RejectedQuery{After: first})
	if n := len(r.Points); n != PointErrorsMax || r.Points[n-1].More != 150 || r.Points[n-2].More != 0 || r.Points[n-1].Line != 101 {
		t.Fatalf("%d points, the last %+v", n, r.Points[n-1])
	}
	if e.write(strings.Repeat("y\n", 250)) == nil {
		t.Fatal("not malformed")
	}
	r = e.rejectedLines(RejectedQuery{After: first})
	if n := len(r.Points); n != perBucket || r.Missed != 2*PointErrorsMax-perBucket || r.Points[n-1].More != 150 || r.Points[n-1].Message != "missing fields" {
		t.Fatalf("%d points, missed %d, the last %+v", n, r.Missed, r.Points[n-1])
	}
	// The loud bucket pays for its own noise.
	for range 20 {
		if e.write(strings.Repeat("y"+strings.Repeat("z", 2000)+"\n", 100)) == nil {
			t.Fatal("not malformed")
		}
	}
	st := e.RejectedStats()
	if st.Bytes > bytesMax || st.Bytes < bytesMax*9/10 || st.Buckets != 2 {
		t.Errorf("%+v", st)
	}
	e.bucket = quiet
	if r := e.rejectedLines(RejectedQuery{}); len(r.Points) != 3 {
		t.Errorf("the quiet bucket has %d of 3 points", len(r.Points))
	}
	sum := int64(0)
	for _, r := range e.rejected.rings {
		own := int64(0)
		for i := range r.points {
			own += r.points[i].bytes()
		}
		if own != r.bytes {
			t.Errorf("%d bytes counted as %d", own, r.bytes)
		}
		sum += own
	}
	if sum != e.rejected.bytes {
		t.Errorf("%d bytes counted as %d", sum, e.rejected.bytes)
	}

	// Many small ones: the largest gives way.
	for i := range 40 {
		e.create(fmt.Sprintf("small-%d", i), 0)
		if e.write(strings.Repeat("x"+strings.Repeat("y", 900)+"\n", 3)) == nil {
			t.Fatal("not malformed")
		}
		if n := len(e.rejectedLines(RejectedQuery{}).Points); n != 3 {
			t.Fatalf("bucket %d has %d points", i, n)
		}
	}
	if st := e.RejectedStats(); st.Bytes > bytesMax || st.Buckets != 42 {
		t.Errorf("%+v", st)
	}
}

func TestRejectedIsNotKept(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.RejectedPerBucketMax = -1 }).create("b", 0)
	if e.write("x") == nil {
		t.Fatal("not malformed")
	}
	if st := e.RejectedStats(); st.Points != 0 || len(e.rejected.rings) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRejectedOnlyByReaders: the lines are what anyone has sent.
func TestRejectedOnlyByReaders(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	user, err := e.CreateUser(t.Context(), e.Operator(), "u", Active)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		perms []Permission
		may   bool
	}{
		{[]Permission{{Action: ActionRead, Type: ResourceBuckets, ID: e.bucket.ID, OrgID: e.bucket.OrgID}}, true},
		{[]Permission{{Action: ActionWrite, Type: ResourceBuckets, ID: e.bucket.ID, OrgID: e.bucket.OrgID}}, false},
	} {
		_, token, err := e.CreateAuthorization(t.Context(), e.Operator(), AuthorizationRequest{OrgID: e.bucket.OrgID, UserID: user.ID, Permissions: c.perms})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.AuthenticateToken(token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Rejected(p, e.bucket.ID, RejectedQuery{}); (err == nil) != c.may {
			t.Errorf("%+v: %v", c.perms, err)
		}
	}
}

func TestMalformedLines(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	err := e.write("m f=1 1\n" + strings.Repeat("é", 500) + "\n" + strings.Repeat("m f=x\n", 200))
	var failed *Error
	if !errors.As(err, &failed) || failed.Line != 2 || failed.Malformed != 201 || len(failed.Lines) != PointErrorsMax {
		t.Fatalf("%+v", err)
	}
	if got, want := failed.Lines[0], (LineError{2, "malformed", "missing fields", strings.Repeat("é", lineTextBytesMax/2)}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := failed.Lines[99], (LineError{101, "malformed", "invalid boolean", "m f=x"}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
