package httpfront

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"headgate/engine"
)

// TestExchanges runs the scripts of testdata. Commands:
//
//	open [auth=false] [max-body=N] [max-inflated-body=N] [max-series=N]
//	  [max-measurements=N] [max-fields=N] [max-tags=N] [max-name=N]
//	  [max-tag-value=N] [metrics=false] [pprof=true]
//	  starts a fresh server, set up but for auth=false.
//	exchange [auth=none] [encode=...] [chunked] [http=1.0] [truncate=N] [repeat=N]
//	  sends a request: the request line without the version, headers, an empty
//	  line, the body. Host and Content-Length are added, and a token unless there
//	  is an Authorization header or auth=none. repeat makes the body that many
//	  times as long, encode compresses it, truncate cuts bytes off its end.
//
// The output is the status, the headers without Date and the constant ones, and
// the body.
func TestExchanges(t *testing.T) {
	datadriven.Walk(t, "testdata/exchanges", func(t *testing.T, path string) {
		var f *front
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "open":
				f = openScripted(t, d)
				return ""
			case "exchange":
				return exchange(t, f, d)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

// openScripted is the server that a script's open asks for.
func openScripted(t *testing.T, d *datadriven.TestData) *front {
	t.Helper()
	return newFront(t, frontConfig{options: func(e *engine.Options, o *Options) {
		if d.HasArg("auth") {
			e.AuthDisabled = true
		}
		d.MaybeScanArgs(t, "max-body", &o.BodyBytesMax)
		d.MaybeScanArgs(t, "max-inflated-body", &o.InflatedBodyBytesMax)
		d.MaybeScanArgs(t, "max-series", &e.SeriesPerBucketMax)
		d.MaybeScanArgs(t, "max-measurements", &e.MeasurementsPerBucketMax)
		d.MaybeScanArgs(t, "max-fields", &e.FieldsPerMeasurementMax)
		d.MaybeScanArgs(t, "max-tags", &e.TagsPerPointMax)
		d.MaybeScanArgs(t, "max-name", &e.NameBytesMax)
		d.MaybeScanArgs(t, "max-tag-value", &e.TagValueBytesMax)
		o.MetricsDisabled = d.HasArg("metrics")
		o.PprofEnabled = d.HasArg("pprof")
	}})
}

func exchange(t *testing.T, f *front, d *datadriven.TestData) string {
	head, body, _ := strings.Cut(d.Input, "\n\n")
	lines := strings.Split(head, "\n")
	version := "1.1"
	d.MaybeScanArgs(t, "http", &version)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s HTTP/%s\r\nHost: test\r\n", lines[0], version)
	authorized := d.HasArg("auth")
	for _, l := range lines[1:] {
		fmt.Fprintf(&b, "%s\r\n", l)
		authorized = authorized || strings.HasPrefix(l, "Authorization:")
	}
	if !authorized {
		fmt.Fprintf(&b, "Authorization: Token %s\r\n", testToken)
	}
	payload := []byte(body)
	repeat := 1
	d.MaybeScanArgs(t, "repeat", &repeat)
	payload = bytes.Repeat(payload, repeat)
	encoding := ""
	d.MaybeScanArgs(t, "encode", &encoding)
	payload = encode(t, encoding, payload)
	cut := 0
	d.MaybeScanArgs(t, "truncate", &cut)
	payload = payload[:len(payload)-cut]
	method, _, _ := strings.Cut(lines[0], " ")
	switch {
	case d.HasArg("chunked"):
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for p := payload; len(p) > 0; {
			n := min(7, len(p))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, p[:n])
			p = p[n:]
		}
		b.WriteString("0\r\n\r\n")
	case method == "POST" || len(payload) > 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(payload), payload)
	default:
		b.WriteString("\r\n")
	}
	c := f.dial(t)
	defer c.Close()
	c.send(b.String())
	return describe(c.receive(method))
}

// describe writes an answer as the scripts have it.
func describe(a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.StatusCode)
	if uptime.MatchString(a.body) {
		a.Header.Del("Content-Length") // depends on how long the durations are
	}
	var names []string
	for name := range a.Header {
		if name != "Date" && name != "X-Influxdb-Build" && name != "X-Influxdb-Version" {
			names = append(names, name)
		}
	}
	if a.Header.Get("X-Influxdb-Build") != "OSS" || a.Header.Get("X-Influxdb-Version") != "v2.9.1+headgate.test" || a.Header.Get("Date") == "" {
		fmt.Fprintf(&b, "constant headers: %v\n", a.Header)
	}
	slices.Sort(names)
	for _, name := range names {
		v := a.Header.Get(name)
		if name == "Retry-After" {
			v = digits.ReplaceAllString(v, "<seconds>")
		}
		fmt.Fprintf(&b, "%s: %s\n", name, v)
	}
	body := a.body
	if a.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		raw, err := io.ReadAll(z)
		if err != nil {
			return err.Error()
		}
		body = string(raw)
	}
	if a.Header.Get("Content-Type") == "application/x-msgpack" {
		body = base64.StdEncoding.EncodeToString([]byte(body)) + "\n"
	}
	body = strings.ReplaceAll(body, "\r\n", "\\r\n") // the scripts' reader drops a bare one
	body = moments.ReplaceAllString(body, "<moment>")
	body = uptime.ReplaceAllString(body, `"up": "<duration>"`)
	b.WriteString(body)
	if body != "" && !strings.HasSuffix(body, "\n") {
		b.WriteString("\\\n") // no newline at the end
	}
	return b.String()
}

var (
	digits  = regexp.MustCompile(`^\d+$`)
	moments = regexp.MustCompile(`20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	uptime  = regexp.MustCompile(`"up": "[^"]+"`)
)

// encode compresses p as a client would under each name.
func encode(t testing.TB, encoding string, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "":
		return p
	case "gzip":
		w = gzip.NewWriter(&b)
	case "gzip-members":
		return append(encode(t, "gzip", p), encode(t, "gzip", p)...)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "deflate":
		w, _ = flate.NewWriter(&b, 5)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	case "snappy-frames":
		w = snappy.NewBufferedWriter(&b)
	case "snappy-block":
		return snappy.Encode(nil, p)
	case "s2-frames":
		w = s2.NewWriter(&b)
	case "s2-block":
		return s2.EncodeBetter(nil, p)
	default:
		t.Fatalf("unknown encoding %q", encoding)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gunzip is a's body, decompressed when it says that it is compressed.
func gunzip(t testing.TB, a answer) string {
	t.Helper()
	if a.Header.Get("Content-Encoding") != "gzip" {
		return a.body
	}
	z, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
