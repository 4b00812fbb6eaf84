package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"headgate/engine"
)

// open opens an engine in a new directory, with one bucket.
func open(ctx context.Context) (e *engine.Engine, bucket engine.Bucket, done func()) {
	dir, err := os.MkdirTemp("", "headgate-example-")
	if err != nil {
		log.Fatal(err)
	}
	e, err = engine.Open(ctx, engine.Options{Dir: dir, AuthDisabled: true})
	if err != nil {
		log.Fatal(err)
	}
	org, err := e.DefaultOrganization()
	if err != nil {
		log.Fatal(err)
	}
	bucket, err = e.CreateBucket(ctx, e.Operator(), engine.BucketRequest{OrgID: org.ID, Name: "sensors"})
	if err != nil {
		log.Fatal(err)
	}
	return e, bucket, func() {
		if err := e.Close(); err != nil {
			log.Fatal(err)
		}
		os.RemoveAll(dir)
	}
}

func Example() {
	ctx := context.Background()
	e, bucket, done := open(ctx)
	defer done()

	lines := "room,name=kitchen celsius=21.5 1700000000\nroom,name=hall celsius=18 1700000000\n"
	if err := e.Write(ctx, bucket.ID, []byte(lines), engine.Second); err != nil {
		log.Fatal(err)
	}
	q := engine.Query{Database: "sensors", Text: `SELECT mean(celsius) FROM room`}
	err := e.Query(ctx, nil, q, func(r engine.Result) error {
		for _, s := range r.Series {
			fmt.Println(s.Name, s.Columns[1], s.Values[0][1])
		}
		return r.Err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: room mean 19.75
}

func ExampleEngine_Write_errors() {
	ctx := context.Background()
	e, bucket, done := open(ctx)
	defer done()

	var failed *engine.Error
	if err := e.Write(ctx, bucket.ID, []byte("room celsius=21.5 1\nroom celsius= 2"), engine.Second); errors.As(err, &failed) {
		fmt.Println(failed.Kind, "in line", failed.Line)
	}
	if err := e.Write(ctx, bucket.ID, []byte("room celsius=21.5 1\nroom celsius=\"warm\" 2"), engine.Second); errors.As(err, &failed) {
		for _, p := range failed.Partial.Points {
			fmt.Printf("line %d: %s: have %s, want %s\n", p.Line, p.Code, p.Have, p.Want)
		}
		fmt.Println(failed.Partial.Written, "written")
	}
	// Output:
	// invalid in line 2
	// line 2: field_type_conflict: have float, want string
	// 1 written
}

func ExampleEngine_WritePoints() {
	ctx := context.Background()
	e, bucket, done := open(ctx)
	defer done()

	var ps engine.Points
	t := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ps.Add("room", engine.Tag{Key: "name", Value: "kitchen"}).Float("celsius", 21.5).Integer("people", 2).At(t)
	ps.Add("room", engine.Tag{Key: "name", Value: "hall"}).Boolean("lit", true).String("note", `"cold"`).At(t)
	if err := e.WritePoints(ctx, bucket.ID, &ps); err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Stats().Points, "points of", e.Stats().Series, "series")
	// Output: 2 points of 2 series
}
