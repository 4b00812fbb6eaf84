package bench

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"headgate/engine"
	"headgate/engine/testkit"
	"headgate/httpfront"
)

// metricName finds the names of our metrics in an expression.
var metricName = regexp.MustCompile(`\bheadgate_[a-z0-9_]+`)

// TestAlerts: every metric that an alert names is exported by a server, and what must
// be told apart has an alert.
func TestAlerts(t *testing.T) {
	testkit.CheckLeaks(t)
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	exported := exportedMetrics(t)
	alerts, expressions := 0, 0
	for n, line := range strings.Split(string(rules), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "- alert: ") {
			alerts++
		}
		expr, ok := strings.CutPrefix(line, "expr: ")
		if ok {
			expressions++
			if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Contains(expr, ": ") || strings.ContainsAny(expr, "#") {
				t.Errorf("line %d: not a plain expression: %s", n+1, expr)
			}
			if !metricName.MatchString(expr) {
				t.Errorf("line %d: no metric in %s", n+1, expr)
			}
		}
		for _, name := range metricName.FindAllString(line, -1) {
			if !exported[name] {
				t.Errorf("line %d: no server exports %s", n+1, name)
			}
		}
	}
	if alerts < 10 || alerts != expressions {
		t.Errorf("%d alerts with %d expressions", alerts, expressions)
	}
}

// exportedMetrics returns the names that a server's registry has, those of a
// histogram's parts included.
func exportedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	m := httpfront.NewMetrics()
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir(), AuthDisabled: true, Events: m.Listener()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	httpfront.New(e, httpfront.Options{Version: "test", Metrics: m, Logger: slog.New(slog.DiscardHandler)})
	// A counter by label is there once it has counted.
	l := m.Listener()
	l.WriteRefused(engine.RefuseInfo{Reason: "queue_full"})
	l.BucketFailed(engine.BucketFailInfo{Quarantined: true})
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
		if len(f.Metric) > 0 && f.Metric[0].Histogram != nil {
			names[f.GetName()+"_bucket"], names[f.GetName()+"_count"], names[f.GetName()+"_sum"] = true, true, true
		}
	}
	return names
}
