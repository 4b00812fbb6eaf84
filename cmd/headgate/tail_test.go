package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/client"
)

// TestTail rejects lines of a running server and looks at what the command shows.
func TestTail(t *testing.T) {
	t.Setenv("HOME", t.TempDir()) // no profiles of whoever runs the tests
	t.Setenv("XDG_CONFIG_HOME", "")
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	defer s.stop()
	write := func(lines string) {
		t.Helper()
		if status, text := s.request("POST", "/api/v2/write?org=acme&bucket=b", lines); status < 400 {
			t.Fatal(status, text)
		}
	}
	write("one\nm f=1,\x1b[31m 1\ntwo")
	tail := func(ctx context.Context, args ...string) (status int, stdout, stderr string) {
		var out, errOut bytes.Buffer
		status = runTail(ctx, append([]string{"--host", "unix://" + s.sock}, args...), &out, &errOut)
		return status, out.String(), errOut.String()
	}
	status, out, errOut := tail(t.Context(), "--token=secret", "--org=acme", "b", "--follow=false")
	if status != 0 || strings.Count(out, "\n") != 6 || !strings.Contains(out, "400 line 1: missing fields (malformed) from ") || !strings.Contains(out, `    m f=1,\u001b[31m 1`) || strings.Contains(out, "\x1b") {
		t.Errorf("%d %s%s", status, out, errOut)
	}
	status, out, errOut = tail(t.Context(), "--token=secret", "--org=acme", "-n", "1", "--since=1h", "--json", "--follow=false", "b")
	var p struct {
		Text   string
		Line   int
		Status int
	}
	if err := json.Unmarshal([]byte(out), &p); status != 0 || err != nil || p.Text != "two" || p.Line != 3 || p.Status != 400 {
		t.Errorf("%d %s%s %v", status, out, errOut, err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--org=acme", "b"}, "no token: give --token, set HEADGATE_TOKEN"}, {[]string{"--token=secret", "b"}, "no organization: give --org, set HEADGATE_ORG"},
		{[]string{"--token=secret", "--org=acme", "x"}, `bucket "x" not found`}, {[]string{"--token=secret", "--org=acme", "b", "-n", "1001"}, "limit must be between 0 and 1000"},
	} {
		if status, out, errOut := tail(t.Context(), c.args...); status != 1 || out != "" || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: %d %s%s", c.args, status, out, errOut)
		}
	}
	// The flags of every command that asks a server, by their short names and from a profile.
	profiles := filepath.Join(t.TempDir(), "profiles.toml")
	if status := run([]string{"config", "create", "p", "--configs-path", profiles, "--host", "unix://" + s.sock, "-t", "secret", "-o", "acme"}, io.Discard, io.Discard); status != 0 {
		t.Fatal("no profile:", status)
	}
	t.Setenv("HEADGATE_LINES", "7")
	t.Setenv("HEADGATE_N", "5000") // no variable of ours
	t.Setenv("HEADGATE_TOKEN", "wrong")
	for _, args := range [][]string{{"-t", "secret", "-o=acme", "-n", "1", "b"}, {"-t=secret", "--org", "acme", "--lines=1", "b"}, {"-t=secret", "--configs-path", profiles, "-c", "p", "-n=1", "b"}, {"-t=secret", "-o=acme", "-n=1", "-b=b"}} {
		if status, out, errOut := tail(t.Context(), append(args, "--follow=false")...); status != 0 || strings.Count(out, " line ") != 1 {
			t.Errorf("%v: %d %s%s", args, status, out, errOut)
		}
	}
	if status, _, errOut := tail(t.Context(), "-t=secret", "b", "--bucket=b"); status != 2 || !strings.Contains(errOut, "beside --bucket") {
		t.Error(status, errOut)
	}
	for _, command := range []string{"tail", "backup"} {
		var help bytes.Buffer
		run([]string{command, "--help"}, &help, io.Discard)
		for _, want := range []string{"-t, --token", "-o, --org", "-c, --active-config", "--configs-path", "HEADGATE_TOKEN or INFLUX_TOKEN"} {
			if !strings.Contains(help.String(), want) {
				t.Errorf("%s --help does not tell %q", command, want)
			}
		}
		if strings.Contains(help.String(), "  --t ") {
			t.Errorf("%s --help tells a short name as a flag of its own", command)
		}
	}
	var errOut2 bytes.Buffer
	if status := runTail(t.Context(), []string{"--host", "unix://" + s.sock + "x", "b"}, io.Discard, &errOut2); status != 1 || !strings.Contains(errOut2.String(), "--host or HEADGATE_HOST says where it is") {
		t.Errorf("%d %s", status, errOut2.String())
	}
	if status := runTail(t.Context(), nil, io.Discard, io.Discard); status != 2 {
		t.Errorf("without a bucket: %d", status)
	}

	// It follows until it is interrupted.
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int)
	go func() {
		done <- runTail(ctx, []string{"--host", "unix://" + s.sock, "--token=secret", "--org=acme", "-n=1", "b"}, w, io.Discard)
	}()
	lines := bufio.NewScanner(r)
	want := func(text string) {
		t.Helper()
		lines.Scan() // who and why
		if !lines.Scan() || lines.Text() != "    "+text {
			t.Fatalf("got %q, want %q", lines.Text(), text)
		}
	}
	want("two")
	write("three")
	want("three")
	cancel()
	if status := <-done; status != 0 {
		t.Errorf("interrupted: %d", status)
	}
}

// TestTailGoesOn breaks the connection in several ways: nothing is shown twice.
func TestTailGoesOn(t *testing.T) {
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		requests = append(requests, fmt.Sprintf("after=%s limit=%s since=%s", q.Get("after"), q.Get("limit"), q.Get("since")))
		switch len(requests) {
		case 1:
			fmt.Fprintln(w, `{"sequence":7,"status":400,"line":1,"message":"m","code":"c","text":"a"}`) // and the end
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(503)
			fmt.Fprint(w, `{"message":"recovering"}`)
		case 3:
			fmt.Fprint(w, "\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done() // nothing more
		case 4:
			fmt.Fprintln(w, `{"missed":3}`)
			fmt.Fprintln(w, `{"sequence":12,"status":422,"line":2,"message":"m","code":"c","text":"b","more":9}`)
		default:
			w.WriteHeader(404)
			fmt.Fprint(w, `{"message":"bucket \"b\" not found"}`)
		}
	}))
	defer server.Close()
	var out, status bytes.Buffer
	c, err := client.New(client.Options{Host: server.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tl := &tail{flags: tailFlags{lines: 5, since: "1h", follow: true}, client: c, bucket: "b", out: &out, status: &status, silence: 50 * time.Millisecond, pause: time.Millisecond}
	if err := tl.run(t.Context()); err == nil || !strings.Contains(err.Error(), `bucket "b" not found`) {
		t.Error(err)
	}
	if got, want := strings.Join(requests, "\n"), "after= limit=5 since=1h\nafter=7 limit=1000 since=\nafter=7 limit=1000 since=\nafter=7 limit=1000 since=\nafter=12 limit=1000 since="; got != want {
		t.Errorf("requests\n%s\nwant\n%s", got, want)
	}
	if got := out.String(); strings.Count(got, "    a\n") != 1 || strings.Count(got, "    b\n    (and 9 more lines of this batch)\n") != 1 || !strings.Contains(got, "(3 more were rejected than are remembered)\n") {
		t.Errorf("%s", got)
	}
	for _, want := range []string{"the server has ended the connection; trying again in 1ms", "recovering", "the server has said nothing for 50ms"} {
		if !strings.Contains(status.String(), want) {
			t.Errorf("no %q in\n%s", want, status.String())
		}
	}
}

// One is in the singular.
func TestTailOfOne(t *testing.T) {
	var out bytes.Buffer
	tl := &tail{out: &out}
	for _, line := range []string{`{"missed":1}`, `{"sequence":2,"status":422,"line":2,"message":"m","code":"c","text":"b","more":1}`} {
		if err := tl.show([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); !strings.HasPrefix(got, "(1 more was rejected than is remembered)\n") || !strings.HasSuffix(got, "    b\n    (and 1 more line of this batch)\n") {
		t.Errorf("%s", got)
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{"plain é 世": "plain é 世", "a\x1b[2Jb\n": `a\u001b[2Jb\u000a`, "\u009b": `\u009b`, "\U000e0001": `\udb40\udc01`} {
		if got := printable(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}
