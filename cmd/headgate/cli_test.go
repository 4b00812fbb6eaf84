package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"headgate/cmd/headgate/cli"
)

// TestCommandLine does with a server what a person would: what is exported and written
// again is the same, and what the server says of lines is told.
func TestCommandLine(t *testing.T) {
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	defer s.stop()
	s.request("GET", "/health", "")
	dir := t.TempDir()
	env := map[string]string{"HOME": dir, "HEADGATE_HOST": "unix://" + s.sock, "HEADGATE_TOKEN": "secret", "HEADGATE_ORG": "acme", "HEADGATE_BUCKET": "b"}
	do := func(want int, stdin string, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errOut bytes.Buffer
		status, _ := cli.Run(t.Context(), args[0], args[1:], cli.Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut,
			Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
		if status != want {
			t.Errorf("%v: status %d, want %d\n%s%s", args, status, want, out.String(), errOut.String())
		}
		return out.String(), errOut.String()
	}
	contains := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in\n%s", part, text)
			}
		}
	}
	// In the order in which export writes: every type, escapes, a tag and a field of one name, a
	// string over two lines and one that is no UTF-8, a field that must not come first.
	lines := "m,host=a b=true,f=1.5,i=-9223372036854775808i,s=\"x \\\"y\\\"\nz\\\\\",u=18446744073709551615u 1\n" +
		"m,host=b f=5e-324,i=9007199254740993i 2\nm,host=c host=5,s=\"\xff\" 4\nw\\ x,t\\,k=v\\=1 f\\ q=1,\tz=2 -3\n"
	do(0, lines, "write")
	out, _ := do(0, "", "export")
	if out != lines {
		t.Errorf("export:\n%q\nwant\n%q", out, lines)
	}
	file := filepath.Join(dir, "b.lp.zst")
	do(0, "", "export", "-f", file, "--start=1970-01-01", "-m", "m")
	do(0, "", "bucket", "create", "copy", "-r", "infinite")
	do(0, "", "write", "-b", "copy", "-f", file, "-p", "ns")
	if out, _ := do(0, "", "export", "-b", "copy"); !strings.HasPrefix(lines, out) || strings.Count(out, "\n") != 4 {
		t.Errorf("the copy is %q", out)
	}
	// More fields than one question can name: the point comes in two lines, and is one again.
	do(0, "", "bucket", "create", "wide", "-r", "infinite")
	do(0, "", "bucket", "create", "wide2", "-r", "infinite")
	var wide strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&wide, ",field_%04d=%d", i, i)
	}
	do(0, "w "+wide.String()[1:]+" 1\n", "write", "-b", "wide")
	parts, _ := do(0, "", "export", "-b", "wide")
	do(0, parts, "write", "-b", "wide2")
	again, _ := do(0, "", "export", "-b", "wide2")
	if strings.Count(parts, "\n") != 2 || again != parts || strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(parts), "w ", ","), " 1\n", "") != wide.String()+" 1" {
		t.Errorf("%d lines of export, the same when they are written: %t", strings.Count(parts, "\n"), again == parts)
	}

	_, errOut := do(1, "n i=1i 1\nn i=1.5 2\n", "write")
	contains(errOut, "standard input, line 2: ", `"i"`, "1 line written, 1 line not taken")
	_, errOut = do(1, "n i=2i 3\nbad\n", "write")
	contains(errOut, "standard input, line 2: missing fields", "--skip-errors")
	do(0, "n i=2i 3\nbad\n", "write", "--skip-errors")
	_, errOut = do(0, "a,1,1\nb,x,1\n", "write", "--header=#constant measurement,csv", "--header=x|tag,v|long,time", "--skipRowOnError")
	contains(errOut, `standard input, line 2: column "v": "x" is no long`, "1 line written, 1 line not taken")
	_, errOut = do(1, "", "write", "-b", "nope", "m f=1")
	contains(errOut, `bucket "nope" not found`, "headgate bucket create")

	out, _ = do(0, "", "query", "SELECT i FROM n")
	contains(out, "# n\ntime", "1970-01-01T00:00:00.000000003Z  2\n")
	out, _ = do(0, "", "query", "--format=csv", "-p=ns", "SELECT i FROM n")
	contains(out, "name,tags,time,i\nn,,1,1\nn,,3,2\n")
	_, errOut = do(1, "", "query", "--db=nope", "SELECT i FROM n")
	contains(errOut, "database not found", "headgate bucket list")
	out, _ = do(0, "", "query", `from(bucket: "b") |> range(start: 0) |> filter(fn: (r) => r._measurement == "n") |> count()`)
	contains(out, "_value", "2")

	out, _ = do(0, "", "token", "create", "--write-bucket", "b", "-d", "writer", "--hide-headers")
	id := strings.Fields(out)[0]
	do(0, "", "token", "inactive", id)
	out, _ = do(0, "", "token", "list", id)
	contains(out, "inactive", "write:buckets/b")
	do(0, "", "token", "delete", id)
	do(0, "", "user", "create", "joe", "-p", "password2")
	do(0, "", "org", "create", "other")
	do(0, "", "bucket", "create", "b", "-o", "other")
	do(0, "n i=7i 1\n", "write", "-o", "other")
	for _, args := range [][]string{{"query", "-o", "other", "SELECT i FROM n"}, {"query", "-o", "other", `from(bucket: "b") |> range(start: 0)`}, {"export", "-o", "other"}} {
		if out, _ := do(0, "", args...); !strings.Contains(out, "7") || strings.Contains(out, "i=1i") {
			t.Errorf("%v: %s", args, out)
		}
	}
	out, _ = do(0, "", "bucket", "update", "copy", "-r", "30d", "--new-name", "moved")
	contains(out, "moved", "30d")
	do(0, "", "delete", "--start=1970-01-01", "--stop=now", "-p", `_measurement="n"`)
	if out, _ := do(0, "", "query", "SELECT i FROM n"); out != "" {
		t.Errorf("still there: %s", out)
	}
	do(0, "", "bucket", "delete", "moved")
	out, _ = do(0, "", "status", "--once", "--json")
	var status struct {
		Healthy bool
		Metrics map[string]float64
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil || !status.Healthy || status.Metrics["headgate_points_written_total"] == 0 {
		t.Errorf("%s: %v", out, err)
	}
	out, _ = do(0, "", "status", "--once")
	contains(out, "health", "pass", "written")
	do(0, "", "ping")
	delete(env, "HEADGATE_TOKEN")
	_, errOut = do(1, "", "bucket", "list")
	contains(errOut, "give --token, set HEADGATE_TOKEN or run headgate config create")
}

// TestCompletionOfOthers: what makes a shell complete knows the flags of all commands.
func TestCompletionOfOthers(t *testing.T) {
	var out bytes.Buffer
	if status := run([]string{"completion", "bash"}, &out, io.Discard); status != 0 {
		t.Fatal(status)
	}
	for _, want := range []string{`' serve'|' serve '*) words='--admission-wait`, `' bench'|' bench '*) words='load compare`, `' bench crash'|' bench crash '*) words='--`, `' backup'|' backup '*) words='`, `words='bash zsh fish`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

// TestInfluxOnly: what influx has and Headgate has not is not taken for a slip.
func TestInfluxOnly(t *testing.T) {
	for _, name := range influxOnly {
		if helpOf(name) != "" {
			t.Errorf("headgate %s is a command", name)
		}
		var errOut bytes.Buffer
		if status := run([]string{name, "list"}, io.Discard, &errOut); status != 2 || !strings.Contains(errOut.String(), "which influx has") || strings.Contains(errOut.String(), "did you mean") {
			t.Errorf("%s: %d %s", name, status, errOut.String())
		}
	}
}
