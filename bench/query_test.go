package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/influxql"

	"headgate/engine/testkit"
)

// TestQueryForms checks that every form's statements are InfluxQL, ask for times and
// hosts that are there, and are the same for the same seed.
func TestQueryForms(t *testing.T) {
	o := FillOptions{Hosts: 20}
	o.EnsureDefaults()
	end := o.Start.Add(o.Span)
	host := regexp.MustCompile(`hostname = 'host_(\d+)'`)
	clock := regexp.MustCompile(`time (>=|<) '([^']*)'`)
	want := map[string]struct {
		fields, hosts int
		length        time.Duration // 0 for no start
	}{
		"single-groupby-1-1-1": {1, 1, time.Hour}, "single-groupby-1-1-12": {1, 1, 12 * time.Hour}, "single-groupby-1-8-1": {1, 8, time.Hour},
		"single-groupby-5-1-1": {5, 1, time.Hour}, "single-groupby-5-1-12": {5, 1, 12 * time.Hour}, "single-groupby-5-8-1": {5, 8, time.Hour},
		"double-groupby-1": {1, 0, 12 * time.Hour}, "double-groupby-5": {5, 0, 12 * time.Hour}, "double-groupby-all": {10, 0, 12 * time.Hour},
		"cpu-max-all-1": {10, 1, 8 * time.Hour}, "cpu-max-all-8": {10, 8, 8 * time.Hour}, "lastpoint": {1, 0, 0},
		"high-cpu-1": {1, 1, 12 * time.Hour}, "high-cpu-all": {1, 0, 12 * time.Hour}, "groupby-orderby-limit": {1, 0, 0},
	}
	if len(want) != len(QueryForms()) {
		t.Fatalf("%d forms, want %d", len(QueryForms()), len(want))
	}
	for _, form := range queryForms {
		want, ok := want[form.name]
		if !ok {
			t.Errorf("%s is not expected", form.name)
		}
		draw, again := newQueryDraw(&o, form.name), newQueryDraw(&o, form.name)
		seen := map[string]bool{}
		for range 50 {
			text := form.draw(draw)
			seen[text] = true
			if other := form.draw(again); other != text {
				t.Fatalf("%s: %s\nand %s", form.name, text, other)
			}
			s, err := influxql.ParseStatement(text)
			if err != nil {
				t.Fatalf("%s: %s: %v", form.name, text, err)
			}
			if n := len(s.(*influxql.SelectStatement).Fields); n != want.fields {
				t.Errorf("%s: %d fields, want %d: %s", form.name, n, want.fields, text)
			}
			hosts := map[string]bool{}
			for _, m := range host.FindAllStringSubmatch(text, -1) {
				hosts[m[1]] = true
			}
			if len(hosts) != want.hosts || hosts["20"] {
				t.Errorf("%s: hosts %v, want %d: %s", form.name, hosts, want.hosts, text)
			}
			var times []time.Time
			for _, m := range clock.FindAllStringSubmatch(text, -1) {
				at, err := time.Parse(time.RFC3339, m[2])
				if err != nil || at.Before(o.Start) || at.After(end) {
					t.Errorf("%s: time %s: %v", form.name, m[2], err)
				}
				times = append(times, at)
			}
			if want.length > 0 && (len(times) != 2 || times[1].Sub(times[0]) != want.length) {
				t.Errorf("%s: times %v, want %v: %s", form.name, times, want.length, text)
			}
		}
		if len(seen) < 15 && form.name != "lastpoint" {
			t.Errorf("%s: only %d different statements of 50", form.name, len(seen))
		}
	}
	// Less data than a form asks for is taken whole.
	o.Span, o.Hosts = time.Hour, 3
	if got, want := newQueryDraw(&o, "x").maxAll(8), "time >= '2016-01-01T00:00:00Z' and time < '2016-01-01T01:00:00Z'"; !strings.Contains(got, want) ||
		strings.Count(got, "hostname") != 3 {
		t.Errorf("%s", got)
	}
}

// answeringServer answers statements; change may spoil an answer.
type answeringServer struct {
	mu         sync.Mutex
	statements []string
	requests   *[]string // of all servers, in order
	name       string
	// hangUp closes each connection after its answer without a word before.
	hangUp bool
	change func(form int, answer string) (string, int)
}

func (s *answeringServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query().Get("q")
	if r.URL.Path == "/write" || strings.HasPrefix(q, "CREATE") {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.URL.Path != "/query" || r.URL.Query().Get("db") != "tsbs" {
		http.Error(w, "what?", http.StatusNotFound)
		return
	}
	s.statements = append(s.statements, q)
	*s.requests = append(*s.requests, s.name)
	answer := fmt.Sprintf(`{"results":[{"statement_id":0,"series":[{"name":"cpu","columns":["time","v"],"values":[[1,%d.5],[2,"b"],[2,"a"]]}]}]}`, len(q))
	status := http.StatusOK
	if s.change != nil {
		answer, status = s.change(len(s.statements), answer)
	}
	if s.hangUp {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s", status, len(answer), answer)
		_ = conn.Close()
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(answer))
}

func startAnswering(t *testing.T, requests *[]string, name string) (*answeringServer, CompareTarget) {
	s := &answeringServer{requests: requests, name: name}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, CompareTarget{Name: name, URL: h.URL, PID: os.Getpid()}
}

func TestQuery(t *testing.T) {
	replace := func(old, new string) func(int, string) (string, int) {
		return func(_ int, answer string) (string, int) { return strings.Replace(answer, old, new, 1), 200 }
	}
	for _, tt := range []struct {
		name   string
		change func(int, string) (string, int)
		ulps   uint64
		equal  Equality
		text   string
		failed bool
		load   bool
		hangUp bool
	}{
		{name: "equal", equal: Equal, text: "a is slower in: ", load: true},
		{name: "connections that do not last", equal: Equal, hangUp: true},
		{name: "other bytes", change: replace(`"results":`, `"results" : `), equal: Equal},
		{name: "order", change: replace(`[2,"b"],[2,"a"]`, `[2,"a"],[2,"b"]`), equal: OtherOrder, text: `row 1, column v: a, not b`},
		{name: "a value", change: replace(`.5`, `.5000000000001`), equal: Different, text: "differs: b: series cpu, row 0"},
		{name: "a value, within bounds", change: replace(`.5`, `.5000000000001`), ulps: 10, equal: Equal},
		{name: "fewer rows", change: replace(`,[2,"a"]`, ``), equal: Different, text: "2 rows, not 3"},
		{name: "an error in the answer", change: replace(`"statement_id":0`, `"error":"too hard"`), equal: Different, text: "4 times at b: too hard", failed: true},
		{name: "one refusal", change: func(n int, answer string) (string, int) {
			if n == 3 {
				return "no more", 500
			}
			return answer, 200
		}, equal: Different, text: "failed 1 times at b: bench: query", failed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			var requests []string
			a, first := startAnswering(t, &requests, "a")
			b, second := startAnswering(t, &requests, "b")
			b.change, b.hangUp = tt.change, tt.hangUp
			forms := []string{"double-groupby-1", "high-cpu-1"}
			r, err := Query(context.Background(), QueryOptions{
				Data: FillOptions{Database: "tsbs", Hosts: 5, Span: 24 * time.Hour, Interval: time.Hour}, Targets: []CompareTarget{first, second},
				Forms: forms, Rounds: 3, FloatULPs: tt.ulps, Load: tt.load, SettleMax: time.Nanosecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(a.statements) != 2*(3+1) || !slices.Equal(a.statements, b.statements) {
				t.Errorf("statements %q\nand %q", a.statements, b.statements)
			}
			if got := strings.Join(requests, ""); got != "abbaabbaabbaabba" {
				t.Errorf("order %s", got)
			}
			if tt.load != (len(r.Loads) == 2) || tt.load && r.Loads[1].Points != 5*24 {
				t.Errorf("loads %+v", r.Loads)
			}
			f := r.Queries[0]
			if f.Name != forms[0] || f.Equal != tt.equal || (f.Difference == "") != (tt.equal == Equal) || f.RowsMin != 3 || f.RowsMax != 3 {
				t.Errorf("%s: equal %s, %s; rows %v to %v", f.Name, f.Equal, f.Difference, f.RowsMin, f.RowsMax)
			}
			if s := f.Targets[0]; s.Rounds != 3 || s.Median <= 0 || s.P90 < s.Median || s.AnswerBytes == 0 || s.Failed > 0 {
				t.Errorf("first target %+v", s)
			}
			if tt.failed != (len(r.Failed()) > 0) || (tt.equal == Equal) != (len(r.Unequal()) == 0) || len(r.Empty()) > 0 {
				t.Errorf("failed %v, unequal %v, empty %v", r.Failed(), r.Unequal(), r.Empty())
			}
			var table, object bytes.Buffer
			if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), tt.text) {
				t.Errorf("no %q in the table: %v\n%s", tt.text, err, table.String())
			}
			if err := r.WriteJSON(&object); err != nil {
				t.Fatal(err)
			}
			var back QueryReport
			if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Queries[1].Targets[0].Median != r.Queries[1].Targets[0].Median {
				t.Errorf("JSON: %v", err)
			}
		})
	}
}

// TestQuerySums checks the statistics on figures made by hand.
func TestQuerySums(t *testing.T) {
	form := func(name string, a, b []float64) *QueryFormReport {
		f := &QueryFormReport{Name: name, Targets: []QueryStat{{Millis: a, CPUMillis: 1}, {Millis: b, CPUMillis: 4}}}
		f.stats()
		return f
	}
	r := &QueryReport{Targets: []string{"a", "b"}, Queries: []*QueryFormReport{
		form("x", []float64{1, 2, 4}, []float64{2, 6, 4}),  // 2, 3, 1
		form("y", []float64{4, 0, 8}, []float64{2, 9, 2}),  // 0.5, 0.25; the first failed once
		form("z", []float64{1, 1, 1}, []float64{9, 10, 0}), // 9, 10; the second failed once
	}}
	r.sumUp()
	want := MetricStat{Rounds: 3, Median: 4, Min: 2, Max: 6, Ratio: 2, RatioMin: 1, RatioMax: 3}
	if s := r.Queries[0].Targets[1]; s.MetricStat != want || s.P90 != 6 {
		t.Errorf("%+v, want %+v", s, want)
	}
	o := r.Overall[1]
	if o.MedianRatio != 2 || o.LowestRatio != 0.375 || o.LowestQuery != "y" || o.HighestRatio != 9.5 || o.HighestQuery != "z" ||
		!slices.Equal(o.Slower, []string{"y"}) || o.CPURatio != 4 {
		t.Errorf("%+v", o)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "a is slower in: y\n") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestQueryOptionsValidate(t *testing.T) {
	one := []CompareTarget{{Name: "a", URL: "http://127.0.0.1:1"}}
	for want, o := range map[string]QueryOptions{
		"Targets is empty":   {},
		"two targets":        {Targets: append(one, one...)},
		"Rounds":             {Targets: one, Rounds: -1},
		"no measurement cpu": {Targets: one, Data: FillOptions{Workload: Wide}},
		"unknown query":      {Targets: one, Forms: []string{"triple"}},
		"no target":          {Targets: one, SettleRequests: []SettleRequest{{Target: "b"}}},
		"Span":               {Targets: one, Data: FillOptions{Span: 1}},
		"target a":           {Targets: one, Load: true},
	} {
		if _, err := Query(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
