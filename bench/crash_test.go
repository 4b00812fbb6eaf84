package bench

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/engine/testkit"
)

var crashSeed = flag.Uint64("crash.seed", 0, "seed of TestCrash; 0 takes one from the clock")

// builtServer is the binary that serverBinary has built, in a directory that TestMain
// removes.
var builtServer struct {
	once sync.Once
	dir  string
	err  error
}

// serverBinary builds the server, once for all tests, or skips the test.
func serverBinary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs a server")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	b := &builtServer
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "headgate-bench-test-"); b.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", filepath.Join(b.dir, "headgate"), "headgate/cmd/headgate")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, "headgate")
}

// TestCrash is `headgate bench crash`, shorter: none lost, none invented.
func TestCrash(t *testing.T) {
	binary := serverBinary(t)
	testkit.CheckLeaks(t)
	dir := t.TempDir()
	rounds := 3
	if testkit.RaceEnabled {
		rounds = 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var progress bytes.Buffer
	report, err := Crash(ctx, CrashOptions{
		Server: binary, Rounds: rounds, Writers: 8, Seed: *crashSeed, RoundDuration: 500 * time.Millisecond, Dir: dir, Progress: &progress,
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
	if report.Rounds != rounds || !report.Complete || report.Acknowledged == 0 || report.PointsRead == 0 {
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
