package httpfront

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/engine"
)

// TestTLS uses Go's own client: keep-alive, compression and a streamed answer
// over an encrypted connection.
func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t)
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	}})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	do := func(method, target, body string) answer {
		r, err := http.NewRequest(method, "https://"+f.addr+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = tokenHeader()
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{resp, string(b)}
	}
	var b strings.Builder
	for i := range 30000 {
		fmt.Fprintf(&b, "m f=1 %d\n", i)
	}
	if a := do("POST", writeTarget, b.String()); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	a := do("GET", "/query?db=b0&q=SELECT+f+FROM+m", "")
	if a.StatusCode != 200 || strings.Count(a.body, "[\"1970") != 30000 || !a.Uncompressed {
		t.Errorf("%d, %d rows, uncompressed %v", a.StatusCode, strings.Count(a.body, "[\"1970"), a.Uncompressed)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
