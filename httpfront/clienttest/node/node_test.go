package node

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/httpfront"
	"headgate/httpfront/clienttest"
)

// install puts the client into a folder and gives its path.
func install(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIPPED, the JavaScript client was not run: no %s", name)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "client.mjs"} {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	c.Dir = dir
	c.WaitDelay = time.Second
	if out, err := c.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, the JavaScript client was not run: npm cannot get it: %v\n%s", err, out)
	}
	return dir
}

// run does one step of client.mjs; line is told what it prints.
func run(t *testing.T, dir string, s *clienttest.Server, step string, line func(string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "node", "client.mjs")
	c.Dir = dir
	c.Env = append(os.Environ(), "HEADGATE_URL="+s.URL, "HEADGATE_STEP="+step)
	var stderr strings.Builder
	c.Stderr = &stderr
	r, w := io.Pipe()
	c.Stdout = w
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			line(lines.Text())
		}
	}()
	err := c.Run()
	w.Close()
	<-read
	if err != nil {
		t.Fatalf("%s: %v\n%s", step, err, stderr.String())
	}
}

// TestClient goes through client.mjs, which says what is expected.
func TestClient(t *testing.T) {
	dir := install(t)
	print := func(l string) { t.Log(l) }
	t.Run("setup", func(t *testing.T) {
		run(t, dir, clienttest.Start(t, clienttest.Config{Fresh: true}), "setup", print)
	})
	t.Run("use", func(t *testing.T) {
		s := clienttest.Start(t, clienttest.Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 64 << 10 }})
		run(t, dir, s, "use", print)
	})
	t.Run("overload", func(t *testing.T) {
		s := clienttest.Start(t, clienttest.Config{})
		release := s.Fill(t)
		refused := false
		run(t, dir, s, "overload", func(l string) {
			if l == "refused" && !refused {
				refused = true
				release()
			}
		})
		if !refused {
			release()
			t.Error("the client was not refused")
		}
		s.WantRows(t, clienttest.Bucket, "SELECT f FROM late", "1 1")
	})
}
