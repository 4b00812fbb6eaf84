package influxql

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recordedFile holds requests and the answers that InfluxDB gave to them. It lives
// beside the repository, if at all.
const recordedFile = "../../../shared/contract/recorded.jsonl"

type recorded struct {
	ID      string `json:"id"`
	Section string `json:"section"`
	Name    string `json:"name"`
	Role    string `json:"role"`
	Meta    struct {
		Now int64 `json:"now_s"`
	} `json:"meta"`
	Request struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Query   [][2]string       `json:"query"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
		BodyB64 string            `json:"body_b64"`
		BodyGz  string            `json:"body_gz_b64"`
	} `json:"request"`
	Response struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	} `json:"response"`
}

// deliberate are the recorded queries that we answer otherwise on purpose, with
// the row of the contract's part 1 that says so.
var deliberate = map[string]string{
	"CREATE DATABASE newdb": "22, 24",
	"DROP DATABASE iql":     "22, 24",
	"CREATE RETENTION POLICY x ON iql DURATION 1h REPLICATION 1": "22, 24",
	"DELETE FROM mem":                             "24",
	"DROP SERIES via POST":                        "22",
	"CREATE DATABASE via POST":                    "22",
	"EXPLAIN ANALYZE SELECT count(v) FROM sparse": "its tree shows our own counters",
	"SELECT count(usage) FROM cpu; SELECT mean(usage) FROM nope..cpu; SHOW MEASUREMENTS": "19",
	"SHOW DATABASES": "the other sections' buckets",
	"0906":           "InfluxDB loses measurements with an escaped equals sign",
	"0926":           "InfluxDB loses measurements with a backslash before an escaped comma",
	"0928":           "and does not escape the backslash of their keys",
}

var timePlaceholder = regexp.MustCompile(`\{\{T:(\w+):(-?[0-9.]+)\}\}`)

// TestRecorded replays the recorded InfluxQL: the influxql section and the
// queries with which the other sections read back what they wrote. Writes go
// through InfluxDB's own parser into a fake bucket, so queries that follow
// writes which InfluxDB 2 and 1 parse differently, or with partial rejections,
// are left to the tests that have our parser.
func TestRecorded(t *testing.T) {
	f, err := os.Open(filepath.FromSlash(recordedFile))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no recorded answers beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	host, bucket, current := newFakeHost(), newFakeBucket(), ""
	clean := true // the bucket holds what InfluxDB's does
	var now time.Time
	compared, skipped := 0, 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Meta.Now != 0 {
			now = time.Unix(r.Meta.Now, 0)
			continue
		}
		params := url.Values{}
		for _, kv := range r.Request.Query {
			params.Add(kv[0], kv[1])
		}
		switch {
		case r.Request.Path == "/api/v2/buckets" && r.Request.Method == "POST" && r.Response.Status == 201:
			var created struct{ Name string }
			if err := json.Unmarshal([]byte(r.Request.Body), &created); err != nil {
				t.Fatal(err)
			}
			current, bucket, clean = created.Name, newFakeBucket(), true
			host.add(current, "autogen", true, bucket)
		case strings.HasSuffix(r.Request.Path, "/write") && r.Response.Status == 204:
			if params.Get("bucket") != "{{CUR}}" {
				clean = false // the variable may name that bucket from here on
				continue
			}
			body := timePlaceholder.ReplaceAllStringFunc(recordedBody(t, &r), func(s string) string {
				m := timePlaceholder.FindStringSubmatch(s)
				off, _ := strconv.ParseFloat(m[2], 64)
				ns := now.Add(time.Duration(off * 1e9)).UnixNano()
				return strconv.FormatInt(ns/map[string]int64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[m[1]], 10)
			})
			precision := params.Get("precision")
			if precision == "us" {
				precision = "u"
			}
			if r.Request.Headers["Content-Encoding"] != "" || bucket.write(body, precision, now) != nil {
				clean = false
			}
		case strings.HasSuffix(r.Request.Path, "/write") && r.Response.Status == 422,
			strings.HasPrefix(r.Request.Path, "/api/v2/delete"):
			clean = false
		case r.Request.Path == "/query":
			if r.Section != "influxql" && (!clean || params.Get("db") != "{{CURNAME}}") {
				skipped++
				continue
			}
			if r.Request.Method == "POST" {
				if params, err = url.ParseQuery(r.Request.Body); err != nil {
					t.Fatal(err)
				}
			}
			if params.Get("q") == "SHOW MEASUREMENTS" && r.Role == "readback" && r.Section == "influxql" {
				delete(bucket.measurements, "mem") // which the file has deleted
			}
			if deliberate[r.Name] != "" || deliberate[params.Get("q")] != "" || deliberate[r.ID] != "" ||
				r.Response.Status >= 401 || strings.Contains(r.Response.Body, "...(cut)...") {
				skipped++
				continue
			}
			q := Query{
				Text: params.Get("q"), Database: strings.ReplaceAll(params.Get("db"), "{{CURNAME}}", current),
				ReadOnly: r.Request.Method == "GET", Now: func() time.Time { return now },
			}
			want := strings.TrimSpace(r.Response.Body)
			if r.Response.Status == 400 {
				var e struct{ Message string }
				if err := json.Unmarshal([]byte(want), &e); err != nil {
					t.Fatal(err)
				}
				want = e.Message
			}
			got := answer(t, host, q, params.Get("epoch") != "")
			compared++
			if !sameJSON(serverTime.ReplaceAllString(got, "0"), serverTime.ReplaceAllString(want, "0")) {
				t.Errorf("%s %s: %s\n got %.1500s\nwant %.1500s", r.ID, r.Name, q.Text, got, want)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d answers compared, %d left out", compared, skipped)
	if compared < 250 {
		t.Errorf("only %d answers compared", compared)
	}
}

// serverTime are timestamps that the server gave at the time of recording.
var serverTime = regexp.MustCompile(`\b17[89]\d{16}\b`)

func recordedBody(t *testing.T, r *recorded) string {
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	switch {
	case r.Request.BodyB64 != "":
		return string(decode(r.Request.BodyB64))
	case r.Request.BodyGz != "":
		z, err := gzip.NewReader(bytes.NewReader(decode(r.Request.BodyGz)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return r.Request.Body
}

// sameJSON compares documents, numbers by their text.
func sameJSON(a, b string) bool {
	decode := func(s string) (v any) {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return s
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}
