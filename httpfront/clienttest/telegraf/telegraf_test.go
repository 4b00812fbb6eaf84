package telegraf

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
	"github.com/influxdata/telegraf/plugins/outputs"
	v1 "github.com/influxdata/telegraf/plugins/outputs/influxdb"
	v2 "github.com/influxdata/telegraf/plugins/outputs/influxdb_v2"

	"headgate/httpfront"
	"headgate/httpfront/clienttest"
)

// running is an output as Telegraf runs it: what it neither delivers nor drops stays
// in its buffer.
type running struct{ *models.RunningOutput }

func run(t testing.TB, name string, o telegraf.Output) running {
	t.Helper()
	r := running{models.NewRunningOutput(o, &models.OutputConfig{Name: name, ID: t.Name()}, 1000, 10_000)}
	if err := errors.Join(r.Init(), r.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// write flushes Telegraf's buffer with these metrics added.
func (r running) write(metrics ...telegraf.Metric) error {
	for _, m := range metrics {
		r.AddMetric(m)
	}
	return r.Write()
}

func runV2(t testing.TB, s *clienttest.Server, token, bucket, encoding string) running {
	t.Helper()
	o := outputs.Outputs["influxdb_v2"]().(*v2.InfluxDB)
	o.URLs, o.Token, o.Organization, o.Bucket = []string{s.URL}, config.NewSecret([]byte(token)), clienttest.Org, bucket
	o.ContentEncoding, o.UintSupport = encoding, true
	return run(t, "influxdb_v2", o)
}

// at is a metric m with one field f.
func at(ns int64, f any) telegraf.Metric {
	return metric.New("m", nil, map[string]any{"f": f}, time.Unix(0, ns))
}

func TestV2(t *testing.T) {
	for _, encoding := range []string{"gzip", "identity"} {
		t.Run(encoding, func(t *testing.T) {
			s := clienttest.Start(t, clienttest.Config{})
			r := runV2(t, s, clienttest.Token, clienttest.Bucket, encoding)
			m := metric.New("cpu load", map[string]string{"host": "a b,c=d"}, map[string]any{
				"float": 1.5, "int": int64(-7), "uint": uint64(1<<64 - 1), "bool": true, "string": "a \"quoted\" line\nand one more",
			}, time.Unix(0, 5))
			if err := r.write(m, at(1, 1.5)); err != nil {
				t.Fatal(err)
			}
			s.WantRows(t, clienttest.Bucket, `SELECT "bool", "float", "int", "string", "uint" FROM "cpu load" WHERE host = 'a b,c=d'`,
				"5 true 1.5 -7 a \"quoted\" line\nand one more 18446744073709551615")
			s.WantRows(t, clienttest.Bucket, "SELECT f FROM m", "1 1.5")
		})
	}
}

// TestV2Errors shows which metrics Telegraf drops after which answer, and which it
// keeps to send again.
func TestV2Errors(t *testing.T) {
	s := clienttest.Start(t, clienttest.Config{})
	for _, test := range []struct {
		what, token, bucket string
		kept                int
		text                string
	}{
		{"type conflict", clienttest.Token, clienttest.Bucket, 0, `will be dropped: 422 Unprocessable Entity): unprocessable entity: failure writing points to database: partial write: field type conflict: input field "f"`},
		{"unknown bucket", clienttest.Token, "nope", 0, `will be dropped: 404 Not Found): not found: bucket "nope" not found`},
		{"wrong token", "wrong", clienttest.Bucket, 3, "(401 Unauthorized): unauthorized: unauthorized access"},
	} {
		r := runV2(t, s, test.token, test.bucket, "gzip")
		err := r.write(at(1, 1.5), at(2, "s"), at(3, 3.5))
		if err == nil || !strings.Contains(err.Error(), test.text) || r.BufferLength() != test.kept {
			t.Errorf("%s: %v, want %q; %d metrics kept, want %d", test.what, err, test.text, r.BufferLength(), test.kept)
		}
	}
	s.WantRows(t, clienttest.Bucket, "SELECT f FROM m", "1 1.5", "3 3.5") // dropped by Telegraf, stored by us
}

// TestV2LargeBody has Telegraf halve its batch until it fits.
func TestV2LargeBody(t *testing.T) {
	s := clienttest.Start(t, clienttest.Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 100 }})
	var all []telegraf.Metric
	for i := range 50 {
		all = append(all, at(int64(i), float64(i)))
	}
	r := runV2(t, s, clienttest.Token, clienttest.Bucket, "identity")
	_ = r.write(all...) // not nil even when all halves were taken; the buffer tells
	if r.BufferLength() != 0 {
		t.Errorf("%d metrics kept", r.BufferLength())
	}
	s.WantRows(t, clienttest.Bucket, "SELECT count(f) FROM m", "0 50")
}

// TestV2Overload has Telegraf keep what is refused, and take the advice on when to
// come back.
func TestV2Overload(t *testing.T) {
	s := clienttest.Start(t, clienttest.Config{})
	release := s.Fill(t)
	r := runV2(t, s, clienttest.Token, clienttest.Bucket, "gzip")
	err := r.write(at(1, 1.5))
	// 10 s is what it takes when it cannot read the advice.
	if err == nil || !regexp.MustCompile(`will retry in [1-9]s. \(503 Service Unavailable\)`).MatchString(err.Error()) || r.BufferLength() != 1 {
		t.Errorf("refused: %v; %d metrics kept, want 1", err, r.BufferLength())
	}
	release()
	if err := r.write(); err == nil || r.BufferLength() != 1 {
		t.Errorf("before the time it was told: %v; %d metrics kept, want 1", err, r.BufferLength())
	}
	s.WantRows(t, clienttest.Bucket, "SELECT f FROM m")
	if err := runV2(t, s, clienttest.Token, clienttest.Bucket, "gzip").write(at(1, 1.5)); err != nil {
		t.Errorf("another one, after the release: %v", err)
	}
	s.WantRows(t, clienttest.Bucket, "SELECT f FROM m", "1 1.5")
}

// TestV1 has Telegraf make its database at the start, as it does by default.
func TestV1(t *testing.T) {
	for _, auth := range []bool{true, false} {
		s := clienttest.Start(t, clienttest.Config{AuthDisabled: !auth})
		o := outputs.Outputs["influxdb"]().(*v1.InfluxDB)
		o.URLs, o.Database = []string{s.URL}, "telegraf"
		if auth {
			o.Username, o.Password = config.NewSecret([]byte("telegraf")), config.NewSecret([]byte(clienttest.Token))
		}
		r := run(t, "influxdb", o)
		if err := r.write(at(1, 1.5)); err != nil {
			t.Errorf("auth %v: %v", auth, err)
		}
		// A conflict is the metric's fault: Telegraf goes on with the next batch.
		if err := r.write(at(2, "s"), at(3, 3.5)); err != nil || r.BufferLength() != 0 {
			t.Errorf("auth %v: conflict: %v, %d metrics kept", auth, err, r.BufferLength())
		}
		s.WantRows(t, "telegraf", "SELECT f FROM m", "1 1.5", "3 3.5")
	}
}

// TestV1LostDatabase drops the database under Telegraf: it creates it again and
// keeps the batch, because our answer has InfluxDB 1's words.
func TestV1LostDatabase(t *testing.T) {
	s := clienttest.Start(t, clienttest.Config{AuthDisabled: true})
	o := outputs.Outputs["influxdb"]().(*v1.InfluxDB)
	o.URLs, o.Database = []string{s.URL}, "telegraf"
	r := run(t, "influxdb", o)
	if err := r.write(at(1, 1.5)); err != nil {
		t.Fatal(err)
	}
	dropped, err := http.PostForm(s.URL+"/query", url.Values{"q": {"DROP DATABASE telegraf"}})
	if err != nil {
		t.Fatal(err)
	}
	dropped.Body.Close()
	for range 3 { // the first tries again by itself, or keeps the batch for the next
		if err := r.write(at(2, 2.5)); err != nil {
			t.Log(err)
		}
	}
	if n := r.BufferLength(); n != 0 {
		t.Errorf("%d metrics kept", n)
	}
	s.WantRows(t, "telegraf", "SELECT f FROM m", "2 2.5")
}

// TestV1Refused shows what this output makes of a refusal: it drops what is too
// large, and keeps what came too early, whose Retry-After it does not read.
func TestV1Refused(t *testing.T) {
	s := clienttest.Start(t, clienttest.Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 100 }})
	o := outputs.Outputs["influxdb"]().(*v1.InfluxDB)
	o.URLs, o.Database, o.SkipDatabaseCreation = []string{s.URL}, clienttest.Bucket, true
	o.ContentEncoding = "identity"
	o.Username, o.Password = config.NewSecret([]byte("telegraf")), config.NewSecret([]byte(clienttest.Token))
	r := run(t, "influxdb", o)
	var all []telegraf.Metric
	for i := range 50 {
		all = append(all, at(int64(i), float64(i)))
	}
	if err := r.write(all...); r.BufferLength() != 0 {
		t.Errorf("too large: %v; %d metrics kept, want none", err, r.BufferLength())
	}
	s.WantRows(t, clienttest.Bucket, "SELECT count(f) FROM m")
	release := s.Fill(t)
	if err := r.write(at(1, 1.5)); err == nil || r.BufferLength() != 1 {
		t.Errorf("too early: %v; %d metrics kept, want 1", err, r.BufferLength())
	}
	release()
	if err := r.write(); err != nil || r.BufferLength() != 0 {
		t.Errorf("after the release: %v; %d metrics kept", err, r.BufferLength())
	}
	s.WantRows(t, clienttest.Bucket, "SELECT f FROM m", "1 1.5")
}
