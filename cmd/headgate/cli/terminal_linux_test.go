package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what is written into tty is what a person would see,
// and comes out of screen.
func openTerminal(t *testing.T, columns, rows int) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { tty.Close() })
	resize(t, tty, columns, rows)
	return screen, tty
}

func resize(t *testing.T, tty *os.File, columns, rows int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
}

func TestTerminalSize(t *testing.T) {
	_, tty := openTerminal(t, 40, 10)
	if c, r := Size(tty); c != 40 || r != 10 {
		t.Errorf("%d by %d, want 40 by 10", c, r)
	}
	resize(t, tty, 0, 0)
	if c, r := Size(tty); c != 80 || r != 24 {
		t.Errorf("%d by %d where the terminal does not say, want 80 by 24", c, r)
	}
	t.Setenv("TERM", "dumb")
	if Live(tty) || !isTerminal(tty) {
		t.Error("a dumb terminal is a terminal, and not live")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) || isTerminal(new(bytes.Buffer)) {
		t.Error("what is no terminal is taken for one")
	}
}

// TestClipped: a line that is written anew takes one row, whatever the width at that moment.
func TestClipped(t *testing.T) {
	screen, tty := openTerminal(t, 20, 10)
	w := Clipped(tty)
	for _, x := range []struct {
		columns  int
		in, want string
	}{
		{20, "\r\x1b[K0123456789012345678901234", "\r\x1b[K0123456789012345678"},
		{10, "\r\x1b[Kééééééééééééé", "\r\x1b[Kééééééééé"},
		{10, "a line of its own\n", "a line of its own\r\n"},
	} {
		resize(t, tty, x.columns, 10)
		if n, err := io.WriteString(w, x.in); n != len(x.in) || err != nil {
			t.Fatal(n, err)
		}
		got := make([]byte, len(x.want))
		if _, err := io.ReadFull(screen, got); err != nil || string(got) != x.want {
			t.Errorf("%q becomes %q, want %q (%v)", x.in, got, x.want, err)
		}
	}
}

// TestStatusLive: the view stays in place and in its width, keeps what it had when the server
// goes away, and ends with a line of its own.
func TestStatusLive(t *testing.T) {
	t.Setenv("TERM", "xterm")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var looks atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			if looks.Add(1) == 2 {
				w.WriteHeader(http.StatusInternalServerError) // something is wrong with it
			}
			return
		}
		fmt.Fprint(w, "headgate_points_written_total 5000000\nheadgate_http_connections 1\n")
	}))
	defer server.Close()
	screen, tty := openTerminal(t, 40, 9)
	shown := make(chan string, 1)
	go func() { // until the third view
		var all strings.Builder
		buf := make([]byte, 4096)
		for strings.Count(all.String(), "\x1b[J") < 3 {
			n, err := screen.Read(buf)
			if err != nil {
				break
			}
			all.Write(buf[:n])
		}
		cancel()
		shown <- all.String()
	}()
	c := newTool(t)
	env := Env{Stdin: strings.NewReader(""), Stdout: tty, Stderr: tty, Getenv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
	if status, _ := Run(ctx, "status", []string{"--host", server.URL, "--interval=100ms"}, env); status != 0 {
		t.Errorf("status %d", status)
	}
	text := <-shown
	if strings.Count(text, "\x1b[2J") != 1 {
		t.Errorf("the screen is not cleared once: %q", text)
	}
	views := strings.Split(text, "\x1b[J")
	for i, v := range views[:min(3, len(views))] {
		v = strings.TrimPrefix(strings.TrimPrefix(v, "\x1b[2J"), "\x1b[H")
		lines := strings.Split(strings.TrimSuffix(v, "\r\n"), "\r\n")
		if len(lines) != 8 {
			t.Errorf("view %d has %d lines in 9 rows: %q", i, len(lines), v)
		}
		for _, l := range lines {
			if l = strings.TrimSuffix(l, "\x1b[K"); len(l) > 39 || strings.Contains(l, "\x1b") {
				t.Errorf("view %d: %q is no line for 40 columns", i, l)
			}
		}
		if gone := strings.Contains(v, "no news since "); gone != (i == 1) || !strings.Contains(v, "points") {
			t.Errorf("view %d: %q", i, v)
		}
	}
	tty.Close()
	rest, _ := io.ReadAll(screen) // EIO at its end
	if !strings.HasSuffix(string(rest), "\n") {
		t.Errorf("the view ends in %q", rest)
	}
}

// TestSetupAsks: what setup is not given it asks for, the password twice and without an echo.
func TestSetupAsks(t *testing.T) {
	var in map[string]any
	allowed := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"allowed":%t}`, allowed)
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		w.WriteHeader(201)
		io.WriteString(w, `{"auth":{"token":"made"}}`)
	}))
	defer server.Close()
	screen, tty := openTerminal(t, 80, 24)
	c := newTool(t)
	var shown strings.Builder
	setup := func(ctx context.Context) int {
		env := Env{Stdin: tty, Stdout: io.Discard, Stderr: tty, Getenv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
		status, _ := Run(ctx, "setup", []string{"--host", server.URL, "-o", "acme"}, env)
		return status
	}
	// until reads the screen up to text.
	buf := make([]byte, 1)
	until := func(text string) {
		t.Helper()
		for from := shown.Len(); !strings.HasSuffix(shown.String()[from:], text); shown.Write(buf) {
			if _, err := screen.Read(buf); err != nil {
				t.Fatalf("%v after %q, which has no %q", err, shown.String(), text)
			}
		}
	}
	status := make(chan int)
	go func() { status <- setup(t.Context()) }()
	for _, x := range [][2]string{
		{"Name of the first user: ", ""}, {"Name of the first user: ", "admin"},
		{"Password, 8 to 72 characters: ", "password1"}, {"again: ", "password2"}, {"The two differ.\r\nPassword, 8 to 72 characters: ", "password1"}, {"again: ", "password1"},
		{"Bucket: ", "sensors"},
	} {
		until(x[0])
		io.WriteString(screen, x[1]+"\r")
	}
	if s := <-status; s != 0 || in["username"] != "admin" || in["password"] != "password1" || in["org"] != "acme" || in["bucket"] != "sensors" {
		t.Errorf("%d %v", s, in)
	}
	if strings.Contains(shown.String(), "password1") || !strings.Contains(shown.String(), "admin") {
		t.Errorf("shown: %q", shown.String())
	}
	// Interrupted, it leaves a terminal that shows what is typed.
	ctx, cancel := context.WithCancel(t.Context())
	go func() { status <- setup(ctx) }()
	until("Name of the first user: ")
	io.WriteString(screen, "admin\r")
	until("Password, 8 to 72 characters: ")
	cancel()
	if s := <-status; s != 1 {
		t.Errorf("interrupted: %d", s)
	}
	if state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil || state.Lflag&unix.ECHO == 0 {
		t.Error("the terminal has no echo", err)
	}
	io.WriteString(screen, "\r") // for the read that was left behind
	go func() { status <- setup(t.Context()) }()
	until("Name of the first user: ")
	io.WriteString(screen, "admin\r")
	until("Password, 8 to 72 characters: ")
	io.WriteString(screen, "pass\x03")
	until("ended before all was answered")
	if s := <-status; s != 1 {
		t.Errorf("control-C: %d", s)
	}
	allowed = false
	go func() { status <- setup(t.Context()) }()
	until("the server is set up already")
	if s := <-status; s != 1 {
		t.Errorf("set up already: %d", s)
	}
}
