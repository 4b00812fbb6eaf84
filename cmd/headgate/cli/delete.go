package cli

import (
	"context"
	"net/http"
	"time"
)

type deleteFlags struct{ bucket, bucketID, start, stop, predicate string }

func deleteCommand() *command {
	return &command{name: "delete", about: "Deletes the points of a bucket between --start and --stop, both included and both needed, that a predicate names.", flags: func(c *call) {
		f := new(deleteFlags)
		c.values = f
		c.text(&f.bucket, "bucket", "b", "", "`name` or id of the bucket")
		c.text(&f.bucketID, "bucket-id", "", "", "`id` of the bucket, instead of its name")
		c.text(&f.start, "start", "", "", "first `time`: 2026-01-02T15:04:05Z, 2026-01-02, or how long ago, such as 15m")
		c.text(&f.stop, "stop", "", "", "last `time`, in the same forms, or now")
		c.text(&f.predicate, "predicate", "p", "", "`condition` such as '_measurement=\"cpu\" AND host=\"a\"'; all points if left out")
	}, run: func(ctx context.Context, c *call) error {
		f := c.values.(*deleteFlags)
		bucket, err := c.bucket(f.bucket, f.bucketID)
		if err != nil {
			return err
		}
		if f.start == "" || f.stop == "" {
			return usagef("give --start and --stop; --start 1970-01-01 --stop now is all that has been")
		}
		now := time.Now()
		start, err := timeOf(f.start, now)
		if err != nil {
			return err
		}
		stop, err := timeOf(f.stop, now)
		if err != nil {
			return err
		}
		if stop.Before(start) {
			return usagef("--stop is before --start")
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		q := c.orgQuery()
		q.Set("bucket", bucket)
		return cl.JSON(ctx, http.MethodPost, "/api/v2/delete", q, map[string]string{"start": start.Format(time.RFC3339Nano), "stop": stop.Format(time.RFC3339Nano), "predicate": f.predicate}, nil)
	}}
}
