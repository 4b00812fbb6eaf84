package client

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
)

// debugTransport tells what goes over the wire, as Options.Debug wants it.
type debugTransport struct {
	next http.RoundTripper
	mu   sync.Mutex
	w    io.Writer
}

func (t *debugTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	shown := r.Header.Clone()
	if shown.Get("Authorization") != "" {
		shown.Set("Authorization", "(not shown)")
	}
	t.tell("> ", fmt.Sprintf("%s %s", r.Method, r.URL.Redacted()), shown)
	resp, err := t.next.RoundTrip(r)
	took := time.Since(start).Round(time.Microsecond)
	if err != nil {
		t.tell("< ", fmt.Sprintf("%v, after %s", err, took), nil)
		return resp, err
	}
	t.tell("< ", fmt.Sprintf("%s, after %s", resp.Status, took), resp.Header)
	return resp, nil
}

// CloseIdleConnections is what http.Client asks of a transport.
func (t *debugTransport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *debugTransport) tell(mark, first string, headers http.Header) {
	var text bytes.Buffer
	headers.Write(&text) // sorted, and without line breaks
	// They may be anyone's, and must not move a terminal's cursor.
	first = strings.Map(printable, first)
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, "%s%s\n", mark, first)
	for line := range bytes.Lines(text.Bytes()) {
		fmt.Fprintf(t.w, "%s%s\n", mark, bytes.Map(printable, bytes.TrimRight(line, "\r\n")))
	}
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}
