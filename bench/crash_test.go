package bench

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

var crashSeed = flag.Uint64("crash.seed", 0, "seed of TestCrash; 0 takes one from the clock")

// TestCrash is `headgate bench crash`, shorter: none lost, none invented.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and kills a server")
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
	var progress bytes.Buffer
	report, err := Crash(ctx, CrashOptions{
		Server: binary, Rounds: 3, Writers: 8, Seed: *crashSeed, RoundDuration: 500 * time.Millisecond, Dir: dir, Progress: &progress,
	})
	t.Logf("repeat with -args -crash.seed=%d\n%s", report.Seed, progress.String())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if report.ViolationCount > 0 {
		t.Fatal(text.String())
	}
	if report.Rounds != 3 || !report.Complete || report.Acknowledged == 0 || report.PointsRead == 0 {
		t.Errorf("the run shows nothing:\n%s", text.String())
	}
	t.Log(text.String())
}

// TestCrashNamesTheFailure shows that a server that does not start is an error with
// its log, not a hang.
func TestCrashNamesTheFailure(t *testing.T) {
	testkit.CheckLeaks(t)
	script := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho cannot start today >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	report, err := Crash(context.Background(), CrashOptions{Server: script, Rounds: 1, Seed: 1, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "cannot start today") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	if report == nil || report.Rounds != 0 || report.Complete {
		t.Errorf("report %+v", report)
	}
	if _, err := Crash(context.Background(), CrashOptions{Rounds: 1}); err == nil {
		t.Error("a run without a server is taken")
	}
}
