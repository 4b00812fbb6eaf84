package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writePair writes a new certificate of that serial number, and its key.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	putFile(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func putFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// echo is a TLS server that sends back what it gets.
func echo(t *testing.T, c *tls.Config) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func ask(t *testing.T, c net.Conn) {
	t.Helper()
	b := make([]byte, 2)
	if _, err := io.WriteString(c, "hi"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hi" {
		t.Fatalf("%q, %v", b, err)
	}
}

// TestTLSReload changes the files under a server: new connections get the new
// certificate, open ones stay, and files that are broken change nothing.
func TestTLSReload(t *testing.T) {
	dir := t.TempDir()
	f := tlsFlags{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	writePair(t, f.cert, f.key, 1)
	c, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	addr := echo(t, c.config())
	sessions := tls.NewLRUClientSessionCache(4)
	dial := func() *tls.Conn {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: sessions})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		ask(t, conn)
		return conn
	}
	serial := func() int64 {
		t.Helper()
		sessions = tls.NewLRUClientSessionCache(4) // a resumed session shows no certificate
		return dial().ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}

	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	// look has both looked for once, and waits until that is over.
	look := func() {
		ctx, cancel := context.WithCancel(t.Context())
		tick, hangup, stopped := make(chan time.Time), make(chan os.Signal), make(chan struct{})
		go func() {
			defer close(stopped)
			c.watch(ctx, tick, hangup, log)
		}()
		tick <- time.Time{}
		hangup <- syscall.SIGHUP
		cancel()
		<-stopped
	}

	open := dial()
	if dial().ConnectionState().DidResume != true {
		t.Error("a session is not resumed")
	}
	writePair(t, f.cert, f.key, 2)
	if n := serial(); n != 1 {
		t.Errorf("before the reload: certificate %d", n)
	}
	look()
	if n := serial(); n != 2 {
		t.Errorf("after the reload: certificate %d", n)
	}
	ask(t, open)

	for _, broken := range []func(){
		func() { putFile(t, f.cert, []byte("no certificate")) },
		func() { writePair(t, f.cert, filepath.Join(dir, "other"), 3) }, // whose key is another's
		func() { os.Remove(f.key) },
	} {
		logged.Reset()
		broken()
		look()
		look()
		if n := serial(); n != 2 {
			t.Errorf("with broken files: certificate %d", n)
		}
		if n := strings.Count(logged.String(), "the old one stays"); n != 1 {
			t.Errorf("logged %d times: %s", n, logged.String())
		}
	}
	writePair(t, f.cert, f.key, 4)
	look()
	if n := serial(); n != 4 {
		t.Errorf("after the repair: certificate %d", n)
	}
	ask(t, open)
	if strings.Contains(logged.String(), "PRIVATE") {
		t.Errorf("the key is in the log: %s", logged.String())
	}
}

// TestTLSVersions: TLS 1.1 is refused, 1.2 and 1.3 are not.
func TestTLSVersions(t *testing.T) {
	dir := t.TempDir()
	f := tlsFlags{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	if _, err := f.open(); err == nil {
		t.Error("no error without the files")
	}
	writePair(t, f.cert, f.key, 1)
	if _, err := (&tlsFlags{cert: f.cert}).open(); err == nil {
		t.Error("no error without --tls-key")
	}
	c, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	addr := echo(t, c.config())
	for _, tc := range []struct {
		version uint16
		ok      bool
	}{{tls.VersionTLS10, false}, {tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tc.version, MaxVersion: tc.version})
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tls.VersionName(tc.version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// TestSkipVerify has the commands that do not share the others' flags meet a certificate
// that nobody has signed.
func TestSkipVerify(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "seen "+r.URL.Path, http.StatusTeapot)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	for _, c := range []struct {
		name string
		args []string
		run  func(context.Context, []string, io.Writer, io.Writer) int
		path string
	}{
		{"tail", []string{"--host=" + server.URL, "--follow=false", "b"}, runTail, "/api/v2/rejected"},
		{"backup", []string{"--host=" + server.URL, filepath.Join(t.TempDir(), "b.tar.zst")}, runBackup, "/api/v2/backup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if status := c.run(t.Context(), c.args, &out, &out); status != 1 || !strings.Contains(out.String(), "--skip-verify") {
				t.Errorf("status %d, %s; want 1 and what helps", status, out.String())
			}
			out.Reset()
			if c.run(t.Context(), append([]string{"--skip-verify"}, c.args...), &out, &out); !strings.Contains(out.String(), "seen "+c.path) {
				t.Errorf("with --skip-verify: %s; want the server's answer", out.String())
			}
		})
	}
}
