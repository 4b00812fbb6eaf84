package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"headgate/engine/testkit"
)

// countingServer takes writes as a server would and counts their lines.
type countingServer struct {
	mu        sync.Mutex
	databases []string
	lines     int64
	requests  int64
	paths     map[string]int
	tokens    map[string]int
	// seen has each line, again those that came a second time.
	seen  map[string]bool
	again []string
	// refuse makes every third write get 503.
	refuse bool
	// hopeless, unless it is 0, is what every write gets behind the first hopelessAfter.
	hopeless      int
	hopelessAfter int64
}

func (s *countingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/query":
		s.databases = append(s.databases, r.URL.Query().Get("q"))
		_, _ = io.WriteString(w, `{"results":[{"statement_id":0}]}`)
		return
	case "/metrics":
		_, _ = io.WriteString(w, "# TYPE headgate_wal_syncs_total counter\nheadgate_wal_syncs_total "+
			itoa(s.requests)+"\nheadgate_points_written_total{bucket=\"a b\"} "+itoa(s.lines)+"\n")
		return
	case "/write", "/api/v2/write":
	default:
		http.NotFound(w, r)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = zr
	}
	text, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.requests++
	if s.hopeless != 0 && s.requests > s.hopelessAfter {
		http.Error(w, "not you", s.hopeless)
		return
	}
	if s.refuse && s.requests%3 == 0 {
		http.Error(w, "come again", http.StatusServiceUnavailable)
		return
	}
	s.paths[r.URL.Path+"?"+r.URL.RawQuery]++
	s.tokens[r.Header.Get("Authorization")]++
	for line := range strings.Lines(string(text)) {
		if s.seen[line] {
			s.again = append(s.again, line)
		}
		s.seen[line] = true
	}
	s.lines += int64(bytes.Count(text, []byte{'\n'}))
	w.WriteHeader(http.StatusNoContent)
}

func itoa(n int64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func startCounting(t *testing.T) (*countingServer, string) {
	t.Helper()
	s := &countingServer{paths: map[string]int{}, tokens: map[string]int{}, seen: map[string]bool{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name   string
		change func(*LoadOptions)
		refuse bool
		path   string
	}{
		{"v1", func(o *LoadOptions) { o.Database = "d b" }, false, "/write?db=d+b&precision=ns"},
		{"v2", func(o *LoadOptions) { o.Bucket, o.Org = "b", "o" }, false, "/api/v2/write?bucket=b&org=o&precision=ns"},
		{"gzip", func(o *LoadOptions) { o.Database, o.Compression = "d", Gzip }, false, "/write?db=d&precision=ns"},
		{"us", func(o *LoadOptions) { o.Database, o.Precision = "d", "us" }, false, "/write?db=d&precision=u"},
		{"us v2", func(o *LoadOptions) { o.Bucket, o.Precision = "b", "us" }, false, "/api/v2/write?bucket=b&precision=us"},
		{"open loop", func(o *LoadOptions) { o.Database, o.Rate, o.Arrivals = "d", 1000, Fixed }, false, "/write?db=d&precision=ns"},
		{"refusals", func(o *LoadOptions) { o.Database = "d" }, true, "/write?db=d&precision=ns"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			s, address := startCounting(t)
			s.refuse = tt.refuse
			o := LoadOptions{
				URL: address, Token: "secret", PID: os.Getpid(), Workload: CPU, Hosts: 5, Lines: 100, Conns: 3,
				Duration: 150 * time.Millisecond, RingBytes: 1, SettleMax: time.Nanosecond,
				DataDir: t.TempDir(),
			}
			tt.change(&o)
			if err := os.WriteFile(filepath.Join(o.DataDir, "data"), make([]byte, 5000), 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := Load(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if report.Points == 0 || report.Points != s.lines || report.Values != 10*report.Points {
				t.Errorf("reported %d points and %d values, the server took %d lines", report.Points, report.Values, s.lines)
			}
			if report.Requests != s.requests || report.Statuses["204"]*100 != report.Points {
				t.Errorf("reported %d requests, %v; the server saw %d", report.Requests, report.Statuses, s.requests)
			}
			if (report.Statuses["503"] > 0) != tt.refuse || strings.HasPrefix(report.FirstError, "503") != tt.refuse {
				t.Errorf("statuses %v, first error %q", report.Statuses, report.FirstError)
			}
			if s.paths[tt.path] == 0 || len(s.paths) != 1 || s.tokens["Token secret"] == 0 || len(s.tokens) != 1 {
				t.Errorf("requests %v with %v", s.paths, s.tokens)
			}
			if o.Database != "" && (len(s.databases) != 1 || s.databases[0] != `CREATE DATABASE "`+o.Database+`"`) {
				t.Errorf("databases made: %q", s.databases)
			}
			if want := float64(report.Points) / float64(s.requests); report.PointsPerSync != want {
				t.Errorf("%v points a sync, want %v", report.PointsPerSync, want)
			}
			if report.Repeated != (o.Compression == Gzip && report.Requests > 2*3) {
				t.Errorf("repeated %v after %d requests", report.Repeated, report.Requests)
			}
			if report.LatencyP50Millis <= 0 || report.LatencyP99Millis < report.LatencyP50Millis || report.LatencyMaxMillis < report.LatencyP99Millis {
				t.Errorf("latencies %v, %v, %v", report.LatencyP50Millis, report.LatencyP99Millis, report.LatencyMaxMillis)
			}
			if l := report.OpenLoop; (l != nil) != (o.Rate > 0) {
				t.Errorf("open loop %+v", l)
			} else if l != nil {
				arrived := float64(report.Requests + report.ConnErrors + l.TurnedAway + l.Waiting)
				if arrived < o.Rate*o.Duration.Seconds() || arrived > o.Rate*report.ElapsedSeconds+1 {
					t.Errorf("%v requests arrived in %v s at a rate of %v", arrived, report.ElapsedSeconds, o.Rate)
				}
			}
			if report.Retries > 0 && !tt.refuse {
				t.Errorf("%d retries", report.Retries)
			}
			var counted int64
			for _, c := range report.Distribution {
				counted += c.Count
			}
			if counted != report.Requests || len(report.Timeline) != 1 || report.Timeline[0].LatencyMaxMillis != report.LatencyMaxMillis {
				t.Errorf("%d latencies of %d requests in the distribution, timeline %+v", counted, report.Requests, report.Timeline)
			}
			if report.Server == nil || report.Server.RSSPeakBytes == 0 || report.Server.DiskBytes < 5000 {
				t.Errorf("server %+v", report.Server)
			}
			var table, object bytes.Buffer
			if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "points each") {
				t.Errorf("table: %v\n%s", err, table.String())
			}
			if err := report.WriteJSON(&object); err != nil {
				t.Fatal(err)
			}
			var back LoadReport
			if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Points != report.Points {
				t.Errorf("JSON: %v", err)
			}
		})
	}
}

// TestHopelessLoad: a server that takes nothing of this caller ends a load at once, with what
// it says.
func TestHopelessLoad(t *testing.T) {
	testkit.CheckLeaks(t)
	for _, rate := range []float64{0, 1000} {
		s, address := startCounting(t)
		s.hopeless = http.StatusUnauthorized
		begin := time.Now()
		_, err := Load(context.Background(), LoadOptions{URL: address, Bucket: "b", Workload: CPU, Hosts: 5, Lines: 10, Conns: 3, Rate: rate, Duration: time.Hour, RingBytes: 1, SettleMax: time.Nanosecond})
		if err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "not you") || time.Since(begin) > time.Minute {
			t.Errorf("rate %v: %v after %s", rate, err, time.Since(begin))
		}
	}
}

// TestLoadRefusedLater: what a server does after it has taken something is counted, and the
// load goes on.
func TestLoadRefusedLater(t *testing.T) {
	testkit.CheckLeaks(t)
	s, address := startCounting(t)
	s.hopeless, s.hopelessAfter = http.StatusNotFound, 1
	r, err := Load(context.Background(), LoadOptions{URL: address, Bucket: "b", Workload: CPU, Hosts: 5, Lines: 10, Conns: 1, Duration: 100 * time.Millisecond, RingBytes: 1, SettleMax: time.Nanosecond})
	if err != nil || r.Points != 10 {
		t.Errorf("%+v: %v", r, err)
	}
}

func TestLoadOptionsValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(*LoadOptions)
		want   string
	}{
		{func(o *LoadOptions) {}, "neither"},
		{func(o *LoadOptions) { o.Database, o.Bucket = "a", "b" }, "both"},
		{func(o *LoadOptions) { o.Database, o.Lines = "a", -1 }, "positive"},
		{func(o *LoadOptions) { o.Database, o.Duration = "a", -1 }, "negative"},
		{func(o *LoadOptions) { o.Database, o.Workload = "a", "x" }, "unknown workload"},
		{func(o *LoadOptions) { o.Database, o.Workload = "a", Real }, "File"},
		{func(o *LoadOptions) { o.Database, o.Workload, o.File = "a", Real, "/nowhere/at.all" }, "replay"},
		{func(o *LoadOptions) { o.Database, o.Churn = "a", 1.1 }, "shares"},
		{func(o *LoadOptions) { o.Database, o.OutOfOrder, o.Duplicates = "a", 0.6, 0.6 }, "shares"},
		{func(o *LoadOptions) { o.Database, o.Compression = "a", "lzw" }, "lzw"},
		{func(o *LoadOptions) { o.Database, o.Rate = "a", math.NaN() }, "Rate"},
		{func(o *LoadOptions) { o.Database, o.BacklogMax = "a", -1 }, "BacklogMax"},
		{func(o *LoadOptions) { o.Database, o.Arrivals = "a", "all at once" }, "arrival process"},
		{func(o *LoadOptions) { o.Database, o.Precision = "a", "m" }, "unknown precision"},
		{func(o *LoadOptions) { o.Database, o.FirstSeries = "a", -1 }, "FirstSeries"},
		{func(o *LoadOptions) { o.Database, o.Start = "a", time.Unix(1, 0) }, "Start"},
		{func(o *LoadOptions) { o.Database, o.URL = "a", "ftp://x" }, "neither http"},
	} {
		o := LoadOptions{URL: "http://127.0.0.1:1"}
		tt.change(&o)
		if _, err := Load(context.Background(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}

func TestCPUOfStat(t *testing.T) {
	stat := []byte("42 (head) gate) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 7 8 20 0 9 0 1 2 3\n")
	if d, err := cpuOfStat(stat); err != nil || d != 2*time.Second {
		t.Errorf("got %v, %v", d, err)
	}
	for _, bad := range []string{"", "42 head S 1", "42 (head) S 1 2"} {
		if _, err := cpuOfStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSumMetrics(t *testing.T) {
	text := "# HELP a_total x\na_total{x=\"1 2\"} 3\na_total{x=\"}\"} 4.5\na_total_more 7\nb_total NaN\nc 1\n"
	got := sumMetrics(strings.NewReader(text), []string{"a_total", "b_total"})
	if len(got) != 1 || got["a_total"] != 7.5 {
		t.Errorf("got %v", got)
	}
	if got := sumMetrics(strings.NewReader(text), []string{"d"}); got != nil {
		t.Errorf("got %v", got)
	}
}
