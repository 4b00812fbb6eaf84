package clienttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/api"
	"github.com/influxdata/influxdb-client-go/v2/domain"
)

// wantText fails unless err's text contains this.
func wantText(t testing.TB, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want an error with %q", what, err, text)
	}
}

func TestBuckets(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	c := newClient(t, s, Token, options())
	org, err := c.OrganizationsAPI().FindOrganizationByName(ctx, Org)
	if err != nil {
		t.Fatal(err)
	}
	b := c.BucketsAPI()
	made, err := b.CreateBucketWithName(ctx, org, "sensors", domain.RetentionRule{EverySeconds: 86400})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "sensors" || *made.OrgID != *org.Id || made.RetentionRules[0].EverySeconds != 86400 || time.Since(*made.CreatedAt) > time.Minute {
		t.Errorf("made %+v", made)
	}
	if err := c.WriteAPIBlocking(Org, "sensors").WriteRecord(ctx, "m f=1", "m f=2 1"); err == nil {
		t.Error("a point of 1970 was taken into a bucket that keeps a day")
	} else {
		wantError(t, "beyond retention", err, 422, "unprocessable entity", "failure writing points to database: partial write: dropped 1 points outside retention policy of duration 24h0m0s...")
	}
	if err := c.WriteAPIBlocking(Org, *made.Id).WriteRecord(ctx, "m f=3"); err != nil {
		t.Errorf("write to the bucket's id: %v", err)
	}

	found, err := b.FindBucketByName(ctx, "sensors")
	if err != nil || *found.Id != *made.Id {
		t.Errorf("by name: %+v, %v", found, err)
	}
	if found, err = b.FindBucketByID(ctx, *made.Id); err != nil || found.Name != "sensors" {
		t.Errorf("by id: %+v, %v", found, err)
	}
	description := "kitchen"
	found.Description = &description
	found.Name = "kitchen"
	found.RetentionRules = domain.RetentionRules{{EverySeconds: 2 * 86400}}
	if found, err = b.UpdateBucket(ctx, found); err != nil || found.Name != "kitchen" || *found.Description != description || found.RetentionRules[0].EverySeconds != 2*86400 {
		t.Errorf("update: %+v, %v", found, err)
	}
	s.WantRows(t, "kitchen", "SELECT count(f) FROM m", "0 2")

	want := []string{Bucket, "kitchen"}
	for i := range 23 {
		name := fmt.Sprintf("more-%02d", i)
		if _, err := b.CreateBucketWithNameWithID(ctx, *org.Id, name); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	var got []string
	for offset := 0; ; offset += 10 {
		page, err := b.FindBucketsByOrgName(ctx, Org, api.PagingWithLimit(10), api.PagingWithOffset(offset))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range *page {
			got = append(got, p.Name)
		}
		if len(*page) < 10 {
			break
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("pages have %q, want %q", got, want)
	}

	_, err = b.CreateBucketWithName(ctx, org, Bucket)
	wantText(t, "same name", err, "conflict: bucket with name b0 already exists")
	_, err = b.FindBucketByName(ctx, "nope")
	wantText(t, "unknown name", err, `not found: bucket "nope" not found`)
	if err := b.DeleteBucket(ctx, made); err != nil {
		t.Errorf("delete: %v", err)
	}
	wantText(t, "delete again", b.DeleteBucketWithID(ctx, *made.Id), "not found: bucket not found")
	_, err = b.FindBucketByID(ctx, *made.Id)
	wantText(t, "find the deleted", err, "not found: bucket not found")
	err = c.WriteAPIBlocking(Org, "kitchen").WriteRecord(ctx, "m f=1")
	wantError(t, "write to the deleted", err, 404, "not found", `bucket "kitchen" not found`)
}

func TestOrganizations(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	c := newClient(t, s, Token, options())
	o := c.OrganizationsAPI()
	made, err := o.CreateOrganizationWithName(ctx, "umbrella")
	if err != nil {
		t.Fatal(err)
	}
	description := "rain"
	made.Description = &description
	if made, err = o.UpdateOrganization(ctx, made); err != nil || *made.Description != description {
		t.Errorf("update: %+v, %v", made, err)
	}
	if found, err := o.FindOrganizationByID(ctx, *made.Id); err != nil || found.Name != "umbrella" {
		t.Errorf("by id: %+v, %v", found, err)
	}
	all, err := o.GetOrganizations(ctx)
	if err != nil || len(*all) != 2 {
		t.Errorf("all: %+v, %v", all, err)
	}
	if _, err := c.BucketsAPI().CreateBucketWithName(ctx, made, Bucket); err != nil {
		t.Errorf("a bucket of the same name in another organization: %v", err)
	}
	if err := c.WriteAPIBlocking("umbrella", Bucket).WriteRecord(ctx, "m f=1 1"); err != nil {
		t.Errorf("write: %v", err)
	}
	_, err = o.CreateOrganizationWithName(ctx, "umbrella")
	wantText(t, "same name", err, "conflict: organization with name umbrella already exists")
	_, err = o.FindOrganizationByName(ctx, "nope")
	wantText(t, "unknown name", err, `not found: organization name "nope" not found`)
	if err := o.DeleteOrganization(ctx, made); err != nil {
		t.Errorf("delete: %v", err)
	}
	err = c.WriteAPIBlocking("umbrella", Bucket).WriteRecord(ctx, "m f=1 1")
	wantError(t, "write to the deleted", err, 404, "not found", `organization name "umbrella" not found`)
}

func TestAuthorizations(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	c := newClient(t, s, Token, options())
	org, err := c.OrganizationsAPI().FindOrganizationByName(ctx, Org)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := c.BucketsAPI().FindBucketByName(ctx, Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.BucketsAPI().CreateBucketWithName(ctx, org, "other"); err != nil {
		t.Fatal(err)
	}
	a := c.AuthorizationsAPI()
	made, err := a.CreateAuthorizationWithOrgID(ctx, *org.Id, []domain.Permission{{
		Action: domain.PermissionActionWrite, Resource: domain.Resource{Type: domain.ResourceTypeBuckets, Id: bucket.Id, OrgID: org.Id},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(*made.Token) != 88 || *made.Org != Org || *made.Status != domain.AuthorizationUpdateRequestStatusActive || len(*made.Permissions) != 1 {
		t.Errorf("made %+v", made)
	}
	writer := newClient(t, s, *made.Token, options())
	if err := writer.WriteAPIBlocking(Org, Bucket).WriteRecord(ctx, "m f=1 1"); err != nil {
		t.Errorf("write: %v", err)
	}
	err = writer.WriteAPIBlocking(Org, "other").WriteRecord(ctx, "m f=1 1")
	wantError(t, "write to the other bucket", err, 401, "unauthorized", "insufficient permissions for write")

	list, err := a.FindAuthorizationsByOrgName(ctx, Org)
	if err != nil || len(*list) != 2 {
		t.Fatalf("list: %+v, %v", list, err)
	}
	for _, l := range *list {
		if *l.Token != "" {
			t.Errorf("the list shows the token of %s", *l.Id)
		}
	}
	if made, err = a.UpdateAuthorizationStatus(ctx, made, domain.AuthorizationUpdateRequestStatusInactive); err != nil || *made.Status != domain.AuthorizationUpdateRequestStatusInactive {
		t.Errorf("update: %+v, %v", made, err)
	}
	err = writer.WriteAPIBlocking(Org, Bucket).WriteRecord(ctx, "m f=2 2")
	wantError(t, "write with the inactive token", err, 403, "forbidden", "insufficient permissions for write: token is inactive")
	if err := a.DeleteAuthorization(ctx, made); err != nil {
		t.Errorf("delete: %v", err)
	}
	wantText(t, "delete again", a.DeleteAuthorization(ctx, made), "not found: authorization not found")
	err = writer.WriteAPIBlocking(Org, Bucket).WriteRecord(ctx, "m f=3 3")
	wantError(t, "write with the deleted token", err, 401, "unauthorized", "unauthorized access")
	s.WantRows(t, Bucket, "SELECT f FROM m", "1 1")
}

func TestUsers(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	u := newClient(t, s, Token, options()).UsersAPI()
	me, err := u.Me(ctx)
	if err != nil || me.Name != "admin" {
		t.Fatalf("me: %+v, %v", me, err)
	}
	made, err := u.CreateUserWithName(ctx, "carol")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UpdateUserPassword(ctx, made, "password2"); err != nil {
		t.Errorf("password: %v", err)
	}
	if found, err := u.FindUserByName(ctx, "carol"); err != nil || *found.Id != *made.Id {
		t.Errorf("by name: %+v, %v", found, err)
	}
	session := newClient(t, s, "", options()).UsersAPI()
	wantText(t, "wrong password", session.SignIn(ctx, "carol", "password3"), "unauthorized")
	if err := session.SignIn(ctx, "carol", "password2"); err != nil {
		t.Fatalf("sign in: %v", err)
	}
	if me, err := session.Me(ctx); err != nil || me.Name != "carol" {
		t.Errorf("me, signed in: %+v, %v", me, err)
	}
	if err := session.SignOut(ctx); err != nil {
		t.Errorf("sign out: %v", err)
	}
	_, err = session.Me(ctx)
	wantText(t, "me, signed out", err, "unauthorized")
	if err := u.DeleteUser(ctx, made); err != nil {
		t.Errorf("delete: %v", err)
	}
}
