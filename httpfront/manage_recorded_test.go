package httpfront

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/engine"
)

// managementSections are the recorded sections that the files manage*.go answer
// for.
var managementSections = []string{"setup", "orgs", "buckets", "authorizations"}

// managementDiffers are the recorded answers that ours differ from on purpose, by
// name, and the row of the contract's part 1 that says why.
var managementDiffers = []struct{ name, row string }{
	{`^list buckets limit=1 offset=1$`, "16: the second bucket of the recording is a system bucket"},
	{`^(list|delete|rename)? ?system buckets?( \(of org2\))?$`, "16, 18: there are no system buckets"},
}

// TestRecordedManagement sends the recorded requests up to the end of management
// and compares status, headers and text of the answers, the order of members
// included.
func TestRecordedManagement(t *testing.T) {
	file, err := os.Open(recordedFile)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f := newFront(t, frontConfig{options: func(e *engine.Options, o *Options) { *o = Options{Version: "test", Metrics: o.Metrics} }, fresh: true})
	r := &replay{t: t, f: f, now: time.Now().Unix(), vars: map[string]string{"TOK:op": "operator-token-0123456789", "BID:_monitoring": "00000000000000ff"}}
	defer func() {
		if r.conn != nil {
			r.conn.Close()
		}
	}()
	in := bufio.NewReaderSize(file, 1<<20)
	compared, deliberately := 0, 0
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil {
			t.Fatal(err)
		}
		if rec.ID == "" {
			continue // the first line
		}
		if strings.HasPrefix(rec.Section, "write.") {
			break
		}
		want := rec.Response.Body
		if rec.Response.Norm != "" {
			want = rec.Response.Norm
		}
		want = withoutSystemBuckets(t, want)
		rec.Response.Body, rec.Response.Norm = want, ""
		why := r.play(&rec)
		if !slices.Contains(managementSections, rec.Section) {
			continue
		}
		compared++
		if managementRow(rec.Name) != "" {
			deliberately++
			continue
		}
		if why != "" {
			t.Errorf("%s %s | %s | %s", rec.ID, rec.Section, rec.Name, why)
		} else if got, want := normalText(r.last.body), normalText(want); got != want && rec.Response.BodyLen == 0 {
			t.Errorf("%s %s | %s | text\n%s\nwant\n%s", rec.ID, rec.Section, rec.Name, got, want)
		}
	}
	t.Logf("%d compared, %d differ deliberately", compared, deliberately)
	if compared < 100 {
		t.Errorf("only %d answers compared", compared)
	}
}

func managementRow(name string) string {
	for _, d := range managementDiffers {
		if regexp.MustCompile(d.name).MatchString(name) {
			return d.row
		}
	}
	return ""
}

// withoutSystemBuckets takes the system buckets out of a list of buckets, leaving
// the rest of the text as it is.
func withoutSystemBuckets(t *testing.T, body string) string {
	if !strings.Contains(body, `"type": "system"`) {
		return body
	}
	head, list, ok := strings.Cut(body, "\"buckets\": [\n")
	if !ok {
		return body
	}
	const open, closing = "\t\t{\n", "\n\t\t}"
	var kept []string
	for _, o := range strings.SplitAfter(list, closing) {
		if i := strings.Index(o, open); i >= 0 && !strings.Contains(o, `"type": "system"`) {
			kept = append(kept, o[i:])
		}
	}
	if len(kept) == 0 {
		return head + "\"buckets\": []\n}"
	}
	return head + "\"buckets\": [\n" + strings.Join(kept, ",\n") + "\n\t]\n}"
}

// normalText replaces what differs from run to run, and keeps the rest to the
// letter.
func normalText(body string) string {
	for _, v := range variable {
		body = v.rx.ReplaceAllString(body, v.to)
	}
	return body
}
