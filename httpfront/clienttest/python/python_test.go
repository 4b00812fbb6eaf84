package python

import (
	"bufio"
	"context"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"headgate/httpfront"
	"headgate/httpfront/clienttest"
)

// python is an interpreter that has the client. Debian's own comes first: what it
// installs, another one does not see.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		out, err := exec.Command(name, "-c", "import influxdb; print(influxdb.__version__)").Output()
		if err == nil {
			t.Logf("influxdb-python %s", strings.TrimSpace(string(out)))
			return name
		}
	}
	t.Skip("SKIPPED, the Python client was not run: no python3 has the module influxdb (Debian: python3-influxdb)")
	return ""
}

// run does one step of client.py; release is called when it says that it was refused.
func run(t *testing.T, s *clienttest.Server, step string, release func()) {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, python(t), "client.py", u.Port(), step)
	var stderr strings.Builder
	c.Stderr = &stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "refused" {
			release()
			io.WriteString(in, "\n")
		}
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", step, err, stderr.String())
	}
}

// TestClient goes through client.py, which says what is expected.
func TestClient(t *testing.T) {
	python(t)
	t.Run("use", func(t *testing.T) {
		s := clienttest.Start(t, clienttest.Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 64 << 10 }})
		run(t, s, "use", func() {})
	})
	t.Run("overload", func(t *testing.T) {
		s := clienttest.Start(t, clienttest.Config{})
		release := s.Fill(t)
		released := false
		run(t, s, "overload", func() { released = true; release() })
		if !released {
			t.Error("the client was not refused")
		}
	})
}
