package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// testNow is a clock that moves a second each time it is looked at.
func testNow() func() time.Time {
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
}

func open(t testing.TB, dir string, o Options) *Catalog {
	t.Helper()
	if o.PasswordCost == 0 {
		o.PasswordCost = 4
	}
	if o.Now == nil {
		o.Now = testNow()
	}
	c, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func update(t testing.TB, c *Catalog, fn func(tx *Tx) error) {
	t.Helper()
	if err := c.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func putOrg(t testing.TB, c *Catalog, name string) (id point.ID) {
	t.Helper()
	update(t, c, func(tx *Tx) error {
		id = tx.NewID()
		return tx.PutOrganization(Organization{ID: id, Name: name, CreatedAt: tx.Now(), UpdatedAt: tx.Now()})
	})
	return id
}

func putBucket(t testing.TB, c *Catalog, org point.ID, name string) (id point.ID) {
	t.Helper()
	update(t, c, func(tx *Tx) error {
		id = tx.NewID()
		return tx.PutBucket(Bucket{ID: id, OrgID: org, Name: name, Window: time.Hour, CreatedAt: tx.Now(), UpdatedAt: tx.Now()})
	})
	return id
}

func putUser(t testing.TB, c *Catalog, name, password string) (id point.ID) {
	t.Helper()
	hash := ""
	if password != "" {
		var err error
		if hash, err = c.HashPassword(password); err != nil {
			t.Fatal(err)
		}
	}
	update(t, c, func(tx *Tx) error {
		id = tx.NewID()
		return tx.PutUser(User{ID: id, Name: name, PasswordHash: hash, CreatedAt: tx.Now(), UpdatedAt: tx.Now()})
	})
	return id
}

// dumpText is everything a view holds, in a fixed order.
func dumpText(v *View) string {
	var lines []string
	for r := range v.allRecords() {
		b, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		lines = append(lines, string(r.kind())+" "+string(b))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// checkIndexes compares every index of v with what the records say.
func checkIndexes(t *testing.T, v *View) {
	t.Helper()
	for _, o := range v.Organizations() {
		if got, _ := v.OrganizationByName(o.Name); got != o {
			t.Errorf("organization %q is not found by name", o.Name)
		}
	}
	for _, u := range v.Users() {
		if got, _ := v.UserByName(u.Name); got != u {
			t.Errorf("user %q is not found by name", u.Name)
		}
	}
	for _, b := range v.Buckets(0) {
		if got, _ := v.BucketByName(b.OrgID, b.Name); got != b {
			t.Errorf("bucket %q is not found by name", b.Name)
		}
	}
	for _, a := range v.Authorizations() {
		if got, _ := v.AuthorizationByToken(a.Token); got != a {
			t.Errorf("authorization %s is not found by token", a.ID)
		}
	}
	defaults := 0
	for _, m := range v.dbrps.all() {
		if got, _ := v.ExplicitDBRP(m.OrgID, m.Database, m.RetentionPolicy); got != m {
			t.Errorf("mapping %s.%s is not found by name", m.Database, m.RetentionPolicy)
		}
		def, ok := v.DefaultDBRP(m.OrgID, m.Database)
		if !ok || m.Default != (def == m) {
			t.Errorf("mapping %s.%s: default %v, index has %v", m.Database, m.RetentionPolicy, m.Default, def)
		}
		if m.Default {
			defaults++
		}
	}
	for _, want := range []struct {
		name      string
		got, want int
	}{
		{"organizations", v.orgNames.len(), v.orgs.len()}, {"users", v.userNames.len(), v.users.len()},
		{"members", v.memberOf.len(), v.members.len()}, {"buckets", v.bucketOf.len(), v.buckets.len()},
		{"tokens", v.tokens.len(), v.auths.len()}, {"legacy", v.legacyOf.len(), v.legacy.len()},
		{"mappings", v.dbrpOf.len(), v.dbrps.len()}, {"defaults", v.dbrpDefOf.len(), defaults},
	} {
		if want.got != want.want {
			t.Errorf("index of %s has %d entries, want %d", want.name, want.got, want.want)
		}
	}
}

func TestUpdateSurvivesReopen(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	org := putOrg(t, c, "acme")
	bucket := putBucket(t, c, org, "b0")
	user := putUser(t, c, "ünï \"q\" <x>", "password1")
	update(t, c, func(tx *Tx) error {
		if _, err := tx.PutDBRP(DBRP{ID: tx.NewID(), OrgID: org, BucketID: bucket, Database: "db", RetentionPolicy: "rp", CreatedAt: tx.Now()}); err != nil {
			return err
		}
		return errors.Join(
			tx.PutMember(Member{ID: tx.NewID(), OrgID: org, UserID: user, Role: RoleOwner}),
			tx.PutAuthorization(Authorization{ID: tx.NewID(), Token: HashToken("t"), Status: Inactive, OrgID: org, UserID: user, Permissions: OperatorPermissions(), CreatedAt: tx.Now(), UpdatedAt: tx.Now()}),
			tx.PutLegacyAuthorization(LegacyAuthorization{ID: tx.NewID(), Name: "v1", OrgID: org, UserID: user, Permissions: []Permission{{Read, Buckets, bucket, org}}, CreatedAt: tx.Now(), UpdatedAt: tx.Now()}))
	})
	want := dumpText(c.View())
	if n := strings.Count(want, "\n") + 1; n != 7 {
		t.Fatalf("%d records, want 7:\n%s", n, want)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, Options{})
	if got := dumpText(again.View()); got != want {
		t.Errorf("after reopening:\n%s\nwant:\n%s", got, want)
	}
	checkIndexes(t, again.View())
	if err := c.Update(func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("update after close: %v", err)
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	org := putOrg(t, c, "acme")
	before, view := dumpText(c.View()), c.View()
	boom := errors.New("boom")
	err := c.Update(func(tx *Tx) error {
		if err := tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: org, Name: "b"}); err != nil {
			return err
		}
		if _, ok := tx.BucketByName(org, "b"); !ok {
			t.Error("a transaction does not see its own change")
		}
		if _, ok := c.View().BucketByName(org, "b"); ok {
			t.Error("a staged change is visible outside")
		}
		return boom
	})
	if err != boom {
		t.Errorf("Update returned %v, want the function's own error", err)
	}
	if c.View() != view || dumpText(c.View()) != before {
		t.Error("a failed update has changed the view")
	}
}

// A view taken before a change stays as it was, whatever is changed afterwards.
func TestViewsAreSnapshots(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	org := putOrg(t, c, "acme")
	var ids []point.ID
	for i := range 50 {
		ids = append(ids, putBucket(t, c, org, fmt.Sprint("b", i)))
	}
	old, want := c.View(), dumpText(c.View())
	for i, id := range ids {
		update(t, c, func(tx *Tx) error {
			if i%2 == 0 {
				return tx.DeleteBucket(id)
			}
			b, _ := tx.Bucket(id)
			renamed := *b
			renamed.Name += "x"
			return tx.PutBucket(renamed)
		})
	}
	if got := dumpText(old); got != want {
		t.Error("an old view has changed")
	}
	checkIndexes(t, old)
	checkIndexes(t, c.View())
}

func TestNamesAreUnique(t *testing.T) {
	c := open(t, t.TempDir(), Options{RecordsMax: 8})
	a, b := putOrg(t, c, "a"), putOrg(t, c, "b")
	bucket := putBucket(t, c, a, "x")
	putBucket(t, c, b, "x") // another organization's
	user := putUser(t, c, "u", "")
	for _, tc := range []struct {
		name string
		fn   func(tx *Tx) error
		want error
	}{
		{"organization", func(tx *Tx) error { return tx.PutOrganization(Organization{ID: tx.NewID(), Name: "a"}) }, ErrExists},
		{"bucket", func(tx *Tx) error { return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: a, Name: "x"}) }, ErrExists},
		{"bucket of no organization", func(tx *Tx) error { return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: 1, Name: "y"}) }, ErrNotFound},
		{"user", func(tx *Tx) error { return tx.PutUser(User{ID: tx.NewID(), Name: "u"}) }, ErrExists},
		{"member of no organization", func(tx *Tx) error { return tx.PutMember(Member{ID: tx.NewID(), OrgID: 1, UserID: user}) }, ErrNotFound},
		{"mapping to another organization's bucket", func(tx *Tx) error {
			_, err := tx.PutDBRP(DBRP{ID: tx.NewID(), OrgID: b, BucketID: bucket, Database: "d", RetentionPolicy: "r"})
			return err
		}, ErrNotFound},
		{"not UTF-8", func(tx *Tx) error { return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: a, Name: "\xff"}) }, ErrEncoding},
		{"delete nothing", func(tx *Tx) error { return tx.DeleteBucket(7) }, ErrNotFound},
		{"full", func(tx *Tx) error {
			for i := range 4 {
				if err := tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: a, Name: fmt.Sprint(i)}); err != nil {
					return err
				}
			}
			return nil
		}, ErrFull},
	} {
		if err := c.Update(tc.fn); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if err := c.Update(func(tx *Tx) error { return tx.PutBucket(Bucket{OrgID: a, Name: "z"}) }); err == nil {
		t.Error("a record without an id was taken")
	}
	checkIndexes(t, c.View())
}

func TestDeleteTakesAlongWhatBelongs(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	keep, gone := putOrg(t, c, "keep"), putOrg(t, c, "gone")
	user := putUser(t, c, "u", "")
	for _, org := range []point.ID{keep, gone} {
		bucket := putBucket(t, c, org, "b")
		update(t, c, func(tx *Tx) error {
			if _, err := tx.PutDBRP(DBRP{ID: tx.NewID(), OrgID: org, BucketID: bucket, Database: "d", RetentionPolicy: "r"}); err != nil {
				return err
			}
			return errors.Join(
				tx.PutMember(Member{ID: tx.NewID(), OrgID: org, UserID: user}),
				tx.PutAuthorization(Authorization{ID: tx.NewID(), Token: HashToken(org.String()), OrgID: org, UserID: user}),
				tx.PutLegacyAuthorization(LegacyAuthorization{ID: tx.NewID(), Name: org.String(), OrgID: org, UserID: user}))
		})
	}
	update(t, c, func(tx *Tx) error { return tx.DeleteOrganization(gone) })
	v := c.View()
	checkIndexes(t, v)
	if strings.Contains(dumpText(v), gone.String()) {
		t.Errorf("something of the deleted organization is left:\n%s", dumpText(v))
	}
	dropped := v.DroppedBuckets()
	if len(dropped) != 1 || !v.Dropped(dropped[0]) {
		t.Fatalf("dropped buckets %v, want the one", dropped)
	}
	update(t, c, func(tx *Tx) error { return tx.ForgetDropped(dropped[0]) })
	v = c.View()
	if n := v.records(); n != 7 { // the user, and the six of the other organization
		t.Errorf("%d records are left, want 7:\n%s", n, dumpText(v))
	}
	update(t, c, func(tx *Tx) error { return tx.DeleteUser(user) })
	if v := c.View(); len(v.Memberships(user)) != 0 || len(v.Authorizations()) != 1 {
		t.Error("deleting a user ends its memberships and leaves its tokens")
	}
	b, _ := c.View().BucketByName(keep, "b")
	update(t, c, func(tx *Tx) error { return tx.DeleteBucket(b.ID) })
	if len(c.View().ExplicitDBRPs(keep)) != 0 {
		t.Error("a mapping outlives its bucket")
	}
	checkIndexes(t, c.View())
}

func TestMappings(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	org, other := putOrg(t, c, "acme"), putOrg(t, c, "other")
	ids := map[string]point.ID{}
	for _, name := range []string{"x", "x/rp", "y/only", "z", "z/autogen", "t", "with/two/parts", ""} {
		ids[name] = putBucket(t, c, org, name)
	}
	putBucket(t, c, other, "elsewhere")
	mapTo := func(db, rp, bucket string, isDefault bool) (id point.ID) {
		update(t, c, func(tx *Tx) error {
			id = tx.NewID()
			_, err := tx.PutDBRP(DBRP{ID: id, OrgID: org, BucketID: ids[bucket], Database: db, RetentionPolicy: rp, Default: isDefault, CreatedAt: tx.Now()})
			return err
		})
		return id
	}
	check := func(step string, want map[string]string) {
		t.Helper()
		for q, bucket := range want {
			db, rp, _ := strings.Cut(q, " ")
			b, ok := c.View().BucketForMapping(org, db, rp)
			if ok != (bucket != "-") || ok && b.Name != bucket {
				t.Errorf("%s: database %q, retention policy %q: %v %v, want %q", step, db, rp, b, ok, bucket)
			}
		}
		checkIndexes(t, c.View())
	}
	check("virtual", map[string]string{
		"x ": "x", "x autogen": "x", "x rp": "x/rp", "x nope": "-", "x/rp ": "-", "x/rp autogen": "-", "y ": "-", "y only": "y/only",
		"z ": "z", "z autogen": "z", "with two/parts": "with/two/parts", "elsewhere ": "-", "nope ": "-",
	})
	first := mapTo("x", "autogen", "t", false)
	check("the first mapping is the default", map[string]string{"x ": "t", "x autogen": "t", "x rp": "x/rp"})
	second := mapTo("x", "second", "z", true)
	check("a new default takes over", map[string]string{"x ": "z", "x second": "z", "x autogen": "t"})
	for _, m := range c.View().DBRPs(org) {
		if m.Database == "x" && m.Virtual && (m.RetentionPolicy == "autogen" || m.Default) {
			t.Errorf("virtual mapping %+v should be overridden", m)
		}
	}
	update(t, c, func(tx *Tx) error {
		m, _ := tx.DBRP(org, second)
		m.Default = false
		m, err := tx.PutDBRP(m)
		if m.Default {
			t.Error("the default did not give itself up")
		}
		return err
	})
	check("a default hands over", map[string]string{"x ": "t"})
	update(t, c, func(tx *Tx) error { return tx.DeleteDBRP(first) })
	check("deleting the default passes it on", map[string]string{"x ": "z", "x autogen": "x"})
	update(t, c, func(tx *Tx) error {
		m, _ := tx.DBRP(org, second)
		m.Default = false
		m, err := tx.PutDBRP(m)
		if !m.Default {
			t.Error("the only mapping has to stay the default")
		}
		return err
	})
	update(t, c, func(tx *Tx) error { return tx.DeleteBucket(ids["z"]) })
	check("a mapping goes with its bucket", map[string]string{"x ": "x", "x second": "-"})
	if m, ok := c.View().DBRP(org, ids["x"]); !ok || !m.Virtual || !m.Default || m.Database != "x" {
		t.Errorf("virtual mapping by id: %+v %v", m, ok)
	}
	if _, ok := c.View().DBRP(other, ids["x"]); ok {
		t.Error("another organization's mapping was found")
	}
}

// TestRandomChanges compares the catalog, over restarts, rewrites and failing
// disks, with the views that its updates published.
func TestRandomChanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	fail := false
	ops := osFileOps()
	ops.sync = func(*os.File) error {
		if fail {
			return errors.New("injected")
		}
		return nil
	}
	o := Options{ops: &ops}
	c := open(t, dir, o)
	want := ""
	for i := range testkit.Rounds(600) {
		fail = r.IntN(10) == 0
		err := c.Update(func(tx *Tx) error {
			for range 1 + r.IntN(3) {
				if err := randomChange(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		switch {
		case err == nil:
			want = dumpText(c.View())
		case dumpText(c.View()) != want:
			t.Fatalf("step %d: a failed update has changed something: %v", i, err)
		}
		fail = false
		switch r.IntN(30) {
		case 0:
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = open(t, dir, o)
			if got := dumpText(c.View()); got != want {
				t.Fatalf("step %d: after reopening:\n%s\nwant:\n%s", i, got, want)
			}
		case 1:
			if err := c.journal.rewrite(dump(c.View())); err != nil {
				t.Fatal(err)
			}
		}
	}
	checkIndexes(t, c.View())
}

func randomChange(tx *Tx, r *rand.Rand) error {
	orgs, users, buckets := tx.Organizations(), tx.Users(), tx.Buckets(0)
	name := fmt.Sprint("n", r.IntN(30))
	switch n := r.IntN(14); {
	case n == 0 || len(orgs) == 0:
		return tx.PutOrganization(Organization{ID: tx.NewID(), Name: name, CreatedAt: tx.Now()})
	case n == 1 || len(users) == 0:
		return tx.PutUser(User{ID: tx.NewID(), Name: name, CreatedAt: tx.Now()})
	case n <= 4 || len(buckets) == 0:
		return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: orgs[r.IntN(len(orgs))].ID, Name: name, CreatedAt: tx.Now()})
	case n == 5:
		return tx.PutMember(Member{ID: tx.NewID(), OrgID: orgs[r.IntN(len(orgs))].ID, UserID: users[r.IntN(len(users))].ID})
	case n == 6:
		return tx.PutAuthorization(Authorization{ID: tx.NewID(), Token: HashToken(name), OrgID: orgs[r.IntN(len(orgs))].ID, UserID: users[r.IntN(len(users))].ID})
	case n == 7:
		return tx.PutLegacyAuthorization(LegacyAuthorization{ID: tx.NewID(), Name: name, OrgID: orgs[r.IntN(len(orgs))].ID})
	case n <= 9:
		b := buckets[r.IntN(len(buckets))]
		_, err := tx.PutDBRP(DBRP{ID: tx.NewID(), OrgID: b.OrgID, BucketID: b.ID, Database: fmt.Sprint("d", r.IntN(3)), RetentionPolicy: name, Default: r.IntN(2) == 0, CreatedAt: tx.Now()})
		return err
	case n == 10:
		b := *buckets[r.IntN(len(buckets))]
		b.Name = name
		return tx.PutBucket(b)
	case n == 11:
		return tx.DeleteBucket(buckets[r.IntN(len(buckets))].ID)
	case n == 12:
		return tx.DeleteUser(users[r.IntN(len(users))].ID)
	default:
		if r.IntN(4) > 0 {
			return nil
		}
		return tx.DeleteOrganization(orgs[r.IntN(len(orgs))].ID)
	}
}

func TestJournalIsRewrittenAsItGrows(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	org := putOrg(t, c, "acme")
	id := putBucket(t, c, org, "b")
	description := strings.Repeat("d", 16<<10)
	for i := range 200 { // over 3 MB of changes to one record
		update(t, c, func(tx *Tx) error {
			b, _ := tx.Bucket(id)
			changed := *b
			changed.Description = description + fmt.Sprint(i)
			return tx.PutBucket(changed)
		})
	}
	info, err := os.Stat(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(2*rewriteBytesMin + 64<<10); info.Size() > limit {
		t.Errorf("the journal has grown to %d bytes, over %d", info.Size(), limit)
	}
	want := dumpText(c.View())
	c.Close()
	if got := dumpText(open(t, dir, Options{}).View()); got != want {
		t.Error("not the same after reopening")
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second open: %v", err)
	}
	c.Close()
	open(t, dir, Options{})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{RecordsMax: -1}, {CachedPrincipalsMax: -1}, {CachedPrincipalsMax: 1 << 30}, {PasswordCost: 40}, {SessionLength: -1}, {PasswordWait: -1}} {
		if _, err := Open(t.TempDir(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// Readers and writers at once: for the race detector, and for views that are
// whole: each update keeps the numbers of buckets of two organizations equal.
func TestConcurrentReaders(t *testing.T) {
	c := open(t, t.TempDir(), Options{Logger: slog.New(slog.DiscardHandler)})
	a, b := putOrg(t, c, "a"), putOrg(t, c, "b")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				v := c.View()
				if x, y := len(v.Buckets(a)), len(v.Buckets(b)); x != y {
					t.Errorf("half an update is visible: %d and %d buckets", x, y)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 100 {
		update(t, c, func(tx *Tx) error {
			return errors.Join(tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: a, Name: fmt.Sprint(i)}), tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: b, Name: fmt.Sprint(i)}))
		})
	}
	close(done)
	wg.Wait()
}
