package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a server process under test. It is started, and killed, any number of
// times over the same data directory. Not safe for concurrent use, but for what
// says otherwise.
type server struct {
	binary string
	dir    string // holds data/ and the logs
	flags  []string
	starts int

	cmd *exec.Cmd
	// exited is closed once the process is gone and waitErr is set.
	exited  chan struct{}
	waitErr error
	target  Target
	logFile string
}

// errExited says that the process ended before it was asked to.
var errExited = errors.New("bench: the server exited")

// start starts the process on a free port, without waiting for it to be ready.
func (s *server) start() error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if s.target, err = ParseTarget("http://" + address); err != nil {
		return err
	}
	s.starts++
	s.logFile = filepath.Join(s.dir, fmt.Sprintf("server-%03d.log", s.starts))
	log, err := os.Create(s.logFile)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor

	cmd := exec.Command(s.binary, append([]string{"serve", "--auth=false", "--listen", address, "--data-dir", filepath.Join(s.dir, "data")}, s.flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = environmentWithoutFlags()
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("bench: start server: %w", err)
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		s.waitErr = cmd.Wait()
		close(exited)
	}()
	return nil
}

// environmentWithoutFlags returns the environment without what sets flags of a
// Headgate server.
func environmentWithoutFlags() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HEADGATE_") {
			env = append(env, v)
		}
	}
	return env
}

// freeAddress returns a loopback address whose port nobody uses right now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// awaitHealth polls /health until it passes, and returns how long that took.
func (s *server) awaitHealth(ctx context.Context, wait time.Duration) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	client, base := newHTTPClient(s.target)
	defer client.CloseIdleConnections()
	for {
		err := probe(ctx, client, base+"/health")
		if err == nil {
			return time.Since(begin), nil
		}
		select {
		case <-s.exited:
			return 0, fmt.Errorf("%w at start (%v)\n%s", errExited, s.waitErr, s.logTail())
		case <-ctx.Done():
			return 0, fmt.Errorf("bench: the server was not healthy after %v: %w\n%s", wait, err, s.logTail())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func probe(ctx context.Context, client *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// kill ends the process as a crash would, and waits until it is gone. It does
// nothing when the process is gone already.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// stop asks the process to drain and exit, and waits for it.
func (s *server) stop(wait time.Duration) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	select {
	case <-s.exited:
		s.cmd = nil
		if s.waitErr != nil {
			return fmt.Errorf("bench: the server did not exit cleanly when it was asked to: %w\n%s", s.waitErr, s.logTail())
		}
		return nil
	case <-time.After(wait):
		return fmt.Errorf("bench: the server still ran %v after it was asked to exit\n%s", wait, s.logTail())
	}
}

// logTail returns the end of what the process printed.
func (s *server) logTail() string {
	const tail = 4 << 10
	text, err := os.ReadFile(s.logFile)
	if err != nil {
		return ""
	}
	if cut := len(text) - tail; cut > 0 {
		text = text[cut:]
		if line := bytes.IndexByte(text, '\n'); line >= 0 {
			text = text[line+1:]
		}
	}
	return "the server's log ends:\n" + string(text)
}
