package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"headgate/engine/catalog"
)

// delete deletes from the bucket of write and query. conditions are like
// `host=a` and `host!=a`.
func (e *testEngine) delete(from, to int64, conditions ...string) error {
	r := DeleteRequest{Bucket: e.bucket.ID, Min: from, Max: to}
	for _, c := range conditions {
		key, value, _ := strings.Cut(c, "=")
		bare, not := strings.CutSuffix(key, "!")
		r.Predicate = append(r.Predicate, TagCondition{Key: bare, Value: value, Not: not})
	}
	return e.Delete(e.t.Context(), e.Operator(), r)
}

// everything is what query prints of the points in measurements cpu and mem.
func (e *testEngine) everything() string {
	e.t.Helper()
	return e.query("SELECT v, host FROM cpu, mem")
}

const forever = math.MaxInt64

func TestDelete(t *testing.T) {
	e := openTest(t, t.TempDir(), nil)
	const (
		a10   = "cpu time=10 v=1 host=a\n"
		b10   = "cpu time=10 v=3 host=b\n"
		a20   = "cpu time=20 v=2 host=a\n"
		mem10 = "mem time=10 v=4 host=<nil>\n"
		mem30 = "mem time=30 v=5 host=a\n"
	)
	for i, c := range []struct {
		from, to   int64
		conditions string
		left       string
	}{
		{0, forever, "", ""},
		{math.MinInt64, forever, "", ""},
		{0, 9, "", a10 + b10 + a20 + mem10 + mem30},
		{10, 10, "", a20 + mem30},
		{11, 19, "", a10 + b10 + a20 + mem10 + mem30},
		{11, 20, "", a10 + b10 + mem10 + mem30},
		{20, 10, "", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "_measurement=cpu", mem10 + mem30},
		{0, forever, "_measurement!=cpu", a10 + b10 + a20},
		{0, forever, "_measurement=cpu _measurement=mem", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "_measurement=nope", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "host=a", b10 + mem10},
		{0, 15, "host=a", b10 + a20 + mem10 + mem30},
		{0, forever, "host!=a", a10 + a20 + mem10 + mem30}, // not what has no host at all
		{0, forever, "host!=zz", mem10},
		{0, forever, "host=a dc=x", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "host=b dc=x", a10 + a20 + mem10 + mem30},
		{0, forever, "host=a _measurement=mem", a10 + b10 + a20 + mem10},
		{0, forever, "host=", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "zz=", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "zz!=", a10 + b10 + a20 + mem10 + mem30},
		{0, forever, "host!=", mem10},
		{0, forever, "v=1", a10 + b10 + a20 + mem10 + mem30}, // a field is no tag
		{0, forever, "_field!=v", a10 + b10 + a20 + mem10 + mem30},
	} {
		e.create(fmt.Sprint("b", i), 0)
		if err := e.write("cpu,host=a v=1 10\ncpu,host=a v=2 20\ncpu,dc=x,host=b v=3 10\nmem v=4 10\nmem,host=a v=5 30"); err != nil {
			t.Fatal(err)
		}
		if err := e.delete(c.from, c.to, strings.Fields(c.conditions)...); err != nil {
			t.Errorf("%q: %v", c.conditions, err)
		}
		if got := e.everything(); got != c.left {
			t.Errorf("[%d,%d] %q left\n%swant\n%s", c.from, c.to, c.conditions, got, c.left)
		}
	}
}

// TestDeletedPointsStayDeleted: neither a restart nor flushing and compacting
// brings points back, nor takes those away that came later.
func TestDeletedPointsStayDeleted(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, nil).create("b", 0)
	for i, err := range []error{
		e.write("cpu,host=a v=1 10\ncpu,host=a v=2 20\ncpu,host=b v=3 10"),
		e.delete(0, 15, "host=a"),
		e.write("cpu,host=a v=4 12\nmem v=5 10"),
		e.delete(0, forever, "_measurement=mem"),
		e.write("mem v=\"text\" 40"),
	} {
		if err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	check := func() {
		t.Helper()
		e.expect("SELECT v, host FROM cpu", "cpu time=10 v=3 host=b\ncpu time=12 v=4 host=a\ncpu time=20 v=2 host=a\n")
		e.expect("SELECT v FROM mem", "mem time=40 v=text\n")
	}
	check()
	for range 3 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = openTest(t, dir, nil)
		e.find("b")
		check()
	}
}

// TestDeleteFreesTypes: what has no points has no types; what has some keeps them.
func TestDeleteFreesTypes(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, nil).create("b", 0)
	if err := e.write("cpu,host=a v=1 10\ncpu,host=b v=1 10\nmem v=1 10"); err != nil {
		t.Fatal(err)
	}
	if err := e.delete(0, forever, "_measurement=cpu", "host=a"); err != nil {
		t.Fatal(err)
	}
	if _, kind := kindOf(e.write(`cpu,host=a v="text" 10`)); kind != Unprocessable {
		t.Errorf("another type while host b has points: %v", kind)
	}
	if err := e.delete(0, forever, "_measurement=cpu"); err != nil {
		t.Fatal(err)
	}
	e.expect("SHOW MEASUREMENTS", "measurements name=mem\n")
	for i := range 10 {
		line := []string{`cpu,host=a v="text" 10`, "cpu,host=a v=5i 10", "cpu,host=a v=true 10"}[i%3]
		if err := e.write(line); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if i == 5 {
			e.Close()
			e = openTest(t, dir, nil)
			e.find("b")
		}
		if err := e.delete(0, forever, "_measurement=cpu"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	if err := e.write("cpu,host=a v=7u 10"); err != nil {
		t.Fatal(err)
	}
	if _, kind := kindOf(e.write(`mem v="text" 10`)); kind != Unprocessable {
		t.Errorf("another type in another measurement: %v", kind)
	}
	const want = "cpu time=10 v=7 host=a\nmem time=10 v=1 host=<nil>\n"
	if got := e.everything(); got != want {
		t.Errorf("got\n%s", got)
	}
	e.Close()
	e = openTest(t, dir, nil)
	e.find("b")
	if got := e.everything(); got != want {
		t.Errorf("after a restart\n%s", got)
	}
	e.expect("SHOW FIELD KEYS", "cpu fieldKey=v fieldType=unsigned\nmem fieldKey=v fieldType=float\n")
}

// TestDeleteAmongWrites deletes the past of series that are being written. What
// was answered before a delete and is in its range is gone, and nothing else is.
func TestDeleteAmongWrites(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, func(o *Options) { o.MemtableBytesMax = 64 << 10 }).create("b", 0)
	const writers, rounds = 4, 25
	var written [writers]atomic.Int64 // the newest time answered
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for at := int64(1); ; at++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := e.write(fmt.Sprintf("cpu,host=h%d v=%d %d\nmem,host=h%d v=1 %d", w, at, at, w, at)); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				written[w].Store(at)
			}
		})
	}
	bound := int64(0)
	for range rounds {
		for start := bound; bound <= start; { // all have gone on
			bound = forever
			for w := range writers {
				bound = min(bound, written[w].Load())
			}
			if t.Failed() {
				break
			}
		}
		if err := e.delete(0, bound, "_measurement=cpu"); err != nil {
			t.Errorf("delete: %v", err)
		}
		if got := e.query(fmt.Sprintf("SELECT count(v) FROM cpu WHERE time <= %d", bound)); got != "" {
			t.Errorf("left up to %d: %s", bound, got)
		}
	}
	close(stop)
	wg.Wait()
	check := func() {
		t.Helper()
		for w := range writers {
			last := written[w].Load()
			e.expect(fmt.Sprintf("SELECT count(v), min(v), max(v) FROM cpu WHERE host = 'h%d'", w),
				fmt.Sprintf("cpu time=0 count=%d min=%d max=%d\n", last-bound, bound+1, last))
			e.expect(fmt.Sprintf("SELECT count(v) FROM mem WHERE host = 'h%d'", w), fmt.Sprintf("mem time=0 count=%d\n", last))
		}
	}
	check()
	e.Close()
	e = openTest(t, dir, nil)
	e.find("b")
	check()
}

// TestDeleteEverythingAmongWrites deletes whole measurements, which frees their
// names, while others write into them, each its own type once everything is gone.
func TestDeleteEverythingAmongWrites(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, nil).create("b", 0)
	const writers = 4
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for at := 1; ; at++ {
				select {
				case <-stop:
					return
				default:
				}
				err := e.write(fmt.Sprintf("cpu,host=h%d,n=%d v=%di %d", w, at%7, at, at))
				if _, kind := kindOf(err); err != nil && kind != Unavailable { // the schema keeps changing
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	for range 30 {
		if err := e.delete(0, forever); err != nil {
			if _, kind := kindOf(err); kind != Unavailable {
				t.Errorf("delete: %v", err)
			}
		}
	}
	close(stop)
	wg.Wait()
	if err := e.delete(0, forever); err != nil {
		t.Fatal(err)
	}
	if got := e.everything(); got != "" {
		t.Fatalf("left\n%s", got)
	}
	if err := e.write("cpu,host=a v=\"text\" 1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := e.everything(); got != "cpu time=1 v=text host=a\n" {
			t.Errorf("got\n%s", got)
		}
		e.Close()
		e = openTest(t, dir, nil)
		e.find("b")
	}
}

func TestDeleteStatements(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	const data = "cpu,host=a v=1 10\ncpu,host=a v=2 20\ncpu,host=b v=3 10\nmem v=4 10\nmem,host=a v=5 30"
	const all = "cpu time=10 v=1 host=a\ncpu time=10 v=3 host=b\ncpu time=20 v=2 host=a\nmem time=10 v=4 host=<nil>\nmem time=30 v=5 host=a\n"
	for _, c := range []struct{ statement, left string }{
		{"DELETE FROM cpu", "mem time=10 v=4 host=<nil>\nmem time=30 v=5 host=a\n"},
		{"DELETE FROM cpu WHERE time < 20", "cpu time=20 v=2 host=a\nmem time=10 v=4 host=<nil>\nmem time=30 v=5 host=a\n"},
		{"DELETE WHERE host = 'a'", "cpu time=10 v=3 host=b\nmem time=10 v=4 host=<nil>\n"},
		{"DELETE FROM /^c/ WHERE host = 'a' AND time >= 20", "cpu time=10 v=1 host=a\ncpu time=10 v=3 host=b\nmem time=10 v=4 host=<nil>\nmem time=30 v=5 host=a\n"},
		{"DELETE FROM nope", all},
		{"DROP MEASUREMENT cpu", "mem time=10 v=4 host=<nil>\nmem time=30 v=5 host=a\n"},
		{"DROP SERIES FROM cpu WHERE host = 'a'", "cpu time=10 v=3 host=b\nmem time=10 v=4 host=<nil>\nmem time=30 v=5 host=a\n"},
		{"DROP SERIES WHERE host = ''", "cpu time=10 v=1 host=a\ncpu time=10 v=3 host=b\ncpu time=20 v=2 host=a\nmem time=30 v=5 host=a\n"},
		{"DELETE FROM cpu; DELETE FROM mem", ""},
	} {
		if err := e.write(data); err != nil {
			t.Fatal(err)
		}
		e.expect(c.statement+"; SELECT v, host FROM cpu, mem", c.left)
	}
}

// TestDropSeriesInEveryPolicy: DROP SERIES reaches into all buckets of a database,
// DELETE into the default one; and nobody deletes what he may not write.
func TestDropSeriesInEveryPolicy(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("db", 0)
	first := e.bucket
	e.create("db/long", 0)
	second := e.bucket
	for _, b := range []Bucket{first, second} {
		e.bucket = b
		if err := e.write("cpu,host=a v=1 10\ncpu,host=b v=2 10"); err != nil {
			t.Fatal(err)
		}
	}
	run := func(p *Principal, text string) error {
		var failed error
		err := e.Query(t.Context(), p, Query{Text: text, Database: "db"}, func(r Result) error {
			failed = errors.Join(failed, r.Err)
			return nil
		})
		return errors.Join(err, failed)
	}
	e.bucket = first
	count := func(want string) {
		t.Helper()
		e.expect(`SELECT count(v) FROM db.autogen.cpu, db.long.cpu`, want)
	}
	reader := *e.Operator()
	reader.Permissions = []Permission{{Action: ActionRead, Type: catalog.Buckets, OrgID: first.OrgID}}
	half := *e.Operator()
	half.Permissions = []Permission{reader.Permissions[0], {Action: ActionWrite, Type: catalog.Buckets, ID: first.ID, OrgID: first.OrgID}}
	for _, text := range []string{"DROP SERIES FROM cpu", "DELETE FROM cpu", "DROP MEASUREMENT cpu"} {
		if err := run(&reader, text); err == nil || !strings.Contains(err.Error(), "insufficient permissions") {
			t.Errorf("%s by one who may read: %v", text, err)
		}
	}
	if err := run(&half, "DROP SERIES FROM cpu"); err == nil || !strings.Contains(err.Error(), "insufficient permissions") {
		t.Errorf("by one who may write one of two: %v", err)
	}
	count("cpu time=0 count=4\n")
	if err := run(&half, "DELETE FROM cpu WHERE host = 'b'"); err != nil {
		t.Error(err)
	}
	count("cpu time=0 count=3\n")
	writer := *e.Operator()
	writer.Permissions = half.Permissions[1:]
	if err := run(&writer, "DELETE FROM cpu WHERE v = 1"); err == nil || !strings.Contains(err.Error(), "field") {
		t.Errorf("by a field: %v", err)
	}
	if err := run(&writer, "DELETE FROM cpu WHERE host = 'nobody'"); err != nil {
		t.Errorf("by one who may only write: %v", err)
	}
	count("cpu time=0 count=3\n")
	if err := run(nil, "DROP SERIES FROM cpu WHERE host = 'a'"); err != nil {
		t.Error(err)
	}
	count("cpu time=0 count=1\n")
	e.bucket.Name = "nope"
	e.expect("DROP SERIES FROM cpu", "error: default retention policy not set for: nope\n")
}

func TestDeleteRefused(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	if err := e.write("cpu v=1 10"); err != nil {
		t.Fatal(err)
	}
	r := DeleteRequest{Bucket: e.bucket.ID, Max: forever}
	if _, kind := kindOf(e.Delete(t.Context(), nil, r)); kind != Unauthorized {
		t.Errorf("nobody: %v", kind)
	}
	if _, kind := kindOf(e.Delete(t.Context(), e.Operator(), DeleteRequest{Bucket: 99, Max: forever})); kind != NotFound {
		t.Errorf("no bucket: %v", kind)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err, kind := kindOf(e.Delete(cancelled, e.Operator(), r)); kind != Unavailable || !strings.Contains(err.Message, "before anything was deleted") {
		t.Errorf("cancelled: %v", err)
	}
	e.expect("SELECT v FROM cpu", "cpu time=10 v=1\n")
	e.Close()
	if err, kind := kindOf(e.Delete(t.Context(), e.Operator(), r)); kind != Unavailable || !strings.HasSuffix(err.Message, "nothing was deleted") || err.RetryAfter == 0 {
		t.Errorf("closed: %+v", err)
	}
}
