package httpfront

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"headgate/engine"
)

// TestFluxErrorTable has a query fail when much has been sent: the answer then ends with
// a table of errors, and is complete as HTTP goes.
func TestFluxErrorTable(t *testing.T) {
	f := newFront(t, frontConfig{})
	var lines strings.Builder
	for i := range 300 {
		for at := range 20 {
			fmt.Fprintf(&lines, "m,host=h%03d text=\"%d\" %d\n", i, at, at+1)
		}
	}
	lines.WriteString("m,host=z text=\"seven\" 1\n")
	if a := f.write(t, lines.String()); a.StatusCode != 204 {
		t.Fatalf("write: %d %s", a.StatusCode, a.body)
	}
	const query = `from(bucket: "b0") |> range(start: 0) |> yield(name: "all")
from(bucket: "b0") |> range(start: 0) |> map(fn: (r) => ({r with _value: int(v: r._value)})) |> yield(name: "numbers")`
	for _, encoding := range []string{"identity", "gzip"} {
		header := tokenHeader("Content-Type", "application/vnd.flux", "Accept-Encoding", encoding)
		a := f.request(t, "POST", "/api/v2/query?org=acme", header, []byte(query))
		body := string(a.body)
		if encoding == "gzip" {
			body = gunzip(t, a)
		}
		if a.StatusCode != 200 || len(body) < 256<<10 {
			t.Fatalf("%s: %d, %d bytes: %.300s", encoding, a.StatusCode, len(body), body)
		}
		const table = "\r\n#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n"
		at := strings.LastIndex(body, table)
		if at < 0 {
			t.Fatalf("%s: no table of errors: %q", encoding, body[len(body)-400:])
		}
		rest := body[at+len(table):]
		if !strings.HasPrefix(rest, ",") || strings.Count(rest, "\r\n") != 1 || !strings.Contains(rest, "seven") {
			t.Errorf("%s: the error is %q", encoding, rest)
		}
	}
}

// TestFluxSuggestions has every function described, each as it is alone.
func TestFluxSuggestions(t *testing.T) {
	f := newFront(t, frontConfig{})
	a := f.request(t, "GET", "/api/v2/query/suggestions", tokenHeader(), nil)
	var list struct{ Funcs []json.RawMessage }
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.StatusCode != 200 || len(list.Funcs) < 80 {
		t.Fatalf("%d, %v, %d functions: %.200s", a.StatusCode, err, len(list.Funcs), a.body)
	}
	for _, fn := range list.Funcs[:3] {
		var named struct{ Name string }
		if err := json.Unmarshal(fn, &named); err != nil {
			t.Fatal(err)
		}
		one := f.request(t, "GET", "/api/v2/query/suggestions/"+named.Name, tokenHeader(), nil)
		if got := strings.TrimSpace(string(one.body)); one.StatusCode != 200 || got != string(fn) {
			t.Errorf("%s: %d %s, in the list %s", named.Name, one.StatusCode, got, fn)
		}
	}
}

// TestInfluxQLInOrganization asks with the operator's token for the buckets of another
// organization, and with a token that may not see them.
func TestInfluxQLInOrganization(t *testing.T) {
	f := newFront(t, frontConfig{})
	ctx, op := context.Background(), f.e.Operator()
	org, err := f.e.CreateOrganization(ctx, op, "second", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.e.CreateBucket(ctx, op, engine.BucketRequest{OrgID: org.ID, Name: "theirs"}); err != nil {
		t.Fatal(err)
	}
	if a := f.request(t, "POST", "/api/v2/write?org=second&bucket=theirs", tokenHeader(), []byte("m f=1 7")); a.StatusCode != 204 {
		t.Fatalf("write: %d %s", a.StatusCode, a.body)
	}
	first, ok := f.e.OrganizationByName("acme")
	if !ok {
		t.Fatal("no organization")
	}
	b, ok := f.e.BucketByName(first.ID, "b0")
	if !ok {
		t.Fatal("no bucket")
	}
	_, token, err := f.e.CreateAuthorization(ctx, op, engine.AuthorizationRequest{OrgID: first.ID, UserID: op.UserID,
		Permissions: []engine.Permission{{Action: engine.ActionRead, Type: engine.ResourceBuckets, ID: b.ID, OrgID: first.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	own := http.Header{"Authorization": {"Token " + token}}
	for _, c := range []struct {
		org, bucket string
		header      http.Header
		want        string
	}{
		{"second", "theirs", tokenHeader(), "name,tags,time,f\nm,,7,1\n"},
		{"acme", "theirs", tokenHeader(), "database not found"},
		{"second", "b0", tokenHeader(), "database not found"},
		{"second", "theirs", own, "database not found"},
		{"acme", "theirs", own, "database not found"},
	} {
		body := fmt.Sprintf(`{"query":"SELECT f FROM m","type":"influxql","bucket":%q}`, c.bucket)
		a := f.request(t, "POST", "/api/v2/query?org="+c.org, c.header, []byte(body))
		if !strings.Contains(string(a.body), c.want) {
			t.Errorf("%s of %s: %d %s, want %s", c.bucket, c.org, a.StatusCode, a.body, c.want)
		}
	}
}

// TestFluxBugIsLogged: what the client is told of in a line, the log has whole.
func TestFluxBugIsLogged(t *testing.T) {
	var out bytes.Buffer
	l := newLimitedLog(slog.New(slog.NewTextHandler(&out, nil)))
	b := &engine.FluxBug{In: "movingAverage", What: "panic: no such row", Script: "from(bucket: b)", Stack: "goroutine 7"}
	l.internal(&engine.Error{Kind: engine.Internal, Message: b.Error(), Err: b})
	for _, want := range []string{"movingAverage: panic: no such row", `script="from(bucket: b)"`, `stack="goroutine 7"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
}
