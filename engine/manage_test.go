package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/engine/influxql"
	"headgate/engine/point"
)

// setUpTest opens an engine with authentication and sets it up.
func setUpTest(t *testing.T, dir string) (*testEngine, SetupResult) {
	t.Helper()
	e := openTest(t, dir, func(o *Options) { o.AuthDisabled = false })
	res, err := e.Setup(t.Context(), SetupRequest{Username: "admin", Password: "password1", Org: "acme", Bucket: "b0"})
	if err != nil {
		t.Fatal(err)
	}
	e.bucket = res.Bucket
	return e, res
}

// wantError fails unless err is an Error of that kind whose message begins so.
func wantError(t *testing.T, what string, err error, kind Kind, message string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.HasPrefix(e.Message, message) {
		t.Errorf("%s: %v, want %s: %s", what, err, kind, message)
	}
}

// token makes a token with permissions and returns who has it.
func (e *testEngine) token(p *Principal, org point.ID, perms ...Permission) *Principal {
	e.t.Helper()
	_, token, err := e.CreateAuthorization(e.t.Context(), p, AuthorizationRequest{OrgID: org, Permissions: perms})
	if err != nil {
		e.t.Fatal(err)
	}
	got, err := e.AuthenticateToken(token)
	if err != nil {
		e.t.Fatal(err)
	}
	return got
}

func TestSetup(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.AuthDisabled = false })
	if !e.SetupAllowed() {
		t.Error("a fresh engine can be set up")
	}
	for _, tc := range []struct {
		name    string
		r       SetupRequest
		kind    Kind
		message string
	}{
		{"nothing", SetupRequest{}, Unprocessable, "onboarding failed: missing required fields [username, org, bucket]"},
		{"no org", SetupRequest{Username: "u", Bucket: "b"}, Unprocessable, "onboarding failed: missing required fields [org]"},
		{"short password", SetupRequest{Username: "u", Org: "o", Bucket: "b", Password: "pw"}, Invalid, "passwords must be between 8 and 72 characters long"},
		{"bucket name", SetupRequest{Username: "u", Org: "o", Bucket: "_b"}, Invalid, "bucket name _b is invalid"},
		{"retention", SetupRequest{Username: "u", Org: "o", Bucket: "b", RetentionPeriod: time.Minute}, Internal, "retention policy duration must be at least 1h0m0s"},
		{"long token", SetupRequest{Username: "u", Org: "o", Bucket: "b", Token: strings.Repeat("x", 2000)}, Invalid, "token is over"},
	} {
		_, err := e.Setup(t.Context(), tc.r)
		wantError(t, tc.name, err, tc.kind, tc.message)
	}
	if !e.SetupAllowed() || len(e.catalog.View().Organizations()) != 0 {
		t.Error("a failed set-up has left something behind")
	}
	res, err := e.Setup(t.Context(), SetupRequest{Username: "u", Password: "password1", Org: "o", Bucket: "b", Token: "chosen", RetentionPeriod: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if res.Token != "chosen" || res.Authorization.Description != "u's Token" || res.Bucket.Window != day {
		t.Errorf("%+v", res)
	}
	if _, err := e.Setup(t.Context(), SetupRequest{Username: "v", Org: "p", Bucket: "c"}); err == nil || e.SetupAllowed() {
		t.Error("it can be set up again")
	} else {
		wantError(t, "again", err, Conflict, "onboarding has already been completed")
	}
	p, err := e.AuthenticateToken("chosen")
	if err != nil || p.CanWrite(res.Bucket) != nil || p.CanRead(res.Bucket) != nil {
		t.Errorf("the operator token: %v", err)
	}
	if s, err := e.SignIn("u", "password1"); err != nil {
		t.Error(err)
	} else if p, err := e.AuthenticateSession(s.Key); err != nil || p.CanWrite(res.Bucket) != nil {
		t.Errorf("the first user's session: %v", err)
	}
	e.bucket = res.Bucket
	if err := e.write("m f=1"); err != nil {
		t.Errorf("writing to the first bucket: %v", err)
	}
	wantError(t, "deleting the last operator", e.DeleteUser(t.Context(), p, res.User.ID), Unprocessable, "the last operator")
	inactive := Inactive
	_, err = e.UpdateUser(t.Context(), p, res.User.ID, nil, &inactive)
	wantError(t, "deactivating the last operator", err, Unprocessable, "the last operator")
}

// Of many set-ups at once exactly one succeeds.
func TestSetupOnce(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.AuthDisabled = false })
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() {
			_, results[i] = e.Setup(context.Background(), SetupRequest{Username: fmt.Sprint("u", i), Org: fmt.Sprint("o", i), Bucket: "b"})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			wantError(t, "losing", err, Conflict, "onboarding")
		}
	}
	if n := len(e.catalog.View().Users()); won != 1 || n != 1 {
		t.Errorf("%d set-ups succeeded and left %d users", won, n)
	}
}

func TestDefaultOrganization(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, nil)
	o, err := e.DefaultOrganization()
	if err != nil || o.Name != DefaultOrganizationName {
		t.Errorf("%+v, %v", o, err)
	}
	if err := e.CreateDatabase(t.Context(), e.Operator(), o.ID, influxql.CreateDatabase{Name: "db"}); err != nil {
		t.Error(err)
	}
	if _, err := e.BucketForDatabase(e.Operator(), "db", ""); err != nil {
		t.Error(err)
	}
	if _, err := e.Setup(t.Context(), SetupRequest{Username: "u", Org: "acme", Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	if again, _ := e.DefaultOrganization(); again.ID != o.ID || again.Name != DefaultOrganizationName {
		t.Errorf("an organization that is in use has become %+v", again)
	}

	unused := openTest(t, t.TempDir(), nil)
	before, _ := unused.DefaultOrganization()
	if _, err := unused.Setup(t.Context(), SetupRequest{Username: "u", Org: "acme", Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	if after, _ := unused.DefaultOrganization(); after.ID != before.ID || after.Name != "acme" {
		t.Errorf("set-up does not take over the unused organization: %+v", after)
	}
}

func TestBucketRules(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	hour := time.Hour
	for _, tc := range []struct {
		name    string
		r       BucketRequest
		window  time.Duration
		kind    Kind
		message string
	}{
		{name: "none", window: 7 * day},
		{name: "3599s", r: BucketRequest{RetentionPeriod: 3599 * time.Second}, kind: Internal, message: "retention policy duration must be at least 1h0m0s"},
		{name: "1h", r: BucketRequest{RetentionPeriod: hour}, window: hour},
		{name: "2d-1s", r: BucketRequest{RetentionPeriod: 2*day - time.Second}, window: hour},
		{name: "2d", r: BucketRequest{RetentionPeriod: 2 * day}, window: day},
		{name: "180d-1s", r: BucketRequest{RetentionPeriod: 180*day - time.Second}, window: day},
		{name: "180d", r: BucketRequest{RetentionPeriod: 180 * day}, window: 7 * day},
		{name: "short window", r: BucketRequest{RetentionPeriod: day, Window: time.Minute}, window: hour},
		{name: "window over retention", r: BucketRequest{RetentionPeriod: hour, Window: day}, kind: Internal, message: "retention policy duration must be greater than the shard duration"},
		{name: "negative", r: BucketRequest{RetentionPeriod: -1}, kind: Unprocessable, message: "expiration seconds cannot be negative"},
		{name: "negative window", r: BucketRequest{RetentionPeriod: hour, Window: -1}, kind: Unprocessable, message: "shard-group duration seconds cannot be negative"},
		{name: "_x", kind: Invalid, message: "bucket name _x is invalid. Buckets may not start with underscore"},
		{name: `q"`, kind: Invalid, message: `bucket name q" is invalid. Bucket names may not include quotation marks`},
		{name: "b0", kind: Conflict, message: "bucket with name b0 already exists"},
		{name: "", window: 7 * day},
	} {
		tc.r.OrgID, tc.r.Name = org, tc.name
		b, err := e.CreateBucket(t.Context(), op, tc.r)
		switch {
		case tc.message != "":
			wantError(t, tc.name, err, tc.kind, tc.message)
		case err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case b.Window != tc.window:
			t.Errorf("%s: window %s, want %s", tc.name, b.Window, tc.window)
		}
	}
	_, err := e.CreateBucket(t.Context(), op, BucketRequest{Name: "x"})
	wantError(t, "no organization", err, Invalid, "organization id must be provided")
	_, err = e.CreateBucket(t.Context(), op, BucketRequest{OrgID: 1, Name: "x"})
	wantError(t, "unknown organization", err, NotFound, "organization not found")
	_, err = e.CreateBucket(t.Context(), nil, BucketRequest{OrgID: org, Name: "x"})
	wantError(t, "nobody", err, Unauthorized, "unauthorized access")

	period := func(d time.Duration) *time.Duration { return &d }
	name := func(s string) *string { return &s }
	for _, tc := range []struct {
		name    string
		u       BucketUpdate
		kind    Kind
		message string
	}{
		{"to a name that is taken", BucketUpdate{Name: name("1h")}, Conflict, "bucket name is not unique"},
		{"to a bad name", BucketUpdate{Name: name("_x")}, Invalid, "bucket name _x is invalid"},
		{"to its own name", BucketUpdate{Name: name("b0")}, 0, ""},
		{"retention below the window", BucketUpdate{RetentionPeriod: period(2 * hour)}, Unprocessable, "shard-group duration must also be updated to be smaller than new retention duration"},
		{"retention with window", BucketUpdate{RetentionPeriod: period(2 * hour), Window: hour}, 0, ""},
		{"retention below an hour", BucketUpdate{RetentionPeriod: period(time.Minute)}, Internal, "retention policy duration must be at least 1h0m0s"},
		{"no retention", BucketUpdate{RetentionPeriod: period(0)}, 0, ""},
	} {
		b, err := e.UpdateBucket(t.Context(), op, res.Bucket.ID, tc.u)
		if tc.message != "" {
			wantError(t, tc.name, err, tc.kind, tc.message)
		} else if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if tc.name == "no retention" && b.Window != hour {
			t.Errorf("%s: window %s, want the old one", tc.name, b.Window)
		}
	}
	_, err = e.UpdateBucket(t.Context(), op, 1, BucketUpdate{})
	wantError(t, "unknown", err, NotFound, "bucket not found")
}

// A shorter retention period is in effect at once, and a deleted bucket's name
// makes an empty one.
func TestBucketLife(t *testing.T) {
	dir := t.TempDir()
	e, res := setUpTest(t, dir)
	op := e.Operator()
	if err := e.write(fmt.Sprintf("m f=1 %d\nm f=2 %d", time.Now().Add(-2*time.Hour).UnixNano(), time.Now().UnixNano())); err != nil {
		t.Fatal(err)
	}
	if got := e.query("SELECT count(f) FROM m"); !strings.Contains(got, "2") {
		t.Errorf("before: %s", got)
	}
	hour := time.Hour
	if _, err := e.UpdateBucket(t.Context(), op, res.Bucket.ID, BucketUpdate{RetentionPeriod: &hour, Window: hour}); err != nil {
		t.Fatal(err)
	}
	if err := e.write(fmt.Sprintf("m f=3 %d", time.Now().Add(-2*time.Hour).UnixNano())); err == nil {
		t.Error("a point beyond the new retention period was taken")
	}
	if err := e.DeleteBucket(t.Context(), op, res.Bucket.ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, "again", e.DeleteBucket(t.Context(), op, res.Bucket.ID), NotFound, "bucket not found")
	if err := e.write("m f=1"); err == nil {
		t.Error("a deleted bucket takes writes")
	}
	b, err := e.CreateBucket(t.Context(), op, BucketRequest{OrgID: res.Organization.ID, Name: "b0"})
	if err != nil {
		t.Fatal(err)
	}
	if b.ID == res.Bucket.ID {
		t.Error("the same id twice")
	}
	e.bucket = b
	if got := e.query("SELECT f FROM m"); strings.Contains(got, "1") {
		t.Errorf("the new bucket has old points: %s", got)
	}
}

func TestBucketLists(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	for i := range 5 {
		if _, err := e.CreateBucket(t.Context(), op, BucketRequest{OrgID: org, Name: fmt.Sprint("c", i)}); err != nil {
			t.Fatal(err)
		}
	}
	names := func(p *Principal, f BucketFilter) string {
		t.Helper()
		list, err := e.Buckets(p, f)
		if err != nil {
			return err.Error()
		}
		var s []string
		for _, b := range list {
			s = append(s, b.Name)
		}
		return strings.Join(s, " ")
	}
	c1, _ := e.BucketByName(org, "c1")
	name := func(s string) *string { return &s }
	for _, tc := range []struct {
		f    BucketFilter
		want string
	}{
		{BucketFilter{OrgID: org}, "b0 c0 c1 c2 c3 c4"},
		{BucketFilter{OrgID: org, Page: Page{Limit: 2, Offset: 1}}, "c0 c1"},
		{BucketFilter{OrgID: org, Page: Page{Limit: 2, Descending: true}}, "c4 c3"},
		{BucketFilter{OrgID: org, Page: Page{Limit: 2, Offset: 10}}, ""},
		{BucketFilter{OrgID: org, Page: Page{Limit: 2, Offset: -1}}, "b0 c0"},
		{BucketFilter{OrgID: org, After: c1.ID, Page: Page{Limit: 2}}, "c2 c3"},
		{BucketFilter{OrgID: org, After: c1.ID, Page: Page{Limit: 2, Descending: true}}, "c0 b0"},
		{BucketFilter{ID: c1.ID}, "c1"},
		{BucketFilter{ID: 1}, "bucket not found"},
		{BucketFilter{OrgID: 1}, "organization not found"},
		{BucketFilter{OrgID: org, Name: name("c1")}, "c1"},
		{BucketFilter{Name: name("c1")}, "c1"},
		{BucketFilter{OrgID: org, Name: name("nope")}, `bucket "nope" not found`},
		{BucketFilter{Name: name("nope")}, `bucket "nope" not found`},
	} {
		if got := names(op, tc.f); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.f, got, tc.want)
		}
	}
	one := e.token(op, org, Permission{Action: ActionRead, Type: ResourceBuckets, ID: c1.ID, OrgID: org})
	if got := names(one, BucketFilter{OrgID: org}); got != "c1" {
		t.Errorf("a token that may read one bucket sees %q", got)
	}
	if got := names(nil, BucketFilter{OrgID: org}); got != "" {
		t.Errorf("nobody sees %q", got)
	}
}

// Who may do what, over the calls that write.
func TestPermissions(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	other, err := e.CreateOrganization(t.Context(), op, "other", "")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := e.CreateBucket(t.Context(), op, BucketRequest{OrgID: other.ID, Name: "foreign"})
	if err != nil {
		t.Fatal(err)
	}
	b := res.Bucket
	read := e.token(op, org, Permission{Action: ActionRead, Type: ResourceBuckets, ID: b.ID, OrgID: org})
	write := e.token(op, org, Permission{Action: ActionWrite, Type: ResourceBuckets, ID: b.ID, OrgID: org})
	all := e.token(op, org, Permission{Action: ActionRead, Type: ResourceBuckets, OrgID: org}, Permission{Action: ActionWrite, Type: ResourceBuckets, OrgID: org})
	wantError(t, "read-only", read.CanWrite(b), Unauthorized, "insufficient permissions for write")
	wantError(t, "read-only delete", read.CanDelete(b), Unauthorized, "insufficient permissions to delete")
	wantError(t, "write-only", write.CanRead(b), Unauthorized, "insufficient permissions for read")
	wantError(t, "other organization's", all.CanWrite(foreign), Unauthorized, "insufficient permissions for write")
	wantError(t, "nobody", (*Principal)(nil).CanWrite(b), Unauthorized, "unauthorized access")
	if read.CanRead(b) != nil || write.CanWrite(b) != nil || all.CanWrite(b) != nil || all.CanRead(b) != nil {
		t.Error("a token may not do what it is for")
	}

	_, err = e.BucketForDatabase(read, "b0", "")
	if err != nil {
		t.Errorf("mapping of a readable bucket: %v", err)
	}
	elsewhere := e.token(op, other.ID, Permission{Action: ActionRead, Type: ResourceBuckets, OrgID: other.ID})
	_, err = e.BucketForDatabase(elsewhere, "b0", "")
	wantError(t, "another organization's mapping", err, NotFound, "no dbrp mapping found")
	if got := e.Databases(elsewhere); !slices.Equal(got, []string{"foreign"}) {
		t.Errorf("databases of the other organization: %q", got)
	}

	_, err = e.CreateBucket(t.Context(), write, BucketRequest{OrgID: org, Name: "x"})
	wantError(t, "create with a bucket's token", err, Unauthorized, "write:orgs/"+org.String()+"/buckets is unauthorized")
	wantError(t, "delete with a read-only token", e.DeleteBucket(t.Context(), read, b.ID), Unauthorized, "write:orgs/"+org.String()+"/buckets/"+b.ID.String()+" is unauthorized")
	_, err = e.CreateOrganization(t.Context(), all, "x", "")
	wantError(t, "create an organization", err, Unauthorized, "write:orgs is unauthorized")
	_, err = e.Organization(all, other.ID)
	wantError(t, "read an organization", err, Unauthorized, "read:orgs/"+other.ID.String()+" is unauthorized")
	_, _, err = e.CreateAuthorization(t.Context(), all, AuthorizationRequest{OrgID: org, Permissions: read.Permissions})
	wantError(t, "create a token", err, Unauthorized, "write:orgs/"+org.String()+"/authorizations is unauthorized")
	issuer := e.token(op, org, Permission{Action: ActionWrite, Type: ResourceAuthorizations, OrgID: org})
	_, _, err = e.CreateAuthorization(t.Context(), issuer, AuthorizationRequest{OrgID: org, Permissions: all.Permissions})
	wantError(t, "give what one has not", err, Forbidden, "permission read:orgs/"+org.String()+"/buckets is not allowed")
	_, _, err = e.CreateAuthorization(t.Context(), op, AuthorizationRequest{OrgID: other.ID, Permissions: all.Permissions})
	wantError(t, "another organization's permissions", err, Invalid, "permission read:orgs/"+org.String()+"/buckets is not for org id "+other.ID.String())
	if got := e.Authorizations(all, AuthorizationFilter{}); len(got) != 0 {
		t.Errorf("a bucket's token sees tokens: %+v", got)
	}

	inactive := Inactive
	if _, err := e.UpdateAuthorization(t.Context(), op, write.AuthorizationID, &inactive, nil); err != nil {
		t.Fatal(err)
	}
	if err := write.CanWrite(b); err != nil {
		t.Errorf("a principal changes under its request: %v", err)
	}
	stale := *write
	stale.Status = Inactive
	wantError(t, "inactive", (&stale).CanWrite(b), Forbidden, "insufficient permissions for write: token is inactive")
	wantError(t, "inactive", (&stale).Active(), Unauthorized, "token is inactive")
}

// What has been answered survives a restart, and what has not been made does not.
func TestManagementSurvivesReopen(t *testing.T) {
	dir := t.TempDir()
	var token string
	var bucket BucketID
	t.Run("first", func(t *testing.T) {
		e, res := setUpTest(t, dir)
		token = res.Token
		b, err := e.CreateBucket(t.Context(), e.Operator(), BucketRequest{OrgID: res.Organization.ID, Name: "b1", Description: "d"})
		if err != nil {
			t.Fatal(err)
		}
		bucket, e.bucket = b.ID, b
		if err := e.write("m f=1 1"); err != nil {
			t.Fatal(err)
		}
	})
	e := openTest(t, dir, func(o *Options) { o.AuthDisabled = false })
	p, err := e.AuthenticateToken(token)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Bucket(p, bucket)
	if err != nil || b.Name != "b1" || b.Description != "d" {
		t.Errorf("%+v, %v", b, err)
	}
	e.bucket = b
	if got := e.query("SELECT f FROM m"); !strings.Contains(got, "1") {
		t.Errorf("the point is gone: %s", got)
	}
	if e.SetupAllowed() {
		t.Error("set-up is allowed again")
	}
}

// A catalogue that is lost does not take the points along, however often the
// engine is started without it.
func TestLostCatalogueKeepsRecords(t *testing.T) {
	dir := t.TempDir()
	t.Run("first", func(t *testing.T) {
		e := openTest(t, dir, nil).create("b", 0)
		if err := e.write("m f=1 1"); err != nil {
			t.Fatal(err)
		}
	})
	catalogue, aside := filepath.Join(dir, "catalog"), filepath.Join(dir, "aside")
	if err := os.Rename(catalogue, aside); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if e, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "restore the catalogue") {
			t.Fatalf("opened %v without its catalogue: %v", e, err)
		}
	}
	if err := os.RemoveAll(catalogue); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, catalogue); err != nil {
		t.Fatal(err)
	}
	e := openTest(t, dir, nil)
	e.find("b")
	e.expect("SELECT f FROM m", "m time=1 f=1\n")
}

func TestUsersAndMembers(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	u, err := e.CreateUser(t.Context(), op, "bob", Active)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.CreateUser(t.Context(), op, "bob", Active)
	wantError(t, "again", err, Conflict, "user with name bob already exists")
	_, err = e.CreateUser(t.Context(), op, " ", Active)
	wantError(t, "no name", err, Invalid, "user name is empty")
	wantError(t, "short", e.SetUserPassword(t.Context(), op, u.ID, "short"), Invalid, "passwords must be between")
	if err := e.SetUserPassword(t.Context(), op, u.ID, "bobs password"); err != nil {
		t.Fatal(err)
	}
	session, err := e.SignIn("bob", "bobs password")
	if err != nil {
		t.Fatal(err)
	}
	bob := func() *Principal {
		t.Helper()
		p, err := e.AuthenticateSession(session.Key)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	wantError(t, "without a role", bob().CanRead(res.Bucket), Unauthorized, "insufficient permissions for read")
	if me, err := e.Me(bob()); err != nil || me.Name != "bob" {
		t.Errorf("me: %+v, %v", me, err)
	}
	_, err = e.AddMember(t.Context(), bob(), org, u.ID, RoleOwner)
	wantError(t, "making oneself an owner", err, Unauthorized, "write:orgs/")
	if _, err := e.AddMember(t.Context(), op, org, u.ID, RoleMember); err != nil {
		t.Fatal(err)
	}
	if err := bob().CanRead(res.Bucket); err != nil {
		t.Error(err)
	}
	wantError(t, "a member", bob().CanWrite(res.Bucket), Unauthorized, "insufficient permissions for write")
	if _, err := e.AddMember(t.Context(), op, org, u.ID, RoleOwner); err != nil {
		t.Fatal(err)
	}
	if err := bob().CanWrite(res.Bucket); err != nil {
		t.Error(err)
	}
	owners, err := e.Members(op, org, RoleOwner)
	if err != nil || len(owners) != 2 {
		t.Errorf("owners: %+v, %v", owners, err)
	}
	members, err := e.Members(op, org, RoleMember)
	if err != nil || len(members) != 0 {
		t.Errorf("members: %+v, %v", members, err)
	}
	wantError(t, "no member", e.RemoveMember(t.Context(), op, org, u.ID, RoleMember), NotFound, "user not found")
	if err := e.SetUserPassword(t.Context(), bob(), u.ID, "another password"); err != nil {
		t.Errorf("setting one's own password: %v", err)
	}
	_, err = e.AuthenticateSession(session.Key)
	wantError(t, "after a new password", err, Unauthorized, "unauthorized access")
	if err := e.RemoveMember(t.Context(), op, org, u.ID, RoleOwner); err != nil {
		t.Error(err)
	}
	if err := e.DeleteUser(t.Context(), op, u.ID); err != nil {
		t.Error(err)
	}
	_, err = e.SignIn("bob", "another password")
	wantError(t, "deleted", err, Unauthorized, "unauthorized access")
	list, err := e.Users(op, UserFilter{})
	if err != nil || len(list) != 1 || list[0].Name != "admin" {
		t.Errorf("users: %+v, %v", list, err)
	}
}

func TestLegacyAuthorizations(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	perms := []Permission{{Action: ActionWrite, Type: ResourceBuckets, ID: res.Bucket.ID, OrgID: org}}
	a, err := e.CreateLegacyAuthorization(t.Context(), op, "v1", AuthorizationRequest{OrgID: org, Permissions: perms})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.CreateLegacyAuthorization(t.Context(), op, "v1", AuthorizationRequest{OrgID: org, Permissions: perms})
	wantError(t, "again", err, Conflict, "token already exists")
	_, err = e.AuthenticateLegacy("v1", "v1password")
	wantError(t, "without a password", err, Unauthorized, "Unauthorized")
	if err := e.SetLegacyPassword(t.Context(), op, a.ID, "v1password"); err != nil {
		t.Fatal(err)
	}
	p, err := e.AuthenticateLegacy("v1", "v1password")
	if err != nil || p.CanWrite(res.Bucket) != nil || p.OrgID != org {
		t.Fatalf("%+v, %v", p, err)
	}
	inactive := Inactive
	if _, err := e.UpdateLegacyAuthorization(t.Context(), op, a.ID, &inactive, nil); err != nil {
		t.Fatal(err)
	}
	_, err = e.AuthenticateLegacy("v1", "v1password")
	wantError(t, "inactive", err, Unauthorized, "Unauthorized")
	if err := e.DeleteLegacyAuthorization(t.Context(), op, a.ID); err != nil {
		t.Fatal(err)
	}
	_, err = e.LegacyAuthorization(op, a.ID)
	wantError(t, "deleted", err, NotFound, "authorization not found")
}

func TestDBRPs(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org, bucket := e.Operator(), res.Organization.ID, res.Bucket.ID
	for _, tc := range []struct {
		r       DBRPRequest
		kind    Kind
		message string
	}{
		{DBRPRequest{OrgID: org, BucketID: bucket, RetentionPolicy: "r"}, Invalid, "DBRP provided is invalid: database must contain at least one character and only be letters, numbers, '_', '-', and '.'"},
		{DBRPRequest{OrgID: org, BucketID: bucket, Database: "d", RetentionPolicy: "a b"}, Invalid, "DBRP provided is invalid: retentionPolicy must contain"},
		{DBRPRequest{OrgID: org, BucketID: 1, Database: "d", RetentionPolicy: "r"}, NotFound, "bucket not found"},
		{DBRPRequest{OrgID: 1, BucketID: bucket, Database: "d", RetentionPolicy: "r"}, NotFound, "organization not found"},
	} {
		_, err := e.CreateDBRP(t.Context(), op, tc.r)
		wantError(t, fmt.Sprintf("%+v", tc.r), err, tc.kind, tc.message)
	}
	m, err := e.CreateDBRP(t.Context(), op, DBRPRequest{OrgID: org, BucketID: bucket, Database: "d", RetentionPolicy: "r"})
	if err != nil || !m.Default || m.Virtual {
		t.Fatalf("%+v, %v", m, err)
	}
	_, err = e.CreateDBRP(t.Context(), op, DBRPRequest{OrgID: org, BucketID: bucket, Database: "d", RetentionPolicy: "r"})
	wantError(t, "again", err, Conflict, "another DBRP mapping with same orgID, db, and rp exists")
	if b, err := e.BucketForDatabase(op, "d", ""); err != nil || b.ID != bucket {
		t.Errorf("%+v, %v", b, err)
	}
	second, err := e.CreateDBRP(t.Context(), op, DBRPRequest{OrgID: org, BucketID: bucket, Database: "d", RetentionPolicy: "s"})
	if err != nil || second.Default {
		t.Fatalf("%+v, %v", second, err)
	}
	yes := true
	if got, err := e.UpdateDBRP(t.Context(), op, org, second.ID, nil, &yes); err != nil || !got.Default {
		t.Errorf("%+v, %v", got, err)
	}
	if got, _ := e.DBRP(op, org, m.ID); got.Default {
		t.Error("two defaults")
	}
	if err := e.DeleteDBRP(t.Context(), op, org, second.ID); err != nil {
		t.Error(err)
	}
	if got, _ := e.DBRP(op, org, m.ID); !got.Default {
		t.Error("deleting the default does not pass it on")
	}
	if err := e.DeleteDBRP(t.Context(), op, org, bucket); err != nil {
		t.Errorf("deleting a virtual mapping: %v", err)
	}
	if got, err := e.DBRP(op, org, bucket); err != nil || !got.Virtual || got.Database != "b0" || !got.Default {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = e.DBRP(op, org, 1)
	wantError(t, "unknown", err, NotFound, "unable to find DBRP")
	if list := e.DBRPs(op, DBRPFilter{OrgID: org}); len(list) != 2 || list[0].Virtual || !list[1].Virtual {
		t.Errorf("%+v", list)
	}
	if list := e.DBRPs(op, DBRPFilter{OrgID: org, Virtual: &yes}); len(list) != 1 {
		t.Errorf("%+v", list)
	}
	if got := e.Databases(op); !slices.Equal(got, []string{"d", "b0"}) {
		t.Errorf("databases %q", got)
	}
}

// InfluxQL's databases and retention policies are buckets.
func TestDatabases(t *testing.T) {
	e := openTest(t, t.TempDir(), nil)
	op := e.Operator()
	org := op.OrgID
	ctx := t.Context()
	buckets := func() string {
		var names []string
		for _, b := range e.catalog.View().Buckets(org) {
			names = append(names, fmt.Sprintf("%s:%s/%s", b.Name, b.RetentionPeriod, b.Window))
		}
		return strings.Join(names, " ")
	}
	policies := func(db string) string {
		var names []string
		for _, r := range e.RetentionPolicies(e.Operator(), db) {
			name := r.Name
			if r.Default {
				name += "*"
			}
			names = append(names, name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	hour, week := time.Hour, 7*day
	for _, step := range []struct {
		name     string
		run      func() error
		kind     Kind
		message  string
		buckets  string
		policies string // of db
	}{
		{name: "create", run: func() error { return e.CreateDatabase(ctx, op, org, influxql.CreateDatabase{Name: "db"}) },
			buckets: "db:0s/168h0m0s", policies: "autogen*"},
		{name: "create again", run: func() error { return e.CreateDatabase(ctx, op, org, influxql.CreateDatabase{Name: "db"}) },
			buckets: "db:0s/168h0m0s", policies: "autogen*"},
		{name: "create otherwise", run: func() error {
			return e.CreateDatabase(ctx, op, org, influxql.CreateDatabase{Name: "db", RetentionPolicy: &influxql.RetentionPolicySpec{Duration: &hour}})
		}, kind: Conflict, message: "retention policy conflicts with an existing policy", buckets: "db:0s/168h0m0s", policies: "autogen*"},
		{name: "bad name", run: func() error { return e.CreateDatabase(ctx, op, org, influxql.CreateDatabase{Name: "a/b"}) },
			kind: Invalid, message: "invalid name", buckets: "db:0s/168h0m0s", policies: "autogen*"},
		{name: "policy", run: func() error {
			return e.CreateRetentionPolicy(ctx, op, org, influxql.CreateRetentionPolicy{Database: "db", Name: "week", Duration: week})
		}, buckets: "db:0s/168h0m0s db/week:168h0m0s/24h0m0s", policies: "autogen* week"},
		{name: "policy again", run: func() error {
			return e.CreateRetentionPolicy(ctx, op, org, influxql.CreateRetentionPolicy{Database: "db", Name: "week", Duration: week})
		}, buckets: "db:0s/168h0m0s db/week:168h0m0s/24h0m0s", policies: "autogen* week"},
		{name: "policy otherwise", run: func() error {
			return e.CreateRetentionPolicy(ctx, op, org, influxql.CreateRetentionPolicy{Database: "db", Name: "week", Duration: hour})
		}, kind: Conflict, message: "retention policy already exists", buckets: "db:0s/168h0m0s db/week:168h0m0s/24h0m0s", policies: "autogen* week"},
		{name: "policy of nothing", run: func() error {
			return e.CreateRetentionPolicy(ctx, op, org, influxql.CreateRetentionPolicy{Database: "nope", Name: "week", Duration: week})
		}, kind: NotFound, message: "database not found: nope", buckets: "db:0s/168h0m0s db/week:168h0m0s/24h0m0s", policies: "autogen* week"},
		{name: "short policy", run: func() error {
			return e.CreateRetentionPolicy(ctx, op, org, influxql.CreateRetentionPolicy{Database: "db", Name: "min", Duration: time.Minute})
		}, kind: Internal, message: "retention policy duration must be at least 1h0m0s", buckets: "db:0s/168h0m0s db/week:168h0m0s/24h0m0s", policies: "autogen* week"},
		{name: "alter default", run: func() error {
			return e.AlterRetentionPolicy(ctx, op, org, influxql.AlterRetentionPolicy{Database: "db", Name: "week", Default: true})
		}, buckets: "db:0s/168h0m0s db/week:168h0m0s/24h0m0s", policies: "autogen week*"},
		{name: "alter duration", run: func() error {
			return e.AlterRetentionPolicy(ctx, op, org, influxql.AlterRetentionPolicy{Database: "db", Name: "week", Duration: &hour, ShardGroupDuration: &hour})
		}, buckets: "db:0s/168h0m0s db/week:1h0m0s/1h0m0s", policies: "autogen week*"},
		{name: "alter default back", run: func() error {
			return e.AlterRetentionPolicy(ctx, op, org, influxql.AlterRetentionPolicy{Database: "db", Name: "autogen", Default: true})
		}, buckets: "db:0s/168h0m0s db/week:1h0m0s/1h0m0s", policies: "autogen* week"},
		{name: "alter nothing", run: func() error {
			return e.AlterRetentionPolicy(ctx, op, org, influxql.AlterRetentionPolicy{Database: "db", Name: "nope", Default: true})
		}, kind: NotFound, message: "retention policy not found: nope", buckets: "db:0s/168h0m0s db/week:1h0m0s/1h0m0s", policies: "autogen* week"},
		{name: "second database", run: func() error {
			return e.CreateDatabase(ctx, op, org, influxql.CreateDatabase{Name: "e", RetentionPolicy: &influxql.RetentionPolicySpec{Name: "named", Duration: &week}})
		}, buckets: "db:0s/168h0m0s db/week:1h0m0s/1h0m0s e/named:168h0m0s/24h0m0s", policies: "autogen* week"},
		{name: "drop policy", run: func() error { return e.DropRetentionPolicy(ctx, op, org, "db", "week") },
			buckets: "db:0s/168h0m0s e/named:168h0m0s/24h0m0s", policies: "autogen*"},
		{name: "drop policy again", run: func() error { return e.DropRetentionPolicy(ctx, op, org, "db", "week") },
			buckets: "db:0s/168h0m0s e/named:168h0m0s/24h0m0s", policies: "autogen*"},
		{name: "drop", run: func() error { return e.DropDatabase(ctx, op, org, "db") }, buckets: "e/named:168h0m0s/24h0m0s"},
		{name: "drop again", run: func() error { return e.DropDatabase(ctx, op, org, "db") }, buckets: "e/named:168h0m0s/24h0m0s"},
	} {
		err := step.run()
		if step.message != "" {
			wantError(t, step.name, err, step.kind, step.message)
		} else if err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if got := buckets(); got != step.buckets {
			t.Errorf("%s: buckets %q, want %q", step.name, got, step.buckets)
		}
		if got := policies("db"); got != step.policies {
			t.Errorf("%s: policies %q, want %q", step.name, got, step.policies)
		}
	}
	if b, err := e.BucketForDatabase(e.Operator(), "e", ""); err != nil || b.Name != "e/named" {
		t.Errorf("the named default policy: %+v, %v", b, err)
	}
	if got := e.Databases(e.Operator()); !slices.Equal(got, []string{"e"}) {
		t.Errorf("databases %q", got)
	}
}

// A token of one bucket can run the CREATE DATABASE that clients begin with, if
// there is nothing left to create, and nothing more.
func TestDatabasePermissions(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	p := e.token(op, org, Permission{Action: ActionRead, Type: ResourceBuckets, ID: res.Bucket.ID, OrgID: org})
	ctx := t.Context()
	if err := e.CreateDatabase(ctx, p, org, influxql.CreateDatabase{Name: "b0"}); err != nil {
		t.Error(err)
	}
	wantError(t, "create", e.CreateDatabase(ctx, p, org, influxql.CreateDatabase{Name: "new"}), Unauthorized, "insufficient permissions")
	wantError(t, "drop", e.DropDatabase(ctx, p, org, "b0"), Unauthorized, "insufficient permissions")
	wantError(t, "policy", e.CreateRetentionPolicy(ctx, p, org, influxql.CreateRetentionPolicy{Database: "b0", Name: "x"}), Unauthorized, "insufficient permissions")
	wantError(t, "alter", e.AlterRetentionPolicy(ctx, p, org, influxql.AlterRetentionPolicy{Database: "b0", Name: "autogen"}), Unauthorized, "insufficient permissions")
	wantError(t, "drop policy", e.DropRetentionPolicy(ctx, p, org, "b0", "autogen"), Unauthorized, "insufficient permissions")
	if _, err := e.CreateBucket(ctx, op, BucketRequest{OrgID: org, Name: "hidden"}); err != nil {
		t.Fatal(err)
	}
	wantError(t, "alter what is hidden", e.AlterRetentionPolicy(ctx, p, org, influxql.AlterRetentionPolicy{Database: "hidden", Name: "autogen"}), NotFound, "database not found: hidden")
	if got := e.Databases(p); !slices.Equal(got, []string{"b0"}) {
		t.Errorf("databases %q", got)
	}
	if got := e.RetentionPolicies(p, "hidden"); len(got) != 0 {
		t.Errorf("policies of a hidden database: %+v", got)
	}
	if len(e.catalog.View().Buckets(org)) != 2 {
		t.Error("something has been made or dropped")
	}
}

// A token that an agent writes one bucket with does not drop it as a database.
func TestDropDatabaseNeedsTheWholeOrganization(t *testing.T) {
	e, res := setUpTest(t, t.TempDir())
	op, org := e.Operator(), res.Organization.ID
	agent := e.token(op, org, Permission{Action: ActionWrite, Type: ResourceBuckets, ID: res.Bucket.ID, OrgID: org})
	wantError(t, "one bucket's token", e.DropDatabase(t.Context(), agent, org, "b0"), Unauthorized, "insufficient permissions")
	wantError(t, "its policy", e.DropRetentionPolicy(t.Context(), agent, org, "b0", "autogen"), Unauthorized, "insufficient permissions")
	all := e.token(op, org, Permission{Action: ActionWrite, Type: ResourceBuckets, OrgID: org})
	if err := e.DropDatabase(t.Context(), all, org, "b0"); err != nil {
		t.Error(err)
	}
	if _, ok := e.BucketByID(res.Bucket.ID); ok {
		t.Error("the bucket is still there")
	}
}
