package clienttest

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// TestFlux asks in Flux with the client's own reader of annotated CSV.
func TestFlux(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	c := newClient(t, s, Token, options())
	if err := c.WriteAPIBlocking(Org, Bucket).WriteRecord(ctx,
		`cpu,host=a v=1,n=1i,s="x, \"y\"",ok=true 1714557600000000000`, "cpu,host=a v=2 1714557610000000000", "cpu,host=b v=4 1714557660000000000"); err != nil {
		t.Fatal(err)
	}
	api := c.QueryAPI(Org)
	const from = `from(bucket: "` + Bucket + `") |> range(start: 2024-05-01T00:00:00Z, stop: 2024-05-02T00:00:00Z) |> filter(fn: (r) => r._measurement == "cpu")`
	for _, tc := range []struct {
		query string
		want  []string
	}{
		{from + ` |> filter(fn: (r) => r._field == "v") |> keep(columns: ["_time", "_value", "host"])`, []string{
			"2024-05-01T10:00:00Z a 1", "2024-05-01T10:00:10Z a 2", "2024-05-01T10:01:00Z b 4"}},
		{from + ` |> filter(fn: (r) => r._field == "v") |> aggregateWindow(every: 1m, fn: sum, createEmpty: false) |> keep(columns: ["_time", "_value", "host"])`, []string{
			"2024-05-01T10:01:00Z a 3", "2024-05-01T10:02:00Z b 4"}},
		{from + ` |> filter(fn: (r) => r._field == "s") |> keep(columns: ["_time", "_value", "host"])`, []string{`2024-05-01T10:00:00Z a x, "y"`}},
		{from + ` |> filter(fn: (r) => r._field == "ok" or r._field == "none") |> keep(columns: ["_time", "_value", "host"])`, []string{"2024-05-01T10:00:00Z a true"}},
		{from + ` |> filter(fn: (r) => r._field == "nope")`, nil},
	} {
		rows, err := api.Query(ctx, tc.query)
		if err != nil {
			t.Errorf("%s: %v", tc.query, err)
			continue
		}
		var got []string
		for rows.Next() {
			r := rows.Record()
			got = append(got, fmt.Sprintf("%s %v %v", r.Time().UTC().Format("2006-01-02T15:04:05Z"), r.ValueByKey("host"), r.Value()))
		}
		if err := rows.Err(); err != nil {
			t.Errorf("%s: %v", tc.query, err)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s\ngot  %q\nwant %q", tc.query, got, tc.want)
		}
	}

	rows, err := api.QueryWithParams(ctx, `from(bucket: params.b) |> range(start: 0) |> filter(fn: (r) => r.host == params.host) |> count() |> keep(columns: ["_value"])`,
		struct {
			B    string `json:"b"`
			Host string `json:"host"`
		}{Bucket, "b"})
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() || fmt.Sprint(rows.Record().Value()) != "1" {
		t.Errorf("with params: %v", rows.Record())
	}
	rows.Close()

	rows, err = api.Query(ctx, "buckets()")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		names = append(names, rows.Record().ValueByKey("name").(string))
	}
	rows.Close()
	if !slices.Contains(names, Bucket) {
		t.Errorf("buckets() lists %q", names)
	}

	_, err = api.Query(ctx, `from(bucket: "nope") |> range(start: 0)`)
	wantText(t, "no such bucket", err, `could not find bucket "nope"`)
	_, err = api.Query(ctx, `from(bucket: "nope"`)
	wantText(t, "no Flux", err, "compilation failed")
	_, err = c.QueryAPI("nope").Query(ctx, "buckets()")
	wantText(t, "no such organization", err, `organization name "nope" not found`)
}
