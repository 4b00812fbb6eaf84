package clienttest

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"headgate/engine"
	"headgate/httpfront"
)

// What Start sets up.
const (
	Org    = "acme"
	Bucket = "b0"
	Token  = "operator-token"
)

// Config says how a server differs from the usual one.
type Config struct {
	// Fresh leaves out the set-up.
	Fresh bool
	// AuthDisabled takes every caller for the operator. It implies Fresh.
	AuthDisabled bool
	// Front may change the server's options. Default: changes nothing.
	Front func(*httpfront.Options)
}

// Server is a server on a socket of its own, with its data in a folder of the test's.
type Server struct {
	// URL is where it listens, without a slash at the end.
	URL string

	engine *engine.Engine
	token  string
}

// Start opens a server, sets it up with Org, Bucket and Token, and closes it at the
// test's end. The test fails when goroutines of the server or of the clients are
// left over then.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx := context.Background()
	e, err := engine.Open(ctx, engine.Options{
		Dir: t.TempDir(), MemoryBytesMax: 64 << 20, AdmissionWait: -1, AuthDisabled: c.AuthDisabled,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{engine: e}
	if !c.Fresh && !c.AuthDisabled {
		r := engine.SetupRequest{Username: "admin", Password: "password1", Org: Org, Bucket: Bucket, Token: Token}
		if _, err := e.Setup(ctx, r); err != nil {
			t.Fatal(err)
		}
		s.token = Token
	}
	o := httpfront.Options{Version: "test"}
	if c.Front != nil {
		c.Front(&o)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + ln.Addr().String()
	front := httpfront.New(e, o)
	served := make(chan error, 1)
	go func() { served <- front.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := errors.Join(front.Shutdown(ctx), <-served, e.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
		checkGoroutines(t, before)
	})
	return s
}

// checkGoroutines fails when goroutines outlive the test that started them. Those
// of a closed connection end within a moment.
func checkGoroutines(t testing.TB, before int) {
	deadline := time.Now().Add(15 * time.Second)
	for runtime.NumGoroutine() > before+4 { // fasthttp's clock, the testing package's own
		if time.Now().After(deadline) {
			b := make([]byte, 1<<20)
			t.Errorf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
			return
		}
		runtime.Gosched()
	}
}

// Fill takes all the room there is for writes into Bucket, so that the next one is
// refused with 503, until release is called.
func (s *Server) Fill(t testing.TB) (release func()) {
	t.Helper()
	org, found := s.engine.OrganizationByName(Org)
	bucket, ok := s.engine.BucketByName(org.ID, Bucket)
	if !found || !ok {
		t.Fatalf("no bucket %s in an organization %s", Bucket, Org)
	}
	var held []*engine.Admission
	for size := int64(1 << 20); size > 0; size /= 2 {
		for {
			a, err := s.engine.Admit(context.Background(), bucket.ID, size)
			var refused *engine.Error
			if errors.As(err, &refused) && refused.Kind == engine.Overloaded {
				break
			}
			if err != nil {
				t.Fatalf("admit: %v", err)
			}
			held = append(held, a)
		}
	}
	return func() {
		for _, a := range held {
			a.Release()
		}
	}
}

// Query is the rows that an InfluxQL query of db gives as CSV, without the header
// and the columns for the measurement and the tags.
func (s *Server) Query(t testing.TB, db, q string) [][]string {
	t.Helper()
	target := s.URL + "/query?" + url.Values{"db": {db}, "q": {q}}.Encode()
	r, err := http.NewRequest("GET", target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/csv")
	if s.token != "" {
		r.Header.Set("Authorization", "Token "+s.token)
	}
	r.Close = true
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != 200 {
		t.Fatalf("%s: %d %s, %v", q, a.StatusCode, b, err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	if len(rows) == 0 {
		return nil
	}
	rows = rows[1:]
	for i := range rows {
		rows[i] = rows[i][2:]
	}
	return rows
}

// WantRows fails unless the query's rows, each with a space between its columns,
// are these.
func (s *Server) WantRows(t testing.TB, db, q string, want ...string) {
	t.Helper()
	var got []string
	for _, row := range s.Query(t, db, q) {
		got = append(got, strings.Join(row, " "))
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("%s: %q, want %q", q, got, want)
	}
}
