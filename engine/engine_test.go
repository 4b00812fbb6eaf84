package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/engine/testkit"
	"headgate/wal/pebblewal"
)

// testEngine is an engine in a directory that outlives it, with one bucket.
type testEngine struct {
	*Engine
	t      *testing.T
	bucket Bucket
}

// openTest opens dir; change may set options. The engine is closed at the end,
// and goroutines that outlive it fail the test.
func openTest(t *testing.T, dir string, change func(*Options)) *testEngine {
	t.Helper()
	testkit.CheckLeaks(t)
	o := Options{Dir: dir, AuthDisabled: true}
	if change != nil {
		change(&o)
	}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	te := &testEngine{Engine: e, t: t}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return te
}

// create makes the bucket that write and query use.
func (e *testEngine) create(name string, retention time.Duration) *testEngine {
	e.t.Helper()
	org, err := e.DefaultOrganization()
	if err != nil {
		e.t.Fatal(err)
	}
	b, err := e.CreateBucket(e.t.Context(), e.Operator(), BucketRequest{OrgID: org.ID, Name: name, RetentionPeriod: retention})
	if err != nil {
		e.t.Fatal(err)
	}
	e.bucket = b
	return e
}

// find makes write and query use a bucket that exists.
func (e *testEngine) find(name string) {
	e.t.Helper()
	org, err := e.DefaultOrganization()
	if err != nil {
		e.t.Fatal(err)
	}
	b, ok := e.BucketByName(org.ID, name)
	if !ok {
		e.t.Fatalf("bucket %q is gone", name)
	}
	e.bucket = b
}

func (e *testEngine) write(lines string) error {
	return e.Write(e.t.Context(), e.bucket.ID, []byte(lines), Nanosecond)
}

// query runs text and writes its rows one a line.
func (e *testEngine) query(text string) string {
	e.t.Helper()
	var sb strings.Builder
	err := e.Query(e.t.Context(), nil, Query{Text: text, Database: e.bucket.Name}, func(r Result) error {
		if r.Err != nil {
			fmt.Fprintf(&sb, "error: %v\n", r.Err)
		}
		for _, s := range r.Series {
			for _, v := range s.Values {
				sb.WriteString(s.Name)
				for i, x := range v {
					if ts, ok := x.(time.Time); ok {
						x = ts.UnixNano()
					}
					fmt.Fprintf(&sb, " %s=%v", s.Columns[i], x)
				}
				sb.WriteByte('\n')
			}
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return sb.String()
}

func (e *testEngine) expect(text, want string) {
	e.t.Helper()
	if got := e.query(text); got != want {
		e.t.Errorf("%s\ngot:\n%swant:\n%s", text, got, want)
	}
}

func kindOf(err error) (*Error, Kind) {
	var e *Error
	if errors.As(err, &e) {
		return e, e.Kind
	}
	return &Error{}, kinds
}

func TestWriteQueryReopen(t *testing.T) {
	dir := t.TempDir()
	want := "m time=1 f=1 s=<nil> t=a\nm time=2 f=<nil> s=x y t=b\n"
	t.Run("write", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		for _, lines := range []string{"m,t=a f=1 1", "m,t=b s=\"x y\" 2", "", "# nothing\n"} {
			if err := e.write(lines); err != nil {
				t.Fatalf("%q: %v", lines, err)
			}
		}
		e.expect("SELECT * FROM m", want)
	})
	t.Run("reopen", func(t *testing.T) {
		e := openTest(t, dir, nil)
		e.find("b")
		e.expect("SELECT * FROM m", want)
		if err := e.write("m,t=a f=2 1"); err != nil {
			t.Fatal(err)
		}
		e.expect("SELECT f FROM m", "m time=1 f=2\n")
	})
}

func TestRejectedBatchLeavesNothing(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	err, kind := kindOf(e.write("m,t=a f=1 1\nnew g=1 1\nm f= 1"))
	if kind != Invalid || err.Line != 3 {
		t.Fatalf("%v (line %d), want invalid in line 3", err, err.Line)
	}
	e.expect("SHOW MEASUREMENTS", "")
	if err := e.write("new g=\"now a string\" 1"); err != nil {
		t.Fatalf("a type was left behind: %v", err)
	}
}

func TestDroppedPointsLeaveNoTrace(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	err, kind := kindOf(e.write("m f=1 1\nm,t=gone new=1,f=2i 2\nm new=\"free\" 3\nm f=3 4"))
	if kind != Unprocessable {
		t.Fatal(err)
	}
	if err.Partial.Written != 3 || err.Partial.Dropped != 1 {
		t.Fatalf("written %d, dropped %d, want 3 and 1", err.Partial.Written, err.Partial.Dropped)
	}
	want := PointError{Line: 2, Series: "m,t=gone", Field: "f", Code: "field_type_conflict", Have: "float", Want: "integer",
		Message: `field type conflict: input field "f" on measurement "m" is type integer, already exists as type float`}
	if got := err.Partial.Points[0]; got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if want := "failure writing points to database: partial write: " + want.Message + " dropped=1"; err.Message != want {
		t.Errorf("got %q\nwant %q", err.Message, want)
	}
	e.expect("SHOW SERIES", " key=m\n")
	e.expect("SHOW FIELD KEYS", "m fieldKey=f fieldType=float\nm fieldKey=new fieldType=string\n")
}

func TestSameFieldTwiceInAPoint(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	if err := e.write("m f=1,f=2 1"); err != nil {
		t.Fatal(err)
	}
	e.expect("SELECT f FROM m", "m time=1 f=2\n")
	if _, kind := kindOf(e.write("m g=1,g=2i 2")); kind != Unprocessable {
		t.Fatalf("kind %v, want unprocessable", kind)
	}
	e.expect("SHOW FIELD KEYS", "m fieldKey=f fieldType=float\n")
}

func TestFieldCalledTime(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	err, kind := kindOf(e.write("m time=1,f=2 1"))
	if kind != Unprocessable || err.Partial.Dropped != 0 || err.Partial.Written != 1 {
		t.Fatalf("%v, %+v", err, err.Partial)
	}
	err, kind = kindOf(e.write("m time=1 2"))
	if kind != Unprocessable || err.Partial.Dropped != 1 || err.Partial.Written != 0 {
		t.Fatalf("%v, %+v", err, err.Partial)
	}
	e.expect("SELECT * FROM m", "m time=1 f=2\n")
}

func TestRetention(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var clock atomic.Int64
	clock.Store(now.UnixNano())
	e := openTest(t, t.TempDir(), func(o *Options) { o.Now = func() time.Time { return time.Unix(0, clock.Load()) } }).create("b", time.Hour)
	old, edge := now.Add(-time.Hour-1).UnixNano(), now.Add(-time.Hour).UnixNano()
	err, kind := kindOf(e.write(fmt.Sprintf("m f=1 %d\nm f=2 %d\n", old, edge)))
	if kind != Unprocessable || err.Partial.Dropped != 1 || err.Partial.Points[0].Code != "beyond_retention" {
		t.Fatalf("%v, %+v", err, err.Partial)
	}
	if !strings.Contains(err.Message, "partial write: dropped 1 points outside retention policy of duration 1h0m0s - oldest point m at ") ||
		!strings.HasSuffix(err.Message, " dropped=1 for database: "+e.bucket.ID.String()+" for retention policy: autogen") {
		t.Error(err.Message)
	}
	e.expect("SELECT f FROM m", fmt.Sprintf("m time=%d f=2\n", edge))
	clock.Add(1)
	e.expect("SELECT f FROM m", "")
}

func TestRaceForAType(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	for round := range 20 {
		var wg sync.WaitGroup
		var stored, conflicts atomic.Int32
		for _, v := range []string{"1", "1i", `"1"`, "true"} {
			wg.Go(func() {
				err := e.write(fmt.Sprintf("m f%d=%s %d", round, v, round))
				switch e, kind := kindOf(err); {
				case err == nil:
					stored.Add(1)
				case kind == Unprocessable && e.Partial.Points[0].Code == "field_type_conflict":
					conflicts.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if stored.Load() != 1 || conflicts.Load() != 3 {
			t.Fatalf("round %d: %d stored, %d conflicts, want 1 and 3", round, stored.Load(), conflicts.Load())
		}
	}
}

// TestConcurrentNewSeries has writers define overlapping series; after a
// reopening everything is there, so every record could be understood.
func TestConcurrentNewSeries(t *testing.T) {
	dir := t.TempDir()
	const writers, rounds = 8, 40
	var want string
	t.Run("write", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for r := range rounds {
					var sb strings.Builder
					for k := range 10 {
						fmt.Fprintf(&sb, "m%d,s=%d,t=x f%d=%d %d\n", k%3, (r*7+k)%50, (r+k)%20, r, w*1000+r)
					}
					if err := e.write(sb.String()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		want = e.query("SHOW SERIES") + e.query("SELECT count(*) FROM /m.*/")
	})
	t.Run("reopen", func(t *testing.T) {
		e := openTest(t, dir, nil)
		e.find("b")
		if got := e.query("SHOW SERIES") + e.query("SELECT count(*) FROM /m.*/"); got != want {
			t.Errorf("after reopening:\n%s\nbefore:\n%s", got, want)
		}
	})
}

func TestSeriesLimit(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.SeriesPerBucketMax = 2 }).create("b", 0)
	if err := e.write("m,t=1 f=1 1\nm,t=2 f=1 1"); err != nil {
		t.Fatal(err)
	}
	err, kind := kindOf(e.write("m,t=1 f=2 2\nm,t=3 g=2 2\nm,t=2 f=2 2"))
	if kind != Unprocessable || err.Partial.Written != 2 || err.Partial.Dropped != 1 || err.Partial.Points[0].Code != "series_limit" {
		t.Fatalf("%v, %+v", err, err.Partial)
	}
	if !strings.Contains(err.Message, "SeriesPerBucketMax") {
		t.Errorf("message names no knob: %s", err.Message)
	}
	// A point that is dropped decides no type for those that are not.
	err, kind = kindOf(e.write("m,t=3 h=1 3\nm,t=1 h=\"x\" 3"))
	if kind != Unprocessable || err.Partial.Written != 1 || err.Partial.Dropped != 1 || err.Partial.Points[0].Line != 1 {
		t.Fatalf("%v, %+v", err, err.Partial)
	}
	e.expect("SELECT h FROM m", "m time=3 h=x\n")
}

// TestMoreThanMemory: points go to the data store when memory has no room for them.
func TestMoreThanMemory(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) {
		o.MemoryBytesMax = 32 << 20
		o.QueryBytesMax = 32 << 20 // one series, whose strings in memory are read at once
	}).create("b", 0)
	line := strings.Repeat("x", 1000)
	const batches = 48 // half as much again as there is memory
	for i := range batches {
		var sb strings.Builder
		for k := range 1000 {
			fmt.Fprintf(&sb, "m s=%q %d\n", line, i*1000+k)
		}
		for { // what comes faster than it can be flushed is refused
			err, kind := kindOf(e.write(sb.String()))
			if kind == Overloaded {
				continue
			}
			if kind != kinds {
				t.Fatal(err)
			}
			break
		}
		if n := e.Stats().MemoryBytes; n > 32<<20 {
			t.Fatalf("buckets hold %d bytes", n)
		}
	}
	e.expect("SELECT count(s) FROM m", fmt.Sprintf("m time=0 count=%d\n", batches*1000))
	if s := e.Stats(); s.Parts == 0 || s.IO.Flushes == 0 {
		t.Errorf("nothing was flushed: %+v", s)
	}
}

// TestMemoryBudgetSpent fills the memory with what cannot leave it: series.
func TestMemoryBudgetSpent(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.MemoryBytesMax = 32 << 20 }).create("b", 0)
	tag := strings.Repeat("x", 1000)
	var acked int
	var refused *Error
	for i := 0; refused == nil; i++ {
		var sb strings.Builder
		for k := range 1000 {
			fmt.Fprintf(&sb, "m,t=%s%d f=1 1\n", tag, i*1000+k)
		}
		err := e.write(sb.String())
		if err, kind := kindOf(err); kind == Overloaded {
			refused = err
		} else if kind != kinds {
			t.Fatal(err)
		} else {
			acked += 1000
		}
		if i > 100 {
			t.Fatal("100 MB of series taken with a budget of 32 MiB")
		}
	}
	if !strings.Contains(refused.Message, "memory budget") || refused.RetryAfter < time.Second {
		t.Errorf("%s, retry after %s", refused.Message, refused.RetryAfter)
	}
	if h := e.Health(t.Context()); h.Status != "fail" {
		t.Errorf("health %+v, want fail", h)
	}
	e.expect("SELECT count(f) FROM m", fmt.Sprintf("m time=0 count=%d\n", acked))
	if err := e.DeleteBucket(t.Context(), e.Operator(), e.bucket.ID); err != nil {
		t.Fatal(err)
	}
	e.create("c", 0)
	if err := e.write("m f=1 1"); err != nil {
		t.Errorf("still refused after the bucket was deleted: %v", err)
	}
}

func TestCorruptBucketIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	var bad, good Bucket
	t.Run("write", func(t *testing.T) {
		e := openTest(t, dir, nil)
		bad = e.create("bad", 0).bucket
		good = e.create("good", 0).bucket
		for _, b := range []Bucket{bad, good} {
			e.bucket = b
			if err := e.write("m f=1 1"); err != nil {
				t.Fatal(err)
			}
		}
	})
	log, err := pebblewal.Open(pebblewal.Options{Dir: filepath.Join(dir, "shard-0001", "log")})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(uint64(bad.ID), 2, []byte("not a record"), new(ignore)); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("reopen", func(t *testing.T) {
		e := openTest(t, dir, nil)
		e.bucket = bad
		if err, kind := kindOf(e.write("m f=2 2")); kind != Unavailable || !strings.Contains(err.Message, bad.ID.String()) {
			t.Errorf("write into the corrupt bucket: %v", err)
		}
		if h := e.Health(t.Context()); h.Status != "fail" || !strings.Contains(h.Message, bad.ID.String()) {
			t.Errorf("health %+v does not name the bucket", h)
		}
		e.bucket = good
		if err := e.write("m f=2 2"); err != nil {
			t.Error(err)
		}
		e.expect("SELECT f FROM m", "m time=1 f=1\nm time=2 f=2\n")
	})
}

type ignore struct{}

func (*ignore) Committed(uint64, error) {}

func TestDeletedBucketStaysDeleted(t *testing.T) {
	dir := t.TempDir()
	t.Run("delete", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		if err := e.write("m f=1 1"); err != nil {
			t.Fatal(err)
		}
		if err := e.DeleteBucket(t.Context(), e.Operator(), e.bucket.ID); err != nil {
			t.Fatal(err)
		}
		if _, kind := kindOf(e.write("m f=1 1")); kind != NotFound {
			t.Errorf("write into a deleted bucket: kind %v", kind)
		}
		e.create("b", 0)
		e.expect("SHOW MEASUREMENTS", "")
		if err := e.write("m f=\"a string\" 1"); err != nil {
			t.Error(err)
		}
	})
	t.Run("reopen", func(t *testing.T) {
		e := openTest(t, dir, nil)
		e.find("b")
		e.expect("SELECT f FROM m", "m time=1 f=a string\n")
	})
}

// TestCloseAnswersEverything closes the engine under writers: each write is
// either acknowledged, and there after reopening, or refused, and not there.
func TestCloseAnswersEverything(t *testing.T) {
	dir := t.TempDir()
	const writers = 64
	var acked [writers]int
	var id BucketID
	t.Run("close", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		id = e.bucket.ID
		var wg sync.WaitGroup
		started := make(chan struct{}, writers*100)
		for w := range writers {
			wg.Go(func() {
				for i := 0; ; i++ {
					err := e.write(fmt.Sprintf("m,w=%d f=%d %d", w, i, i+1))
					if err == nil {
						acked[w] = i + 1
						select {
						case started <- struct{}{}:
						default:
						}
						continue
					}
					if _, kind := kindOf(err); kind != Unavailable {
						t.Errorf("writer %d: %v", w, err)
					}
					return
				}
			})
		}
		for range writers * 20 {
			<-started
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	t.Run("reopen", func(t *testing.T) {
		e := openTest(t, dir, nil)
		e.bucket, _ = e.BucketByID(id)
		for w := range writers {
			e.expect(fmt.Sprintf("SELECT count(f) FROM m WHERE w='%d'", w), fmt.Sprintf("m time=0 count=%d\n", acked[w]))
		}
	})
}

func TestPointsBuilder(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	var ps Points
	ps.Add(`m,=\ x`, Tag{Key: "z", Value: "1,2"}, Tag{Key: "a b", Value: "="}, Tag{Key: "none"}).
		Float("f", 1.5e300).Integer("i", -1<<63).Unsigned("u", 1<<64-1).Boolean("b", true).String("s", "a\"b\\\nc").At(time.Unix(0, 7))
	if err := e.WritePoints(t.Context(), e.bucket.ID, &ps); err != nil {
		t.Fatal(err)
	}
	e.expect("SELECT * FROM /.*/", "m,=\\ x time=7 a b== b=true f=1.5e+300 i=-9223372036854775808 s=a\"b\\\nc u=18446744073709551615 z=1,2\n")
	for name, add := range map[string]func(*Points){
		"no fields":       func(p *Points) { p.Add("m") },
		"is empty":        func(p *Points) { p.Add("").Float("f", 1) },
		"line break":      func(p *Points) { p.Add("m", Tag{Key: "a", Value: "b\nc"}).Float("f", 1) },
		"ends in a backs": func(p *Points) { p.Add("m").Float(`f\`, 1) },
		"begins with":     func(p *Points) { p.Add("#m").Float("f", 1) },
		"is NaN":          func(p *Points) { p.Add("m").Float("f", nan()) },
		"out of range":    func(p *Points) { p.Add("m").Float("f", 1).At(time.Unix(1<<40, 0)) },
	} {
		var ps Points
		ps.Add("ok").Float("f", 1)
		add(&ps)
		err, kind := kindOf(e.WritePoints(t.Context(), e.bucket.ID, &ps))
		if kind != Invalid || !strings.Contains(err.Message, name) || !strings.Contains(err.Message, "point 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func nan() float64 { var z float64; return z / z }

func TestOpenRefusesASecondEngine(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir, nil)
	if e, err := Open(context.Background(), Options{Dir: dir}); err == nil {
		e.Close()
		t.Fatal("two engines opened one directory")
	}
}

// TestBodyThatGrows writes bodies in which every line is a measurement of its
// own: they need many times their length, and so more credit, or are too large.
func TestBodyThatGrows(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.MemoryBytesMax = 256 << 20 }).create("b", 0)
	body := func(lines int) string {
		var sb strings.Builder
		for i := range lines {
			fmt.Fprintf(&sb, "m%d f=1\n", i)
		}
		return sb.String()
	}
	if err := e.write(body(10_000)); err != nil {
		t.Fatal(err)
	}
	err, kind := kindOf(e.write(body(300_000)))
	if kind != TooLarge || !strings.Contains(err.Message, "--memory") {
		t.Fatalf("%v, want too large, naming the knob", err)
	}
	if g := e.Stats().Gate; g.Bytes != 0 || g.Requests != 0 {
		t.Fatalf("credit did not come home: %+v", g)
	}
}

func TestHealthForgetsProbesThatWereCutShort(t *testing.T) {
	e := openTest(t, t.TempDir(), nil)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	e.Health(cut)
	if h := e.Health(t.Context()); h.Status != statusPass {
		t.Fatalf("%+v", h)
	}
}

func TestOptionsRefuseTooManySeries(t *testing.T) {
	_, err := Open(t.Context(), Options{Dir: t.TempDir(), SeriesPerBucketMax: 1 << 31})
	if err == nil || !strings.Contains(err.Error(), "SeriesPerBucketMax") {
		t.Fatalf("err = %v, want one that names SeriesPerBucketMax", err)
	}
}

// TestGroupByTimeWithoutBounds reads far-away points in every interval: no limit
// of ours may narrow a query's time range.
func TestGroupByTimeWithoutBounds(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	if err := e.write("x f=1 1577836800000000000\nx f=2 1577923200000000000\nx f=3 1795000000000000000"); err != nil {
		t.Fatal(err)
	}
	for _, interval := range []string{"1s", "1m", "1h", "12h", "1d", "7d", "52w"} {
		got := e.query("SELECT count(f) FROM x GROUP BY time(" + interval + ") fill(none)")
		n := 0
		for line := range strings.Lines(got) {
			var at, count int
			if _, err := fmt.Sscanf(line, "x time=%d count=%d", &at, &count); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			n += count
		}
		if n != 3 {
			t.Errorf("time(%s) counts %d points of 3:\n%s", interval, n, got)
		}
	}
}

// TestSeveralEngines has two engines in one process, which know nothing of each
// other.
func TestSeveralEngines(t *testing.T) {
	a, b := openTest(t, t.TempDir(), nil).create("b", 0), openTest(t, t.TempDir(), nil).create("b", 0)
	if err := a.write("m f=1 1"); err != nil {
		t.Fatal(err)
	}
	if err := b.write("m f=\"other type\" 2"); err != nil {
		t.Fatal(err)
	}
	a.expect("SELECT f FROM m", "m time=1 f=1\n")
	b.expect("SELECT f FROM m", "m time=2 f=other type\n")
}

// TestSlowQueryBlocksNoWrite writes from within a query that is being answered,
// which does not see the writes.
func TestSlowQueryBlocksNoWrite(t *testing.T) {
	e := openTest(t, t.TempDir(), nil).create("b", 0)
	const points = 10
	for i := range points {
		if err := e.write(fmt.Sprintf("m f=%d %d", i, i)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	q := Query{Text: "SELECT f FROM m", Database: "b", ChunkSize: 1}
	err := e.Query(t.Context(), nil, q, func(r Result) error {
		for _, s := range r.Series {
			seen += len(s.Values)
		}
		// A point of the past, a new series, a new field and a new measurement.
		return errors.Join(r.Err, e.write(fmt.Sprintf("m,t=%d f=1,g=2 0\nn%d f=1 0", seen, seen)))
	})
	if err != nil || seen != points {
		t.Fatalf("%d rows, %v, want the %d of the snapshot", seen, err, points)
	}
	e.expect("SELECT count(g) FROM m", fmt.Sprintf("m time=0 count=%d\n", points))
}

// TestRecoveringRefuses holds the recovery back: the engine says that it is not
// ready, in every way it can, until it is.
func TestRecoveringRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Run("write", func(t *testing.T) {
		if err := openTest(t, dir, nil).create("b", 0).write("m f=1 1"); err != nil {
			t.Fatal(err)
		}
	})
	opened, release := make(chan struct{}), make(chan struct{})
	e := openTest(t, dir, func(o *Options) {
		o.RecoverInBackground = true
		o.Events.BucketOpened = func(BucketOpenInfo) { close(opened); <-release }
	})
	<-opened
	if h := e.Health(t.Context()); h.Status != "fail" || !strings.Contains(h.Message, "recovering") || e.Ready() {
		t.Errorf("health %+v, ready %v", h, e.Ready())
	}
	err := e.Query(t.Context(), nil, Query{Text: "SELECT f FROM m", Database: "b"}, func(Result) error { return nil })
	if got, kind := kindOf(err); kind != Unavailable || got.RetryAfter < time.Second {
		t.Errorf("query: %v", err)
	}
	if got, kind := kindOf(e.Write(t.Context(), 12345, []byte("m f=1"), Nanosecond)); kind != Unavailable || got.RetryAfter < time.Second {
		t.Errorf("write to a bucket that may not have been opened yet: %v, kind %v", got, kind)
	}
	close(release)
	<-e.Recovered()
	e.find("b")
	e.expect("SELECT f FROM m", "m time=1 f=1\n")
	if h := e.Health(t.Context()); h.Status != "pass" || !e.Ready() {
		t.Errorf("health %+v, ready %v", h, e.Ready())
	}
}

func TestQueryTimeout(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.QueryTimeout = time.Nanosecond }).create("b", 0)
	if err := e.write("m f=1 1"); err != nil {
		t.Fatal(err)
	}
	var failed error
	err := e.Query(t.Context(), nil, Query{Text: "SELECT f FROM m", Database: "b"}, func(r Result) error {
		failed = r.Err
		return nil
	})
	if err != nil || failed == nil || !strings.Contains(failed.Error(), "--query-timeout") {
		t.Errorf("%v, result %v", err, failed)
	}
}
