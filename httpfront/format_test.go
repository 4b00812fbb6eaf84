package httpfront

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"headgate/engine"
)

// formatResults are two statements: one in three parts that belong together, one
// that failed after it.
func formatResults() []engine.Result {
	at := func(ns int64) time.Time { return time.Unix(0, ns).UTC() }
	columns := []string{"time", "v", "s"}
	row := func(host string, partial bool, values ...[]any) *engine.Row {
		return &engine.Row{Name: "cpu", Tags: map[string]string{"host": host, "dc": "x, y"}, Columns: columns, Values: values, Partial: partial}
	}
	return []engine.Result{
		{StatementID: 0, Series: []*engine.Row{row("a", true, []any{at(1500000001), 1.5, `say "hi"`})}, Partial: true},
		{StatementID: 0, Series: []*engine.Row{row("a", false, []any{at(2500000000), int64(-2), nil}), row("b", true, []any{at(0), uint64(1) << 63, "<&>"})}, Partial: true},
		{StatementID: 0, Series: []*engine.Row{row("b", false, []any{at(-1500000000), true, ""})}, Messages: []engine.Message{{Level: "warning", Text: "old"}}},
		{StatementID: 1, Err: errors.New("database not found: <x>")},
	}
}

func formatAll(f format) string {
	var b []byte
	for _, r := range formatResults() {
		b = f.result(b, &r)
	}
	return string(f.end(b))
}

func TestFormatJSON(t *testing.T) {
	const joined = `{"results":[{"statement_id":0,"series":[` +
		`{"name":"cpu","tags":{"dc":"x, y","host":"a"},"columns":["time","v","s"],"values":[[1500,1.5,"say \"hi\""],[2500,-2,null]]},` +
		`{"name":"cpu","tags":{"dc":"x, y","host":"b"},"columns":["time","v","s"],"values":[[0,9223372036854775808,"\u003c\u0026\u003e"],[-1500,true,""]]}],` +
		`"messages":[{"level":"warning","text":"old"}]},{"statement_id":1,"error":"database not found: \u003cx\u003e"}]}` + "\n"
	if got := formatAll(&jsonFormat{epoch: parseEpoch("ms")}); got != joined {
		t.Errorf("got  %swant %s", got, joined)
	}
	chunked := formatAll(&jsonFormat{chunked: true})
	lines := bytes.Split(bytes.TrimSuffix([]byte(chunked), []byte("\n")), []byte("\n"))
	if len(lines) != 4 {
		t.Fatalf("%d documents: %s", len(lines), chunked)
	}
	for _, l := range lines {
		if !json.Valid(l) {
			t.Errorf("not JSON: %s", l)
		}
	}
	const first = `{"results":[{"statement_id":0,"series":[{"name":"cpu","tags":{"dc":"x, y","host":"a"},"columns":["time","v","s"],` +
		`"values":[["1970-01-01T00:00:01.500000001Z",1.5,"say \"hi\""]],"partial":true}],"partial":true}]}`
	if string(lines[0]) != first {
		t.Errorf("got  %s\nwant %s", lines[0], first)
	}
	if got := string((&jsonFormat{}).end(nil)); got != "{}\n" {
		t.Errorf("nothing: %q", got)
	}
}

func TestFormatCSV(t *testing.T) {
	const want = "name,tags,time,v,s\n" +
		`cpu,"dc=x\,\ y,host=a",1500000001,1.5,"say ""hi"""` + "\n" +
		`cpu,"dc=x\,\ y,host=a",2500000000,-2,` + "\n" +
		`cpu,"dc=x\,\ y,host=b",0,9223372036854775808,<&>` + "\n" +
		`cpu,"dc=x\,\ y,host=b",-1500000000,true,` + "\n"
	f := &csvFormat{statement: -1}
	if got := formatAll(f); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	other := engine.Result{StatementID: 2, Series: []*engine.Row{{Name: "databases", Columns: []string{"name"}, Values: [][]any{{"a,b"}, {" c"}}}}}
	if got, want := string(f.result(nil, &other)), "\nname,tags,name\ndatabases,,\"a,b\"\ndatabases,,\" c\"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFormatMsgpack(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    *msgpackFormat
		want string
	}{
		{"epoch", &msgpackFormat{epoch: parseEpoch("s")}, `{"results":[{"statement_id":0,"messages":[{"level":"warning","text":"old"}],"series":[` +
			`{"name":"cpu","tags":{"dc":"x, y","host":"a"},"columns":["time","v","s"],"values":[[1,1.5,"say \"hi\""],[2,-2,null]]},` +
			`{"name":"cpu","tags":{"dc":"x, y","host":"b"},"columns":["time","v","s"],"values":[[0,9223372036854775808,"\u003c\u0026\u003e"],[-1,true,""]]}]},` +
			`{"error":"database not found: \u003cx\u003e"}]}`},
		{"nothing", &msgpackFormat{}, `{"results":[]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b string
			if tc.name == "nothing" {
				b = string(tc.f.end(nil))
			} else {
				b = formatAll(tc.f)
			}
			var out bytes.Buffer
			if rest, err := msgp.UnmarshalAsJSON(&out, []byte(b)); err != nil || len(rest) > 0 {
				t.Fatalf("%d bytes left: %v", len(rest), err)
			}
			if out.String() != tc.want {
				t.Errorf("got  %s\nwant %s", out.String(), tc.want)
			}
		})
	}
	at := time.Unix(5, 7).UTC()
	b := (&msgpackFormat{}).value(nil, at)
	if b[0] != 0xc7 || b[2] != 5 { // ext 8, type 5
		t.Errorf("a time begins % x", b[:3])
	}
	if got, _, err := msgp.ReadTimeBytes(b); err != nil || !got.Equal(at) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestEpoch(t *testing.T) {
	at := time.Unix(3600, 123456789)
	ns := at.UnixNano()
	for name, want := range map[string]int64{"ns": ns, "n": ns, "u": 3600123456, "us": ns, "µ": ns, "ms": 3600123, "s": 3600, "m": 60, "h": 1, "bogus": ns} {
		if got := parseEpoch(name).of(at); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// TestFormatPretty compares with encoding/json, for which the documents must be
// complete; the format itself sees them in pieces.
func TestFormatPretty(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		var want bytes.Buffer
		for doc := range bytes.Lines([]byte(formatAll(&jsonFormat{chunked: chunked}))) {
			if err := json.Indent(&want, doc, "", "    "); err != nil {
				t.Fatal(err)
			}
		}
		if got := formatAll(&prettyFormat{json: jsonFormat{chunked: chunked}}); got != want.String() {
			t.Errorf("chunked %v: got\n%swant\n%s", chunked, got, want.String())
		}
	}
	if got := string((&prettyFormat{}).end(nil)); got != "{}\n" {
		t.Errorf("no results: %q", got)
	}
}
