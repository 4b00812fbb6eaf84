package httpfront

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"headgate/engine"
	"headgate/engine/datadir"
)

func TestBackup(t *testing.T) {
	f := newFront(t, frontConfig{})
	post := func(path, token, body string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Token "+token)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := post("/api/v2/write?org=acme&bucket=b0", testToken, "m f=1 1")
	resp.Body.Close()
	for range 2 {
		resp = post("/api/v2/backup", testToken, "")
		m, err := datadir.Verify(t.Context(), resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || err != nil || m.Version != "test" || len(m.Files) < 3 {
			t.Fatalf("%s: %+v, %v", resp.Status, m, err)
		}
	}
	// Who may write a bucket may not have everything.
	org, _ := f.e.OrganizationByName("acme")
	_, token, err := f.e.CreateAuthorization(t.Context(), f.e.Operator(), engine.AuthorizationRequest{
		OrgID: org.ID, Permissions: []engine.Permission{{Action: engine.ActionWrite, Type: engine.ResourceBuckets, OrgID: org.ID}},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp = post("/api/v2/backup", token, "")
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 401 {
		t.Errorf("with a bucket's token: %s %s %v", resp.Status, text, err)
	}
	// A client that goes away before the end leaves nothing behind.
	resp = post("/api/v2/backup", testToken, "")
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
