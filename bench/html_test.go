package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeReport(t *testing.T, name string, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func sampleLoad(points, p99 float64) *LoadReport {
	return &LoadReport{
		Kind: "load", Workload: CPU, PointsPerSecond: points, LatencyP99Millis: p99, FirstError: "503 <script>come again</script>",
		Statuses: map[string]int64{"204": 9}, Server: &ServerReport{CPUSecondsPerMillionValues: 0.125, RSSPeakBytes: 1 << 30},
		Timeline:     []Interval{{Seconds: 1, PointsPerSecond: points, LatencyP99Millis: p99}, {Seconds: 2, PointsPerSecond: 0, LatencyP99Millis: 0}},
		Distribution: []LatencyCount{{1, 90}, {p99, 9}, {2 * p99, 1}},
	}
}

func TestWriteHTML(t *testing.T) {
	compare := &CompareReport{Kind: "compare", Targets: []TargetReport{
		{"headgate", []*LoadReport{sampleLoad(1e6, 5), sampleLoad(1.1e6, 6)}},
		{"a<b>&c", []*LoadReport{sampleLoad(2e5, 50), {Kind: "load"}}},
	}}
	compare.compare()
	query := &QueryReport{Kind: "query", Targets: []string{"headgate", "a<b>"}, Queries: []*QueryFormReport{
		{Name: "high-cpu-1", Equal: Different, Difference: "1 row & none", Targets: []QueryStat{{Millis: []float64{2, 3}}, {Millis: []float64{3, 7}}}},
		{Name: "lastpoint", Targets: make([]QueryStat, 2)},
	}}
	query.Queries[0].stats()
	size := &SizeReport{Kind: "size", Targets: []string{"headgate", "a<b>"}, Workloads: []WorkloadSizeReport{
		{Workload: Floats, Targets: []SizeFigure{{Fill: &FillReport{Values: 1}, BytesPerValue: 2}, {Fill: &FillReport{}, BytesPerValue: -1}}},
	}}
	var page bytes.Buffer
	err := WriteHTML(&page,
		writeReport(t, "mine.json", sampleLoad(3, 4).WriteJSON),
		writeReport(t, "both.json", compare.WriteJSON),
		writeReport(t, "asked.json", query.WriteJSON),
		writeReport(t, "room.json", size.WriteJSON),
		writeReport(t, "other.json", sampleLoad(5, 6).WriteJSON))
	if err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, want := range []string{
		"<h2>both</h2>", "<h2>load runs</h2>", "mine", "other", "a&lt;b&gt;&amp;c", "1050000", "throughput over time", "latency p99 over time",
		"latency distribution", "CPU s per million values (less is better)", "99.9", "&lt;script&gt;",
		"<h2>asked</h2>", "1 row &amp; none", "a&lt;b&gt;: time as a multiple of that of headgate", "failed",
		"<h2>room</h2>", "floats: bytes per value", "not measured",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, bad := range []string{"http:", "https:", "<script", "src=", "url(", "@import", "NaN", "Inf"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	// The page is XML as well, which shows that every element is closed.
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteHTMLRefuses(t *testing.T) {
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for _, tt := range []struct{ text, want string }{
		{"{", "unexpected end"},
		{"{}", "none of load"},
		{`{"kind":"compare"}`, "no targets"},
		{`{"kind":"compare","targets":[{"name":"a"}]}`, "0 rounds"},
		{`{"kind":"compare","targets":[{"name":"a","rounds":[null]}]}`, "rounds"},
		{`{"kind":"compare","targets":[{"name":"a","rounds":[{}]}],"metrics":[{"name":"x"}]}`, "0 targets"},
		{`{"kind":"load","points":"many"}`, "points"},
		{`{"kind":"query"}`, "no targets"},
		{`{"kind":"query","targets":["a"],"queries":[{"name":"x"}]}`, "other targets"},
		{`{"kind":"size","targets":["a"],"workloads":[{"workload":"cpu"}]}`, "0 targets"},
		{`{"kind":"size","targets":["a"],"workloads":[{"workload":"cpu","targets":[{}]}]}`, "lacks what was written"},
	} {
		if err := WriteHTML(io.Discard, writeReport(t, "x.json", text(tt.text))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.text, err, tt.want)
		}
	}
	if err := WriteHTML(io.Discard); err == nil {
		t.Error("no files are taken")
	}
	if err := WriteHTML(io.Discard, filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestAxisTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		log       bool
		want      string
	}{
		{0, 10, false, "0 2 4 6 8 10"},
		{0, 1_234_567, false, "0 200k 400k 600k 800k 1M 1.2M"},
		{0, 0, false, "0 0.2 0.4 0.6 0.8 1"},
		{0, 3, false, "0 0.5 1 1.5 2 2.5 3"},
		{0.3, 250, true, "0.1 1 10 100 1k"},
		{1, 1, true, "1 10"},
		{math.Inf(1), 0, true, "1 10"},
	} {
		var got []string
		for _, tick := range newAxis(tt.low, tt.high, tt.log, 0, 1).ticks() {
			got = append(got, tick.text)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("from %v to %v: %v, want %s", tt.low, tt.high, got, tt.want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	got := percentiles([]LatencyCount{{5, 9}, {1, 90}, {9, 1}})
	want := []chartPoint{{0, 1}, {1, 5}, {2, 9}}
	for i, p := range got {
		if len(got) != 3 || math.Abs(p.x-want[i].x) > 1e-9 || p.y != want[i].y {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
