package influxql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/influxdata/influxdb/models"

	"headgate/engine/point"
)

// clock is now() in the scripts: 2023-11-14T22:30:00Z.
var clock = time.Unix(1_700_001_000, 0)

// TestScripts runs testdata. Its commands are
//
//	write [db=name] [rp=name] [other]   lines of line protocol; other makes rp not the default
//	run [db=name] [rp=name] [get] [chunk=n] [rfc] [points=n] [series=n] [buckets=n] [bytes=n] [params=json]
//
// run prints each result, times as nanoseconds or RFC3339 and the changes that
// the host was asked for. Each line of its input is a query.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasPrefix(filepath.ToSlash(path), "testdata/fuzz/") {
			return // FuzzRun's
		}
		host := newFakeHost()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			db, rp := "db", ""
			if d.HasArg("db") {
				d.ScanArgs(t, "db", &db)
			}
			if d.HasArg("rp") {
				d.ScanArgs(t, "rp", &rp)
			}
			switch d.Cmd {
			case "write":
				if rp == "" {
					rp = "autogen"
				}
				r, ok := host.buckets[bucketName{db, rp}].(*fakeBucket)
				if !ok {
					r = newFakeBucket()
					host.add(db, rp, !d.HasArg("other"), r)
				}
				if err := r.write(d.Input, "n", clock); err != nil {
					d.Fatalf(t, "%v", err)
				}
				return ""
			case "run":
				return runScript(t, d, host, Query{Database: db, RetentionPolicy: rp})
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

func runScript(t *testing.T, d *datadriven.TestData, host *fakeHost, q Query) string {
	if q.Database == "none" {
		q.Database = ""
	}
	q.Now = func() time.Time { return clock }
	q.ReadOnly = d.HasArg("get")
	ints := map[string]func(int){
		"chunk": func(n int) { q.ChunkSize = n }, "points": func(n int) { q.Limits.MaxPoints = n },
		"series": func(n int) { q.Limits.MaxSeries = n }, "buckets": func(n int) { q.Limits.MaxBuckets = n },
		"bytes": func(n int) { q.Limits.MaxBufferBytes = int64(n) },
	}
	for name, set := range ints {
		if d.HasArg(name) {
			var n int
			d.ScanArgs(t, name, &n)
			set(n)
		}
	}
	if d.HasArg("params") {
		var s string
		d.ScanArgs(t, "params", &s)
		dec := json.NewDecoder(strings.NewReader(s))
		dec.UseNumber()
		if err := dec.Decode(&q.Params); err != nil {
			d.Fatalf(t, "params: %v", err)
		}
	}
	var out strings.Builder
	lines := strings.Split(d.Input, "\n")
	for _, line := range lines {
		if len(lines) > 1 {
			fmt.Fprintf(&out, "> %s\n", line)
		}
		q.Text = line
		err := Run(context.Background(), host, q, func(r Result) error {
			printResult(&out, r, d.HasArg("rfc"))
			return nil
		})
		if err != nil {
			fmt.Fprintf(&out, "failed: %v\n", err)
		}
		for _, c := range host.changes {
			fmt.Fprintf(&out, "host: %s\n", c)
		}
		host.changes = nil
	}
	return out.String()
}

func printResult(out *strings.Builder, r Result, rfc bool) {
	fmt.Fprintf(out, "%d", r.StatementID)
	if r.Partial {
		out.WriteString(" partial")
	}
	if r.Err != nil {
		fmt.Fprintf(out, " error: %v", r.Err)
	}
	out.WriteByte('\n')
	for _, row := range r.Series {
		fmt.Fprintf(out, "  %s", row.Name)
		keys := make([]string, 0, len(row.Tags))
		for k, v := range row.Tags {
			keys = append(keys, k+"="+v)
		}
		slices.Sort(keys)
		for _, k := range keys {
			fmt.Fprintf(out, ",%s", k)
		}
		fmt.Fprintf(out, " (%s)", strings.Join(row.Columns, " "))
		if row.Partial {
			out.WriteString(" partial")
		}
		out.WriteByte('\n')
		for _, vs := range row.Values {
			cells := make([]string, len(vs))
			for i, v := range vs {
				switch v := v.(type) {
				case nil:
					cells[i] = "null"
				case string:
					cells[i] = v
				case time.Time:
					cells[i] = fmt.Sprint(v.UnixNano())
					if rfc {
						cells[i] = v.Format(time.RFC3339Nano)
					}
				case int64:
					cells[i] = fmt.Sprintf("%di", v)
				case uint64:
					cells[i] = fmt.Sprintf("%du", v)
				default:
					cells[i] = fmt.Sprint(v)
				}
			}
			fmt.Fprintf(out, "    %s\n", strings.Join(cells, " "))
		}
	}
}

// ask runs one text against one bucket, collecting results.
func ask(t *testing.T, r point.Reader, text string, set ...func(*Query)) ([]Result, error) {
	t.Helper()
	host := newFakeHost()
	host.add("db", "autogen", true, r)
	q := Query{Text: text, Database: "db", Now: func() time.Time { return clock }}
	for _, f := range set {
		f(&q)
	}
	var results []Result
	err := Run(context.Background(), host, q, func(r Result) error {
		results = append(results, r)
		return nil
	})
	return results, err
}

func TestParseErrorRunsNothing(t *testing.T) {
	host := newFakeHost()
	emitted := 0
	err := Run(context.Background(), host, Query{Text: "CREATE DATABASE a; SELEC"}, func(Result) error {
		emitted++
		return nil
	})
	var parse *ParseError
	if !errors.As(err, &parse) || emitted != 0 || len(host.changes) != 0 {
		t.Fatalf("got %v, %d results, changes %v", err, emitted, host.changes)
	}
}

func TestEmitErrorStops(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m,t=a f=1 1\nm,t=b f=1 1\nm,t=c f=1 1", "n", clock); err != nil {
		t.Fatal(err)
	}
	host := newFakeHost()
	host.add("db", "autogen", true, b)
	gone := errors.New("client gone")
	calls := 0
	q := Query{Text: "SELECT f FROM m GROUP BY t; CREATE DATABASE x", Database: "db"}
	err := Run(context.Background(), host, q, func(Result) error {
		calls++
		return gone
	})
	if !errors.Is(err, gone) || calls != 1 || len(host.changes) != 0 {
		t.Fatalf("got %v after %d calls, changes %v", err, calls, host.changes)
	}
}

// TestCancel ends the context in the middle of a read.
func TestCancel(t *testing.T) {
	for _, text := range []string{"SELECT f FROM m", "SELECT mean(f) FROM m GROUP BY t", "SHOW SERIES WHERE time > 0",
		"EXPLAIN SELECT f FROM m", "EXPLAIN ANALYZE SELECT f FROM m"} {
		b := newFakeBucket()
		for i := range 100 {
			if err := b.write(fmt.Sprintf("m,t=%d f=1 1", i), "n", clock); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		host := newFakeHost()
		r := &hookReader{Reader: b, hook: func(n int) {
			if n == 50 {
				cancel()
			}
		}}
		host.add("db", "autogen", true, r)
		var results []Result
		err := Run(ctx, host, Query{Text: text + "; SHOW DATABASES", Database: "db"}, func(r Result) error {
			results = append(results, r)
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Run returned %v", text, err)
		}
		if len(results) != 2 || !errors.Is(results[0].Err, ErrInterrupted) || !errors.Is(results[1].Err, ErrNotExecuted) {
			t.Errorf("%s: got %+v", text, results)
		}
		if r.n > 60 {
			t.Errorf("%s: %d series were read", text, r.n)
		}
	}
}

// hookReader calls hook with the number of series that have been yielded.
type hookReader struct {
	point.Reader
	hook func(n int)
	n    int
}

func (r *hookReader) Read(ctx context.Context, req point.ReadRequest, yield func(point.SeriesRows) error) error {
	return r.Reader.Read(ctx, req, func(sr point.SeriesRows) error {
		r.n++
		r.hook(r.n)
		if err := ctx.Err(); err != nil {
			return err
		}
		return yield(sr)
	})
}

func TestPanicIsStatementError(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m f=1 1", "n", clock); err != nil {
		t.Fatal(err)
	}
	r := &hookReader{Reader: b, hook: func(int) { panic("boom") }}
	results, err := ask(t, r, "SELECT f FROM m; SHOW DATABASES")
	var p *PanicError
	if err != nil || len(results) != 2 || !errors.As(results[0].Err, &p) || p.Value != "boom" || len(p.Stack) == 0 {
		t.Fatalf("got %+v, %v", results, err)
	}
}

func TestReaderErrorIsStatementError(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m f=1 1", "n", clock); err != nil {
		t.Fatal(err)
	}
	bad := errors.New("block 7 is corrupt")
	for _, text := range []string{"SELECT f FROM m", "SELECT max(f) FROM m", "EXPLAIN SELECT f FROM m", "SHOW TAG KEYS WHERE time > 0"} {
		results, err := ask(t, failingReader{b, bad}, text)
		if err != nil || len(results) != 1 || !errors.Is(results[0].Err, bad) {
			t.Errorf("%s: got %+v, %v", text, results, err)
		}
	}
}

type failingReader struct {
	point.Reader
	err error
}

func (r failingReader) Read(context.Context, point.ReadRequest, func(point.SeriesRows) error) error {
	return r.err
}

// TestGroupsOfTagSets reads more series than one group holds, and so in few reads
// and in order, both ways.
func TestGroupsOfTagSets(t *testing.T) {
	b := newFakeBucket()
	const n = 3 * scanGroupSeries
	for i := range n {
		b.add("m", models.NewTags(map[string]string{"t": fmt.Sprintf("%04d", i)}), int64(i), models.Fields{"f": float64(i)})
	}
	for _, desc := range []bool{false, true} {
		text := "SELECT f FROM m GROUP BY t"
		if desc {
			text += " ORDER BY time DESC"
		}
		b.reads = 0
		results, err := ask(t, b, text)
		if err != nil || len(results) != n {
			t.Fatalf("%s: %d results, %v", text, len(results), err)
		}
		for i, r := range results {
			want := i
			if desc {
				want = n - 1 - i
			}
			if got := r.Series[0].Tags["t"]; got != fmt.Sprintf("%04d", want) || r.Partial != (i < n-1) {
				t.Fatalf("%s: result %d is %s, partial %v", text, i, got, r.Partial)
			}
		}
		if b.reads != 2 {
			t.Errorf("%s: %d reads", text, b.reads)
		}
	}
	b.reads = 0
	if results, err := ask(t, b, "SELECT count(f) FROM m GROUP BY t"); err != nil || len(results) != n || b.reads != 1 {
		t.Errorf("aggregate: %d results, %d reads, %v", len(results), b.reads, err)
	}
}

// TestBufferAccounting: what scans hold goes back to zero, and bounds a query.
func TestBufferAccounting(t *testing.T) {
	b := newFakeBucket()
	for i := range 1000 {
		b.add("m", models.NewTags(map[string]string{"t": fmt.Sprint(i % 10)}), int64(i), models.Fields{"f": float64(i)})
	}
	host := newFakeHost()
	host.add("db", "autogen", true, b)
	x := newExec(context.Background(), host, &Query{Database: "db"}, clock, nil)
	most := int64(0)
	x.out = &output{emit: func(Result) error {
		most = max(most, x.bufferBytes)
		return nil
	}}
	for _, text := range []string{
		"SELECT f FROM m", "SELECT f FROM m GROUP BY t", "SELECT max(f) FROM m GROUP BY t", "SELECT f FROM m GROUP BY t LIMIT 1",
		"SELECT f * 2 FROM m", "SELECT mean(f), count(f) FROM m WHERE time >= 0 AND time < 1u GROUP BY time(10ns), t",
		"SELECT last(f), t FROM m", "SELECT max(f) FROM m WHERE time >= 0 AND time < 1u GROUP BY time(10ns) LIMIT 2",
		"SELECT f FROM m WHERE f > 10 AND t = '1' LIMIT 1", "SELECT max(f), t FROM m GROUP BY t", "SELECT nosuch FROM m",
	} {
		parsed, err := parse(Query{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.runStatement(parsed.Statements[0]); err != nil {
			t.Fatal(err)
		}
		if x.bufferBytes != 0 {
			t.Errorf("%s leaves %d bytes", text, x.bufferBytes)
		}
	}
	if most == 0 {
		t.Error("nothing was ever accounted")
	}
	x.q.spillBytes = 1000
	for _, text := range []string{"SELECT f FROM m", "SELECT f * 2 FROM m", "SELECT f FROM m GROUP BY t LIMIT 5"} {
		parsed, err := parse(Query{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.runStatement(parsed.Statements[0]); err != nil || x.bufferBytes != 0 {
			t.Errorf("%s in slices leaves %d bytes, %v", text, x.bufferBytes, err)
		}
	}
	results, err := ask(t, b, "SELECT f FROM m", func(q *Query) { q.Limits.MaxBufferBytes = 1000 })
	if err != nil || results[0].Err == nil || !strings.Contains(results[0].Err.Error(), "--max-query-memory") {
		t.Errorf("over the limit: %+v, %v", results, err)
	}
	for text, limit := range map[string]int64{
		"SELECT f FROM m": 20_000, // of 24 kB of rows, in slices
		"SELECT max(f) FROM m WHERE time >= 0 AND time < 1u GROUP BY time(1ns)": 100_000,
	} {
		results, err := ask(t, b, text, func(q *Query) { q.Limits.MaxBufferBytes, q.ChunkSize = limit, 10 })
		if err != nil || len(results) != 100 {
			t.Errorf("%s within %d bytes: %d results, %v", text, limit, len(results), err)
		}
	}
	results, err = ask(t, b, "SELECT max(f) FROM m WHERE time >= 0 AND time < 1u GROUP BY time(1ns)", func(q *Query) { q.Limits.MaxBufferBytes, q.ChunkSize = 20_000, 10 })
	if err != nil || results[0].Err == nil || !strings.Contains(results[0].Err.Error(), "--max-query-memory") {
		t.Errorf("windows over the limit: %+v, %v", results, err)
	}
	if results, err := ask(t, b, "SELECT mean(f) FROM m", func(q *Query) { q.Limits.MaxBufferBytes = 2000 }); err != nil || results[0].Err != nil {
		t.Errorf("aggregate within the limit: %+v, %v", results, err)
	}
}

func TestParams(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m,host=a f=1 1\nm,host=b f=2 2", "n", clock); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{json.Number("2"), 2, int64(2), uint64(2), 2.0} {
		results, err := ask(t, b, "SELECT f FROM m WHERE f = $v", func(q *Query) { q.Params = map[string]any{"v": v} })
		if err != nil || len(results) != 1 || len(results[0].Series) != 1 || len(results[0].Series[0].Values) != 1 {
			t.Errorf("%T: %+v, %v", v, results, err)
		}
	}
}

// TestLongConditions: a condition may be as long as the text may be, since it is
// balanced first; expressions that stay deep are refused before they are planned.
func TestLongConditions(t *testing.T) {
	b := newFakeBucket()
	var or strings.Builder
	for i := range 5000 {
		if i%1000 == 0 {
			b.add("m", models.NewTags(map[string]string{"t": fmt.Sprint(i)}), int64(i), models.Fields{"f": float64(i)})
		}
		fmt.Fprintf(&or, "t = '%d' OR ", i)
	}
	results, err := ask(t, b, "SELECT f FROM m WHERE time > 500 AND ("+or.String()+"f = 1) AND f < 4000 AND f >= 0")
	if err != nil || len(results) != 1 || len(results[0].Series) != 1 || len(results[0].Series[0].Values) != 3 {
		t.Errorf("got %+v, %v", results, err)
	}
	for name, text := range map[string]string{
		"arithmetic":  "SELECT f" + strings.Repeat("+1", 1000) + " FROM m",
		"parentheses": "SELECT " + strings.Repeat("(", 1000) + "f" + strings.Repeat(")", 1000) + " FROM m",
		"comparison":  "EXPLAIN SELECT f FROM (SELECT f FROM m WHERE f > 1" + strings.Repeat("+1", 1000) + ")",
		"unbalanced":  "SELECT f FROM m WHERE " + strings.Repeat("(", 200_000),
		"length":      "SELECT f FROM m" + strings.Repeat(" ", TextBytesMaxDefault),
	} {
		_, err := ask(t, b, text)
		var parse *ParseError
		if !errors.As(err, &parse) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, text := range []string{"SELECT sample(f, 1000000000000) FROM m", "SELECT mean(v) FROM (SELECT moving_average(f, 99999999) AS v FROM m)"} {
		results, err := ask(t, b, text)
		if err != nil || len(results) != 1 || results[0].Err == nil {
			t.Errorf("%s: got %+v, %v", text, results, err)
		}
	}
}

// TestEndlessFill: intervals without end fill memory only up to the limit, and
// none when they are emitted in chunks.
func TestEndlessFill(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m f=1 1", "n", clock); err != nil {
		t.Fatal(err)
	}
	const text = "SELECT mean(f) FROM m WHERE time > 0 GROUP BY time(1ns)"
	results, err := ask(t, b, text, func(q *Query) { q.Limits.MaxBufferBytes = 10 << 20 })
	if err != nil || len(results) != 1 || results[0].Err == nil || !strings.Contains(results[0].Err.Error(), "--max-query-memory") {
		t.Errorf("whole: got %+v, %v", results, err)
	}
	host := newFakeHost()
	host.add("db", "autogen", true, b)
	stop := errors.New("enough")
	chunks := 0
	err = Run(context.Background(), host, Query{Text: text, Database: "db", ChunkSize: 1000}, func(r Result) error {
		if chunks++; chunks == 20 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("chunked: %v after %d chunks", err, chunks)
	}
}

// FuzzRun: no query makes Run panic, and none leaves the statements without their
// results.
func FuzzRun(f *testing.F) {
	for _, s := range []string{
		"SELECT * FROM /.*/", "SELECT mean(f) + max(g) FROM m WHERE t = 'a' OR f > 1 GROUP BY time(1s), t fill(linear)",
		"SELECT top(f, t, 2), g FROM m; SHOW SERIES WHERE t !~ /a/", "SHOW TAG VALUES CARDINALITY WITH KEY = t WHERE t = 'a'",
		"SELECT difference(mean(f)) FROM (SELECT f, t FROM m) WHERE time > 0 GROUP BY time(2s, 1s) ORDER BY time DESC tz('UTC')",
		"SHOW FIELD KEY CARDINALITY FROM m WHERE f = 1 GROUP BY t", "EXPLAIN ANALYZE SELECT percentile(f, 50), t FROM m",
		"SELECT _tagKey, _seriesKey FROM m WHERE _tagKey = 't'", "SELECT distinct(_name) FROM m, n GROUP BY *",
	} {
		f.Add(s)
	}
	b := newFakeBucket()
	if err := b.write("m,t=a f=1,g=1i,s=\"x\",b=true 1000000000\nm,t=b f=2,u=3u 2000000000\nn,t=a,r=x f=3i 3000000000\nm f=-1 4000000000", "n", clock); err != nil {
		f.Fatal(err)
	}
	host := newFakeHost()
	host.add("db", "autogen", true, b)
	f.Fuzz(func(t *testing.T, text string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		q := Query{Text: text, Database: "db", Now: func() time.Time { return clock }, ReadOnly: true, ChunkSize: 100}
		q.Limits = Limits{MaxPoints: 1000, MaxBuckets: 1000, MaxSeries: 100, MaxBufferBytes: 1 << 20, MaxTextBytes: 1000}
		last, results := -1, 0
		_ = Run(ctx, host, q, func(r Result) error {
			if r.StatementID < last || r.StatementID > last+1 {
				t.Errorf("result of statement %d after %d", r.StatementID, last)
			}
			last = r.StatementID
			var p *PanicError
			if errors.As(r.Err, &p) && strings.Contains(string(p.Stack), "headgate/engine/influxql.(*scan)") {
				t.Errorf("%v\n%s", p, p.Stack)
			}
			if results++; results > 1000 {
				return errors.New("enough")
			}
			return nil
		})
	})
}
