package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// tlsFlags is where the certificate is and how often it is looked at.
type tlsFlags struct {
	cert, key string
	check     duration
}

// open reads the certificate; nil without the flags.
func (f *tlsFlags) open() (*certificate, error) {
	if f.cert == "" && f.key == "" {
		return nil, nil
	}
	if f.cert == "" || f.key == "" {
		return nil, errors.New("--tls-cert and --tls-key need each other")
	}
	c := &certificate{certFile: f.cert, keyFile: f.key}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// certificate is what TLS handshakes present: two files, read again when told to.
type certificate struct {
	certFile, keyFile string
	// current is never nil once open has returned. Atomic; handshakes read it.
	current atomic.Pointer[tls.Certificate]
	// digest is of the files as last read, good or bad. Owned by watch's goroutine.
	digest [sha256.Size]byte
}

// config is for servers: TLS 1.2 and later with Go's choice of curves and ciphers.
// The keys of session tickets live in it, so that one config must serve all along:
// clients resume their sessions across a change of the certificate.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// reload reads the files if they have changed. When they do not make a pair, the
// last good one stays, and the error is returned once for each change.
func (c *certificate) reload() (changed bool, err error) {
	certPEM, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, c.failed(nil, err)
	}
	keyPEM, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, c.failed(certPEM, err)
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(certPEM), certPEM, keyPEM))
	if digest == c.digest {
		return false, nil
	}
	c.digest = digest
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return false, c.wrap(err)
	}
	c.current.Store(&pair)
	return true, nil
}

// failed is err, unless it is the one that the last call of reload has returned.
func (c *certificate) failed(read []byte, err error) error {
	digest := sha256.Sum256(fmt.Appendf(nil, "%v %s", err, read))
	if digest == c.digest {
		return nil
	}
	c.digest = digest
	return c.wrap(err)
}

func (c *certificate) wrap(err error) error {
	return fmt.Errorf("--tls-cert=%s --tls-key=%s: %w", c.certFile, c.keyFile, err)
}

// watch reloads at every tick and signal until ctx ends. Connections that are open
// go on with the certificate that they were opened with.
func (c *certificate) watch(ctx context.Context, tick <-chan time.Time, hangup <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case <-hangup:
		}
		switch changed, err := c.reload(); {
		case err != nil:
			log.Error("the new TLS certificate cannot be used; the old one stays", "error", err)
		case changed:
			log.Info("the TLS certificate has been read again", "cert", c.certFile)
		}
	}
}

// watchFiles is watch with SIGHUP and a look at the files every so often, 0 for
// never.
func (c *certificate) watchFiles(ctx context.Context, every time.Duration, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	c.watch(ctx, tick, hangup, log)
}

// surviveHangup has SIGHUP, by which `systemctl reload` and log rotation ask to read
// files again, end no server that has none to read. The returned function ends that.
func surviveHangup(log *slog.Logger) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangup {
			log.Info("SIGHUP: nothing to read again without --tls-cert; flags and --config are read at start only")
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-done
	}
}
