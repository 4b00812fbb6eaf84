package shell

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/httpfront"
	"headgate/httpfront/clienttest"
)

// shell is influx as it talks to a server. A token is any user's password.
type shell struct {
	t        *testing.T
	server   *clienttest.Server
	password string
}

func newShell(t *testing.T, c clienttest.Config) shell {
	t.Helper()
	out, err := exec.Command("influx", "-version").Output()
	if err != nil || !strings.Contains(string(out), "shell version: 1.") {
		t.Skip("SKIPPED, the shell of InfluxDB 1 was not run: no influx (Debian: influxdb-client)")
	}
	t.Logf("%s", out)
	return shell{t, clienttest.Start(t, c), clienttest.Token}
}

// run is what influx prints, to both outputs, and whether it ended with 0.
func (s shell) run(arg ...string) (string, bool) {
	s.t.Helper()
	u, err := url.Parse(s.server.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "influx", append([]string{
		"-host", u.Hostname(), "-port", u.Port(), "-username", "anyone", "-password", s.password,
	}, arg...)...)
	c.Env = append(os.Environ(), "HOME="+s.t.TempDir())
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		s.t.Fatalf("influx %q: %v\n%s", arg, ctx.Err(), out)
	}
	return string(out), err == nil
}

// want fails unless influx prints what contains each of the texts.
func (s shell) want(ok bool, arg []string, texts ...string) {
	s.t.Helper()
	out, ended := s.run(arg...)
	for _, text := range texts {
		if ended != ok || !strings.Contains(out, text) {
			s.t.Errorf("influx %q: ended well %v, want %v:\n%s\nwant %q", arg, ended, ok, out, text)
		}
	}
}

func execute(more ...string) []string {
	return append([]string{"-database", clienttest.Bucket, "-execute"}, more...)
}

func TestExecute(t *testing.T) {
	s := newShell(t, clienttest.Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 64 << 10 }})
	for _, q := range []string{`CREATE DATABASE d`, `CREATE RETENTION POLICY week ON d DURATION 7d REPLICATION 1`} {
		if out, ok := s.run("-execute", q); !ok || out != "" {
			t.Errorf("%s: %s", q, out)
		}
	}
	s.want(true, []string{"-execute", "SHOW DATABASES"}, clienttest.Bucket+"\n", "d\n")
	s.want(true, []string{"-database", "d", "-execute", "SHOW RETENTION POLICIES"}, "week", "168h0m0s")

	for _, insert := range [][]string{
		{`INSERT cpu,host=a\ b f=1.5,s="x y" 1000000000`},
		{`INSERT cpu,host=c f=2.5 2`, "-precision", "s"},
		{`INSERT INTO autogen cpu,host=c f=3.5 3000`, "-precision", "ms"},
	} {
		if out, ok := s.run(execute(insert...)...); !ok || strings.Contains(out, "ERR") {
			t.Errorf("%q: %s", insert, out)
		}
	}
	s.server.WantRows(t, clienttest.Bucket, "SELECT f FROM cpu", "1000000000 1.5", "2000000000 2.5", "3000000000 3.5")
	s.want(true, execute("SELECT f FROM cpu WHERE host = 'a b'", "-format", "csv", "-precision", "rfc3339"), "name,time,f\ncpu,1970-01-01T00:00:01Z,1.5\n")
	s.want(true, execute("SELECT f FROM cpu WHERE host = 'c'", "-format", "json", "-precision", "s"), `"values":[[2,2.5],[3,3.5]]`)
	s.want(true, execute("SHOW FIELD KEYS"), "f        float")

	// Refused: the shell prints the answer as it came, and for an INSERT ends with 0.
	s.want(true, execute(`INSERT cpu f="s" 4`), "ERR:", "partial write: field type conflict")
	s.want(true, execute(`INSERT cpu f=`), "unable to parse", "missing field value")
	s.want(true, execute(`INSERT cpu s="`+strings.Repeat("x", 70_000)+`"`), "over Options.BodyBytesMax")
	s.want(true, []string{"-database", "nope", "-execute", "INSERT m f=1"}, "database not found")
	s.want(false, execute("SELEC f"), "found SELEC")
	release := s.server.Fill(t)
	s.want(true, execute("INSERT cpu f=5 5"), "ERR:", "write queue is full; nothing was written")
	release()
	wrong := s
	wrong.password = "wrong"
	wrong.want(true, execute("INSERT cpu f=6 6"), "Unauthorized")
	s.server.WantRows(t, clienttest.Bucket, "SELECT count(f) FROM cpu", "0 3")
}

// TestImport takes in what influx_inspect export writes, a bad line in its middle.
func TestImport(t *testing.T) {
	s := newShell(t, clienttest.Config{})
	file := filepath.Join(t.TempDir(), "export")
	const export = `# DDL
CREATE DATABASE d WITH NAME autogen

# DML
# CONTEXT-DATABASE: d
# CONTEXT-RETENTION-POLICY: autogen

cpu,host=a f=1 1
cpu,host=a f=2 2
cpu,host=b f=3 3
`
	if err := os.WriteFile(file, []byte(export), 0o666); err != nil {
		t.Fatal(err)
	}
	s.want(true, []string{"-import", "-path", file, "-precision", "s"}, "Processed 1 commands", "Processed 3 inserts", "Failed 0 inserts")
	s.server.WantRows(t, "d", "SELECT f FROM cpu", "1000000000 1", "2000000000 2", "3000000000 3")

	// The shell sends all in one batch, and counts all of it as failed: those that
	// are no conflict are in.
	if err := os.WriteFile(file, []byte(export+"cpu,host=b f=\"s\" 4\ncpu,host=b f=5 5\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s.want(false, []string{"-import", "-path", file, "-precision", "s"}, "partial write: field type conflict", "ERROR: 5 points were not inserted")
	s.server.WantRows(t, "d", "SELECT count(f) FROM cpu", "0 4")
}
