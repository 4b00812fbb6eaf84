package httpfront

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

func TestFirstCharge(t *testing.T) {
	const most = 16 << 20 // of which an eighth is 2 MiB
	for _, c := range []struct {
		declared int64
		enc      encoding
		most     int64
		want     int64
	}{
		{0, identity, most, 0}, {1000, identity, most, 1000}, {1000, encodingGzip, most, 20_000}, {2 << 20, identity, most, 2 << 20},
		{3 << 20, identity, most, 2 << 20}, {1 << 20, encodingZstd, most, 2 << 20}, {3 << 20, encodingZstd, most, 2 << 20},
		{-1, identity, most, 64 << 10}, {-1, encodingSnappy, most, 20 * 64 << 10},
		{25 << 20, identity, 1 << 30, 4 << 20}, {25 << 20, identity, 4 << 20, 1 << 20}, {25 << 20, encodingGzip, 1 << 19, 1 << 19},
	} {
		if got := firstCharge(c.declared, c.enc, c.most); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestCharge: what is given back is charged for again when it is needed.
func TestCharge(t *testing.T) {
	f := newFront(t, frontConfig{})
	org, _ := f.e.OrganizationByName("acme")
	bucket, _ := f.e.BucketByName(org.ID, "b0")
	a, err := f.e.Admit(t.Context(), bucket.ID, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	request := f.e.Stats().Gate.Bytes - 1<<20
	ch := &charge{admission: a, admitted: 1 << 20, most: 4 << 20}
	for i, step := range []struct {
		settle     bool
		n, charged int64
	}{{n: 1, charged: 1 << 20}, {true, 2 << 20, 1 << 20}, {true, 1000, 1000}, {n: 1000, charged: 1000}, {n: 1001, charged: 1000 + growBytes}, {n: 1 << 20, charged: 1 << 20}, {true, 0, 0}} {
		if step.settle {
			ch.settle(step.n)
		} else if err := ch.cover(step.n); err != nil {
			t.Fatal(err)
		}
		if got := f.e.Stats().Gate.Bytes - request; got != step.charged {
			t.Errorf("step %d: %d bytes are charged for, want %d", i, got, step.charged)
		}
	}
	a.Release()
	if g := f.e.Stats().Gate; g.Bytes != 0 || g.Requests != 0 {
		t.Errorf("%d bytes of %d requests are held", g.Bytes, g.Requests)
	}
}

// TestInflatedBodyGivesBack: a body that is smaller than its first charge is charged for as it
// is, while it waits for its turn to be parsed.
func TestInflatedBodyGivesBack(t *testing.T) {
	f := newFront(t, frontConfig{})
	org, _ := f.e.OrganizationByName("acme")
	bucket, _ := f.e.BucketByName(org.ID, "b0")
	for range 2 * min(runtime.GOMAXPROCS(0), runtime.NumCPU()) { // all turns
		a, err := f.e.Admit(t.Context(), bucket.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Release()
		if err := a.TakeTurn(context.Background(), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	held := f.e.Stats().Gate
	request := held.Bytes / held.Requests
	// It inflates without a turn, being small, and is too large to be parsed without.
	rng := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	for text.Len() < 36<<10 {
		fmt.Fprintf(&text, "measurement,host=server,path=/var/lib field=%d 1\n", rng.Uint32()%1000)
	}
	body := encode(t, "gzip", text.Bytes())
	if 10*len(body) >= 32<<10 || 20*len(body) <= text.Len() {
		t.Fatalf("%d bytes from %d are not the case", len(body), text.Len())
	}
	cl := f.dial(t)
	cl.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Token %s\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", writeTarget, testToken, len(body), body))
	for begin := time.Now(); f.e.Stats().Gate.Bytes != held.Bytes+request+int64(text.Len()); runtime.Gosched() {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d bytes are charged for, want those of %d and %d", f.e.Stats().Gate.Bytes-held.Bytes, request, text.Len())
		}
	}
}
