package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// tool runs commands in an environment of their own.
type tool struct {
	t   *testing.T
	env map[string]string
}

func newTool(t *testing.T) *tool { return &tool{t, map[string]string{"HOME": t.TempDir()}} }

func (c *tool) run(stdin string, args ...string) (status int, stdout, stderr string) {
	c.t.Helper()
	var out, errOut bytes.Buffer
	env := Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut, Getenv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
	status, known := Run(c.t.Context(), args[0], args[1:], env)
	if !known {
		c.t.Fatalf("no command %s", args[0])
	}
	return status, out.String(), errOut.String()
}

// TestProfiles: flags come before HEADGATE_ and INFLUX_ variables, those before the profile.
func TestProfiles(t *testing.T) {
	var seen string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization") + " " + r.URL.Query().Get("org") + " " + r.URL.Query().Get("bucket")
		w.WriteHeader(204)
	}))
	defer server.Close()
	c := newTool(t)
	if status, out, errOut := c.run("", "config", "create", "one", "--host", server.URL, "-t", "saved", "-o", "org1", "-b", "b1"); status != 0 || strings.Contains(out, "saved") {
		t.Fatal(status, out, errOut)
	}
	path := filepath.Join(c.env["HOME"], ".config", "headgate", "profiles.toml")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	want := func(text string, args ...string) {
		t.Helper()
		if status, _, errOut := c.run("", append([]string{"write", "m f=1"}, args...)...); status != 0 || seen != text {
			t.Errorf("%d %s: %q, want %q", status, errOut, seen, text)
		}
	}
	want("Token saved org1 b1")
	c.env["INFLUX_TOKEN"], c.env["HEADGATE_ORG"] = "influx", "org2"
	want("Token influx org2 b1")
	c.env["HEADGATE_TOKEN"] = "headgate"
	want("Token headgate org2 b1")
	want("Token flag org3 b3", "-t", "flag", "-o=org3", "--bucket", "b3")
	if status, _, errOut := c.run("", "config", "create", "two", "--host", server.URL, "-b", "b2"); status != 0 {
		t.Fatal(errOut)
	}
	want("Token headgate org2 b2", "-c", "two")
	if status, _, errOut := c.run("", "config", "use", "two"); status != 0 {
		t.Fatal(errOut)
	}
	want("Token headgate org2 b2")
	if status, out, errOut := c.run("", "config", "one", "--hide-headers"); status != 0 || !strings.Contains(out, "one") {
		t.Fatal(status, out, errOut)
	}
	want("Token headgate org2 b1")
	other := filepath.Join(t.TempDir(), "profiles")
	for _, args := range [][]string{{"create", "elsewhere"}, {"elsewhere"}} {
		if status, _, errOut := c.run("", append([]string{"config"}, append(args, "--configs-path", other)...)...); status != 0 {
			t.Error(args, errOut)
		}
	}
	if status, _, errOut := c.run("", "config", "nobody"); status != 2 || !strings.Contains(errOut, `unknown command "nobody"`) {
		t.Error(status, errOut)
	}
	if _, _, errOut := c.run("", "write", "m f=1", "-t", "flag", "--http-debug"); !strings.Contains(errOut, "> POST "+server.URL+"/api/v2/write?bucket=b1") || !strings.Contains(errOut, "< 204 No Content, after") || strings.Contains(errOut, "flag") {
		t.Error(errOut)
	}
	if status, _, errOut := c.run("", "config", "rm", "three"); status != 1 || !strings.Contains(errOut, "headgate config list") {
		t.Error(status, errOut)
	}
}

// TestProfileOfAnotherServer: a server sees nothing of a profile that is for another one, unless
// the profile is named.
func TestProfileOfAnotherServer(t *testing.T) {
	var seen string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // asked to explain a 401
			return
		}
		seen = r.Header.Get("Authorization") + " " + r.URL.Query().Get("org") + " " + r.URL.Query().Get("bucket")
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(401)
			io.WriteString(w, `{"code":"unauthorized","message":"unauthorized access"}`)
			return
		}
		w.WriteHeader(204)
	}))
	defer server.Close()
	c := newTool(t)
	config := func(args ...string) {
		t.Helper()
		if status, _, errOut := c.run("", append([]string{"config"}, args...)...); status != 0 {
			t.Fatal(errOut)
		}
	}
	config("create", "far", "--host", "http://127.0.0.1:1", "-t", "saved", "-o", "o", "-b", "b")
	want := func(status int, text, says string, args ...string) {
		t.Helper()
		seen = "nothing"
		got, _, errOut := c.run("", append([]string{"write", "m f=1", "--host", server.URL}, args...)...)
		if got != status || seen != text || !strings.Contains(errOut, says) {
			t.Errorf("%v: %d, seen %q; %s", args, got, seen, errOut)
		}
	}
	const why = `the active profile "far" is for http://127.0.0.1:1, so nothing of it is used for another server`
	want(2, "nothing", "no bucket: give --bucket or set HEADGATE_BUCKET; "+why)
	want(1, "  mine", "unauthorized access (no token: "+why, "-b", "mine")
	want(0, "Token flag  mine", "", "-b", "mine", "-t", "flag")
	want(0, "Token saved o b", "", "-c", "far")
	c.env["HEADGATE_ACTIVE_CONFIG"] = "far"
	want(1, "  mine", why, "-b", "mine")
	config("set", "far", "--host", "http://u:sekrit@127.0.0.1:1")
	want(1, "  mine", why, "-b", "mine")
	for _, args := range [][]string{{"write", "m f=1", "--host", server.URL}, {"write", "m f=1", "-b", "b", "--host", server.URL}, {"config", "list"}, {"config", "list", "--json"}} {
		if _, out, errOut := c.run("", args...); strings.Contains(out+errOut, "sekrit") {
			t.Errorf("%v shows the password: %s%s", args, out, errOut)
		}
	}
	config("set", "far", "--host", strings.Replace(server.URL, "127.0.0.1", "LOCALHOST", 1)+"/")
	want(0, "Token saved o b", "")
}

// TestSetupToken: a new server gets the token of a flag or a variable, and never that of a
// profile, which is another server's.
func TestSetupToken(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Token string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		asked = in.Token + r.Header.Get("Authorization")
		w.WriteHeader(201)
		io.WriteString(w, `{"auth":{"token":"made"}}`)
	}))
	defer server.Close()
	c := newTool(t)
	if status, _, errOut := c.run("", "config", "create", "first", "--host", "http://127.0.0.1:1", "-t", "saved", "-o", "o", "-b", "b"); status != 0 {
		t.Fatal(errOut)
	}
	want := func(text string, args ...string) {
		t.Helper()
		asked = "nothing"
		args = append([]string{"setup", "--host", server.URL, "-u", "u", "-p", "password", "-o", "o", "-b", "b", "-n", "second"}, args...)
		if status, _, errOut := c.run("", args...); status != 0 || asked != text {
			t.Errorf("%d %s: asked for %q, want %q", status, errOut, asked, text)
		}
	}
	want("")
	asked = "nothing"
	if status, _, errOut := c.run("", "setup", "--host", server.URL, "-u", "u", "-p", "password", "-o", "o", "-b", "b", "-n", "first"); status != 1 || asked != "nothing" || !strings.Contains(errOut, `profile "first" is for http://127.0.0.1:1: give another --name`) {
		t.Errorf("%d %s, asked for %q: the token of the profile is lost", status, errOut, asked)
	}
	want("", "-c", "first")
	want("flag", "-t", "flag")
	c.env["HEADGATE_TOKEN"] = "variable"
	want("variable")
}

// bodyOf is the line protocol of a write.
func bodyOf(t *testing.T, r *http.Request) string {
	t.Helper()
	in, done, err := inflate(r.Body, "gzip")
	if err != nil {
		t.Error(err)
		return ""
	}
	defer done()
	b, err := io.ReadAll(in)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// TestWriteBatches: every line arrives once, in batches of the size that is asked for,
// and what the server says of a line is told of the line of the file.
func TestWriteBatches(t *testing.T) {
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := bodyOf(t, r)
		bodies = append(bodies, b)
		if i := strings.Index(b, "bad"); i >= 0 {
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(map[string]any{"code": "invalid", "message": "x", "line": 1, "malformed": 1, "errors": []any{map[string]any{"line": 1 + strings.Count(b[:i], "\n"), "message": "missing fields"}}})
			return
		}
		w.WriteHeader(204)
	}))
	defer server.Close()
	c := newTool(t)
	dir := t.TempDir()
	lines, errorsFile := filepath.Join(dir, "a.lp"), filepath.Join(dir, "errors")
	os.WriteFile(lines, []byte("# c\nm s=\"a\nb\" 1\n\nm f=2\nbad\nm f=3"), 0o600)
	args := []string{"write", "--host", server.URL, "-b", "b", "--batch-lines=3", "-f", lines}
	status, _, errOut := c.run("", args...)
	if status != 1 || !strings.Contains(errOut, lines+", line 6: missing fields") || len(bodies) != 2 || bodies[0] != "m s=\"a\nb\" 1\nm f=2\n" {
		t.Errorf("%d %s %q", status, errOut, bodies)
	}
	bodies = nil
	status, _, errOut = c.run("", append(args, "--skip-errors", "--errors-file", errorsFile)...)
	text, _ := os.ReadFile(errorsFile)
	if status != 0 || len(bodies) != 3 || bodies[2] != "m f=3\n" || !strings.HasSuffix(string(text), "missing fields\nbad\n") {
		t.Errorf("%d %s %q %q", status, errOut, bodies, text)
	}
	// A dry run asks no server.
	status, out, errOut := c.run("m|measurement,v|long,time\ncpu,1,5\ncpu,x,6\n", "write", "dryrun", "--format=csv", "--skipRowOnError")
	if status != 0 || out != "cpu v=1i 5\n" || errOut != "standard input, line 3: column \"v\": \"x\" is no long\n1 line printed, 1 line not taken\n" {
		t.Errorf("%d %q %s", status, out, errOut)
	}
}

// TestWriteFromPipe: what comes slowly is not kept back until there is much of it, and the
// wait for more of it can be interrupted.
func TestWriteFromPipe(t *testing.T) {
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := bodyOf(t, r)
		w.WriteHeader(204)
		bodies <- b
	}))
	defer server.Close()
	stdin, producer := io.Pipe()
	defer producer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int)
	go func() {
		env := Env{Stdin: stdin, Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) (string, bool) { return "", false }}
		s, _ := Run(ctx, "write", []string{"--host", server.URL, "-b", "b", "--flush-interval=1ms"}, env)
		status <- s
	}()
	for _, text := range []string{"m f=1\n", "m f=2\nm f=3\n"} {
		io.WriteString(producer, text)
		got := <-bodies
		for len(got) < len(text) { // the interval ended between two lines
			got += <-bodies
		}
		if got != text {
			t.Errorf("sent %q, want %q", got, text)
		}
	}
	cancel()
	if s := <-status; s != 1 {
		t.Errorf("interrupted: %d", s)
	}
}

// TestWriteCheck: what is only checked is not said to be written.
func TestWriteCheck(t *testing.T) {
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("dry_run") != "true" {
			t.Error(r.URL)
		}
		w.Header().Set("X-Headgate-Dry-Run", "true")
		if answer == "" {
			w.WriteHeader(204)
			return
		}
		w.WriteHeader(400)
		io.WriteString(w, answer)
		answer = ""
	}))
	defer server.Close()
	c := newTool(t)
	for _, x := range []struct {
		answer string
		args   []string
		status int
		want   string
	}{
		{"", []string{"m f=1\nm f=2"}, 0, "2 lines would be written\n"},
		{`{"code":"invalid","message":"x","line":1,"malformed":1,"errors":[{"line":1,"message":"missing fields"}]}`, []string{"m x"}, 1,
			"the argument, line 1: missing fields\n0 lines would be written, 1 line not taken\nheadgate write: the argument, line 1: nothing of these would be written because of the malformed lines; with --skip-errors the others would\n"},
		{`{"code":"invalid","message":"x","line":1,"malformed":1,"errors":[{"line":1,"message":"missing fields"}]}`, []string{"m x\nm f=1", "--skip-errors"}, 0,
			"the argument, line 1: missing fields\n1 line would be written, 1 line not taken\n"},
	} {
		answer = x.answer
		status, _, errOut := c.run("", append([]string{"write", "--check", "--host", server.URL, "-b", "b"}, x.args...)...)
		if status != x.status || errOut != x.want {
			t.Errorf("%v: %d %q, want %q", x.args, status, errOut, x.want)
		}
	}
}

func TestLineReader(t *testing.T) {
	for in, want := range map[string]string{
		"m s=\"a\nb\",g=1\nn f=1":         "m s=\"a\nb\",g=1\n|n f=1|",
		"m s=\"a\\\"\nb\" 1\n":            "m s=\"a\\\"\nb\" 1\n|",
		"m s=\"open\nn f=1\no f=\"x\n":    "m s=\"open\nn f=1\no f=\"x\n|",
		"m s=\"open\nn f=1\n":             "m s=\"open\n|n f=1\n|",
		"# \"\nm,t=\" f=1\nm f=1 # \"\nx": "# \"\n|m,t=\" f=1\n|m f=1 # \"\n|x|",
	} {
		r := &lineReader{in: bufio.NewReader(strings.NewReader(in)), max: 1000, next: 1}
		got := ""
		for {
			text, at, err := r.line()
			if err != nil {
				break
			}
			if first, _, _ := strings.Cut(got, string(text)); at != 1+strings.Count(first, "\n") {
				t.Errorf("%q: %q at line %d", in, text, at)
			}
			got += string(text) + "|"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	c := newTool(t)
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"write", "m f=1"}, "give --bucket or set HEADGATE_BUCKET"},
		{[]string{"write", "-b", "b", "-p", "m", "x"}, "--precision is ns, us"},
		{[]string{"write", "-b", "b", "--nope", "x"}, "--nope"},
		{[]string{"bucket", "nope"}, "unknown command"},
		{[]string{"bucket", "create", "b", "-r", "30m"}, "an hour or more"},
		{[]string{"setup", "-u", "u", "-p", "password", "-o", "o", "-b", "b", "-r", "5m"}, "an hour or more"},
		{[]string{"bucket", "create"}, "give the name of one bucket"},
		{[]string{"bucket", "create", "--id", "0000000000000001"}, "--id"},
		{[]string{"bucket", "create", "-n", "a", "b"}, "give the name of one bucket"},
		{[]string{"bucket", "delete", "--id", "0000000000000001", "-n", "b"}, "give the name or id of one bucket"},
		{[]string{"bucket", "delete"}, "give the name or id of one bucket"},
		{[]string{"bucket", "list", "a", "b"}, "give the name or id of one bucket"},
		{[]string{"token", "delete"}, "give the id of one token"},
		{[]string{"write", "-b", "b", "--retries=-1", "m f=1"}, "--retries must not be negative"},
		{[]string{"org", "list", "--description", "x"}, "--description"},
		{[]string{"user", "delete", "--password", "x"}, "--password"},
		{[]string{"delete", "-b", "b"}, "--start 1970-01-01"},
		{[]string{"query", "-f", "x", "y"}, "give one query"},
		{[]string{"query", "-p", "banana", "SELECT 1"}, "--precision is ns, us, ms, s, m, h or rfc3339"},
		{[]string{"query", "-- how hot\nSELECT f FROM m"}, `unless "--" stands before it`},
		{[]string{"export", "-b", "b", "--bucket-id", "0000000000000001"}, "not both"},
		{[]string{"query", "-b", "b", "--bucket-id", "0000000000000001", "SELECT f FROM m"}, "not both"},
		{[]string{"write", "-b", "b", "--bucket-id", "0000000000000001", "m f=1"}, "not both"},
		{[]string{"export"}, "give --bucket or set HEADGATE_BUCKET"},
		{[]string{"export", "a", "b"}, "unexpected argument"},
		{[]string{"export", "a", "-b", "b"}, "unexpected argument"},
		{[]string{"export", "b", "--start", "1d", "--end", "2d"}, "--end is not after --start"},
		{[]string{"completion", "tcsh"}, "bash, zsh or fish"},
	} {
		if status, out, errOut := c.run("", x.args...); status != 2 || out != "" || !strings.Contains(errOut, x.want) {
			t.Errorf("%v: %d %s%s", x.args, status, out, errOut)
		}
	}
	for _, name := range Names() {
		if status, out, errOut := c.run("", name, "--help"); status != 0 || !strings.HasPrefix(out, "usage: headgate "+name) || errOut != "" {
			t.Errorf("%s --help: %d %s", name, status, errOut)
		}
	}
	status, _, errOut := c.run("", "ping", "--host", "unix:///nowhere")
	if status != 1 || !strings.Contains(errOut, `"headgate serve" starts one`) || strings.Count(errOut, "\n") != 1 {
		t.Error(status, errOut)
	}
	if d, err := durationOf("1w2d3h30m"); err != nil || d != (9*24+3)*time.Hour+30*time.Minute {
		t.Error(d, err)
	}
}

// TestQuery: what is asked, and what the answer makes of it.
func TestQuery(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/query":
			asked = append(asked, r.FormValue("db")+" "+r.FormValue("rp")+" "+r.FormValue("epoch")+" "+r.FormValue("q")+r.FormValue("org"))
			io.WriteString(w, `{"results":[{"statement_id":0}]}`)
		case "/api/v2/buckets/0000000000000001":
			io.WriteString(w, `{"id":"0000000000000001","orgID":"000000000000000a","name":"db/weekly"}`)
		default:
			w.WriteHeader(400)
			io.WriteString(w, `{"code":"invalid","message":"undefined identifier"}`)
		}
	}))
	defer server.Close()
	c := newTool(t)
	const hint = "--influxql says that it is InfluxQL"
	for _, x := range []struct {
		args   []string
		status int
		want   string // what is asked, else what is said
	}{
		{[]string{"-b", "b", "SELECT f FROM m"}, 0, "b   SELECT f FROM m"},
		{[]string{"-b", "b", "-o", "acme", "SELECT f FROM m"}, 0, "b   SELECT f FROM macme"},
		{[]string{"-b", "b", "-p", "us", "SELECT f FROM m"}, 0, "b  u SELECT f FROM m"},
		{[]string{"-b", "b", "-p", "rfc3339", "SELECT f FROM m"}, 0, "b   SELECT f FROM m"},
		{[]string{"--bucket-id", "0000000000000001", "SELECT f FROM m"}, 0, "db weekly  SELECT f FROM m000000000000000a"},
		{[]string{"-b", "b", "--", "-- how hot\nSELECT f FROM m"}, 0, "b   -- how hot\nSELECT f FROM m"},
		{[]string{"--bucket-id", "0000000000000002", "SELECT f FROM m"}, 1, `bucket with id "0000000000000002": the server answers 400`},
		{[]string{"SELEC f FROM m"}, 1, hint},
		{[]string{"selec mean(f) FROM m"}, 1, hint},
		{[]string{"--flux", "SELEC f FROM m"}, 1, "undefined identifier\n"},
		{[]string{`from(bucket: "b")`}, 1, "undefined identifier\n"},
		{[]string{`x = 1`}, 1, "undefined identifier\n"},
		{[]string{`import "nothing" x()`}, 1, "undefined identifier\n"},
	} {
		asked = nil
		status, _, errOut := c.run("", append([]string{"query", "--host", server.URL}, x.args...)...)
		said := strings.Join(asked, "; ")
		if status != 0 {
			said = errOut
		}
		if status != x.status || !strings.HasSuffix(said, x.want) && !(status != 0 && strings.Contains(said, x.want)) || x.want != hint && strings.Contains(said, hint) {
			t.Errorf("%q: %d %q %s, want %q", x.args, status, asked, errOut, x.want)
		}
	}
}

// TestIDIsNoName: what --id names is that and not what has been given the id for a name.
func TestIDIsNoName(t *testing.T) {
	deleted := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted = r.URL.Path
			w.WriteHeader(204)
			return
		}
		io.WriteString(w, `{"buckets":[{"id":"000000000000000a","name":"old"},{"id":"000000000000000b","name":"000000000000000a"}]}`)
	}))
	defer server.Close()
	c := newTool(t)
	for _, x := range [][]string{{"--id", "000000000000000a"}, {"old"}} {
		if status, _, errOut := c.run("", append([]string{"bucket", "delete", "--host", server.URL}, x...)...); status != 0 || deleted != "/api/v2/buckets/000000000000000a" {
			t.Errorf("%v: %d %s deleted %s", x, status, errOut, deleted)
		}
	}
}

// TestNotFound: what a list does not show may be there for another token.
func TestNotFound(t *testing.T) {
	var list string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, list) }))
	defer server.Close()
	c := newTool(t)
	for text, want := range map[string]string{
		`{"orgs":[]}`: `no org "acme": there is none that the token may see`,
		`{"orgs":[{"id":"0000000000000001","name":"other"}]}`: `no org "acme" that the token may see; "headgate org list" shows`,
	} {
		list = text
		if status, _, errOut := c.run("", "bucket", "create", "--host", server.URL, "-t", "weak", "-o", "acme", "b"); status != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%s: %d %s", text, status, errOut)
		}
	}
}

// TestCompletion: each script is one that its shell takes, where the shell is there.
func TestCompletion(t *testing.T) {
	c := newTool(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		status, out, errOut := c.run("", "completion", shell)
		if status != 0 || !strings.Contains(out, "bucket create") {
			t.Errorf("%s: %d %s", shell, status, errOut)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		if shell == "bash" {
			out += "COMP_WORDS=(headgate bucket cr); COMP_CWORD=2; _headgate; echo \"<${COMPREPLY[*]}>\"\nCOMP_WORDS=(headgate write --bu); _headgate; echo \"<${COMPREPLY[*]}>\"\n"
		}
		cmd := exec.Command(path)
		if shell != "bash" {
			cmd.Args = append(cmd.Args, "-n")
		}
		cmd.Stdin = strings.NewReader(out)
		text, err := cmd.CombinedOutput()
		if err != nil || shell == "bash" && string(text) != "<create>\n<--bucket --bucket-id>\n" {
			t.Errorf("%s: %v %s", shell, err, text)
		}
	}
}
