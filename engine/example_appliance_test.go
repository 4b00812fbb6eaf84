package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"headgate/engine"
)

// runAppliance keeps a week of what collect reports and says what it was told last. It
// fits a machine with 256 MiB beside other processes.
func runAppliance(ctx context.Context, dir string, collect func() (lineProtocol string, ok bool)) (last string, err error) {
	e, err := engine.Open(ctx, engine.Options{
		Dir:                  dir,
		AuthDisabled:         true,        // nobody else is in this process
		MemoryBytesMax:       64 << 20,    // the process stays below 100 MiB
		BodyBytesMax:         1 << 20,     // of a batch
		InflatedBodyBytesMax: 4 << 20,     // of a batch that came compressed
		SeriesPerBucketMax:   100_000,     // a slip in a tag does not fill the memory
		FlushAge:             time.Minute, // from the log to blocks: a short recovery
	})
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := e.Close(); err == nil {
			err = cerr
		}
	}()
	org, err := e.DefaultOrganization()
	if err != nil {
		return "", err
	}
	b, ok := e.BucketByName(org.ID, "sensors")
	if !ok { // the first time
		b, err = e.CreateBucket(ctx, e.Operator(), engine.BucketRequest{OrgID: org.ID, Name: "sensors", RetentionPeriod: 7 * 24 * time.Hour})
		if err != nil {
			return "", err
		}
	}
	for lines, ok := collect(); ok; lines, ok = collect() {
		if err := e.Write(ctx, b.ID, []byte(lines), engine.Second); err != nil {
			return "", err // synced and visible, or an error that says what was not
		}
	}
	q := engine.Query{Database: "sensors", Text: "SELECT last(celsius) FROM room"}
	err = e.Query(ctx, e.Operator(), q, func(r engine.Result) error {
		for _, s := range r.Series {
			last = fmt.Sprint(s.Values[0][1])
		}
		return r.Err
	})
	if err != nil {
		return "", err
	}
	var backup bytes.Buffer // a file, in earnest
	_, err = e.Backup(ctx, e.Operator(), "appliance 1.0", &backup)
	return last, err
}

// An appliance in 40 lines.
func Example_appliance() {
	dir, err := os.MkdirTemp("", "headgate-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	now, celsius := time.Now().Unix(), 20.0
	last, err := runAppliance(context.Background(), dir, func() (string, bool) {
		celsius += 0.5
		return fmt.Sprintf("room,name=kitchen celsius=%g %d", celsius, now+int64(celsius*2)), celsius <= 22
	})
	fmt.Println(last, err)
	// Output: 22 <nil>
}
