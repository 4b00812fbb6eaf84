package clienttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	influxdb1 "github.com/influxdata/influxdb1-client/v2"
)

func newV1(t testing.TB, s *Server, user, password string, encoding influxdb1.ContentEncoding) influxdb1.Client {
	t.Helper()
	c, err := influxdb1.NewHTTPClient(influxdb1.HTTPConfig{Addr: s.URL, Username: user, Password: password, WriteEncoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// v1Query is the results of a query that must work.
func v1Query(t testing.TB, c influxdb1.Client, q influxdb1.Query) []influxdb1.Result {
	t.Helper()
	r, err := c.Query(q)
	if err == nil {
		err = r.Error()
	}
	if err != nil {
		t.Fatalf("%s: %v", q.Command, err)
	}
	return r.Results
}

func v1Batch(t testing.TB, c influxdb1.BatchPointsConfig, points ...*influxdb1.Point) influxdb1.BatchPoints {
	t.Helper()
	b, err := influxdb1.NewBatchPoints(c)
	if err != nil {
		t.Fatal(err)
	}
	b.AddPoints(points)
	return b
}

func v1Point(t testing.TB, m string, tags map[string]string, fields map[string]any, at time.Time) *influxdb1.Point {
	t.Helper()
	p, err := influxdb1.NewPoint(m, tags, fields, at)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestV1 goes the way of a v1 client from its first ping, with and without
// authentication: there, a v2 token is any user's password.
func TestV1(t *testing.T) {
	for _, auth := range []bool{true, false} {
		for _, encoding := range []influxdb1.ContentEncoding{influxdb1.DefaultEncoding, influxdb1.GzipEncoding} {
			t.Run(fmt.Sprintf("auth=%v/encoding=%s", auth, encoding), func(t *testing.T) {
				s := Start(t, Config{AuthDisabled: !auth})
				user, password := "", ""
				if auth {
					user, password = "anyone", Token
				}
				c := newV1(t, s, user, password, encoding)
				if _, version, err := c.Ping(5 * time.Second); err != nil || !strings.HasPrefix(version, "v2.") {
					t.Errorf("ping: %q, %v", version, err)
				}
				v1Query(t, c, influxdb1.NewQuery(`CREATE DATABASE "my db"`, "", ""))
				v1Query(t, c, influxdb1.NewQuery(`CREATE DATABASE "my db"`, "", "")) // k6 and Telegraf do at each start
				r := v1Query(t, c, influxdb1.NewQuery("SHOW DATABASES", "", ""))
				if !slices.ContainsFunc(r[0].Series[0].Values, func(v []any) bool { return v[0] == "my db" }) {
					t.Errorf("databases %v, without my db", r[0].Series[0].Values)
				}

				at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
				// The client has no microseconds: it takes us, and then writes nanoseconds.
				for i, precision := range []string{"ns", "ms", "s", "m", "h"} {
					p := v1Point(t, "cpu", map[string]string{"host": "h 1", "precision": precision}, map[string]any{"v": 1.5 + float64(i), "n": int64(i), "on": true, "s": `a"b\c`}, at)
					if err := c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: "my db", Precision: precision}, p)); err != nil {
						t.Fatalf("write in %s: %v", precision, err)
					}
				}
				r = v1Query(t, c, influxdb1.NewQuery("SELECT n, \"on\", s, v FROM cpu GROUP BY precision", "my db", "s"))
				want := map[string]time.Time{"m": at.Truncate(time.Minute), "h": at.Truncate(time.Hour)}
				if len(r) != 1 || len(r[0].Series) != 5 {
					t.Fatalf("select: %+v", r)
				}
				for _, series := range r[0].Series {
					precision := series.Tags["precision"]
					w, ok := want[precision]
					if !ok {
						w = at
					}
					if got := series.Values[0][0].(json.Number).String(); got != fmt.Sprint(w.Unix()) {
						t.Errorf("%s: time %s, want %d", precision, got, w.Unix())
					}
					if got := series.Values[0]; got[2] != true || got[3] != `a"b\c` {
						t.Errorf("%s: %v", precision, got)
					}
				}
				r = v1Query(t, c, influxdb1.NewQueryWithParameters("SELECT v FROM cpu WHERE precision = $p", "my db", "ns", map[string]any{"p": "ms"}))
				if got := r[0].Series[0].Values[0][1].(json.Number); got != "2.5" {
					t.Errorf("with parameters: %v, want 2.5", got)
				}
				v1Query(t, c, influxdb1.NewQuery(`DROP DATABASE "my db"`, "", ""))
				if res, err := c.Query(influxdb1.NewQuery("SELECT v FROM cpu", "my db", "")); err != nil || res.Error() == nil || !strings.Contains(res.Error().Error(), "database not found: my db") {
					t.Errorf("after DROP DATABASE: %+v, %v", res, err)
				}
			})
		}
	}
}

func TestV1RetentionPolicy(t *testing.T) {
	s := Start(t, Config{AuthDisabled: true})
	c := newV1(t, s, "", "", influxdb1.DefaultEncoding)
	v1Query(t, c, influxdb1.NewQuery("CREATE DATABASE d WITH DURATION 7d NAME week", "", ""))
	v1Query(t, c, influxdb1.NewQuery("CREATE RETENTION POLICY long ON d DURATION INF REPLICATION 1", "", ""))
	old := v1Point(t, "m", nil, map[string]any{"f": 1.0}, time.Unix(1, 0))
	if err := c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: "d", RetentionPolicy: "long"}, old)); err != nil {
		t.Errorf("write into long: %v", err)
	}
	err := c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: "d"}, old))
	wantText(t, "write into week", err, "partial write: dropped 1 points outside retention policy of duration 168h0m0s")
	r := v1Query(t, c, influxdb1.NewQueryWithRP("SELECT f FROM m", "d", "long", "ns"))
	if len(r[0].Series) != 1 || len(r[0].Series[0].Values) != 1 {
		t.Errorf("select from long: %+v", r)
	}
}

func TestV1Chunked(t *testing.T) {
	const rows, chunk = 25_000, 1000
	s := Start(t, Config{AuthDisabled: true})
	c := newV1(t, s, "", "", influxdb1.GzipEncoding)
	v1Query(t, c, influxdb1.NewQuery("CREATE DATABASE d", "", ""))
	b := v1Batch(t, influxdb1.BatchPointsConfig{Database: "d"})
	for i := range rows {
		b.AddPoint(v1Point(t, "m", nil, map[string]any{"f": int64(i)}, time.Unix(0, int64(i))))
	}
	if err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	q := influxdb1.NewQuery("SELECT f FROM m; SELECT count(f) FROM m", "d", "ns")
	q.Chunked, q.ChunkSize = true, chunk
	answers, err := c.QueryAsChunk(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	chunks, next := 0, 0
	for {
		r, err := answers.NextResponse()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		series := r.Results[0].Series[0]
		if r.Results[0].StatementId == 1 {
			if got := series.Values[0][1].(json.Number); got != json.Number(fmt.Sprint(rows)) {
				t.Errorf("count %s, want %d", got, rows)
			}
			continue
		}
		chunks++
		if len(series.Values) != chunk || series.Partial != (chunks < rows/chunk) {
			t.Errorf("chunk %d has %d rows, partial %v", chunks, len(series.Values), series.Partial)
		}
		for _, v := range series.Values {
			if got := v[1].(json.Number); got != json.Number(fmt.Sprint(next)) {
				t.Fatalf("row %d is %s", next, got)
			}
			next++
		}
	}
	if chunks != rows/chunk || next != rows {
		t.Errorf("%d rows in %d chunks, want %d in %d", next, chunks, rows, rows/chunk)
	}
	whole := v1Query(t, c, q) // the client puts the chunks together
	if len(whole) != rows/chunk+1 {
		t.Errorf("%d results, want %d", len(whole), rows/chunk+1)
	}
	q.Chunked = false
	whole = v1Query(t, c, q)
	if len(whole) != 2 || len(whole[0].Series[0].Values) != rows {
		t.Error("not chunked, the rows are not in one piece")
	}
}

// TestV1Errors walks what the client makes an error of: the body as it came for a
// write, the status and the "error" member for a query.
func TestV1Errors(t *testing.T) {
	s := Start(t, Config{})
	c := newV1(t, s, "anyone", Token, influxdb1.DefaultEncoding)
	at := time.Unix(0, 1)
	good := v1Point(t, "m", nil, map[string]any{"f": 1.5}, at)
	conflict := v1Point(t, "m", nil, map[string]any{"f": "s"}, at)
	for _, test := range []struct {
		what string
		c    influxdb1.Client
		db   string
		want string
	}{
		{"type conflict", c, Bucket, `partial write: field type conflict: input field \"f\" on measurement \"m\" is type string, already exists as type float dropped=1`},
		{"unknown database", c, "nope", `"message":"no dbrp mapping found","error":"database not found: \"nope\""`},
		{"no database", c, "", "missing db"},
		{"wrong password", newV1(t, s, "anyone", "wrong", influxdb1.DefaultEncoding), Bucket, "Unauthorized"},
		{"no credentials", newV1(t, s, "", "", influxdb1.DefaultEncoding), Bucket, "unauthorized access"},
	} {
		err := test.c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: test.db}, good, conflict))
		wantText(t, test.what, err, test.want)
		if err == nil {
			continue
		}
		var body struct{ Code, Message, Error string }
		if json.Unmarshal([]byte(err.Error()), &body) != nil || body.Code == "" || body.Error != body.Message && test.db != "nope" {
			t.Errorf("%s: body %s", test.what, err)
		}
	}
	s.WantRows(t, Bucket, "SELECT f FROM m", "1 1.5")

	for _, test := range []struct {
		what    string
		c       influxdb1.Client
		db, q   string
		want    string
		refused bool // by its status, not by the statement
	}{
		{"syntax", c, Bucket, "SELEC f", "failed to parse query: found SELEC", true},
		{"unknown database", c, "nope", "SELECT f FROM m", "database not found: nope", false},
		{"second statement", c, Bucket, "SELECT f FROM m; SELECT mean(f), f FROM m", "mixing aggregate and non-aggregate queries is not supported", false},
		{"wrong password", newV1(t, s, "anyone", "wrong", influxdb1.DefaultEncoding), Bucket, "SELECT f FROM m", "Unauthorized", true},
	} {
		r, err := test.c.Query(influxdb1.NewQuery(test.q, test.db, ""))
		if err != nil {
			t.Errorf("%s: the client cannot read the answer: %v", test.what, err)
			continue
		}
		wantText(t, test.what, r.Error(), test.want)
		if (r.Err != "") != test.refused {
			t.Errorf("%s: error %q, refused %v", test.what, r.Err, test.refused)
		}
	}
}

// TestV1Overload shows that a v1 client can read the refusal, although it has no
// way to come back by itself.
func TestV1Overload(t *testing.T) {
	s := Start(t, Config{})
	defer s.Fill(t)()
	p := v1Point(t, "m", nil, map[string]any{"f": 1.5}, time.Unix(0, 1))
	err := newV1(t, s, "anyone", Token, influxdb1.DefaultEncoding).Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: Bucket}, p))
	wantText(t, "write", err, `"error":"write queue is full; nothing was written"`)
}
