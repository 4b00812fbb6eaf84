package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// TestInterrupted: what Ctrl-C ends early says how far it came, and ends with the status
// that a shell expects.
func TestInterrupted(t *testing.T) {
	started := make(chan *os.Process, 1)
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then the server sees that the client is gone
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := (<-started).Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done(): // it gives up
		case <-time.After(20 * time.Second):
			t.Error("it goes on after the interrupt")
		}
	}))
	defer server.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "write", "--host", server.URL, "--bucket=b", "--batch-lines=1")
	cmd.Env = append(os.Environ(), beHeadgate+"=1", "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader("m f=1 1\nm f=2 2\nm f=3 3\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started <- cmd.Process
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 130 || stderr.String() != "1 line written\nheadgate write: interrupted\n" {
		t.Errorf("%v:\n%s", err, stderr.String())
	}
}

// TestBar: it takes no more columns than there are.
func TestBar(t *testing.T) {
	const text = " 50% of it"
	for columns, want := range map[int]string{
		100: "[" + strings.Repeat("#", 20) + strings.Repeat(" ", 20) + "] " + text,
		29:  "[########        ] " + text,
		20:  text,
		5:   " 50% ",
	} {
		if got := bar(0.5, text, columns); got != want || utf8.RuneCountInString(got) > columns {
			t.Errorf("in %d columns: %q, want %q", columns, got, want)
		}
	}
	if got := bar(1.5, text, 100); !strings.HasPrefix(got, "["+strings.Repeat("#", 40)+"]") {
		t.Errorf("more than all: %q", got)
	}
}

func TestUnknownCommand(t *testing.T) {
	var out, errOut bytes.Buffer
	if status := run([]string{"wriet"}, &out, &errOut); status != 2 || !strings.Contains(errOut.String(), `did you mean "headgate write"?`) || strings.Contains(errOut.String(), "server:") {
		t.Errorf("%d %s", status, errOut.String())
	}
}
