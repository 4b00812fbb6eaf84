package httpfront

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"headgate/engine"
	"headgate/engine/point"
)

// doorRequests are what the doors test sends to each route: parameters and a body that
// would do if the caller may. ORG, BUCKET, USER, AUTH, LEGACY, DBRP stand for ids of
// things of the organization that the tokens are about.
var doorRequests = map[string]struct{ params, body string }{
	"POST /api/v2/write":         {"org=ORGNAME&bucket=b", "m f=1"},
	"POST /write":                {"db=b", "m f=1"},
	"* /query":                   {"db=b&q=SELECT+f+FROM+m", ""},
	"POST /api/v2/delete":        {"org=ORGNAME&bucket=b", `{"start":"1970-01-01T00:00:00Z","stop":"2000-01-01T00:00:00Z"}`},
	"GET /api/v2/rejected":       {"org=ORGNAME&bucket=b", ""},
	"POST /api/v2/query":         {"org=ORGNAME", `{"query":"from(bucket: \"b\") |> range(start: 0)"}`},
	"POST /api/v2/query/analyze": {"", `{"query":"x = 1"}`}, "POST /api/v2/query/ast": {"", `{"query":"x = 1"}`},
	"GET /api/v2/query/suggestions": {}, "GET /api/v2/query/suggestions/{name}": {},
	"* /health": {}, "* /ready": {}, "GET /ping": {}, "HEAD /ping": {}, "GET /metrics": {}, "GET /api/v2": {}, "GET /api/v2/": {},
	"* /debug/pprof": {}, "* /debug/pprof/": {}, "* /debug/pprof/{profile}": {},

	"GET /api/v2/setup":     {},
	"POST /api/v2/setup":    {"", `{"username":"x","password":"password9","org":"x","bucket":"x"}`},
	"POST /api/v2/signin":   {},
	"POST /api/v2/signout":  {},
	"POST /api/v2/compact":  {},
	"POST /api/v2/backup":   {},
	"GET /api/v2/orgs":      {"org=ORGNAME", ""},
	"POST /api/v2/orgs":     {"", `{"name":"fresh-UNIQUE"}`},
	"GET /api/v2/orgs/{id}": {}, "PATCH /api/v2/orgs/{id}": {"", `{"description":"x"}`}, "DELETE /api/v2/orgs/{id}": {},
	"GET /api/v2/orgs/{id}/labels": {}, "GET /api/v2/orgs/{id}/members": {}, "GET /api/v2/orgs/{id}/owners": {},
	"POST /api/v2/orgs/{id}/members": {"", `{"id":"USER"}`}, "DELETE /api/v2/orgs/{id}/members/{user}": {},
	"POST /api/v2/orgs/{id}/owners": {"", `{"id":"USER"}`}, "DELETE /api/v2/orgs/{id}/owners/{user}": {},

	"GET /api/v2/buckets": {"name=b&orgID=ORG", ""}, "POST /api/v2/buckets": {"", `{"orgID":"ORG","name":"fresh","retentionRules":[]}`},
	"GET /api/v2/buckets/{id}": {}, "PATCH /api/v2/buckets/{id}": {"", `{"description":"x"}`}, "DELETE /api/v2/buckets/{id}": {},
	"GET /api/v2/buckets/{id}/labels": {}, "GET /api/v2/buckets/{id}/members": {}, "GET /api/v2/buckets/{id}/owners": {},

	"GET /api/v2/authorizations":      {},
	"POST /api/v2/authorizations":     {"", `{"orgID":"ORG","userID":"USER","permissions":[{"action":"read","resource":{"type":"buckets","id":"BUCKET","orgID":"ORG"}}]}`},
	"GET /api/v2/authorizations/{id}": {}, "PATCH /api/v2/authorizations/{id}": {"", `{"description":"x"}`}, "DELETE /api/v2/authorizations/{id}": {},
	"GET /private/legacy/authorizations":      {},
	"POST /private/legacy/authorizations":     {"", `{"orgID":"ORG","userID":"USER","token":"fresh-UNIQUE","permissions":[{"action":"read","resource":{"type":"buckets","id":"BUCKET","orgID":"ORG"}}]}`},
	"GET /private/legacy/authorizations/{id}": {}, "PATCH /private/legacy/authorizations/{id}": {"", `{"description":"x"}`}, "DELETE /private/legacy/authorizations/{id}": {},
	"POST /private/legacy/authorizations/{id}/password": {"", `{"password":"short"}`},

	"GET /api/v2/dbrps": {"orgID=ORG", ""}, "POST /api/v2/dbrps": {"", `{"orgID":"ORG","bucketID":"BUCKET","database":"fresh","retention_policy":"r"}`},
	"GET /api/v2/dbrps/{id}": {"orgID=ORG", ""}, "PATCH /api/v2/dbrps/{id}": {"orgID=ORG", `{"retention_policy":"s"}`}, "DELETE /api/v2/dbrps/{id}": {"orgID=ORG", ""},

	"GET /api/v2/users": {}, "POST /api/v2/users": {"", `{"name":"fresh-UNIQUE"}`},
	"GET /api/v2/users/{id}": {}, "PATCH /api/v2/users/{id}": {"", `{"status":"active"}`}, "DELETE /api/v2/users/{id}": {},
	"POST /api/v2/users/{id}/password": {"", `{"password":"short"}`}, "PUT /api/v2/users/{id}/password": {"", `{"password":"short"}`},
	"GET /api/v2/me": {}, "PUT /api/v2/me/password": {"", `{"password":"short"}`}, "POST /api/v2/me/password": {"", `{"password":"short"}`},
}

// doorKinds are the ways to come to a door, in the order of the columns.
var doorKinds = []string{
	"none", "wrong", "broken", "basic", "u=&p=", "read", "write", "otherbkt", "otherorg", "inactive", "deleted", "userinact", "usergone", "member", "owner", "allaccess", "operator",
}

// doors is an organization with one of everything, and the callers of doorKinds.
type doors struct {
	f       *front
	words   []string // for strings.NewReplacer
	headers map[string]http.Header
	org     string
}

var doorCount int

// newDoors makes them; member and owner are users who have signed in.
func newDoors(t *testing.T, f *front, member, owner engine.Session) *doors {
	t.Helper()
	ctx, op := context.Background(), f.e.Operator()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	doorCount++
	n := strconv.Itoa(doorCount)
	d := &doors{f: f, org: "org-" + n, headers: make(map[string]http.Header)}
	org, err := f.e.CreateOrganization(ctx, op, d.org, "")
	must(err)
	other, err := f.e.CreateOrganization(ctx, op, "other-"+n, "")
	must(err)
	b, err := f.e.CreateBucket(ctx, op, engine.BucketRequest{OrgID: org.ID, Name: "b"})
	must(err)
	c, err := f.e.CreateBucket(ctx, op, engine.BucketRequest{OrgID: org.ID, Name: "c"})
	must(err)
	user, err := f.e.CreateUser(ctx, op, "user-"+n, engine.Active)
	must(err)
	token := func(kind string, orgID point.ID, status engine.Status, user engine.User, perms ...engine.Permission) engine.Authorization {
		t.Helper()
		a, token, err := f.e.CreateAuthorization(ctx, op, engine.AuthorizationRequest{OrgID: orgID, UserID: user.ID, Status: status, Permissions: perms})
		must(err)
		d.headers[kind] = http.Header{"Authorization": {"Token " + token}}
		return a
	}
	all := func(org point.ID) (perms []engine.Permission) {
		for _, name := range []string{"authorizations", "buckets", "orgs", "dbrp"} {
			r, err := engine.ParseResourceType(name)
			must(err)
			perms = append(perms, engine.Permission{Action: engine.ActionRead, Type: r, OrgID: org}, engine.Permission{Action: engine.ActionWrite, Type: r, OrgID: org})
		}
		return perms
	}
	on := func(b engine.Bucket, actions ...engine.Action) (perms []engine.Permission) {
		for _, a := range actions {
			perms = append(perms, engine.Permission{Action: a, Type: engine.ResourceBuckets, ID: b.ID, OrgID: b.OrgID})
		}
		return perms
	}
	token("read", org.ID, engine.Active, user, on(b, engine.ActionRead)...)
	token("write", org.ID, engine.Active, user, on(b, engine.ActionWrite)...)
	token("otherbkt", org.ID, engine.Active, user, on(c, engine.ActionRead, engine.ActionWrite)...)
	token("otherorg", other.ID, engine.Active, user, all(other.ID)...)
	token("inactive", org.ID, engine.Inactive, user, all(org.ID)...)
	token("allaccess", org.ID, engine.Active, user, all(org.ID)...)
	gone := token("deleted", org.ID, engine.Active, user, all(org.ID)...)
	must(f.e.DeleteAuthorization(ctx, op, gone.ID))
	idle, err := f.e.CreateUser(ctx, op, "idle-"+n, engine.Inactive)
	must(err)
	token("userinact", org.ID, engine.Active, idle, all(org.ID)...)
	left, err := f.e.CreateUser(ctx, op, "left-"+n, engine.Active)
	must(err)
	token("usergone", org.ID, engine.Active, left, all(org.ID)...)
	must(f.e.DeleteUser(ctx, op, left.ID))

	d.headers["none"] = http.Header{}
	d.headers["wrong"] = http.Header{"Authorization": {"Token " + strings.Repeat("A", 86) + "=="}}
	d.headers["broken"] = http.Header{"Authorization": {"Token"}}
	d.headers["basic"] = http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("any:"+strings.TrimPrefix(d.headers["allaccess"].Get("Authorization"), "Token ")))}}
	d.headers["u=&p="] = http.Header{}
	d.headers["operator"] = tokenHeader()
	for kind, s := range map[string]engine.Session{"member": member, "owner": owner} {
		role := engine.RoleMember
		if kind == "owner" {
			role = engine.RoleOwner
		}
		_, err := f.e.AddMember(ctx, op, org.ID, s.UserID, role)
		must(err)
		d.headers[kind] = http.Header{"Cookie": {sessionCookie + "=" + s.Key}}
	}

	a, _, err := f.e.CreateAuthorization(ctx, op, engine.AuthorizationRequest{OrgID: org.ID, UserID: user.ID, Permissions: on(b, engine.ActionRead)})
	must(err)
	legacy, err := f.e.CreateLegacyAuthorization(ctx, op, "legacy-"+n, engine.AuthorizationRequest{OrgID: org.ID, UserID: user.ID, Permissions: on(b, engine.ActionRead)})
	must(err)
	dbrp, err := f.e.CreateDBRP(ctx, op, engine.DBRPRequest{OrgID: org.ID, BucketID: b.ID, Database: "d", RetentionPolicy: "r"})
	must(err)
	d.words = []string{"ORGNAME", d.org, "ORG", org.ID.String(), "BUCKET", b.ID.String(), "USER", user.ID.String(), "AUTH", a.ID.String(),
		"LEGACY", legacy.ID.String(), "DBRP", dbrp.ID.String(), "UNIQUE", n}
	return d
}

// path is a route's path, with ids of what it is about.
func (d *doors) path(r *route) string {
	id := "PROFILE"
	for prefix, word := range map[string]string{pathAPI + "/orgs": "ORG", pathAPI + "/buckets": "BUCKET", pathAPI + "/authorizations": "AUTH", pathLegacy: "LEGACY", pathAPI + "/dbrps": "DBRP", pathAPI + "/users": "USER"} {
		if strings.HasPrefix(r.pattern, prefix) {
			id = word
		}
	}
	return strings.NewReplacer("{id}", id, "{user}", "USER", "{profile}", "cmdline", "{name}", "mean").Replace(r.pattern)
}

// knock sends the route's request as kind and returns the status.
func (d *doors) knock(t *testing.T, c *client, r *route, kind string) int {
	t.Helper()
	req := doorRequests[r.method+" "+r.pattern]
	replace := strings.NewReplacer(d.words...).Replace
	target := replace(d.path(r) + "?" + req.params)
	if kind == "u=&p=" {
		target += "&u=any&p=" + strings.TrimPrefix(d.headers["allaccess"].Get("Authorization"), "Token ")
	}
	method := r.method
	if method == "*" {
		method = "GET"
	}
	body := replace(req.body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n", method, target, len(body))
	if err := d.headers[kind].Write(&b); err != nil {
		t.Fatal(err)
	}
	c.send(b.String() + "\r\n" + body)
	return c.receive(method).StatusCode
}

const doorsFile = "testdata/doors"

// TestDoors sends a request to every route of the router for every kind of caller and
// compares the statuses with the table in testdata/doors, whose every line has been
// read by someone: a new route needs a line there. With UPDATE_DOORS set it writes them.
func TestDoors(t *testing.T) {
	f := newFront(t, frontConfig{options: func(_ *engine.Options, o *Options) { o.PprofEnabled = true }})
	ctx, op := context.Background(), f.e.Operator()
	var sessions [2]engine.Session
	names := [2]string{"mona", "olga"}
	signIn := func() {
		t.Helper()
		for i, name := range names {
			var err error
			if sessions[i], err = f.e.SignIn(name, "password2"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range names {
		u, err := f.e.CreateUser(ctx, op, name, engine.Active)
		if err == nil {
			err = f.e.SetUserPassword(ctx, op, u.ID, "password2")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	signIn()
	var got strings.Builder
	fmt.Fprintf(&got, "%-52s", "")
	for _, kind := range doorKinds {
		fmt.Fprintf(&got, " %9s", kind)
	}
	got.WriteString("\n")
	var d *doors
	for _, r := range f.s.router.all {
		if r == f.s.router.unmatched {
			continue
		}
		name := r.method + " " + r.pattern
		if _, ok := doorRequests[name]; !ok {
			t.Errorf("%s has no row in doorRequests", name)
			continue
		}
		fmt.Fprintf(&got, "%-52s", name)
		c := f.dial(t)
		for _, kind := range doorKinds {
			if d == nil {
				d = newDoors(t, f, sessions[0], sessions[1])
			}
			status := d.knock(t, c, r, kind)
			fmt.Fprintf(&got, " %9d", status)
			if status < 300 && r.method != "GET" && strings.HasPrefix(r.pattern, "/") && strings.Count(r.pattern, "/") > 2 && r.pattern != pathWriteV2 && r.pattern != pathDelete {
				d = nil // what it has changed the next caller must not meet
			}
		}
		c.Close()
		got.WriteString("\n")
		if strings.HasSuffix(r.pattern, "/signout") {
			signIn()
			d = nil
		}
	}
	if os.Getenv("UPDATE_DOORS") != "" {
		if err := os.WriteFile(doorsFile, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(doorsFile)
	if err != nil {
		t.Fatal(err)
	}
	wanted := make(map[string]string)
	for line := range strings.Lines(string(want)) {
		wanted[line[:min(len(line), 52)]] = line
	}
	for line := range strings.Lines(got.String()) {
		if w := wanted[line[:52]]; w != line {
			t.Errorf("\ngot  %swant %s", line, w)
		}
		delete(wanted, line[:52])
	}
	for _, line := range wanted {
		t.Errorf("a route is gone: %s", line)
	}
}

// TestDoorsOfStatements walks the kinds of callers through InfluxQL statements that
// change something: what they may do is what they did, for the answer is 200.
func TestDoorsOfStatements(t *testing.T) {
	f := newFront(t, frontConfig{})
	d := newDoors(t, f, engine.Session{UserID: f.e.Operator().UserID}, engine.Session{UserID: f.e.Operator().UserID})
	for _, tc := range []struct {
		statement string
		// may are the kinds for which there is no error.
		may string
	}{
		{"DELETE FROM m", "write allaccess"},
		{"DROP MEASUREMENT m", "write allaccess"},
		{"DROP SERIES FROM m", "write allaccess"},
		{"SHOW MEASUREMENTS ON b", "read write otherbkt allaccess otherorg"}, // empty where it may not be seen
		{"SELECT f FROM b..m", "read allaccess"},
		{"SELECT f FROM c..m", "otherbkt allaccess"},
		{"DROP RETENTION POLICY autogen ON b", "otherorg allaccess"}, // of a database that is not there: done
		{"CREATE RETENTION POLICY r2 ON b DURATION 1h REPLICATION 1", "allaccess"},
		{"ALTER RETENTION POLICY autogen ON b DURATION 400d", "write allaccess"},
		{"DROP DATABASE b", "otherorg allaccess"},
	} {
		for _, kind := range []string{"read", "write", "otherbkt", "otherorg", "allaccess"} {
			d := d
			if strings.HasPrefix(tc.statement, "DROP D") || strings.Contains(tc.statement, "RETENTION") {
				d = newDoors(t, f, engine.Session{UserID: f.e.Operator().UserID}, engine.Session{UserID: f.e.Operator().UserID})
			}
			a := f.request(t, "POST", "/query?db=b", http.Header{"Authorization": d.headers[kind]["Authorization"], "Content-Type": {"application/vnd.influxql"}}, []byte(tc.statement))
			may := strings.Contains(" "+tc.may+" ", " "+kind+" ")
			if a.StatusCode != 200 || may == strings.Contains(a.body, `"error"`) {
				t.Errorf("%s as %s: %d %s, want it done: %v", tc.statement, kind, a.StatusCode, a.body, may)
			}
		}
	}
}
