package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headgate/engine"
)

// setUpWith runs what a start does about set-up, with those flags and, after "env", variables,
// and returns what is logged.
func setUpWith(t *testing.T, e *engine.Engine, args ...string) (logs string, err error) {
	t.Helper()
	variables := make(map[string]string)
	if i := slices.Index(args, "env"); i >= 0 {
		for _, v := range args[i+1:] {
			name, value, _ := strings.Cut(v, "=")
			variables[name] = value
		}
		args = args[:i]
	}
	f, fs := newServeFlags()
	if err := f.parse(fs, args, func(name string) (string, bool) { v, ok := variables[name]; return v, ok }); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = f.setUp(t.Context(), e, io.Discard, slog.New(slog.NewTextHandler(&b, nil)))
	return b.String(), err
}

// TestIgnoredSetUp: flags for a set-up that say what a directory has already are no news; what
// differs is named, with the command that changes it, and without a secret.
func TestIgnoredSetUp(t *testing.T) {
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if logs, err := setUpWith(t, e, "--retention=30d"); err != nil || !strings.Contains(logs, "--retention has no effect") {
		t.Error(err, logs)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"set-up at start (--org, --token) also needs --bucket, --username, --password", []string{"--org=acme", "--token=abc"}},
		{"set-up at start (--org, HEADGATE_TOKEN) also needs --bucket, --username, --password", []string{"--org=acme", "env", "HEADGATE_ORG=other", "HEADGATE_TOKEN=abc"}},
		{"set-up at start (HEADGATE_ORG, HEADGATE_USERNAME) also needs --bucket, --password", []string{"env", "HEADGATE_ORG=acme", "HEADGATE_USERNAME=u"}},
	} {
		if _, err := setUpWith(t, e, c.args...); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	// Who has exported what clients need may start a server all the same.
	logs, err := setUpWith(t, e, "env", "HEADGATE_ORG=acme", "HEADGATE_BUCKET=b", "HEADGATE_TOKEN=abc")
	if err != nil || !e.SetupAllowed() || !strings.Contains(logs, `so the server is not set up" set="HEADGATE_ORG HEADGATE_BUCKET HEADGATE_TOKEN" also_needed="--username --password"`) {
		t.Error(err, logs)
	}
	first := []string{"--org=acme", "--bucket=b", "--username=u", "--password=password", "--token=secret", "--retention=30d"}
	if logs, err := setUpWith(t, e, first...); err != nil || !strings.Contains(logs, `msg="set up"`) {
		t.Fatal(err, logs)
	}
	for _, c := range []struct {
		args []string
		want []string // none: nothing is logged
	}{
		{nil, nil},
		{first, nil},
		{first[:2], nil},
		{[]string{"--bucket=b"}, nil},
		{[]string{"--org=other", "--bucket=zzz", "--token=abc"}, []string{`flags="--org --bucket --token"`, "headgate org create other; headgate bucket create zzz; headgate token create"}},
		{[]string{"--org=other", "--bucket=b"}, []string{`flags="--org --bucket"`}},
		{[]string{"--retention=7d"}, []string{"flags=--retention", "headgate bucket update NAME --retention"}},
		{[]string{"--bucket=b", "--retention=7d"}, []string{"flags=--retention", "headgate bucket update b --retention 168h"}},
		{[]string{"--username=joe"}, []string{"flags=--username", "headgate user create joe"}},
		{[]string{"--username=u", "--password=another1"}, []string{"flags=--password", "headgate user password u"}},
	} {
		logs, err := setUpWith(t, e, c.args...)
		if err != nil || (logs == "") != (c.want == nil) || strings.Count(logs, "\n") > 1 || strings.Contains(logs, "another1") || strings.Contains(logs, "abc") {
			t.Errorf("%v: %v %s", c.args, err, logs)
		}
		for _, want := range c.want {
			if !strings.Contains(logs, want) {
				t.Errorf("%v: no %q in %s", c.args, want, logs)
			}
		}
	}
}

// TestWarnings: what looks like a slip is told, and nothing else.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	warnings := func(dataDir string, environ []string, args ...string) string {
		f, fs := newServeFlags()
		if err := parseFlags(fs, append(args, "--data-dir", dataDir), func(string) (string, bool) { return "", false }); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		f.warn(environ, slog.New(slog.NewTextHandler(&b, nil)))
		return b.String()
	}
	usual := []string{"HOME=/x", "HEADGATE_MEMORY=1GiB", "HEADGATE_TOKEN=x", "HEADGATE_ORG_ID=x", "HEADGATE_SERVICE_HOST=10.0.0.1", "HEADGATE_PORT=tcp://10.0.0.1:8086", "HEADGATE_PORT_8086_TCP=x",
		"HEADGATE_SERVICE_PORT_HTTP=8086", "HEADGATE_PORT_8086_TCP_ADDR=10.0.0.1", "HEADGATE_HTTP_SERVICE_HOST=x", "HEADGATE_HTTP_PORT=tcp://x", "HEADGATE_HTTP_SERVICE_PORT_WEB=1", "HEADGATE_HTTP_PORT_80_UDP_PROTO=x"}
	for _, name := range []string{"lost+found", ".snapshot"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, filepath.Join(dir, "missing")} {
		if logs := warnings(d, usual); logs != "" {
			t.Error(logs)
		}
	}
	if logs := warnings(dir, []string{"HEADGATE_MEMROY=x"}); !strings.Contains(logs, "variable=HEADGATE_MEMROY did_you_mean=HEADGATE_MEMORY\n") {
		t.Error(logs)
	}
	if logs := warnings(dir, []string{"HEADGATE_SERVICE=x", "HEADGATE_PORT=8086", "HEADGATE_PORT_NUMBER=1"}); strings.Count(logs, "unknown environment variable") != 3 {
		t.Error(logs)
	}
	if logs := warnings(dir, nil, "--memory=500TiB"); !strings.Contains(logs, `memory="500 TiB" machine=`) {
		t.Error(logs)
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if logs := warnings(dir, nil); !strings.Contains(logs, "files=1 first=thesis.tex") {
		t.Error(logs)
	}
	for _, name := range []string{"unfinished", "catalog"} { // a restore that was interrupted says so itself
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if logs := warnings(dir, nil); logs != "" {
			t.Error(logs)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFewerConnections: who asks for more than there can be is told how many there are.
func TestFewerConnections(t *testing.T) {
	most := openFilesMax() / 4 * 3
	if most > 1<<40 {
		t.Skip("as many files as anyone likes may be open here")
	}
	var b bytes.Buffer
	l := connectionLimits{all: int(most) + 1}
	l.fit(slog.New(slog.NewTextHandler(&b, nil)))
	if l.all != int(most) || !strings.Contains(b.String(), "fewer connections") {
		t.Errorf("%d %s", l.all, b.String())
	}
}

// TestReadyLine: a server that nobody can use says how it is set up.
func TestReadyLine(t *testing.T) {
	for _, auth := range []bool{true, false} {
		socket, next := notifySocket(t)
		t.Setenv("NOTIFY_SOCKET", socket)
		f, fs := newServeFlags()
		args := []string{fmt.Sprintf("--auth=%t", auth), "--listen=127.0.0.1:0", "--data-dir", filepath.Join(t.TempDir(), "data")}
		if err := parseFlags(fs, args, func(string) (string, bool) { return "", false }); err != nil {
			t.Fatal(err)
		}
		var logs bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.serve(ctx, io.Discard, &logs) }()
		for !strings.HasPrefix(next(), "READY=1") { // sent after the lines
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(logs.String(), "run headgate setup"); said != auth {
			t.Errorf("auth %t: %s", auth, logs.String())
		}
	}
}
