package clienttest

import (
	"context"
	"encoding/json"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api/http"
)

// influxQL is an answer of /query.
type influxQL struct {
	Results []struct {
		Error  string
		Series []struct {
			Tags   map[string]string
			Values [][]float64
		}
	}
}

// askInfluxQL goes through the client's HTTP service: it has no call for /query.
func askInfluxQL(t testing.TB, c influxdb2.Client, q string) (a influxQL, refused *http.Error) {
	t.Helper()
	s := c.HTTPService()
	form := url.Values{"db": {Bucket}, "epoch": {"ns"}, "q": {q}}.Encode()
	refused = s.DoPostRequest(context.Background(), strings.TrimSuffix(s.ServerURL(), "/")+"/query", strings.NewReader(form),
		func(r *nethttp.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
		func(r *nethttp.Response) error {
			defer r.Body.Close()
			return json.NewDecoder(r.Body).Decode(&a)
		})
	return a, refused
}

// TestInfluxQL reads as a program does that has this client and no Flux.
func TestInfluxQL(t *testing.T) {
	s := Start(t, Config{})
	c := newClient(t, s, Token, options())
	if err := c.WriteAPIBlocking(Org, Bucket).WriteRecord(context.Background(), "m,host=a f=1.5 1", "m,host=b f=2.5 2"); err != nil {
		t.Fatal(err)
	}
	a, refused := askInfluxQL(t, c, "SELECT f FROM m GROUP BY host; SELECT mean(f), f FROM m")
	if refused != nil || len(a.Results) != 2 || len(a.Results[0].Series) != 2 {
		t.Fatalf("answer %+v, %v", a, refused)
	}
	for i, host := range []string{"a", "b"} {
		if got := a.Results[0].Series[i]; got.Tags["host"] != host || got.Values[0][0] != float64(i+1) || got.Values[0][1] != float64(i)+1.5 {
			t.Errorf("host %s: %+v", host, got)
		}
	}
	if got := a.Results[1].Error; !strings.Contains(got, "mixing aggregate and non-aggregate queries") {
		t.Errorf("second statement: %q", got)
	}

	_, refused = askInfluxQL(t, c, "SELEC f")
	wantError(t, "syntax", refused, 400, "invalid", "failed to parse query: found SELEC...")
	_, refused = askInfluxQL(t, newClient(t, s, "wrong", options()), "SELECT f FROM m")
	wantError(t, "wrong token", refused, 401, "unauthorized", "Unauthorized")
}
