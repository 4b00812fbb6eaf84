package httpfront

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"headgate/engine"
)

const recordedFile = "../../shared/contract/recorded.jsonl"

// recordedSections are those that this package answers for.
var recordedSections = []string{"system", "write.", "parse.", "conflict", "v1."}

// deliberate are the recorded answers that ours differ from on purpose: which
// ones, by section and name, and the row of the contract's part 1 that says why.
var deliberate = []struct{ section, name, row string }{
	{"system", `^(GET|HEAD|POST) /health$`, "25: the name is headgate"},
	{"write", `^GZIP upper-case|^gzip readback$`, "6: encodings are accepted in any case"},
	{"write", `^CR only|^CRLF|^CR as tail`, "12: CRLF ends a line"},
	{"write", `^(bad gzip header|gzip short body|gzip header, zero-length body|gzip truncated|gzip trailing junk|gzip corrupt deflate)$`, "5: bad data is 400"},
	{"write", `^ORDER bad gzip`, "2, 5: a body is looked at after its bucket"},
	{"write", `^Content-Encoding deflate|^unknown content-encoding readback$`, "6: deflate is decoded"},
	{"write", `^bucket of other org by id$`, "15: a bucket of another organization is not found"},
	{"write", `^ORDER (forbidden|.*forbidden)|^token (ro_b0|rw_b1|nobuckets|org2)$|^token rw_b0, other org`, "1: no permission is 401"},
	{"parse", `^quote closes then text$|^quoted then quoted$`, "13: text after a closing quote is refused"},
	{"parse", `^duplicate field keys other type$|^field time$`, "10: a dropped point leaves no trace"},
	{"parse", `^escaped equals in measurement$|^double backslash comma in measurement$`, "none: InfluxDB cannot read back what it took; we can"},
	{"conflict", `^point with new field first|^new field from dropped point|^conflict in other series|^dropped point brings new series|^escaped names in message$`, "10: a dropped point leaves no trace"},
	{"conflict", `^_monitoring write_errors$`, "16: no system buckets"},
	{"conflict", `^vs stored: other shard|^(readback|field keys) both shards$|^mean over mixed$|^one batch, two shards|^readback n$|^cast ::float$`, "9: a field has one type in a bucket"},
	{"conflict", `^one batch, conflicts in two shards|^two-shard conflict repeat`, "8: all drops of a batch are counted"},
	{"v1", `^precision '(d|bogus)' with ts$|^precision 'bogus' no ts$`, "17: other v1 precisions are refused"},
	{"v1", `^precision '(m|h)' with ts$|^v1 precisions: `, "17: v1 precisions are multiplied"},
	{"v1", `^bad gzip$`, "5: bad data is 400"},
}

// TestRecorded sends the recorded requests, all of them and in order, and
// compares the answers of our sections.
func TestRecorded(t *testing.T) {
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
	in := bufio.NewReaderSize(file, 1<<20)
	compared, open, used := 0, 0, make([]int, len(deliberate))
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
		why := r.play(&rec)
		if !ours(rec.Section) {
			continue
		}
		compared++
		if why == "" {
			continue
		}
		if i := deliberateRow(&rec); i >= 0 {
			used[i]++
			continue
		}
		open++
		if open <= 60 {
			t.Errorf("%s %s | %s | %s", rec.ID, rec.Section, rec.Name, why)
		}
	}
	for i, n := range used {
		t.Logf("%3d differ by row %s", n, deliberate[i].row)
		if n == 0 {
			t.Errorf("nothing differs by %q of %s any more", deliberate[i].name, deliberate[i].section)
		}
	}
	t.Logf("%d compared, %d differ unexpectedly", compared, open)
}

func ours(section string) bool {
	for _, s := range recordedSections {
		if strings.HasPrefix(section, s) {
			return true
		}
	}
	return false
}

// deliberateRow is the index in deliberate of what rec is there by, or -1.
func deliberateRow(rec *record) int {
	for i, d := range deliberate {
		if strings.HasPrefix(rec.Section, d.section) && regexp.MustCompile(d.name).MatchString(rec.Name) {
			return i
		}
	}
	return -1
}

// record is one line of the recording.
type record struct {
	ID, Section, Name string
	Request           struct {
		Method, Path string
		Query        [][2]string
		Headers      map[string]string
		Body         *string
		BodyB64      *string `json:"body_b64"`
		BodyGzB64    *string `json:"body_gz_b64"`
		Gzip         bool
		Chunked      bool `json:"chunked_body"`
	}
	Response struct {
		Status  int
		Headers [][2]string
		Body    string
		BodyB64 string `json:"body_b64"`
		Norm    string
		BodyLen int `json:"body_len"`
	}
}

// replay sends records to a front and remembers what its answers call things.
type replay struct {
	t       *testing.T
	f       *front
	now     int64
	vars    map[string]string
	session string
	conn    *client
	last    answer // what play got
}

var placeholder = regexp.MustCompile(`\{\{[^{}]+\}\}`)

func (r *replay) expand(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		name := m[2 : len(m)-2]
		if unit, ok := strings.CutPrefix(name, "T:"); ok {
			unit, offset, _ := strings.Cut(unit, ":")
			per := map[string]float64{"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1}[unit]
			seconds, _ := strconv.ParseFloat(offset, 64)
			return strconv.FormatInt((r.now+int64(seconds))*int64(per), 10)
		}
		v, ok := r.vars[name]
		if !ok {
			return "0000000000000001"
		}
		return v
	})
}

func (r *replay) body(rec *record) []byte {
	q := &rec.Request
	var b []byte
	switch {
	case q.Body != nil:
		b = []byte(*q.Body)
	case q.BodyB64 != nil:
		b, _ = base64.StdEncoding.DecodeString(*q.BodyB64)
	case q.BodyGzB64 != nil:
		z, _ := base64.StdEncoding.DecodeString(*q.BodyGzB64)
		zr, err := gzip.NewReader(bytes.NewReader(z))
		if err != nil {
			r.t.Fatalf("%s: %v", rec.ID, err)
		}
		if b, err = io.ReadAll(zr); err != nil {
			r.t.Fatalf("%s: %v", rec.ID, err)
		}
	default:
		return nil
	}
	if bytes.Contains(b, []byte("{{")) {
		b = []byte(r.expand(string(b)))
	}
	if q.Gzip {
		b = encode(r.t, "gzip", b)
	}
	return append([]byte{}, b...)
}

// play sends rec and says how the answer differs, or "".
func (r *replay) play(rec *record) string {
	if rec.Section == "write.happy" && r.vars["CUR"] != r.vars["BID:b0"] && rec.Name == "precision ns" {
		r.vars["CUR"], r.vars["CURNAME"] = r.vars["BID:b0"], "b0"
	}
	q := &rec.Request
	var params []string
	for _, p := range q.Query {
		params = append(params, p[0]+"="+strings.ReplaceAll(url.QueryEscape(r.expand(p[1])), "+", "%20"))
	}
	target := r.expand(q.Path)
	if params != nil {
		target += "?" + strings.Join(params, "&")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: test\r\n", q.Method, target)
	for k, v := range q.Headers {
		v = r.expand(v)
		if k == "Cookie" {
			v = r.session
		}
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	body := r.body(rec)
	switch {
	case q.Chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(7, len(body))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\n\r\n")
	case body != nil:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	default:
		b.WriteString("\r\n")
	}
	a := r.exchange(rec, b.String())
	r.last = a
	r.capture(rec, a)
	return r.compare(rec, a)
}

func (r *replay) exchange(rec *record, request string) answer {
	if r.conn == nil {
		c, err := net.Dial(r.f.network, r.f.addr)
		if err != nil {
			r.t.Fatal(err)
		}
		r.conn = &client{t: r.t, Conn: c, r: bufio.NewReader(c)}
	}
	if err := r.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	r.conn.send(request)
	a, err := r.conn.tryReceive(rec.Request.Method)
	if err != nil {
		r.t.Fatalf("%s %s: %v", rec.ID, rec.Name, err)
	}
	if a.Close {
		r.conn.Close()
		r.conn = nil
	}
	return a
}

// capture remembers ids, tokens and names that later requests are about.
func (r *replay) capture(rec *record, a answer) {
	if rec.Name == "signin" {
		r.session, _, _ = strings.Cut(a.Header.Get("Set-Cookie"), ";")
	}
	if a.StatusCode != 201 {
		return
	}
	var v struct {
		ID, Token               string
		Org, Bucket, User, Auth struct{ ID string }
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		var typeErr *json.UnmarshalTypeError // "org" is a name in some answers
		if !errors.As(err, &typeErr) {
			r.t.Errorf("%s: %v", rec.ID, err)
		}
	}
	name, of, _ := strings.Cut(strings.TrimPrefix(rec.Name, "create "), " ")
	switch {
	case strings.HasPrefix(rec.Name, "setup: ok"):
		r.vars["ORG"], r.vars["BID:b0"], r.vars["USER"], r.vars["AUTHID:op"] = v.Org.ID, v.Bucket.ID, v.User.ID, v.Auth.ID
	case rec.Name == "create org":
		r.vars["ORG2"] = v.ID
	case rec.Name == "create org3":
		r.vars["ORG3"] = v.ID
	case rec.Name == "create v1 auth":
		r.vars["V1ID"] = v.ID
	case name == "bucket":
		r.vars["BID:"+of], r.vars["CUR"], r.vars["CURNAME"] = v.ID, v.ID, of
	case name == "token":
		r.vars["TOK:"+of], r.vars["AUTHID:"+of] = v.Token, v.ID
	}
}

var variable = []struct {
	rx *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "<time>"},
	{regexp.MustCompile(`\b1[789]\d{8}(\d{9}|\d{6}|\d{3})?\b`), "<now>"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "<id>"},
	{regexp.MustCompile(`\{\{[A-Za-z0-9:_/ ]+\}\}`), "<id>"},
	{regexp.MustCompile(`operator-token-0123456789`), "<id>"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{86}==`), "<token>"},
	{regexp.MustCompile(`"up": "[^"]+"`), `"up"`},
	{regexp.MustCompile(`v2\.9\.1(\+headgate\.test)?`), "<version>"},
	{regexp.MustCompile(`"commit": "[^"]+"`), `"commit"`},
	{regexp.MustCompile(`influxdb-oss-session=[^;]+`), "<session>"},
}

func normal(body string) any {
	for _, v := range variable {
		body = v.rx.ReplaceAllString(body, v.to)
	}
	var j any
	if json.Unmarshal([]byte(body), &j) != nil {
		return body
	}
	if m, ok := j.(map[string]any); ok && m["code"] != nil && m["message"] != nil {
		return map[string]any{"code": m["code"], "message": m["message"]} // more members are allowed
	}
	return j
}

func (r *replay) compare(rec *record, a answer) string {
	want := http.Header{}
	for _, h := range rec.Response.Headers {
		want.Set(h[0], h[1])
	}
	var why []string
	if a.StatusCode != rec.Response.Status {
		why = append(why, fmt.Sprintf("status %d, want %d", a.StatusCode, rec.Response.Status))
	}
	for _, h := range []string{"X-Platform-Error-Code", "Content-Type", "Vary", "Allow", "Location", "X-Content-Type-Options"} {
		if a.Header.Get(h) != want.Get(h) {
			why = append(why, fmt.Sprintf("%s %q, want %q", h, a.Header.Get(h), want.Get(h)))
		}
	}
	wantBody := rec.Response.Body
	if rec.Response.Norm != "" {
		wantBody = rec.Response.Norm
	}
	if rec.Response.BodyLen == 0 {
		if got, want := normal(a.body), normal(wantBody); !reflect.DeepEqual(got, want) {
			why = append(why, fmt.Sprintf("body\n\tgot  %.600v\n\twant %.600v", got, want))
		}
	}
	return strings.Join(why, "; ")
}
