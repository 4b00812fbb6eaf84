package catalog

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"headgate/engine/point"
)

// people is a catalog with an organization, a bucket, a user and a token.
type people struct {
	*Catalog
	org, bucket, user, auth point.ID
	token                   string
}

func newPeople(t testing.TB, o Options) people {
	t.Helper()
	c := open(t, t.TempDir(), o)
	p := people{Catalog: c, org: putOrg(t, c, "acme"), user: putUser(t, c, "ann", "password1"), token: NewToken()}
	p.bucket = putBucket(t, c, p.org, "b0")
	update(t, c, func(tx *Tx) error {
		p.auth = tx.NewID()
		return tx.PutAuthorization(Authorization{ID: p.auth, Token: HashToken(p.token), OrgID: p.org, UserID: p.user, Permissions: []Permission{{Write, Buckets, p.bucket, p.org}}})
	})
	return p
}

func (p people) putLegacy(t testing.TB, name, password string) {
	t.Helper()
	hash, err := p.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	update(t, p.Catalog, func(tx *Tx) error {
		a := LegacyAuthorization{ID: tx.NewID(), Name: name, OrgID: p.org, UserID: p.user, Permissions: []Permission{{Read, Buckets, 0, p.org}}}
		if old, ok := tx.LegacyAuthorizationByName(name); ok {
			a = *old
		}
		a.PasswordHash = hash
		return tx.PutLegacyAuthorization(a)
	})
}

func (p people) setUserStatus(t testing.TB, s Status) {
	t.Helper()
	update(t, p.Catalog, func(tx *Tx) error {
		u, _ := tx.User(p.user)
		changed := *u
		changed.Status = s
		return tx.PutUser(changed)
	})
}

func (p people) setTokenStatus(t testing.TB, s Status) {
	t.Helper()
	update(t, p.Catalog, func(tx *Tx) error {
		a, _ := tx.Authorization(p.auth)
		changed := *a
		changed.Status = s
		return tx.PutAuthorization(changed)
	})
}

func TestTokens(t *testing.T) {
	if n := len(NewToken()); n != 88 {
		t.Errorf("a token has %d characters, want 88", n)
	}
	p := newPeople(t, Options{})
	check := func(step string, want error, status Status) {
		t.Helper()
		for range 3 { // cold, then from the cache
			got, err := p.AuthenticateToken(p.token)
			if !errors.Is(err, want) || err == nil && (got.Status != status || got.UserID != p.user || got.OrgID != p.org || got.AuthorizationID != p.auth) {
				t.Errorf("%s: %+v, %v; want %v", step, got, err, want)
			}
		}
	}
	check("fresh", nil, Active)
	for _, wrong := range []string{"", "x", p.token[:87], p.token + "=", fmt.Sprint(make([]byte, 2000))} {
		if _, err := p.AuthenticateToken(wrong); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("token %.20q...: %v", wrong, err)
		}
	}
	putBucket(t, p.Catalog, p.org, "another") // has nothing to do with it
	check("after an unrelated change", nil, Active)
	p.setTokenStatus(t, Inactive)
	check("inactive", nil, Inactive)
	if _, err := p.AuthenticateActiveToken(p.token); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("inactive on v1 paths: %v", err)
	}
	p.setTokenStatus(t, Active)
	check("active again", nil, Active)
	p.setUserStatus(t, Inactive)
	check("user inactive", ErrUserInactive, Active)
	p.setUserStatus(t, Active)
	check("user active again", nil, Active)
	update(t, p.Catalog, func(tx *Tx) error { return tx.DeleteUser(p.user) })
	check("user gone", ErrUserInactive, Active)
	update(t, p.Catalog, func(tx *Tx) error { return tx.DeleteAuthorization(p.auth) })
	check("token gone", ErrUnauthorized, Active)
}

func TestLegacyPasswords(t *testing.T) {
	p := newPeople(t, Options{})
	p.putLegacy(t, "v1", "v1password")
	check := func(step, user, password string, want error) {
		t.Helper()
		for range 3 {
			if _, err := p.AuthenticateLegacy(user, password); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", step, err, want)
			}
		}
	}
	check("right", "v1", "v1password", nil)
	check("wrong", "v1", "v1passwordx", ErrUnauthorized)
	check("empty", "v1", "", ErrUnauthorized)
	check("over the length of bcrypt", "v1", fmt.Sprintf("%0100d", 1), ErrUnauthorized)
	check("a token as the password of a name that exists", "v1", p.token, ErrUnauthorized)
	check("a token as the password of another name", "anyone", p.token, nil)
	check("a token as the password of no name", "", p.token, nil)
	check("no token either", "anyone", "v1password", ErrUnauthorized)
	putBucket(t, p.Catalog, p.org, "another")
	check("after an unrelated change", "v1", "v1password", nil)
	p.putLegacy(t, "v1", "newpassword")
	check("the old password", "v1", "v1password", ErrUnauthorized)
	check("the new password", "v1", "newpassword", nil)
	p.setUserStatus(t, Inactive)
	check("user inactive", "v1", "newpassword", ErrUnauthorized)
	p.setUserStatus(t, Active)
	check("user active again", "v1", "newpassword", nil)
	update(t, p.Catalog, func(tx *Tx) error {
		return tx.PutLegacyAuthorization(LegacyAuthorization{ID: tx.NewID(), Name: "nopassword", OrgID: p.org, UserID: p.user})
	})
	check("without a password yet", "nopassword", "", ErrUnauthorized)
}

// A password that has been checked, right or wrong, needs no further check, not
// even while all slots for checks are taken and after changes elsewhere.
func TestCheckedPasswordsAreRemembered(t *testing.T) {
	p := newPeople(t, Options{PasswordChecksMax: 1, PasswordWaitersMax: 1, PasswordWait: time.Millisecond})
	p.putLegacy(t, "v1", "v1password")
	for range 2 {
		if _, err := p.AuthenticateLegacy("v1", "v1password"); err != nil {
			t.Fatal(err)
		}
		if _, err := p.AuthenticateLegacy("v1", "wrongpassword"); !errors.Is(err, ErrUnauthorized) {
			t.Fatal(err)
		}
		if err := p.passwords.enter(); err != nil && !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		putBucket(t, p.Catalog, p.org, fmt.Sprint(p.View().generation))
	}
	if _, err := p.AuthenticateLegacy("v1", "neverseen"); !errors.Is(err, ErrBusy) {
		t.Errorf("with all slots taken: %v, want ErrBusy", err)
	}
	if _, err := p.HashPassword("newpassword"); !errors.Is(err, ErrBusy) {
		t.Errorf("hashing with all slots taken: %v, want ErrBusy", err)
	}
	if _, err := p.SignIn("ann", "password1"); !errors.Is(err, ErrBusy) {
		t.Errorf("signing in with all slots taken: %v, want ErrBusy", err)
	}
	p.passwords.leave()
	if _, err := p.AuthenticateLegacy("v1", "neverseen"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("with a slot free again: %v", err)
	}
}

// Many clients that come at once with the same credentials cost a check or two.
func TestSamePasswordAtOnce(t *testing.T) {
	p := newPeople(t, Options{PasswordChecksMax: 1, PasswordWaitersMax: 1000, PasswordWait: time.Minute, PasswordCost: 8})
	p.putLegacy(t, "v1", "v1password")
	var wg sync.WaitGroup
	start := time.Now()
	for range 100 {
		wg.Go(func() {
			if _, err := p.AuthenticateLegacy("v1", "v1password"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("took %s", time.Since(start))
}

func TestCacheIsBounded(t *testing.T) {
	p := newPeople(t, Options{CachedPrincipalsMax: 16})
	tokens := make([]string, 200)
	update(t, p.Catalog, func(tx *Tx) error {
		for i := range tokens {
			tokens[i] = NewToken()
			if err := tx.PutAuthorization(Authorization{ID: tx.NewID(), Token: HashToken(tokens[i]), OrgID: p.org, UserID: p.user}); err != nil {
				return err
			}
		}
		return nil
	})
	for range 3 {
		for i, token := range tokens {
			if a, err := p.AuthenticateToken(token); err != nil || a.OrgID != p.org {
				t.Fatalf("token %d: %v", i, err)
			}
		}
	}
	if n := len(p.cache.sets) * cacheWays; n != 16 {
		t.Errorf("the cache has %d slots, want 16", n)
	}
}

func TestFingerprints(t *testing.T) {
	keys, other := newFingerprintKeys(), newFingerprintKeys()
	seen := map[fingerprint]string{}
	for _, kind := range []credentialKind{tokenCredential, legacyCredential} {
		for _, pair := range [][2]string{
			{"", ""}, {"", "a"}, {"a", ""}, {"a", "b"}, {"ab", ""}, {"", "ab"}, {"", "a\x00"}, {"a\x00", ""}, {"", "\x00"}, {"", "\x00\x00"}, {"\x00", "\x00"},
			{"", "1234567"}, {"", "12345678"}, {"1234567", ""}, {"1234567", "1234567"}, {"12345671234567", ""}, {"", "12345671234567"}, {"1", "23456712345678"},
		} {
			name := fmt.Sprintf("%d %q", kind, pair)
			fp := keys.of(kind, pair[0], pair[1])
			if fp != keys.of(kind, pair[0], pair[1]) {
				t.Errorf("%s: not the same twice", name)
			}
			if have, ok := seen[fp]; ok {
				t.Errorf("%s and %s share a fingerprint", name, have)
			}
			seen[fp] = name
			if fp == other.of(kind, pair[0], pair[1]) {
				t.Errorf("%s: the same with other keys", name)
			}
		}
	}
}

func TestMulMod61(t *testing.T) {
	for _, tc := range []struct{ a, b, want uint64 }{
		{0, 5, 0}, {1, mersenne61 - 1, mersenne61 - 1}, {mersenne61, 7, 0}, {2, mersenne61 - 1, mersenne61 - 2},
		{1 << 61, 1, 1}, {1<<62 - 1, 1, 1}, {mersenne61 - 1, mersenne61 - 1, 1}, {1 << 60, 4, 2},
	} {
		if got := mulMod61(tc.a, tc.b); got != tc.want {
			t.Errorf("%d * %d = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestNothingIsAllocatedForKnownCredentials(t *testing.T) {
	p := newPeople(t, Options{})
	p.putLegacy(t, "v1", "v1password")
	check := func(name string, fn func() error) {
		t.Helper()
		if err := fn(); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { _ = fn() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	check("token", func() error { _, err := p.AuthenticateToken(p.token); return err })
	check("legacy", func() error { _, err := p.AuthenticateLegacy("v1", "v1password"); return err })
	check("permission", func() error {
		a, _ := p.AuthenticateToken(p.token)
		if !a.Allows(Write, Buckets, p.bucket, p.org) {
			return errors.New("not allowed")
		}
		return nil
	})
	check("bucket by name", func() error {
		if _, ok := p.View().BucketByName(p.org, "b0"); !ok {
			return errors.New("not found")
		}
		return nil
	})
	check("bucket by mapping", func() error {
		if _, ok := p.View().BucketForMapping(p.org, "b0", ""); !ok {
			return errors.New("not found")
		}
		return nil
	})
	check("operator", func() error { p.Operator(); return nil })
}

func TestSessions(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := newPeople(t, Options{Now: func() time.Time { return now }, SessionsMax: 3})
	for _, wrong := range [][2]string{{"ann", "password2"}, {"nobody", "password1"}, {"", ""}} {
		if _, err := p.SignIn(wrong[0], wrong[1]); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	signIn := func() Session {
		t.Helper()
		s, err := p.SignIn("ann", "password1")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	check := func(step string, s Session, want error) *Principal {
		t.Helper()
		pr, err := p.AuthenticateSession(s.Key)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", step, err, want)
		}
		return pr
	}
	s := signIn()
	if !s.ExpiresAt.Equal(now.Add(time.Hour)) {
		t.Errorf("expires at %s", s.ExpiresAt)
	}
	if pr := check("no organization", s, nil); pr.Allows(Read, Buckets, p.bucket, p.org) {
		t.Error("a user without organization may read a bucket")
	}
	update(t, p.Catalog, func(tx *Tx) error {
		return tx.PutMember(Member{ID: tx.NewID(), OrgID: p.org, UserID: p.user, Role: RoleMember})
	})
	pr := check("member", s, nil)
	if !pr.Allows(Read, Buckets, p.bucket, p.org) || pr.Allows(Write, Buckets, p.bucket, p.org) || pr.Allows(Read, Authorizations, 0, p.org) || pr.OrgID != p.org {
		t.Error("a member reads buckets and nothing else")
	}
	update(t, p.Catalog, func(tx *Tx) error {
		m, _ := tx.Member(p.org, p.user)
		owner := *m
		owner.Role = RoleOwner
		return tx.PutMember(owner)
	})
	pr = check("owner", s, nil)
	if !pr.Allows(Write, Buckets, p.bucket, p.org) || !pr.Allows(Write, Users, p.user, 0) || pr.Allows(Write, Users, 1, 0) || pr.Allows(Write, Orgs, 0, 0) || !pr.Allows(Write, Orgs, p.org, 0) {
		t.Error("an owner manages its organization, and itself, and nothing else")
	}
	now = now.Add(59 * time.Minute)
	check("used before it ends", s, nil)
	now = now.Add(59 * time.Minute)
	check("extended by use", s, nil)
	now = now.Add(time.Hour)
	check("ended", s, ErrUnauthorized)

	a := signIn()
	if !p.SignOut(a.Key) || p.SignOut(a.Key) {
		t.Error("signing out works once")
	}
	check("signed out", a, ErrUnauthorized)

	a = signIn()
	p.setUserStatus(t, Inactive)
	check("user inactive", a, ErrUserInactive)
	p.setUserStatus(t, Active)
	check("user active again", a, nil)
	hash, err := p.HashPassword("password2")
	if err != nil {
		t.Fatal(err)
	}
	update(t, p.Catalog, func(tx *Tx) error {
		u, _ := tx.User(p.user)
		changed := *u
		changed.PasswordHash = hash
		return tx.PutUser(changed)
	})
	check("new password", a, ErrUnauthorized)

	var all []Session
	for range 5 {
		now = now.Add(time.Second)
		s, err := p.SignIn("ann", "password2")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	for i, s := range all {
		want := error(nil)
		if i < 2 {
			want = ErrUnauthorized
		}
		check(fmt.Sprint("of five where three fit, ", i), s, want)
	}
}

func TestOperator(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	if p := c.Operator(); p.OrgID != 0 || p.UserID != 0 || !p.Allows(Write, Buckets, 1, 2) || !p.Allows(Write, Orgs, 0, 0) {
		t.Errorf("operator of an empty catalog: %+v", p)
	}
	org := putOrg(t, c, "first")
	putOrg(t, c, "second")
	putUser(t, c, "u", "")
	update(t, c, func(tx *Tx) error { return tx.PutUser(User{ID: tx.NewID(), Name: "op", Operator: true}) })
	op, _ := c.View().UserByName("op")
	if p := c.Operator(); p.OrgID != org || p.UserID != op.ID {
		t.Errorf("operator: %+v", p)
	}
}

func TestPasswordLengths(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	for n, want := range map[int]error{0: ErrPasswordLength, 7: ErrPasswordLength, 8: nil, 72: nil, 73: ErrPasswordLength} {
		if _, err := c.HashPassword(fmt.Sprintf("%0*d", max(n, 1), 0)[:n]); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestDecoyIsAHash(t *testing.T) {
	g := newPasswordGate(Options{PasswordCost: 4, PasswordChecksMax: 1, PasswordWaitersMax: 1})
	if err := g.check(func() bool { return false }, g.decoy, "password1"); !errors.Is(err, ErrUnauthorized) {
		t.Error(err)
	}
	// bcrypt refuses a malformed hash at once, which would give the game away.
	if cost, err := bcrypt.Cost([]byte(g.decoy)); err != nil || cost != 4 {
		t.Errorf("the decoy has cost %d: %v", cost, err)
	}
}

func BenchmarkAuthenticateToken(b *testing.B) {
	p := newPeople(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.AuthenticateToken(p.token); err != nil {
			b.Fatal(err)
		}
	}
	runtime.KeepAlive(p)
}

func BenchmarkCreateBucket(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint("buckets=", n), func(b *testing.B) {
			c := open(b, b.TempDir(), Options{ops: lazyOps()})
			org := putOrg(b, c, "acme")
			update(b, c, func(tx *Tx) error {
				for i := range n {
					if err := tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: org, Name: fmt.Sprint("b", i)}); err != nil {
						return err
					}
				}
				return nil
			})
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				update(b, c, func(tx *Tx) error {
					return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: org, Name: fmt.Sprint("new", i)})
				})
			}
		})
	}
}
