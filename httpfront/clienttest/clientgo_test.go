package clienttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api/http"
	"github.com/influxdata/influxdb-client-go/v2/domain"
	"github.com/influxdata/influxdb-client-go/v2/log"

	"headgate/httpfront"
)

// TestMain takes away the client's log, which is one for the whole process: it
// would show each error that is provoked here.
func TestMain(m *testing.M) {
	log.Log = nil
	os.Exit(m.Run())
}

// options is the client's default options.
func options() *influxdb2.Options {
	return influxdb2.DefaultOptions().SetApplicationName("clienttest")
}

func newClient(t testing.TB, s *Server, token string, o *influxdb2.Options) influxdb2.Client {
	c := influxdb2.NewClientWithOptions(s.URL, token, o)
	t.Cleanup(c.Close)
	return c
}

// wantError fails unless err is what the client makes of this status, code and text.
// A text that ends in ... is the beginning of a longer one.
func wantError(t testing.TB, what string, err error, status int, code, message string) {
	t.Helper()
	var e *http.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %T %v, want an error with status %d", what, err, err, status)
		return
	}
	begin, cut := strings.CutSuffix(message, "...")
	if e.StatusCode != status || e.Code != code || e.Err != nil || !(e.Message == message || cut && strings.HasPrefix(e.Message, begin)) {
		t.Errorf("%s: %d %q %q %v, want %d %q %q", what, e.StatusCode, e.Code, e.Message, e.Err, status, code, message)
	}
}

func TestSetup(t *testing.T) {
	s := Start(t, Config{Fresh: true})
	ctx := context.Background()
	c := newClient(t, s, "", options())
	r, err := c.Setup(ctx, "root", "password1", "first", "raw", 24)
	if err != nil {
		t.Fatal(err)
	}
	if r.User.Name != "root" || r.Org.Name != "first" || r.Bucket.Name != "raw" || *r.Auth.Status != "active" {
		t.Errorf("user %q, organization %q, bucket %q, token %q", r.User.Name, r.Org.Name, r.Bucket.Name, *r.Auth.Status)
	}
	if rules := r.Bucket.RetentionRules; len(rules) != 1 || rules[0].EverySeconds != 86400 {
		t.Errorf("retention rules %+v, want one of 86400 s", rules)
	}
	s.token = *r.Auth.Token
	if err := newClient(t, s, s.token, options()).WriteAPIBlocking("first", "raw").WriteRecord(ctx, "m f=1"); err != nil {
		t.Errorf("write with the new token: %v", err)
	}
	s.WantRows(t, "raw", "SELECT count(f) FROM m", "0 1")
	if _, err = c.SetupWithToken(ctx, "root", "password1", "first", "raw", 0, "mine"); err == nil || !strings.Contains(err.Error(), "onboarding has already been completed") {
		t.Errorf("second set-up: %v", err)
	}
}

func TestSetupWithToken(t *testing.T) {
	s := Start(t, Config{Fresh: true})
	c := newClient(t, s, "", options())
	if _, err := c.Setup(context.Background(), "root", "short", "first", "raw", 0); err == nil || !strings.Contains(err.Error(), "passwords must be between 8 and 72 characters long") {
		t.Errorf("short password: %v", err)
	}
	r, err := c.SetupWithToken(context.Background(), "root", "password1", "first", "raw", 0, "mine")
	if err != nil {
		t.Fatal(err)
	}
	if *r.Auth.Token != "mine" {
		t.Errorf("token %q, want mine", *r.Auth.Token)
	}
}

func TestProbes(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	c := newClient(t, s, "", options())
	if ok, err := c.Ping(ctx); !ok || err != nil {
		t.Errorf("ping: %v %v", ok, err)
	}
	h, err := c.Health(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if h.Status != domain.HealthCheckStatusPass || h.Name != "headgate" || h.Version == nil || !strings.HasPrefix(*h.Version, "v2.") {
		t.Errorf("health: %+v", h)
	}
	r, err := c.Ready(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status == nil || *r.Status != domain.ReadyStatusReady || r.Started == nil || time.Since(*r.Started) > time.Minute {
		t.Errorf("ready: %+v", r)
	}
	if up, err := time.ParseDuration(*r.Up); err != nil || up <= 0 {
		t.Errorf("up %q: %v", *r.Up, err)
	}
}

func TestWriteBlocking(t *testing.T) {
	s := Start(t, Config{})
	at := time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.UTC)
	for _, gzip := range []bool{false, true} {
		for _, precision := range []time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, time.Second} {
			w := newClient(t, s, Token, options().SetUseGZip(gzip).SetPrecision(precision)).WriteAPIBlocking(Org, Bucket)
			m := fmt.Sprintf("cpu load, gzip=%v %v", gzip, precision)
			p := influxdb2.NewPoint(m, map[string]string{"host": `a b,c=d\e`, "dc": "ü"}, map[string]any{
				"float": 1.5, "int": -7, "uint": uint64(1<<64 - 1), "bool": true, "string": "a \"quoted\"\\ line\nand one more",
			}, at)
			if err := w.WritePoint(context.Background(), p); err != nil {
				t.Fatalf("%s: %v", m, err)
			}
			// The client itself writes a newline in a string as a backslash and an n.
			s.WantRows(t, Bucket, `SELECT "bool", "float", "int", "string", "uint" FROM "`+m+`" WHERE host = 'a b,c=d\\e' AND dc = 'ü'`,
				fmt.Sprint(at.Truncate(precision).UnixNano(), ` true 1.5 -7 a "quoted"\ line\nand one more 18446744073709551615`))
		}
	}
}

// TestWriteErrors walks the answers that a caller of the blocking API must see in full.
func TestWriteErrors(t *testing.T) {
	s := Start(t, Config{Front: func(o *httpfront.Options) { o.BodyBytesMax = 4 << 10 }})
	ctx := context.Background()
	org, err := newClient(t, s, Token, options()).OrganizationsAPI().FindOrganizationByName(ctx, Org)
	if err != nil {
		t.Fatal(err)
	}
	allowed := []domain.Permission{{Action: domain.PermissionActionRead, Resource: domain.Resource{Type: domain.ResourceTypeBuckets}}}
	reader, err := newClient(t, s, Token, options()).AuthorizationsAPI().CreateAuthorizationWithOrgID(ctx, *org.Id, allowed)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what, token, org, bucket, lines string
		status                          int
		code, message                   string
	}{
		{"malformed", Token, Org, Bucket, "m f=1 1\nbad\nm f=1 x", 400, "invalid", "unable to parse 'bad': missing fields\nunable to parse 'm f=1 x': bad timestamp"},
		{"type conflict", Token, Org, Bucket, "kept f=1 1\nkept f=\"s\" 2\nkept f=3 3", 422, "unprocessable entity",
			`failure writing points to database: partial write: field type conflict: input field "f" on measurement "kept" is type string, already exists as type float dropped=1`},
		{"unknown token", "wrong", Org, Bucket, "m f=1", 401, "unauthorized", "unauthorized access"},
		{"no token", "", Org, Bucket, "m f=1", 401, "unauthorized", "unauthorized access"},
		{"token that may read only", *reader.Token, Org, Bucket, "m f=1", 401, "unauthorized", "insufficient permissions for write"},
		{"unknown bucket", Token, Org, "nope", "m f=1", 404, "not found", `bucket "nope" not found`},
		{"unknown organization", Token, "nope", Bucket, "m f=1", 404, "not found", `organization name "nope" not found`},
		{"large body", Token, Org, Bucket, strings.Repeat("m f=1\n", 1000), 413, "request too large", "request body is 6000 bytes, over ..."},
	} {
		for _, gzip := range []bool{false, true} {
			if gzip && test.status == 413 {
				continue // it is small then
			}
			w := newClient(t, s, test.token, options().SetUseGZip(gzip)).WriteAPIBlocking(test.org, test.bucket)
			err := w.WriteRecord(ctx, test.lines)
			wantError(t, fmt.Sprintf("%s, gzip %v", test.what, gzip), err, test.status, test.code, test.message)
		}
	}
	s.WantRows(t, Bucket, "SELECT f FROM kept", "1 1", "3 3")
	s.WantRows(t, Bucket, "SELECT f FROM m")
}

func TestWriteAsync(t *testing.T) {
	const points = 10_500
	for _, gzip := range []bool{false, true} {
		t.Run(fmt.Sprintf("gzip=%v", gzip), func(t *testing.T) {
			s := Start(t, Config{})
			w := newClient(t, s, Token, options().SetUseGZip(gzip).SetBatchSize(1000)).WriteAPI(Org, Bucket)
			w.SetWriteFailedCallback(func(_ string, err http.Error, _ uint) bool {
				t.Errorf("write: %v", err.Error())
				return false
			})
			for i := range points {
				w.WritePoint(influxdb2.NewPointWithMeasurement("m").
					AddTag("host", fmt.Sprint("h", i%7)).AddField("f", i).SetTime(time.Unix(0, int64(i))))
			}
			w.Flush()
			s.WantRows(t, Bucket, "SELECT count(f), sum(f) FROM m", fmt.Sprintf("0 %d %d", points, points*(points-1)/2))
		})
	}
}

// TestWriteAsyncErrors shows that what the client gives up at once reaches its
// Errors, but for the words that it takes for harmless.
func TestWriteAsyncErrors(t *testing.T) {
	s := Start(t, Config{})
	c := newClient(t, s, Token, options())
	w := c.WriteAPI(Org, "nope")
	errs := w.Errors()
	w.WriteRecord("m f=1")
	w.Flush()
	wantError(t, "unknown bucket", <-errs, 404, "not found", `bucket "nope" not found`)

	w = c.WriteAPI(Org, Bucket)
	errs = w.Errors()
	for _, lines := range []string{"m f=1 1", "m f=\"s\" 2\nm f=2 2", "bad", "m f=3 3"} {
		w.WriteRecord(lines)
		w.Flush()
	}
	select {
	case err := <-errs:
		t.Errorf("%v: this client is known to hide what contains partial write or unable to parse", err)
	default:
	}
	s.WantRows(t, Bucket, "SELECT f FROM m", "1 1", "2 2", "3 3")
}

// TestOverload shows the client the advice on when to come back, has it keep the
// refused batch, and deliver it once there is room.
func TestOverload(t *testing.T) {
	const message = "write queue is full; nothing was written"
	s := Start(t, Config{})
	release := s.Fill(t)
	c := newClient(t, s, Token, options())
	wantError(t, "blocking", c.WriteAPIBlocking(Org, Bucket).WriteRecord(context.Background(), "m f=1 1"), 503, "unavailable", message)

	w := c.WriteAPI(Org, Bucket)
	errs := w.Errors()
	refused := 0
	w.SetWriteFailedCallback(func(batch string, err http.Error, _ uint) bool {
		refused++
		wantError(t, "async", &err, 503, "unavailable", message)
		if err.RetryAfter < 1 || err.RetryAfter > 60 || batch != "m f=1 1\n" {
			t.Errorf("Retry-After %d s, batch %q", err.RetryAfter, batch)
		}
		release()
		return true
	})
	w.WriteRecord("m f=1 1")
	w.Flush() // sends, and then sends what is to be retried without waiting for its time
	wantError(t, "Errors", <-errs, 503, "unavailable", message)
	if refused != 1 {
		t.Errorf("%d refusals, want 1", refused)
	}
	s.WantRows(t, Bucket, "SELECT f FROM m", "1 1")
}

// TestConnectionIsKept writes with good and bad bodies: none of the answers may cost
// the client its connection.
func TestConnectionIsKept(t *testing.T) {
	s := Start(t, Config{})
	var dials int
	tr := nethttp.DefaultTransport.(*nethttp.Transport).Clone()
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++ // the writes follow each other
		return dial(ctx, network, addr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	w := newClient(t, s, Token, options().SetHTTPClient(&nethttp.Client{Transport: tr})).WriteAPIBlocking(Org, Bucket)
	ctx := context.Background()
	large := strings.Repeat("m f=2 2\n", 10_000)
	for _, lines := range []string{"m f=1 1", "bad", "m f=\"s\"", large, "m f=3 3"} {
		_ = w.WriteRecord(ctx, lines)
	}
	if dials != 1 {
		t.Errorf("%d connections for five writes, want 1", dials)
	}
	s.WantRows(t, Bucket, "SELECT f FROM m", "1 1", "2 2", "3 3")
}
