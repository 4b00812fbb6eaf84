package httpfront

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"headgate/engine"
)

// manager is a front whose answers' ids have names: later requests say {name}.
type manager struct {
	*front
	t   *testing.T
	ids map[string]string
}

func newManager(t *testing.T, cfg frontConfig) *manager {
	return &manager{front: newFront(t, cfg), t: t, ids: map[string]string{}}
}

var named = regexp.MustCompile(`\{[a-z0-9]+\}`)

func (m *manager) expand(s string) string {
	return named.ReplaceAllStringFunc(s, func(n string) string {
		if id, ok := m.ids[n[1:len(n)-1]]; ok {
			return id
		}
		return n
	})
}

// do sends a request and compares the answer's status and text, ids being
// written as their names, times as <time> and tokens as <token>. An answer with
// an id calls it as, unless that is empty.
func (m *manager) do(as, request string, header http.Header, body string, status int, want string) answer {
	m.t.Helper()
	method, target, _ := strings.Cut(request, " ")
	var payload []byte
	if body != "" {
		payload = []byte(m.expand(body))
	}
	a := m.request(m.t, method, m.expand(target), header, payload)
	var v struct{ ID, Token string }
	_ = json.Unmarshal([]byte(a.body), &v)
	if as != "" && v.ID != "" {
		m.ids[as] = v.ID
		if len(v.Token) > 80 { // not a user name
			m.ids[as+"token"] = v.Token
		}
	}
	got := a.body
	for name, id := range m.ids {
		if id != "" {
			got = strings.ReplaceAll(got, id, "{"+name+"}")
		}
	}
	got = normalText(got)
	var flat bytes.Buffer
	if json.Compact(&flat, []byte(got)) == nil {
		got = flat.String()
	}
	if a.StatusCode != status || !strings.Contains(got, want) {
		m.t.Errorf("%s %s\n\tgot  %d %s\n\twant %d %s", request, body, a.StatusCode, got, status, want)
	}
	return a
}

func basic(user, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
}

func TestUsersOverHTTP(t *testing.T) {
	m := newManager(t, frontConfig{})
	op := tokenHeader()
	m.do("", "GET /api/v2/users", nil, "", 401, `{"code":"unauthorized","message":"unauthorized access"}`)
	m.do("bob", "POST /api/v2/users", op, `{"name":"bob"}`, 201, `{"links":{"self":"/api/v2/users/{bob}"},"id":"{bob}","name":"bob","status":"active"}`)
	m.do("", "POST /api/v2/users", op, `{"name":"bob"}`, 422, `"code":"conflict","message":"user with name bob already exists"`)
	m.do("", "POST /api/v2/users", op, `{}`, 400, `user name is empty`)
	m.do("", "POST /api/v2/users", op, `{"name":"x","status":"zzz"}`, 400, `invalid status: must be active or inactive`)
	m.do("", "POST /api/v2/users", op, `{`, 400, `failed to unmarshal json: unexpected EOF`)
	m.do("", "GET /api/v2/users/{bob}", op, "", 200, `"name":"bob"`)
	m.do("", "GET /api/v2/users/0000000000000001", op, "", 404, `user not found`)
	m.do("", "GET /api/v2/users/zz", op, "", 400, `id must have a length of 16 bytes`)
	m.do("", "GET /api/v2/users?name=bob", op, "", 200, `{"links":{"self":"/api/v2/users"},"users":[{"links":{"self":"/api/v2/users/{bob}"},"id":"{bob}","name":"bob","status":"active"}]}`)
	m.do("", "GET /api/v2/users?name=nobody", op, "", 404, `user not found`)
	m.do("", "GET /api/v2/users", op, "", 200, `"name":"admin"`)
	m.do("", "POST /api/v2/users/{bob}/password", op, `{"password":"short"}`, 400, `passwords must be between 8 and 72 characters long`)
	m.do("", "POST /api/v2/users/{bob}/password", op, `{"password":"bobs password"}`, 204, ``)

	in := m.do("", "POST /api/v2/signin", basic("bob", "bobs password"), "", 204, "")
	cookie := in.Header.Get("Set-Cookie")
	for _, part := range []string{"influxdb-oss-session=", "HttpOnly", "SameSite=Strict", "ath=/api/", "xpires="} {
		if !strings.Contains(cookie, part) {
			t.Errorf("cookie %q is without %s", cookie, part)
		}
	}
	session := http.Header{"Cookie": {strings.SplitN(cookie, ";", 2)[0]}}
	m.do("", "POST /api/v2/signin", basic("bob", "wrong password"), "", 401, `{"code":"unauthorized","message":"unauthorized access"}`)
	m.do("", "POST /api/v2/signin", nil, "", 401, `unauthorized access`)
	m.do("", "GET /api/v2/me", session, "", 200, `"name":"bob"`)
	m.do("", "GET /api/v2/orgs", session, "", 200, `{"links":{"self":"/api/v2/orgs"},"orgs":[]}`)
	m.do("", "GET /api/v2/users", session, "", 200, `"users":[{"links":{"self":"/api/v2/users/{bob}"}`)
	m.do("", "POST "+writeTarget, session, "m f=1", 401, `insufficient permissions for write`)
	m.do("", "GET /query?db=b0&q=SHOW+MEASUREMENTS", session, "", 401, `unauthorized access`)

	org, _ := m.e.OrganizationByName("acme")
	m.ids["acme"] = org.ID.String()
	m.do("", "POST /api/v2/orgs/{acme}/members", op, `{"id":"{bob}"}`, 201, `{"role":"member","links":{"self":"/api/v2/users/{bob}"},"id":"{bob}","name":"bob","status":"active"}`)
	m.do("", "GET /api/v2/orgs/{acme}/members", op, "", 200, `{"links":{"self":"/api/v2/orgs/{acme}/members"},"users":[{"role":"member"`)
	m.do("", "GET /api/v2/orgs", session, "", 200, `"name":"acme"`)
	m.do("", "POST "+writeTarget, session, "m f=1", 401, `insufficient permissions for write`)
	m.do("", "POST /api/v2/orgs/{acme}/owners", session, `{"id":"{bob}"}`, 401, `write:orgs/{acme} is unauthorized`)
	m.do("", "POST /api/v2/orgs/{acme}/owners", op, `{"id":"{bob}"}`, 201, `"role":"owner"`)
	m.do("", "POST "+writeTarget, session, "m f=1", 204, ``)
	m.do("", "GET /api/v2/orgs/{acme}/owners", op, "", 200, `"name":"bob"`)
	m.do("", "POST /api/v2/orgs/{acme}/owners", op, `{}`, 400, `user id missing or invalid`)
	m.do("", "GET /api/v2/orgs/{acme}/labels", op, "", 200, `{"links":{"self":"/api/v2/orgs/{acme}/labels"},"labels":[]}`)
	m.do("", "DELETE /api/v2/orgs/{acme}/owners/{bob}", op, "", 204, ``)
	m.do("", "DELETE /api/v2/orgs/{acme}/owners/{bob}", op, "", 404, `user not found`)

	m.do("", "PUT /api/v2/me/password", session, `{"password":"another password"}`, 204, ``)
	m.do("", "GET /api/v2/me", session, "", 401, `unauthorized access`)
	in = m.do("", "POST /api/v2/signin", basic("bob", "another password"), "", 204, "")
	session = http.Header{"Cookie": {strings.SplitN(in.Header.Get("Set-Cookie"), ";", 2)[0]}}
	m.do("", "PATCH /api/v2/users/{bob}", op, `{"status":"inactive"}`, 200, `"status":"inactive"`)
	m.do("", "GET /api/v2/me", session, "", 403, `{"code":"forbidden","message":"User is inactive"}`)
	m.do("", "PATCH /api/v2/users/{bob}", op, `{"status":"active","name":"rob"}`, 200, `"name":"rob"`)
	m.do("", "POST /api/v2/signout", session, "", 204, ``)
	m.do("", "POST /api/v2/signout", session, "", 401, `unauthorized access`)
	m.do("", "DELETE /api/v2/users/{bob}", op, "", 204, ``)
	m.do("", "DELETE /api/v2/users/{bob}", op, "", 404, `user not found`)
	m.do("", "PUT /api/v2/users/{bob}", op, "", 405, `allow: DELETE, GET, OPTIONS, PATCH`)
}

func TestDBRPsOverHTTP(t *testing.T) {
	m := newManager(t, frontConfig{})
	op := tokenHeader()
	org, _ := m.e.OrganizationByName("acme")
	b, _ := m.e.BucketByName(org.ID, "b0")
	m.ids["acme"], m.ids["b0"] = org.ID.String(), b.ID.String()
	m.do("", "GET /api/v2/dbrps", op, "", 400, `{"code":"invalid","message":"either 'org' or 'orgID' must be provided"}`)
	m.do("", "GET /api/v2/dbrps?org=nope", op, "", 404, `invalid org \"nope\": organization not found`)
	m.do("", "GET /api/v2/dbrps?orgID=zz", op, "", 400, `invalid org ID \"zz\": id must have a length of 16 bytes`)
	m.do("", "GET /api/v2/dbrps?org=acme&bucketID=zz", op, "", 400, `invalid bucket ID \"zz\": id must`)
	m.do("", "GET /api/v2/dbrps?org=acme&default=x", op, "", 400, `invalid default parameter`)
	m.do("", "GET /api/v2/dbrps?org=acme", op, "", 200, `{"content":[{"id":"{b0}","database":"b0","retention_policy":"autogen","default":true,"virtual":true,"orgID":"{acme}","bucketID":"{b0}"}]}`)
	m.do("one", "POST /api/v2/dbrps", op, `{"orgID":"{acme}","bucketID":"{b0}","database":"db","retention_policy":"rp"}`, 201,
		`{"id":"{one}","database":"db","retention_policy":"rp","default":true,"virtual":false,"orgID":"{acme}","bucketID":"{b0}"}`)
	m.do("", "POST /api/v2/dbrps", op, `{"org":"acme","bucketID":"{b0}","database":"db","retention_policy":"rp"}`, 422, `"code":"conflict","message":"another DBRP mapping with same orgID, db, and rp exists"`)
	m.do("", "POST /api/v2/dbrps", op, `{"org":"acme","bucketID":"zz"}`, 400, `invalid bucket ID \"zz\"`)
	m.do("", "POST /api/v2/dbrps", op, `{"org":"acme","bucketID":"{b0}","database":"a b","retention_policy":"rp"}`, 400, `DBRP provided is invalid: database must contain at least one character and only be letters, numbers, '_', '-', and '.'`)
	m.do("", "POST /api/v2/dbrps", op, `{`, 400, `invalid json structure: unexpected EOF`)
	m.do("two", "POST /api/v2/dbrps", op, `{"org":"acme","bucketID":"{b0}","database":"db","retention_policy":"rp2"}`, 201, `"default":false`)
	m.do("", "GET /api/v2/dbrps/{two}?org=acme", op, "", 200, `{"content":{"id":"{two}"`)
	m.do("", "GET /api/v2/dbrps/0000000000000001?org=acme", op, "", 404, `unable to find DBRP`)
	m.do("", "PATCH /api/v2/dbrps/{two}?org=acme", op, `{"default":true}`, 200, `"default":true`)
	m.do("", "GET /api/v2/dbrps?org=acme&db=db&default=true", op, "", 200, `{"content":[{"id":"{two}"`)
	m.do("", "DELETE /api/v2/dbrps/{two}?org=acme", op, "", 204, ``)
	m.do("", "GET /api/v2/dbrps/{one}?org=acme", op, "", 200, `"default":true`)
	m.do("", "DELETE /api/v2/dbrps/{b0}?org=acme", op, "", 204, ``)
	m.do("", "GET /api/v2/dbrps/{b0}?org=acme", op, "", 200, `"virtual":true`)
	m.do("", "POST /write?db=db", op, "m f=1", 204, ``)
	m.do("", "POST /write?db=db&rp=nope", op, "m f=1", 404, `no dbrp mapping found`)
}

func TestTokensOverHTTP(t *testing.T) {
	m := newManager(t, frontConfig{})
	op := tokenHeader()
	org, _ := m.e.OrganizationByName("acme")
	b, _ := m.e.BucketByName(org.ID, "b0")
	m.ids["acme"], m.ids["b0"] = org.ID.String(), b.ID.String()
	perms := `"permissions":[{"action":"write","resource":{"type":"buckets","orgID":"{acme}","id":"{b0}"}}]`
	m.do("t", "POST /api/v2/authorizations", op, `{"orgID":"{acme}",`+perms+`}`, 201, `"token":"{ttoken}"`)
	token := http.Header{"Authorization": {"Token " + m.ids["ttoken"]}}
	m.do("", "POST "+writeTarget, token, "m f=1", 204, ``)
	m.do("", "GET /query?db=b0&q=SELECT+f+FROM+m", token, "", 200, `database not found: b0`)
	m.do("", "GET /api/v2/authorizations?org=nope", op, "", 404, `organization name \"nope\" not found`)
	m.do("", "GET /api/v2/authorizations?user=admin", op, "", 200, `"id":"{t}","token":""`)
	m.do("", "PATCH /api/v2/authorizations/{t}", op, `{"status":"inactive"}`, 200, `"status":"inactive"`)
	m.do("", "POST "+writeTarget, token, "m f=1", 403, `insufficient permissions for write: token is inactive`)
	m.do("", "POST /write?db=b0", token, "m f=1", 401, `Unauthorized`)
	m.do("", "GET /api/v2/buckets/{b0}", token, "", 401, `token is inactive`)
	m.do("", "DELETE /api/v2/authorizations/{t}", op, "", 204, ``)
	m.do("", "POST "+writeTarget, token, "m f=1", 401, `unauthorized access`)

	m.do("", "POST /private/legacy/authorizations", op, `{"orgID":"{acme}",`+perms+`}`, 400, `token is required`)
	m.do("l", "POST /private/legacy/authorizations", op, `{"orgID":"{acme}","token":"v1",`+perms+`}`, 201, `"self":"/private/legacy/authorizations/{l}"`)
	m.do("", "POST /write?db=b0&u=v1&p=v1password", nil, "m f=1", 401, `Unauthorized`)
	m.do("", "POST /private/legacy/authorizations/{l}/password", op, `{"password":"v1"}`, 400, `passwords must be between`)
	m.do("", "POST /private/legacy/authorizations/{l}/password", op, `{"password":"v1password"}`, 204, ``)
	m.do("", "POST /write?db=b0&u=v1&p=v1password", nil, "m f=1", 204, ``)
	m.do("", "POST /write?db=b0", basic("v1", "v1password"), "m f=1", 204, ``)
	m.do("", "POST /write?db=b0", basic("v1", "wrong"), "m f=1", 401, `Unauthorized`)
	m.do("", "POST /write?db=b0", basic("anyone", testToken), "m f=1", 204, ``)
	m.do("", "GET /private/legacy/authorizations?token=v1", op, "", 200, `"id":"{l}","token":"v1"`)
	m.do("", "GET /private/legacy/authorizations?token=v2", op, "", 200, `"authorizations":[]`)
	m.do("", "GET /private/legacy/authorizations/{l}", op, "", 200, `"token":"v1"`)
	m.do("", "PATCH /private/legacy/authorizations/{l}", op, `{"status":"inactive"}`, 200, `"status":"inactive"`)
	m.do("", "POST /write?db=b0", basic("v1", "v1password"), "m f=1", 401, `Unauthorized`)
	m.do("", "DELETE /private/legacy/authorizations/{l}", op, "", 204, ``)
	m.do("", "DELETE /private/legacy/authorizations/{l}", op, "", 404, `authorization not found`)
}

func TestBucketPartsOverHTTP(t *testing.T) {
	m := newManager(t, frontConfig{})
	op := tokenHeader()
	m.do("b", "POST /api/v2/buckets", op, `{"orgID":"zz","name":"x"}`, 400, `failed to unmarshal json: id must have a length of 16 bytes`)
	org, _ := m.e.OrganizationByName("acme")
	m.ids["acme"] = org.ID.String()
	m.do("b", "POST /api/v2/buckets", op, `{"orgID":"{acme}","name":"a & b?"}`, 201, `"write":"/api/v2/write?org={acme}\u0026bucket={b}"`)
	m.do("", "GET /api/v2/buckets/{b}/labels", op, "", 200, `{"links":{"self":"/api/v2/buckets/{b}/labels"},"labels":[]}`)
	m.do("", "GET /api/v2/buckets/{b}/owners", op, "", 200, `"role":"owner"`)
	m.do("", "GET /api/v2/buckets/{b}/members", op, "", 200, `"users":[]`)
	m.do("", "GET /api/v2/buckets?name=a+%26+b%3F", op, "", 200, `/api/v2/buckets?bucket=a+%26+b%3F\u0026descending=false`)
	m.do("", "GET /api/v2/buckets?limit=x", op, "", 400, `limit is invalid`)
	m.do("", "GET /api/v2/buckets?descending=x", op, "", 400, `descending is invalid`)
	m.do("", "GET /api/v2/buckets?org=acme&descending=true&limit=1", op, "", 200, `"name":"b0"`)
	for _, seconds := range []string{"9223372037", "9223372036854775807"} {
		m.do("", "POST /api/v2/buckets", op, `{"orgID":"{acme}","name":"big","retentionRules":[{"everySeconds":`+seconds+`}]}`, 422, `cannot be over 9223372036`)
	}
	m.do("", "POST /api/v2/buckets", op, `{"orgID":"{acme}","name":"neg","retentionRules":[{"everySeconds":-9223372036854775808}]}`, 422, `expiration seconds cannot be negative`)
}

// Without authentication everything works with any credentials or none, and the
// organization may be left out.
func TestManagementWithoutAuthentication(t *testing.T) {
	m := newManager(t, frontConfig{options: func(e *engine.Options, _ *Options) { e.AuthDisabled = true }})
	m.do("b", "POST /api/v2/buckets", nil, `{"name":"b"}`, 201, `"name":"b"`)
	m.do("", "GET /api/v2/orgs", basic("any", "one"), "", 200, `"name":"default"`)
	m.do("", "POST /api/v2/write?bucket=b", nil, "m f=1", 204, ``)
	m.do("", "POST /api/v2/signin", basic("any", "one"), "", 204, ``)
	m.do("", "POST /api/v2/signout", nil, "", 204, ``)
	m.do("", "GET /api/v2/dbrps", nil, "", 200, `"database":"b"`)
	m.do("", "GET /api/v2/setup", nil, "", 200, `{"allowed":true}`)
	m.do("", "GET /api/v2/me", nil, "", 404, `user not found`)
	m.do("", "POST /query?q=CREATE+DATABASE+tsbs+WITH+REPLICATION+1", nil, "", 200, `{"results":[{"statement_id":0}]}`)
	m.do("", "GET /query?q=SHOW+DATABASES", nil, "", 200, `["b"],["tsbs"]`)
	m.do("", "POST /write?db=tsbs", nil, "m f=1", 204, ``)
	m.do("", "POST /query?q=DROP+DATABASE+tsbs", nil, "", 200, `{"results":[{"statement_id":0}]}`)
	m.do("", "POST /write?db=tsbs", nil, "m f=1", 404, `no dbrp mapping found`)
}
