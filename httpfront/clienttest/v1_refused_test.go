package clienttest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	influxdb1 "github.com/influxdata/influxdb1-client/v2"

	"headgate/httpfront"
)

// TestV1Refused sends what is refused as a whole. The client has no error with a
// status: it gives the body as it came, and leaves the batch to its caller.
func TestV1Refused(t *testing.T) {
	s := Start(t, Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 4 << 10 }})
	at := time.Unix(0, 1)
	good := v1Point(t, "m", nil, map[string]any{"f": 1.5}, at)
	// The client does not escape a newline in a name: one point becomes two lines,
	// the first of which is malformed.
	newline := v1Point(t, "a\nm", nil, map[string]any{"f": 1.5}, at)
	large := v1Point(t, "m", nil, map[string]any{"s": strings.Repeat("x", 8<<10)}, at)
	for _, encoding := range []influxdb1.ContentEncoding{influxdb1.DefaultEncoding, influxdb1.GzipEncoding} {
		c := newV1(t, s, "anyone", Token, encoding)
		for _, test := range []struct {
			what       string
			points     []*influxdb1.Point
			code, text string
		}{
			{"malformed", []*influxdb1.Point{good, newline}, "invalid", "unable to parse 'a': missing fields"},
			{"large body", []*influxdb1.Point{good, large}, "request too large", "over Options.BodyBytesMax"},
		} {
			if encoding == influxdb1.GzipEncoding && test.what == "large body" {
				continue // it is small then
			}
			err := c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: Bucket}, test.points...))
			wantText(t, test.what, err, test.text)
			if err == nil {
				continue
			}
			var body struct{ Code, Message, Error string }
			if json.Unmarshal([]byte(err.Error()), &body) != nil || body.Code != test.code || body.Error != body.Message {
				t.Errorf("%s: body %s, want code %q", test.what, err, test.code)
			}
		}
	}
	s.WantRows(t, Bucket, "SELECT f FROM m") // nothing of either batch
	c := newV1(t, s, "anyone", Token, influxdb1.DefaultEncoding)
	if err := c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: Bucket}, good)); err != nil {
		t.Error(err)
	}
	s.WantRows(t, Bucket, "SELECT f FROM m", "1 1.5")
}
