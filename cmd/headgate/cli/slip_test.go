package cli

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSlips: what is nearly right is answered with what was meant, and what influx calls
// something is understood.
func TestSlips(t *testing.T) {
	c := newTool(t)
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"write", "--fil", "x"}, "unknown flag --fil; did you mean --file?"},
		{[]string{"write", "--bukcet=b", "x"}, "did you mean --bucket?"},
		{[]string{"delete", "--end", "now"}, "did you mean --stop?"},
		{[]string{"export", "--stop", "now"}, "did you mean --end?"},
		{[]string{"write", "-x"}, "unknown flag -x\n"},
		{[]string{"write", "--zzzzzzzz"}, "unknown flag --zzzzzzzz\n"},
		{[]string{"write", "--skip-verify=no", "x"}, `invalid value "no" for flag --skip-verify: write true or false`},
		{[]string{"write", "--retries=a b: c", "x"}, `invalid value "a b: c" for flag --retries: write a whole number`},
		{[]string{"write", "--retries=99999999999999999999", "x"}, "the number is too large"},
		{[]string{"status", "--interval", "1"}, `invalid value "1" for flag --interval: write a number and a unit`},
		{[]string{"write", "--organization=x", "x"}, "did you mean --org?"},
		{[]string{"bucket", "creat", "x"}, `did you mean "headgate bucket create"?`},
		{[]string{"auth", "lits"}, `did you mean "headgate token list"?`},
		{[]string{"delete", "b"}, "--bucket names the bucket"},
		{[]string{"write", "dryrun", "nofile.lp"}, "neither a file nor line protocol"},
	} {
		if status, out, errOut := c.run("", x.args...); status != 2 || out != "" || !strings.Contains(errOut, x.want) {
			t.Errorf("%v: %d %s%s", x.args, status, out, errOut)
		}
	}
	for _, args := range [][]string{{"bucket", "ls"}, {"organization", "find"}, {"authorization", "rm"}, {"config", "remove"}} {
		if status, out, errOut := c.run("", append(args, "--help")...); status != 0 || !strings.HasPrefix(out, "usage: headgate ") {
			t.Errorf("%v: %d %s%s", args, status, out, errOut)
		}
	}
	if _, known := Run(t.Context(), "rm", nil, Env{}); known {
		t.Error("headgate rm is a command: of points?")
	}
}

// TestWriteFiles: files, patterns and what stands at the beginning or end of a file.
func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte("m f=1 1\n"))
	w.Flush() // and no end
	for name, text := range map[string]string{"a.lp": "\ufeffm f=1 1\r\n# c\r\nm f=2 2\r\n", "b.lp": "m f=3 3", "c.csv": "\ufeffm|measurement,s|string,time\r\ncpu,\"x\r\ny\",5\r\n",
		"wide.txt": "\xff\xfem\x00 \x00", "cut.gz": z.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(dir, "a.lp"), filepath.Join(dir, "b.lp")
	both := "m f=1 1\r\nm f=2 2\r\nm f=3 3\n"
	c := newTool(t)
	for _, x := range []struct {
		stdin   string
		args    []string
		status  int
		out, in string
	}{
		{"", []string{"-f", a, b}, 0, both, ""},
		{"", []string{a, b}, 0, both, ""},
		{"", []string{"-f", filepath.Join(dir, "?.lp")}, 0, both, ""},
		{"m f=3 3", []string{a, "-"}, 0, both, ""},
		{"\ufeffm f=3 3", nil, 0, "m f=3 3\n", ""},
		{"", []string{filepath.Join(dir, "c.csv")}, 0, "cpu s=\"x\ny\" 5\n", ""},
		{"", []string{"-f", dir}, 1, "", "is a directory: name files"},
		{"", []string{filepath.Join(dir, "*.zst")}, 1, "", "no file matches"},
		{"", []string{filepath.Join(dir, "wide.txt")}, 1, "", "UTF-16"},
		{"", []string{filepath.Join(dir, "cut.gz")}, 1, "m f=1 1\n", "line 2: the compressed data ends here"},
	} {
		status, out, errOut := c.run(x.stdin, append([]string{"write", "dryrun"}, x.args...)...)
		if status != x.status || out != x.out || !strings.Contains(errOut, x.in) {
			t.Errorf("%v: %d %q %s", x.args, status, out, errOut)
		}
	}
}
