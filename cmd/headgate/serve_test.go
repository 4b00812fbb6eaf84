package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/engine"
)

func TestFlags(t *testing.T) {
	f, fs := newServeFlags()
	env := map[string]string{"HEADGATE_MEMORY": "1.5GiB", "HEADGATE_RETENTION": "30d", "HEADGATE_MAX_TAGS_PER_POINT": "8", "HEADGATE_LISTEN": "127.0.0.1:1", "HEADGATE_FLUSH_AGE": ""}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if err := parseFlags(fs, []string{"--listen", "unix:///x", "--admission-wait=0", "--log-format=JSON", "--max-fields-per-measurement=7", "--max-body", "64MB"}, lookup); err != nil {
		t.Fatal(err)
	}
	if f.listen != "unix:///x" {
		t.Errorf("listen %q: the command line comes before the environment", f.listen)
	}
	if f.memory != 3<<29 || time.Duration(f.retention) != 30*24*time.Hour || f.maxBody != 64e6 || f.logFormat.value != "json" {
		t.Errorf("memory %d, retention %d, max-body %d, log-format %s", f.memory, f.retention, f.maxBody, f.logFormat.value)
	}
	var o engine.Options
	f.limits.apply(&o)
	if o.SeriesPerBucketMax != 10_000_000 || o.FieldsPerMeasurementMax != 7 || o.TagsPerPointMax != 8 {
		t.Errorf("limits %+v", o)
	}
	if got := orAtOnce(f.admissionWait); got >= 0 {
		t.Errorf("--admission-wait=0 becomes %s, which the engine takes for its default", got)
	}
}

func TestBadFlagsNameTheFlag(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for _, c := range []struct {
		args []string
		env  map[string]string
		want []string
	}{
		{args: []string{"--memory=lots"}, want: []string{"--memory", "lots", "32MiB"}},
		{args: []string{"--write-timeout=-1s"}, want: []string{"--write-timeout", "30d"}},
		{args: []string{"--log-level=loud"}, want: []string{"--log-level", "debug, info, warn, error"}},
		{args: []string{"--nope"}, want: []string{"--nope"}},
		{args: []string{"--port", "9"}, want: []string{"did you mean --listen?"}},
		{args: []string{"--auth=no"}, want: []string{"--auth: write true or false"}},
		{env: map[string]string{"HEADGATE_AUTH": "no"}, want: []string{"HEADGATE_AUTH", "write true or false"}},
		{args: []string{"extra"}, want: []string{"extra", "--name=value"}},
		{env: map[string]string{"HEADGATE_MAX_BODY": "x"}, want: []string{"HEADGATE_MAX_BODY", "--max-body", "x"}},
	} {
		_, fs := newServeFlags()
		lookup := none
		if c.env != nil {
			lookup = func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }
		}
		err := parseFlags(fs, c.args, lookup)
		if err == nil {
			t.Errorf("%v %v: accepted", c.args, c.env)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v %v: %q does not say %q", c.args, c.env, err, w)
			}
		}
	}
}

// TestZeroIsNoDefault: 0 is refused where the engine would take it for its default.
func TestZeroIsNoDefault(t *testing.T) {
	for _, arg := range []string{"--memory=0", "--max-body=0", "--max-inflated-body=0", "--write-timeout=0s", "--max-retry-after=0s", "--flush-age=0"} {
		f, fs := newServeFlags()
		if err := parseFlags(fs, []string{arg}, func(string) (string, bool) { return "", false }); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(arg, "=")
		if err := f.check(); err == nil || !strings.Contains(err.Error(), name+" must be more than 0") {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestHelpTellsEveryFlag(t *testing.T) {
	var out, errOut bytes.Buffer
	if status := run([]string{"serve", "--help"}, &out, &errOut); status != 0 {
		t.Fatalf("status %d: %s", status, errOut.String())
	}
	_, fs := newServeFlags()
	fs.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(out.String(), "--"+f.Name) || !strings.Contains(out.String(), envName(f.Name)) {
			t.Errorf("help does not tell --%s and %s", f.Name, envName(f.Name))
		}
	})
}

// TestServe runs the server on a socket file as the command does, with set-up by
// flags, and stops it by the end of its context, as a signal would.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	start := func(logs io.Writer) (stop func() error) {
		f, fs := newServeFlags()
		args := []string{"--listen", "unix://" + sock, "--data-dir", filepath.Join(dir, "data"), "--org", "acme", "--bucket", "b",
			"--username", "u", "--password", "password", "--token", "secret", "--retention", "0"}
		if err := parseFlags(fs, args, func(string) (string, bool) { return "", false }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.serve(ctx, io.Discard, logs) }()
		return func() error { cancel(); return <-done }
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", sock)
		},
	}}
	request := func(method, path, body string) (int, string) {
		for {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://headgate"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Token secret")
			resp, err := client.Do(r)
			if err != nil {
				var op *net.OpError
				if errors.As(err, &op) { // not listening yet
					continue
				}
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == http.StatusServiceUnavailable { // recovering
				continue
			}
			return resp.StatusCode, string(text)
		}
	}
	var logs bytes.Buffer
	stop := start(&logs)
	if status, text := request("POST", "/api/v2/write?org=acme&bucket=b", "m f=1 1"); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logs.String(), "set up") || !strings.Contains(logs.String(), "unix://"+sock) {
		t.Errorf("the log tells neither set-up nor address:\n%s", logs.String())
	}
	logs.Reset()
	stop = start(&logs)
	if status, text := request("GET", "/query?db=b&q=SELECT+f+FROM+m&epoch=ns", ""); status != 200 || !strings.Contains(text, "[[1,1]]") {
		t.Errorf("%d %s", status, text)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(logs.String(), "set up already") {
		t.Errorf("the flags say what the directory has, and that is news:\n%s", logs.String())
	}
}

func TestLogLevel(t *testing.T) {
	f, _ := newServeFlags()
	f.logLevel.value = "warn"
	log := f.logger(io.Discard)
	if log.Enabled(t.Context(), slog.LevelInfo) || !log.Enabled(t.Context(), slog.LevelWarn) {
		t.Error("--log-level=warn is not the level")
	}
}
