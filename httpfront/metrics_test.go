package httpfront

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"headgate/engine"
)

// TestMetrics makes a known number of each thing and looks for it.
func TestMetrics(t *testing.T) {
	f := newFront(t, frontConfig{})
	const good, bad = 5, 3
	for i := range good {
		if a := f.write(t, fmt.Sprintf("m f=%d,g=1 %d\nm f=%d 1%d", i, i, i, i)); a.StatusCode != 204 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	for range bad {
		if a := f.write(t, "bad"); a.StatusCode != 400 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	if a := f.write(t, `m f="text",h=1`); a.StatusCode != 422 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	f.request(t, "GET", "/nope", nil, nil)
	a := f.request(t, "GET", "/metrics", nil, nil)
	if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %s", a.StatusCode, a.Header.Get("Content-Type"))
	}
	for _, want := range []string{
		fmt.Sprintf(`headgate_http_requests_total{method="POST",route="/api/v2/write",status="204"} %d`, good),
		fmt.Sprintf(`headgate_http_requests_total{method="POST",route="/api/v2/write",status="400"} %d`, bad),
		`headgate_http_requests_total{method="POST",route="/api/v2/write",status="422"} 1`,
		`headgate_http_requests_total{method="*",route="other",status="404"} 1`,
		fmt.Sprintf("headgate_points_written_total %d", 2*good),
		fmt.Sprintf("headgate_values_written_total %d", 3*good),
		`headgate_points_dropped_total{reason="field_type_conflict"} 1`,
		fmt.Sprintf(`headgate_writes_total{outcome="ok"} %d`, good),
		fmt.Sprintf(`headgate_writes_total{outcome="invalid"} %d`, bad),
		`headgate_writes_total{outcome="unavailable"} 0`,
		`headgate_writes_total{outcome="internal error"} 0`,
		`headgate_bucket_failures_total{quarantined="true"} 0`,
		fmt.Sprintf("headgate_write_sync_seconds_count %d", good),
		fmt.Sprintf("headgate_write_parse_seconds_count %d", good+bad+1),
		"headgate_series 1",
		fmt.Sprintf("headgate_points %d", 2*good),
		"headgate_gate_bytes 0",
		"headgate_queries_running 0",
		fmt.Sprintf(`headgate_build_info{commit="unknown",goversion="%s",version="test"} 1`, runtime.Version()),
	} {
		if !strings.Contains(a.body, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, name := range []string{"headgate_wal_syncs_total ", "headgate_points_per_sync ", "headgate_wal_sync_seconds_count ", "headgate_memory_bytes ",
		"headgate_body_bytes_total ", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(a.body, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}
	if t.Failed() {
		t.Log(a.body)
	}
}

// TestRefusalIsCounted has the gate refuse by the engine's own event.
func TestRefusalIsCounted(t *testing.T) {
	m := NewMetrics()
	m.Listener().WriteRefused(engine.RefuseInfo{Reason: "queue_full"})
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "headgate_gate_refusals_total" {
			if got := f.Metric[0].GetCounter().GetValue(); got != 1 {
				t.Errorf("%v refusals, want 1", got)
			}
			return
		}
	}
	t.Error("no headgate_gate_refusals_total")
}

// TestMetricsOfTheDisk looks for what tells a full disk and slow work on it.
func TestMetricsOfTheDisk(t *testing.T) {
	f := newFront(t, frontConfig{})
	if a := f.write(t, "m f=1 1"); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if err := f.e.Compact(t.Context(), f.e.Operator()); err != nil {
		t.Fatal(err)
	}
	a := f.request(t, "GET", "/metrics", nil, nil)
	for _, want := range []string{
		"headgate_disk_full 0", "headgate_disk_unknown 0", "headgate_store_flush_failures_total 0", "headgate_store_compaction_failures_total 0",
		"headgate_store_flush_seconds_count 1", "headgate_store_compaction_seconds_count 0", "headgate_store_flush_backlog_bytes 0",
		"headgate_write_wait_seconds_count 1", "headgate_write_body_seconds_count 1",
	} {
		if !strings.Contains(a.body, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	d := f.e.Stats().Disk
	for _, name := range []string{"headgate_disk_free_bytes ", "headgate_disk_bytes ", "headgate_disk_owed_bytes ", "headgate_disk_free_min_bytes ",
		"headgate_ballast_bytes ", "headgate_ballast_bytes_max ", "headgate_store_compaction_backlog_buckets ", "headgate_store_disk_bytes "} {
		if !strings.Contains(a.body, "\n"+name) {
			t.Errorf("no %s, of %+v", name, d)
		}
	}
	if d.Total <= 0 || d.Free <= 0 || d.FreeMin <= 0 {
		t.Errorf("%+v", d)
	}
	if t.Failed() {
		t.Log(a.body)
	}
}
