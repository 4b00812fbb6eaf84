package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"headgate/engine/datadir"
)

// socketServer is a server on a socket file, as the command runs it.
type socketServer struct {
	t      *testing.T
	sock   string
	client *http.Client
	stop   func() error
}

func startServer(t *testing.T, dataDir string) *socketServer {
	t.Helper()
	dir := t.TempDir()
	s := &socketServer{t: t, sock: filepath.Join(dir, "s")}
	f, fs := newServeFlags()
	args := []string{"--listen", "unix://" + s.sock, "--data-dir", dataDir, "--org", "acme", "--bucket", "b",
		"--username", "u", "--password", "password", "--token", "secret"}
	if err := parseFlags(fs, args, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.serve(ctx, io.Discard, io.Discard) }()
	s.stop = func() error { cancel(); return <-done }
	s.client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.sock)
		},
	}}
	return s
}

// request asks until the server is there.
func (s *socketServer) request(method, path, body string) (int, string) {
	s.t.Helper()
	for {
		r, err := http.NewRequestWithContext(s.t.Context(), method, "http://headgate"+path, strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Token secret")
		resp, err := s.client.Do(r)
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) { // not listening yet
				continue
			}
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable { // recovering
			return resp.StatusCode, string(text)
		}
	}
}

// TestLookingAfter backs a running server up, restores it, damages it, and repairs it.
func TestLookingAfter(t *testing.T) {
	t.Setenv("HOME", t.TempDir()) // no profiles of whoever runs the tests
	t.Setenv("XDG_CONFIG_HOME", "")
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "cpu,host=h%d usage=%d.5 %d\n", i%3, i*i%1000, int64(1_700_000_000+i)*1e9)
	}
	if status, text := s.request("POST", "/api/v2/write?org=acme&bucket=b", lines.String()); status != 204 {
		t.Fatal(status, text)
	}
	if status, text := s.request("POST", "/api/v2/compact", ""); status != 204 {
		t.Fatal(status, text)
	}
	backups := filepath.Join(t.TempDir(), "backups")
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	command := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errOut bytes.Buffer
		if status := run(args, &out, &errOut); status != want {
			t.Fatalf("headgate %s: status %d, want %d\n%s%s", strings.Join(args, " "), status, want, out.String(), errOut.String())
		}
		return out.String(), errOut.String()
	}
	host := "unix://" + s.sock
	if _, text := command(1, "backup", "--host", host, backups+"/"); strings.Contains(text, "{") || !strings.Contains(text, "give --token") {
		t.Errorf("a backup without a token: %q", text)
	}
	if names, err := os.ReadDir(backups); err != nil || len(names) != 0 {
		t.Errorf("a backup that failed left %v, %v", names, err)
	}
	file := filepath.Join(backups, "one.tar.zst")
	if out, _ := command(0, "backup", file, "--host", host, "-t", "secret"); !strings.Contains(out, file) {
		t.Errorf("backup says %q", out)
	}
	command(0, "backup", "--host", host, "--token=secret", backups)
	if names, err := os.ReadDir(backups); err != nil || len(names) != 2 {
		t.Errorf("backups: %v, %v", names, err)
	}
	if _, text := command(1, "backup", "--host", host, "--token=secret", file); !strings.Contains(text, "exists") {
		t.Errorf("over another backup: %q", text)
	}
	if _, text := command(2, "check", "--data-dir", dir); !strings.Contains(text, "stop the server first") {
		t.Errorf("check of a running server: %q", text)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	if out, _ := command(0, "check", "--data-dir", dir); !strings.Contains(out, "no problems") {
		t.Errorf("check: %q", out)
	}
	if out, _ := command(0, "inspect", "--data-dir", dir, "--bucket", "b", "--series", "--parts", "--blocks"); !strings.Contains(out, `bucket "b"`) ||
		!strings.Contains(out, "cpu,host=h2") || !strings.Contains(out, "usage float") || !strings.Contains(out, `field "usage"`) || strings.Contains(out, "secret") {
		t.Errorf("inspect: %s", out)
	}
	command(0, "inspect", "--data-dir", dir, "--json")
	command(2, "inspect", "--data-dir", dir, "--bucket", "nope")
	command(0, "backup", "--data-dir", dir, filepath.Join(backups, "offline.tar.zst"))
	for _, name := range []string{"one", "offline"} {
		to := filepath.Join(t.TempDir(), "restored")
		if out, _ := command(0, "restore", "--data-dir", to, filepath.Join(backups, name+".tar.zst")); !strings.Contains(out, "no problems") || !strings.Contains(out, "3000 points") {
			t.Errorf("restore: %q", out)
		}
		command(1, "restore", "--data-dir", to, file)
	}

	// What is no backup leaves nothing behind: not the directory, if it was not there, and it, if it was.
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("no backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, made := range []bool{true, false} {
		to := filepath.Join(t.TempDir(), "none")
		if !made {
			if err := os.Mkdir(to, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		command(1, "restore", "--data-dir", to, junk)
		if names, err := os.ReadDir(to); len(names) > 0 || os.IsNotExist(err) != made {
			t.Errorf("a restore that failed left %v, %v", names, err)
		}
	}
	// A lock that cannot be opened is no server that runs.
	lock := filepath.Join(dir, "catalog", "LOCK")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, text := command(2, "check", "--data-dir", dir); strings.Contains(text, "stop the server") || !strings.Contains(text, "LOCK") {
		t.Errorf("check without a lock: %q", text)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() > 0 { // nobody refuses root anything
		if err := os.Chmod(filepath.Join(dir, "catalog"), 0); err != nil {
			t.Fatal(err)
		}
		if _, text := command(2, "check", "--data-dir", dir); strings.Contains(text, "stop the server") || !strings.Contains(text, "as the user that the server runs as") {
			t.Errorf("check without permission: %q", text)
		}
		if err := os.Chmod(filepath.Join(dir, "catalog"), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	tables, err := filepath.Glob(filepath.Join(dir, "shard-0001", "data", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	b, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 1
	if err := os.WriteFile(tables[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := command(1, "check", "--data-dir", dir)
	if !strings.Contains(out, `bucket "b"`) || !strings.Contains(out, "cpu,host=h1") || !strings.Contains(out, "2023-11-14T22:13:20Z") || !strings.Contains(out, "1 problem") {
		t.Errorf("check of damage: %s", out)
	}
	if out, _ := command(1, "check", "--data-dir", dir, "--json"); !strings.Contains(out, `"problems": [`) || !strings.Contains(out, `"part": 1`) {
		t.Errorf("check of damage: %s", out)
	}
	command(1, "repair", "--data-dir", dir, "--dry-run")
	var said, errOut bytes.Buffer
	if status := runRepair(t.Context(), []string{"--data-dir", dir}, strings.NewReader("no\n"), &said, &errOut); status != 1 || !strings.Contains(errOut.String(), "nothing has been changed") {
		t.Errorf("declined: %d %s", status, errOut.String())
	}
	command(1, "check", "--data-dir", dir)
	said.Reset()
	if status := runRepair(t.Context(), []string{"--data-dir", dir}, strings.NewReader("yes\n"), &said, &errOut); status != 0 || !strings.Contains(said.String(), "repaired-") {
		t.Errorf("accepted: %d %s %s", status, said.String(), errOut.String())
	}
	if text := said.String(); !regexp.MustCompile(`repaired; what was cut out is kept in \S+/repaired-\S+, and report\.txt there names what is known to be lost\n$`).MatchString(text) || strings.Contains(text, "which series that is") {
		t.Errorf("accepted: %s", text)
	}
	command(0, "check", "--data-dir", dir)
	command(0, "repair", "--data-dir", dir, "--yes")
	s = startServer(t, dir)
	if status, text := s.request("GET", "/query?db=b&q=SELECT+count(usage)+FROM+cpu", ""); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

// A backup makes no directories: what is missing may be a disk that is not mounted.
func TestBackupDestination(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	there := filepath.Join(dir, "there.tar.gz")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(there, 0o700)); err != nil {
		t.Fatal(err)
	}
	const name = "headgate-20231114T221320Z.tar.zst"
	for _, tt := range []struct{ dest, path, err string }{
		{"a.tar.zst", "a.tar.zst", ""},
		{"a.zst", "a.zst", ""},
		{"", name, ""},
		{"there.tar.gz", "there.tar.gz/" + name, ""},
		{"there.tar.gz/", "there.tar.gz/" + name, ""},
		{"there.tar.gz/a.tar.zst", "there.tar.gz/a.tar.zst", ""},
		{"missing/", "", "directory DIR/missing does not exist: make it (mkdir DIR/missing), or mount"},
		{"missing/dir/", "", "directory DIR/missing/dir does not exist"},
		{"missing/a.tar.zst", "", "directory DIR/missing does not exist: make it (mkdir DIR/missing)"},
		{"missing", "", "DIR/missing does not exist, and a backup's name ends in .tar.zst; if it is to be a directory, make it (mkdir DIR/missing)"},
		{"a.tar", "", "DIR/a.tar: a backup is a tar compressed with zstd: its name must end in .tar.zst"},
		{"a.tar.gz", "", "must end in .tar.zst"},
		{"a.TGZ", "", "must end in .tar.zst"},
		{"a.zip", "", "must end in .tar.zst"},
		{"missing/a.gz", "", "must end in .tar.zst"},
		{"file", "", "DIR/file exists"},
		{"file/", "", "not a directory"},
		{"file/a.tar.zst", "", "not a directory"},
	} {
		dest := dir + "/" + tt.dest
		path, err := backupPath(dest, time.Unix(1_700_000_000, 0))
		want := ""
		if tt.path != "" {
			want = filepath.Join(dir, tt.path)
		}
		if path != want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), strings.ReplaceAll(tt.err, "DIR", dir)) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.dest, path, err, want, tt.err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("something was made: %v %v", names, err)
	}
}

// What is in the log alone is counted, so that nobody takes it for lost.
func TestPointsInTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	for _, lines := range []string{"m v=1,w=2 1\nm v=3 2", "m v=4 3", "n v=5 4"} {
		if status, text := s.request("POST", "/api/v2/write?org=acme&bucket=b", lines); status != 204 {
			t.Fatal(status, text)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string][]string{
		"check":   {": 1 bucket; log: 3 records, ", " bytes, with 4 points, 5 values that are not in the data store yet; data store: 0 parts, 0 blocks, 0 bytes, 0 points, 0 values\n"},
		"inspect": {`: 2 series, 2 measurements` + "\n", "  in the data store: 0 points, 0 values, 0 B, up to record 0\n", "  in the log and not in the data store yet: 4 points, 5 values in 3 records, ", "log points", "  m            1       0       0       0       0 B   0.000        3"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run([]string{command, "--data-dir", dir}, &stdout, &stderr); status != 0 {
			t.Fatal(status, stderr.String())
		}
		for _, text := range want {
			if !strings.Contains(stdout.String(), text) {
				t.Errorf("%s has no %q:\n%s", command, text, stdout.String())
			}
		}
	}
}

// inspect of a directory with damage says that there is some.
func TestInspectDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	for i := range 3 {
		if status, text := s.request("POST", "/api/v2/write?org=acme&bucket=b", fmt.Sprintf("m%d v=\"needle-%[1]d\" 1", i)); status != 204 {
			t.Fatal(status, text)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "shard-0001", "log", "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("needle-1"))] ^= 1
	if err := os.WriteFile(logs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if status := run([]string{"inspect", "--data-dir", dir}, &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), "2 points") ||
		!strings.Contains(stderr.String(), "is damaged at offset") || strings.Count(stderr.String(), `"headgate check" says what is lost`) != 1 {
		t.Errorf("status %d\n%s%s", status, stdout.String(), stderr.String())
	}
}

func TestToolCommandLines(t *testing.T) {
	empty := t.TempDir()
	for _, tt := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{"check --help", 0, "exit status", ""},
		{"check --nope", 2, "", "--nope"},
		{"check extra", 2, "", "unexpected argument"},
		{"check --data-dir " + empty, 2, "", "no data directory"},
		{"repair --help", 0, "--dry-run", ""},
		{"repair --data-dir " + empty, 2, "", "no data directory"},
		{"inspect --help", 0, "--blocks", ""},
		{"inspect --data-dir " + empty, 2, "", "no data directory"},
		{"backup", 2, "", "DEST is missing"},
		{"backup --help", 0, "--host", ""},
		{"backup --data-dir " + empty + " " + empty + "/x.zst", 1, "", "no data directory"},
		{"backup --host http://127.0.0.1:1 " + empty + "/x.zst", 1, "", "refused"},
		{"restore --help", 0, "HEADGATE_DATA_DIR", ""},
		{"restore a b", 2, "", `unexpected argument "b"`},
		{"restore " + empty + "/none.zst", 1, "", "none.zst"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(tt.args), &stdout, &stderr)
		if status != tt.status || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%s: status %d\n%s%s", tt.args, status, stdout.String(), stderr.String())
		}
	}
	if names, err := os.ReadDir(empty); err != nil || len(names) != 0 {
		t.Errorf("something was left behind: %v %v", names, err)
	}
}

// What answers repair's question, or spares it, is said with each run: a variable that
// somebody has exported long ago says nothing.
func TestConfirmationIsNotInherited(t *testing.T) {
	empty := t.TempDir()
	for _, name := range []string{"HEADGATE_YES", "HEADGATE_DRY_RUN"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "true")
			flagName := "--" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-")
			var stdout, stderr bytes.Buffer
			if status := run([]string{"repair", "--data-dir", empty}, &stdout, &stderr); status != 2 ||
				!strings.Contains(stderr.String(), "environment variable "+name+" has no effect: give "+flagName+" on the command line, or unset the variable") {
				t.Errorf("status %d, %s", status, stderr.String())
			}
			stderr.Reset()
			if status := run([]string{"repair", "--data-dir", empty, flagName}, &stdout, &stderr); status != 2 || !strings.Contains(stderr.String(), "no data directory") {
				t.Errorf("with %s: status %d, %s", flagName, status, stderr.String())
			}
			stdout.Reset()
			if status := run([]string{"repair", "--help"}, &stdout, &stderr); status != 0 || strings.Contains(stdout.String(), name) || !strings.Contains(stdout.String(), flagName+"\n") {
				t.Errorf("help: status %d, %s", status, stdout.String())
			}
			stdout.Reset()
			if status := run([]string{"man"}, &stdout, &stderr); status != 0 || strings.Contains(stdout.String(), name) || strings.Contains(stdout.String(), "Each flag has a variable") {
				t.Errorf("man: status %d, %q", status, name)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newProgress(&out)
	p.now = func() time.Time { return now }
	p.last = now
	p.update(datadir.Progress{Step: "log"})
	now = now.Add(time.Minute)
	p.update(datadir.Progress{Step: "data store", Bytes: 1 << 20, BytesTotal: 4 << 20})
	p.end()
	if got := out.String(); got != " 25% data store: 1.0 MiB of 4.0 MiB\n" {
		t.Errorf("elsewhere: %q", got)
	}
	out.Reset()
	p.terminal = true
	now = now.Add(time.Second)
	p.update(datadir.Progress{Step: "data store", Bytes: 2 << 20, BytesTotal: 4 << 20})
	p.end()
	if got := out.String(); !strings.HasPrefix(got, "\r["+strings.Repeat("#", barCells/2)+strings.Repeat(" ", barCells/2)+"]  50%") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("on a terminal: %q", got)
	}
}
