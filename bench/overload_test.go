package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

// TestOverload is `headgate bench overload`, shorter, against a server with little
// memory. How fast it is depends on the machine; who is taken does not.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a server")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	testkit.CheckLeaks(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "headgate")
	build := exec.Command("go", "build", "-o", binary, "headgate/cmd/headgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	report, err := Overload(ctx, OverloadOptions{
		Server: binary, Dir: dir, MemoryBytesMax: 64 << 20, AdmissionWait: 50 * time.Millisecond,
		SmallConns: 100, LargeConns: 50, LargeLines: 2000, Factors: []float64{10}, Duration: 500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Log(table.String())
	if len(report.Phases) != 4 {
		t.Fatalf("%d phases, want 4", len(report.Phases))
	}
	for _, p := range report.Phases {
		if p.Accepted == 0 || p.Other > 0 || p.RetryAfterMissing > 0 || p.RetryAfterMax > 30 {
			t.Errorf("%s bodies, %gx: %d accepted, %d other answers (%s), %d without Retry-After, longest %d", p.Bodies, p.Factor,
				p.Accepted, p.Other, p.FirstError, p.RetryAfterMissing, p.RetryAfterMax)
		}
		if p.Modest.Success < 1 || p.Queries.Success < 1 {
			t.Errorf("%s bodies, %gx: modest client %+v, queries %+v", p.Bodies, p.Factor, p.Modest, p.Queries)
		}
	}
	if last := report.Phases[3]; last.Refused == 0 {
		t.Errorf("fifty large bodies at a time fit into a sixteenth of 64 MiB: %+v", last)
	}
}

func TestOverloadJudge(t *testing.T) {
	good := func() *OverloadPhase {
		return &OverloadPhase{Bodies: "small", Factor: 2, Goodput: 0.95, GoodputFair: 0.95, Accepted: 1e4, Refused: 1e4, AcceptedP99Millis: 1999,
			CPUMillisPerHundredRefused: 0.9, RetryAfterMin: 1, RetryAfterMax: 30, RSSPeakBytes: 1 << 30, RecoverySeconds: 5,
			Modest: OverloadSide{Success: 1}, Queries: OverloadSide{Success: 1}}
	}
	var o OverloadOptions
	o.EnsureDefaults()
	for _, tt := range []struct {
		change func(*OverloadPhase)
		want   string
	}{
		{func(*OverloadPhase) {}, ""},
		{func(p *OverloadPhase) { p.Goodput = 0.5 }, ""}, // the CPU was the client's
		{func(p *OverloadPhase) { p.Goodput, p.GoodputFair = 0.89, 0.89 }, "goodput is 89 %"},
		{func(p *OverloadPhase) { p.AcceptedP99Millis = 2001 }, "p99 of accepted"},
		{func(p *OverloadPhase) { p.CPUMillisPerHundredRefused = 1.1 }, "1.10 ms of CPU"},
		{func(p *OverloadPhase) { p.CPUMillisPerHundredRefused, p.Refused = 1.1, 10 }, ""},
		{func(p *OverloadPhase) { p.RSSPeakBytes++ }, "over the budget"},
		{func(p *OverloadPhase) { p.RetryAfterMissing = 1 }, "without Retry-After"},
		{func(p *OverloadPhase) { p.RetryAfterMax = 31 }, "Retry-After 31"},
		{func(p *OverloadPhase) { p.Modest.Success = 0.99 }, "modest"},
		{func(p *OverloadPhase) { p.Queries.Success = 0.99 }, "queries"},
		{func(p *OverloadPhase) { p.RecoverySeconds = 5.1 }, "last 503"},
		{func(p *OverloadPhase) { p.Other = 1 }, "neither"},
		{func(p *OverloadPhase) { p.Broken = 100 }, "broke before"},
	} {
		p := good()
		tt.change(p)
		r := &OverloadReport{Phases: []*OverloadPhase{p}}
		r.judge(&o)
		if got := strings.Join(r.Violations, "; "); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("violations %q, want %q", got, tt.want)
		}
		var object bytes.Buffer
		if err := r.WriteJSON(&object); err != nil || !json.Valid(object.Bytes()) {
			t.Errorf("JSON: %v", err)
		}
	}
}
