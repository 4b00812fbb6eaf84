package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/engine"
)

// notifySocket plays systemd: it returns what notifies it and how to read that.
func notifySocket(t *testing.T) (env string, next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skip("no datagram sockets here:", err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // a server that is gone says nothing
		t.Fatal(err)
	}
	return path, func() string {
		t.Helper()
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

// TestNotify: systemd hears that the server is ready, that it lives and that it stops.
func TestNotify(t *testing.T) {
	socket, next := notifySocket(t)
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "30000") // a beat every 10 ms
	dir := t.TempDir()
	f, fs := newServeFlags()
	if err := parseFlags(fs, []string{"--listen=127.0.0.1:0", "--auth=false", "--data-dir", filepath.Join(dir, "data")}, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.serve(ctx, io.Discard, io.Discard) }()
	var seen []string
	wait := func(want string) {
		t.Helper()
		for {
			state := next()
			seen = append(seen, state)
			if strings.Contains(state, want) {
				return
			}
		}
	}
	wait("READY=1\nSTATUS=serving 127.0.0.1:")
	wait("WATCHDOG=1")
	wait("WATCHDOG=1")
	cancel()
	wait("STOPPING=1")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWedged(t *testing.T) {
	fails := func(names ...string) (h engine.Health) {
		for _, name := range names {
			h.Checks = append(h.Checks, engine.Check{Name: name, Status: "fail"})
		}
		return h
	}
	for _, c := range []struct {
		h    engine.Health
		want bool
	}{
		{fails(), false},
		{fails("actors"), true},
		{fails("memory", "actors"), true},
		{fails("disk"), false},
		{fails("actors", "log"), false},
		{fails("recovery"), false},
	} {
		if got := wedged(c.h); got != c.want {
			t.Errorf("%+v: %t", c.h.Checks, got)
		}
	}
}

// TestPassedSocket: the socket that systemd opened is served, whatever --listen says.
func TestPassedSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no sockets are passed here")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	socket, next := notifySocket(t)
	// The shell knows the pid that the server will have.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "serve", "--listen=127.0.0.1:1", "--auth=false", "--data-dir", filepath.Join(t.TempDir(), "data"))
	cmd.Env = append(os.Environ(), beHeadgate+"=1", "LISTEN_FDS=1", "NOTIFY_SOCKET="+socket)
	cmd.ExtraFiles = []*os.File{file}
	var logs strings.Builder
	cmd.Stderr = &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, logs.String())
		}
	}()
	addr := ln.Addr().String()
	ln.Close() // or connections to a server that is gone would wait in the backlog
	file.Close()
	for !strings.Contains(next(), "READY=1") {
	}
	// `systemctl reload` ends no server, which has no certificate to read here.
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + addr + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}
