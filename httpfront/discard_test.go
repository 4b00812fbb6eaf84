package httpfront

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// TestDiscard throws away all that comes, so much and no more, and gives up at the
// deadline.
func TestDiscard(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client := <-dialed
	defer client.Close()
	const unwanted = 5<<20 + 3
	go func() {
		_, _ = client.Write(bytes.Repeat([]byte{'x'}, unwanted)) // read below, or the test fails
		_, _ = client.Write([]byte("rest"))
	}()
	if err := server.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	discard(server, unwanted)
	rest := make([]byte, 4)
	if _, err := io.ReadFull(server, rest); err != nil || string(rest) != "rest" {
		t.Fatalf("%q after what was thrown away, %v", rest, err)
	}
	if err := server.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	discard(server, 1) // nothing comes
	client.Close()
	if err := server.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	discard(server, 1) // the end comes
	if bytes.ContainsRune(discarded[:], 'x') {
		t.Error("what was thrown away has been copied")
	}
}
