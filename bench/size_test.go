package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/engine/testkit"
)

// keepingServer keeps the databases it was written to and, once it is asked to
// merge, as many bytes as it got values.
type keepingServer struct {
	mu        sync.Mutex
	dir       string
	databases []string
	values    int
	merged    int
}

func (s *keepingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/write":
		if db := r.URL.Query().Get("db"); !slices.Contains(s.databases, db) {
			s.databases = append(s.databases, db)
		}
		text, _ := io.ReadAll(r.Body)
		// Tags hold equals signs as well: what follows the first space counts.
		for line := range strings.Lines(string(text)) {
			_, fields, _ := strings.Cut(line, " ")
			s.values += strings.Count(fields, "=")
		}
	case "/merge":
		s.merged++
		name := filepath.Join(s.dir, "shard", "data", "deep", s.databases[len(s.databases)-1])
		if err := os.WriteFile(name, bytes.Repeat([]byte{1}, s.values), 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		s.values = 0
		_ = os.Truncate(filepath.Join(s.dir, "shard", "log", "old"), 0)
	}
}

func TestSize(t *testing.T) {
	testkit.CheckLeaks(t)
	o := SizeOptions{
		Data:      FillOptions{Hosts: 100, Span: time.Hour, Interval: 10 * time.Minute, Database: "d"},
		Workloads: []Workload{CPU, Floats, HighCard}, SettleMax: time.Nanosecond,
	}
	servers := map[string]*keepingServer{}
	for _, name := range []string{"a", "b"} {
		s := &keepingServer{dir: t.TempDir()}
		servers[name] = s
		for _, dir := range []string{"shard/data/deep", "shard/log"} {
			if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(s.dir, "shard", "log", "old"), make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(s)
		t.Cleanup(h.Close)
		o.Targets = append(o.Targets, CompareTarget{Name: name, URL: h.URL, PID: os.Getpid(), DataDir: s.dir})
		o.SettleRequests = append(o.SettleRequests, SettleRequest{name, "POST", "/merge"})
	}
	o.Targets[1].PID = 0
	r, err := Size(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range servers {
		if want := []string{"d_cpu", "d_floats", "d_highcard"}; !slices.Equal(s.databases, want) || s.merged != 3 {
			t.Errorf("%s: databases %v, merged %d times", name, s.databases, s.merged)
		}
	}
	for i, values := range []int64{6000, 6000, 600} {
		w := r.Workloads[i]
		if w.Workload != o.Workloads[i] || len(w.Targets) != 2 {
			t.Fatalf("%+v", w)
		}
		for i, f := range w.Targets {
			data := f.Parts["shard/data"]
			// Files take whole blocks.
			if f.Fill.Values != values || data < values || data > values+8192 || f.DiskBytes > data || f.BytesPerValue != float64(f.DiskBytes)/float64(values) {
				t.Errorf("%s: target %d: %+v of %+v", w.Workload, i, f, f.Fill)
			}
			if (f.RSSPeakBytes > 0) != (i == 0) {
				t.Errorf("%s: target %d: peak %d", w.Workload, i, f.RSSPeakBytes)
			}
		}
	}
	if log := r.Workloads[0].Targets[0].Parts["shard/log"]; log >= 0 {
		t.Errorf("a log that was cut has grown by %d", log)
	}
	var table, object bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "bytes per value") || !strings.Contains(table.String(), "a: shard/data") {
		t.Errorf("table: %v\n%s", err, table.String())
	}
	if err := r.WriteJSON(&object); err != nil {
		t.Fatal(err)
	}
	var back SizeReport
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Workloads[2].Targets[1].DiskBytes != r.Workloads[2].Targets[1].DiskBytes {
		t.Errorf("JSON: %v", err)
	}
}

func TestSizeOptionsValidate(t *testing.T) {
	one := []CompareTarget{{Name: "a", URL: "http://127.0.0.1:1", DataDir: "nowhere/at/all"}}
	for want, o := range map[string]SizeOptions{
		"Targets is empty":  {},
		"no data directory": {Targets: []CompareTarget{{Name: "a"}}},
		"Quiet":             {Targets: one, Quiet: -1},
		"no fixed amount":   {Targets: one, Workloads: []Workload{Real}},
		"named twice":       {Targets: one, Workloads: []Workload{CPU, CPU}},
		"no target":         {Targets: one, SettleRequests: []SettleRequest{{Target: "b"}}},
		"data directory":    {Targets: one},
	} {
		if _, err := Size(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
