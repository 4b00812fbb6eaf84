package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// parseWithConfig parses flags of serve with a configuration file of that text.
func parseWithConfig(t *testing.T, text string, args []string, env map[string]string) (*serveFlags, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "headgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, fs := newServeFlags()
	err := parseFlags(fs, append([]string{"--config", path}, args...), func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	return f, err
}

func TestConfigFile(t *testing.T) {
	f, err := parseWithConfig(t, `
# all kinds of values
listen = "0.0.0.0:1"
auth = false
max-tags-per-point = 9
write-timeout = "3s"
memory = "1GiB"
data-dir = '/from/file'
`, []string{"--data-dir=/from/flag"}, map[string]string{"HEADGATE_MEMORY": "2GiB"})
	if err != nil {
		t.Fatal(err)
	}
	if f.listen != "0.0.0.0:1" || f.auth || f.limits.tags != 9 || time.Duration(f.writeTimeout) != 3*time.Second {
		t.Errorf("from the file: %q %t %d %s", f.listen, f.auth, f.limits.tags, &f.writeTimeout)
	}
	if f.memory != 2<<30 || f.dataDir != "/from/flag" {
		t.Errorf("memory %d, data-dir %q: the environment and the command line come before the file", f.memory, f.dataDir)
	}
}

func TestBadConfigFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen = \"x\"\nwrite-timout = \"1s\"\n", `headgate.toml:2: unknown name "write-timout"; did you mean "write-timeout"?`},
		{"max_body = \"1MB\"\n", `did you mean "max-body"?`},
		{"zzzzzz = 1\n", `headgate.toml:1: unknown name "zzzzzz"; "headgate serve --help" lists`},
		{"# x\n\nmemory = \"lots\"\n", `headgate.toml:3: invalid value "lots" of memory: "lots" is not a size`},
		{"[http]\nlisten = \"x\"\n", "headgate.toml:1: unknown name \"http\""},
		{"listen = [1]\n", "headgate.toml:1: listen must be a string, a number, true or false"},
		{"listen = \"x\"\nauth = maybe\n", "headgate.toml:2: "},
		{"# x\nmemory = 1g # much\n", `; quote what is no plain number: memory = "1g"`},
		{"listen = 127.0.0.1:8086\n", `headgate.toml:1: Invalid float value: "127.0.0.1"; quote what is no plain number: listen = "127.0.0.1:8086"`},
		{"auth = True\n", "write auth = true or auth = false"},
		{"auth = \"no\"\n", `headgate.toml:1: invalid value "no" of auth: write true or false`},
		{"memory =\nauth = true\n", "headgate.toml:1: memory has no value"},
		{"memory =\n", "headgate.toml:1: memory has no value"},
		{"config = \"y\"\n", "config cannot be set in the file"},
	} {
		if _, err := parseWithConfig(t, c.text, nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := parseWithConfig(t, "auth = true\nauth = false\n", nil, nil); err == nil || !strings.HasSuffix(err.Error(), "headgate.toml:2: Key 'auth' has already been defined") {
		t.Errorf("a name twice: %v", err)
	}
	for _, text := range []string{
		"password = hunter2", "token = hunter2x-a", `"password" = hunter2 x`, `token = hunter2"x`, `password = "\hunter2"`, "password = \"hunter2\nmemory = 1",
		"password = '''hunter2\nhunter2''' hunter2", "token = \"\"\"x\nhunter2 \\h", "token = 1\ntoken = hunter2", "token = [\"hunter2\"]", "token = 'hunter2'\nmemory = hunter",
		"token = \"\"\"x\nhunter2=2 \\h\"\"\"", "token = \"\"\"x\na=hunter2 \\h\n\"\"\"", "listen = 'x'\n= hunter2", "token hunter2",
	} {
		_, err := parseWithConfig(t, text, nil, nil)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "headgate.toml:") {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, fs := newServeFlags()
	err := parseFlags(fs, nil, func(name string) (string, bool) { return "/no/such/file", name == "HEADGATE_CONFIG" })
	if err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestPrintConfig: what is printed can be read back and says the same, and every flag
// is there.
func TestPrintConfig(t *testing.T) {
	var out, stderr bytes.Buffer
	if status := run([]string{"serve", "--print-config", "--memory=1GiB", "--auth=false"}, &out, &stderr); status != 0 {
		t.Fatal(status, stderr.String())
	}
	f, err := parseWithConfig(t, out.String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.memory != 1<<30 || f.auth {
		t.Errorf("memory %d, auth %t", f.memory, f.auth)
	}
	// With every line that is commented out taken for one: all of them but those whose
	// default is derived from another.
	var all strings.Builder
	for line := range strings.Lines(out.String()) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), " = "); ok && !strings.ContainsAny(name, " ") && !strings.HasSuffix(line, "\"\"\n") {
			all.WriteString(strings.TrimPrefix(line, "# "))
		}
	}
	values := make(map[string]any)
	if _, err := toml.Decode(all.String(), &values); err != nil {
		t.Fatalf("%v:\n%s", err, all.String())
	}
	if _, err := parseWithConfig(t, all.String(), nil, nil); err != nil {
		t.Error(err)
	}
	if len(values) < 30 {
		t.Errorf("only %d names:\n%s", len(values), all.String())
	}
}

// TestPrintConfigKeepsSecrets: what is printed tells no secret, and read back sets none.
func TestPrintConfigKeepsSecrets(t *testing.T) {
	t.Setenv("HEADGATE_PASSWORD", "hush from the environment")
	var out, stderr bytes.Buffer
	if status := run([]string{"serve", "--print-config", "--token=hush-from-the-line", "--username=joe"}, &out, &stderr); status != 0 {
		t.Fatal(status, stderr.String())
	}
	if text := out.String(); strings.Contains(text, "hush") || strings.Count(text, "# It is set, and not shown.") != 2 {
		t.Error(text)
	}
	f, err := parseWithConfig(t, out.String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.token != "" || f.pass != "" || f.username != "joe" {
		t.Errorf("token %q, password %q, username %q", f.token, f.pass, f.username)
	}
}
