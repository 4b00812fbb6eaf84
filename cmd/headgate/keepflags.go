package main

import (
	"errors"
	"flag"
	"time"

	"headgate/engine"
	"headgate/httpfront"
)

// keepFlags is the flags that say what is remembered of writes for their senders: rejected
// points, and the answers of those with an Idempotency-Key.
type keepFlags struct {
	rejected, followers, keys     int
	rejectedMemory, answersMemory size
	window                        duration
}

// register adds the flags, with the defaults of o.
func (f *keepFlags) register(fs *flag.FlagSet, o engine.Options) {
	var h httpfront.Options
	h.EnsureDefaults()
	f.window = duration(h.IdempotencyWindow)
	fs.IntVar(&f.rejected, "rejected-per-bucket", o.RejectedPerBucketMax, "how many of the points that a bucket rejected last GET /api/v2/rejected and headgate tail\ncan show, a `number`; 0 keeps none")
	fs.Var(&f.rejectedMemory, "rejected-memory", "how much memory the rejected points that are kept may take, those of all buckets together, a `size`")
	fs.Lookup("rejected-memory").DefValue = "a 128th of --memory"
	fs.IntVar(&f.followers, "max-rejected-followers", h.RejectedFollowersMax, "how many clients may follow rejected points at once, a `number`; more get 503")
	fs.IntVar(&f.keys, "idempotency-keys", h.IdempotencyKeysMax, "how many Idempotency-Keys are remembered, a `number`; the oldest are forgotten first")
	fs.Var(&f.answersMemory, "idempotency-memory", "how much memory Idempotency-Keys and their answers may take, a `size`")
	fs.Lookup("idempotency-memory").DefValue = "a 64th of --memory, at most 16MiB"
	fs.Var(&f.window, "idempotency-window", "how long an Idempotency-Key is remembered, a `duration`: longer than any client goes on trying.\nA restart forgets them all")
}

// check refuses values that would be taken for the defaults, or not at all.
func (f *keepFlags) check() error {
	switch {
	case f.rejected < 0:
		return errors.New("--rejected-per-bucket must not be negative")
	case f.followers < 1 || f.keys < 1 || f.window <= 0:
		return errors.New("--max-rejected-followers, --idempotency-keys and --idempotency-window must be more than 0")
	}
	return nil
}

func (f *keepFlags) apply(o *engine.Options, h *httpfront.Options) {
	o.RejectedPerBucketMax, o.RejectedBytesMax = f.rejected, int64(f.rejectedMemory)
	if f.rejected == 0 {
		o.RejectedPerBucketMax = -1
	}
	h.RejectedFollowersMax = f.followers
	h.IdempotencyKeysMax, h.IdempotencyBytesMax, h.IdempotencyWindow = f.keys, int64(f.answersMemory), time.Duration(f.window)
}
