package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBenchCommandLine(t *testing.T) {
	dir := t.TempDir()
	load := filepath.Join(dir, "load.json")
	if err := os.WriteFile(load, []byte(`{"kind":"load","points_per_second":42}`), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.html")
	for _, tt := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{"", 2, "", "commands:"},
		{"help", 0, "compare", ""},
		{"sing", 2, "", `unknown command "sing"`},
		{"load --help", 0, "--compress gzip", ""},
		{"load --workload tall", 2, "", "highcard, mixed, real"},
		{"load --workload real", 1, "", "LoadOptions.File"},
		{"load --precision h", 2, "", "ns, us, ms, s"},
		{"load --rate=-1", 1, "", "LoadOptions.Rate"},
		{"load --arrivals late", 2, "", "poisson, fixed"},
		{"compare", 1, "", "Targets is empty"},
		{"compare --target 127.0.0.1:1", 2, "", "NAME=URL[,PID[,DIR]]"},
		{"compare --target a=http://127.0.0.1:1 --ring 1", 1, "", "target a"},
		{"load --interval ten", 2, "", "not a duration"},
		{"query --help", 0, "single-groupby-1-1-1, ", ""},
		{"query", 1, "", "Targets is empty"},
		{"query --workload wide", 2, "", "cpu, devops"},
		{"query --query lastpoint,first", 2, "", "groupby-orderby-limit"},
		{"query --start yesterday", 2, "", "2016-01-01T00:00:00Z"},
		{"query --target a=http://127.0.0.1:1 --duration 1s", 1, "", "Span"},
		{"query --target a=http://127.0.0.1:1 --warmup 0 --rounds 1 --query lastpoint", 1, "failed 1 times at a", ""},
		{"size --help", 0, "-settle-request", ""},
		{"size --target a=http://127.0.0.1:1", 1, "", "no data directory"},
		{"size --target a=http://127.0.0.1:1,," + dir + " --workload cpu,mixed", 2, "", "floats, highcard"},
		{"size --target a=http://127.0.0.1:1,," + dir + " --settle-request b=/x", 1, "", "no target"},
		{"size --settle-request b", 2, "", "METHOD"},
		{"report", 2, "", "name the JSON files"},
		{"report --out", 2, "", "--out"},
		{"report --out " + page + " " + load, 0, page, ""},
		{"report --out " + page + " " + load + " " + filepath.Join(dir, "none.json"), 1, "", "none.json"},
	} {
		var stdout, stderr bytes.Buffer
		status := runBench(context.Background(), strings.Fields(tt.args), &stdout, &stderr)
		if status != tt.status || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("bench %s: status %d\n%s%s", tt.args, status, stdout.String(), stderr.String())
		}
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<svg") {
		t.Errorf("page: %v, %d bytes", err, len(text))
	}
}
