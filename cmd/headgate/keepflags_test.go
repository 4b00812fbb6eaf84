package main

import (
	"testing"
	"time"

	"headgate/engine"
	"headgate/httpfront"
)

func TestKeepFlags(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for _, c := range []struct {
		args []string
		e    engine.Options
		h    httpfront.Options
	}{
		{nil, engine.Options{RejectedPerBucketMax: 1000}, httpfront.Options{RejectedFollowersMax: 64, IdempotencyKeysMax: 100_000, IdempotencyWindow: time.Hour}},
		{[]string{"--rejected-per-bucket=0", "--rejected-memory=1MiB", "--max-rejected-followers=1", "--idempotency-keys=2", "--idempotency-memory=2MiB", "--idempotency-window=1d"},
			engine.Options{RejectedPerBucketMax: -1, RejectedBytesMax: 1 << 20},
			httpfront.Options{RejectedFollowersMax: 1, IdempotencyKeysMax: 2, IdempotencyBytesMax: 2 << 20, IdempotencyWindow: 24 * time.Hour}},
	} {
		f, fs := newServeFlags()
		if err := parseFlags(fs, c.args, none); err != nil {
			t.Fatal(err)
		}
		var e engine.Options
		var h httpfront.Options
		f.keep.apply(&e, &h)
		if err := f.keep.check(); err != nil || e.RejectedPerBucketMax != c.e.RejectedPerBucketMax || e.RejectedBytesMax != c.e.RejectedBytesMax || h != c.h {
			t.Errorf("%v: %+v, %+v, %v", c.args, e, h, err)
		}
	}
	for _, arg := range []string{"--rejected-per-bucket=-1", "--max-rejected-followers=0", "--idempotency-keys=0", "--idempotency-window=0s"} {
		f, fs := newServeFlags()
		if err := parseFlags(fs, []string{arg}, none); err != nil || f.keep.check() == nil {
			t.Errorf("%s is taken", arg)
		}
	}
}
