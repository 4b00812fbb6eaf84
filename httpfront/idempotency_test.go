package httpfront

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

func testIdempotency(o Options) *idempotency {
	o.EnsureDefaults()
	return newIdempotency(&o, time.Now)
}

func testKey(key string) idempotencyKey { return idempotencyKey{bucket: 1, key: key} }

func contentOf(body string) fingerprint { return fingerprintOf([]byte(body), engine.Nanosecond) }

// TestIdempotencyConcurrent sends the same write many times at once: it runs until it has a
// final answer, one at a time, each time with the first one's time, and all get that answer.
func TestIdempotencyConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testIdempotency(Options{})
		final := engine.Errorf(engine.Unprocessable, "some points were dropped")
		var mu sync.Mutex
		runs, running := 0, 0
		first := time.Now()
		var wg sync.WaitGroup
		replayed := 0
		for range 20 {
			wg.Go(func() {
				err, again := d.do(t.Context(), testKey("k"), contentOf("x"), time.Minute, func(at time.Time) error {
					mu.Lock()
					runs++
					running++
					n := runs
					if running != 1 || !at.Equal(first) {
						t.Errorf("%d run, at %s, not %s", running, at, first)
					}
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					if n < 3 {
						return &engine.Error{Kind: engine.Indeterminate, RetryAfter: time.Second}
					}
					return final
				})
				mu.Lock()
				defer mu.Unlock()
				if again {
					replayed++
				}
				var e *engine.Error
				if !errors.As(err, &e) || e.Kind == engine.Unprocessable && e.Message != final.Message {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if runs != 3 || replayed != 17 {
			t.Errorf("%d runs, %d answers again", runs, replayed)
		}
		if c := d.stats(); c.keys != 1 || c.replayed != 17 || c.bytes != rememberedBytes+1+int64(len(final.Message)) {
			t.Errorf("%+v", c)
		}
	})
}

func TestIdempotencyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testIdempotency(Options{})
		end := make(chan struct{})
		go d.do(t.Context(), testKey("k"), contentOf("x"), time.Minute, func(time.Time) error { <-end; return nil })
		synctest.Wait()
		never := func(time.Time) error { t.Error("written twice"); return nil }
		start := time.Now()
		err, _ := d.do(t.Context(), testKey("k"), contentOf("x"), time.Minute, never)
		var inUse *keyInUseError
		if !errors.As(err, &inUse) || time.Since(start) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		// Another body is refused at once.
		if err, _ := d.do(t.Context(), testKey("k"), contentOf("y"), time.Minute, never); err != error(errKeyReused) {
			t.Error(err)
		}
		// Another bucket's, or another caller's, is another key.
		for _, other := range []idempotencyKey{{bucket: 2, key: "k"}, {bucket: 1, caller: callerID{authorization: 1}, key: "k"}} {
			if err, again := d.do(t.Context(), other, contentOf("y"), time.Minute, func(time.Time) error { return nil }); err != nil || again {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var e *engine.Error
		if err, _ := d.do(ctx, testKey("k"), contentOf("x"), time.Minute, never); !errors.As(err, &e) || e.Kind != engine.Unavailable {
			t.Error(err)
		}
		close(end)
		synctest.Wait()
		if err, again := d.do(t.Context(), testKey("k"), contentOf("x"), time.Minute, never); err != nil || !again {
			t.Error(err, again)
		}
	})
}

// TestIdempotencyIsBounded goes over each bound.
func TestIdempotencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testIdempotency(Options{IdempotencyKeysMax: 3, IdempotencyBytesMax: 10 * rememberedBytes, IdempotencyWindow: time.Minute})
		ran := 0
		do := func(key string, answer error) (again bool) {
			_, again = d.do(t.Context(), testKey(key), contentOf(key), time.Minute, func(time.Time) error { ran++; return answer })
			return again
		}
		for i := range 4 {
			do(fmt.Sprint(i), nil)
		}
		if do("0", nil) || !do("3", nil) || !do("2", nil) || do("1", nil) {
			t.Error("the oldest keys were not forgotten, or others were")
		}
		do("long", engine.Errorf(engine.Invalid, "%s", strings.Repeat("x", 8*rememberedBytes)))
		if c := d.stats(); c.keys != 1 || c.bytes > 10*rememberedBytes {
			t.Errorf("%+v", c)
		}
		do("longer", engine.Errorf(engine.Invalid, "%s", strings.Repeat("x", 10*rememberedBytes)))
		if c := d.stats(); c.keys != 0 || c.bytes != 0 || len(d.known) != 0 {
			t.Errorf("%+v, %d known", c, len(d.known))
		}
		do("a", nil)
		time.Sleep(time.Minute - time.Nanosecond)
		if !do("a", nil) {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if do("a", nil) {
			t.Error("not forgotten in time")
		}
		// What ends with a panic can be tried again.
		func() {
			defer func() { _ = recover() }()
			d.do(t.Context(), testKey("p"), contentOf("p"), time.Minute, func(time.Time) error { panic("ours") })
		}()
		if do("p", nil) {
			t.Error("a panic was remembered")
		}
	})
}

func TestIdempotencyKeyOf(t *testing.T) {
	for _, c := range []struct {
		header, want string
		ok           bool
	}{
		{"abc", "abc", true}, {`"abc"`, "abc", true}, {"8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324", true},
		{strings.Repeat("x", 255), strings.Repeat("x", 255), true}, {strings.Repeat("x", 256), "", false}, {`""`, "", false}, {`"`, "", false},
		{"a b", "", false}, {"é", "", false}, {`a"b`, "", false}, {`"a\"b"`, "", false},
	} {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.Set(headerIdempotencyKey, c.header)
		if got, err := idempotencyKeyOf(&ctx); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %q, %v", c.header, got, err)
		}
	}
	var ctx fasthttp.RequestCtx
	if got, err := idempotencyKeyOf(&ctx); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestIdempotencyOfCounters sends a line without a timestamp again: it is one point.
func TestIdempotencyOfCounters(t *testing.T) {
	f := newFront(t, frontConfig{})
	for i := range 3 {
		a := f.request(t, "POST", writeTarget, tokenHeader(headerIdempotencyKey, "k"), []byte("m f=1"))
		if a.StatusCode != 204 || (a.Header.Get(headerReplayed) == "true") != (i > 0) {
			t.Fatalf("%d %s %v", a.StatusCode, a.body, a.Header)
		}
	}
	if n := f.count(t, "m"); n != "1" {
		t.Errorf("%s points", n)
	}
	// Another token's key is another one.
	op := f.e.Operator()
	a, token, err := f.e.CreateAuthorization(t.Context(), op, engine.AuthorizationRequest{OrgID: op.OrgID, UserID: op.UserID, Permissions: op.Permissions})
	if err != nil {
		t.Fatal(err)
	}
	r := f.request(t, "POST", writeTarget, http.Header{"Authorization": {"Token " + token}, headerIdempotencyKey: {"k"}}, []byte("m f=2"))
	if r.StatusCode != 204 || r.Header.Get(headerReplayed) != "" {
		t.Errorf("authorization %s: %d %s", a.ID, r.StatusCode, r.body)
	}
	if n := f.count(t, "m"); n != "2" {
		t.Errorf("%s points", n)
	}
}
