package catalog

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"headgate/engine/point"
)

// View is an immutable picture of the catalog. Everything it returns is shared
// with other readers and must not be changed.
type View struct {
	// generation counts the changes before this view; it tells views of one catalog
	// apart without keeping old ones in memory.
	generation uint64

	orgs      table[point.ID, *Organization]
	orgNames  table[string, *Organization]
	users     table[point.ID, *User]
	userNames table[string, *User]
	members   table[point.ID, *Member]
	memberOf  table[membership, *Member]
	buckets   table[point.ID, *Bucket]
	bucketOf  table[scopedName, *Bucket]
	auths     table[point.ID, *Authorization]
	tokens    table[TokenHash, *Authorization]
	legacy    table[point.ID, *LegacyAuthorization]
	legacyOf  table[string, *LegacyAuthorization]
	dbrps     table[point.ID, *DBRP]
	dbrpOf    table[mappingName, *DBRP]
	dbrpDefOf table[scopedName, *DBRP] // the default mapping of a database
	dropped   table[point.ID, *Dropped]
}

func newView() *View {
	h := hashes{seed: maphash.MakeSeed()}
	return &View{
		orgs: newTable[point.ID, *Organization](h.id), orgNames: newTable[string, *Organization](h.name),
		users: newTable[point.ID, *User](h.id), userNames: newTable[string, *User](h.name),
		members: newTable[point.ID, *Member](h.id), memberOf: newTable[membership, *Member](h.member),
		buckets: newTable[point.ID, *Bucket](h.id), bucketOf: newTable[scopedName, *Bucket](h.scoped),
		auths: newTable[point.ID, *Authorization](h.id), tokens: newTable[TokenHash, *Authorization](h.token),
		legacy: newTable[point.ID, *LegacyAuthorization](h.id), legacyOf: newTable[string, *LegacyAuthorization](h.name),
		dbrps: newTable[point.ID, *DBRP](h.id), dbrpOf: newTable[mappingName, *DBRP](h.mapping),
		dbrpDefOf: newTable[scopedName, *DBRP](h.scoped), dropped: newTable[point.ID, *Dropped](h.id),
	}
}

// records is how many records the view holds.
func (v *View) records() int {
	return v.orgs.len() + v.users.len() + v.members.len() + v.buckets.len() + v.auths.len() + v.legacy.len() + v.dbrps.len() + v.dropped.len()
}

// Organization finds an organization by id.
func (v *View) Organization(id point.ID) (*Organization, bool) { return v.orgs.get(id) }

// OrganizationByName finds an organization by name.
func (v *View) OrganizationByName(name string) (*Organization, bool) { return v.orgNames.get(name) }

// Organizations lists all organizations, oldest first.
func (v *View) Organizations() []*Organization {
	return collect(v.orgs, func(*Organization) bool { return true }, func(a, b *Organization) int {
		return older(a.CreatedAt, b.CreatedAt, a.ID, b.ID)
	})
}

// User finds a user by id.
func (v *View) User(id point.ID) (*User, bool) { return v.users.get(id) }

// UserByName finds a user by name.
func (v *View) UserByName(name string) (*User, bool) { return v.userNames.get(name) }

// Users lists all users, oldest first.
func (v *View) Users() []*User {
	return collect(v.users, func(*User) bool { return true }, func(a, b *User) int {
		return older(a.CreatedAt, b.CreatedAt, a.ID, b.ID)
	})
}

// Member finds what user is in org.
func (v *View) Member(org, user point.ID) (*Member, bool) {
	return v.memberOf.get(membership{org, user})
}

// MembersOf lists the members and owners of an organization, by user id.
func (v *View) MembersOf(org point.ID) []*Member {
	return collect(v.members, func(m *Member) bool { return m.OrgID == org }, func(a, b *Member) int { return cmp.Compare(a.UserID, b.UserID) })
}

// Memberships lists the organizations that a user belongs to, by organization id.
func (v *View) Memberships(user point.ID) []*Member {
	return collect(v.members, func(m *Member) bool { return m.UserID == user }, func(a, b *Member) int { return cmp.Compare(a.OrgID, b.OrgID) })
}

// Bucket finds a bucket by id.
func (v *View) Bucket(id point.ID) (*Bucket, bool) { return v.buckets.get(id) }

// BucketByName finds a bucket of an organization by name.
func (v *View) BucketByName(org point.ID, name string) (*Bucket, bool) {
	return v.bucketOf.get(scopedName{org, name})
}

// Dropped reports whether a bucket has been deleted and its points may still be
// there.
func (v *View) Dropped(id point.ID) bool { return v.dropped.has(id) }

// DroppedBuckets lists the buckets for which Dropped holds, by id.
func (v *View) DroppedBuckets() []point.ID {
	var ids []point.ID
	for id := range v.dropped.all() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Buckets lists the buckets of one organization by name, or, if org is 0, all
// buckets by id.
func (v *View) Buckets(org point.ID) []*Bucket {
	if org == 0 {
		return collect(v.buckets, func(*Bucket) bool { return true }, func(a, b *Bucket) int { return cmp.Compare(a.ID, b.ID) })
	}
	return collect(v.buckets, func(b *Bucket) bool { return b.OrgID == org }, func(a, b *Bucket) int { return strings.Compare(a.Name, b.Name) })
}

// Authorization finds a token's authorization by id.
func (v *View) Authorization(id point.ID) (*Authorization, bool) { return v.auths.get(id) }

// AuthorizationByToken finds an authorization by the hash of its token.
func (v *View) AuthorizationByToken(h TokenHash) (*Authorization, bool) { return v.tokens.get(h) }

// Authorizations lists all authorizations, oldest first.
func (v *View) Authorizations() []*Authorization {
	return collect(v.auths, func(*Authorization) bool { return true }, func(a, b *Authorization) int {
		return older(a.CreatedAt, b.CreatedAt, a.ID, b.ID)
	})
}

// LegacyAuthorization finds a legacy authorization by id.
func (v *View) LegacyAuthorization(id point.ID) (*LegacyAuthorization, bool) { return v.legacy.get(id) }

// LegacyAuthorizationByName finds a legacy authorization by user name.
func (v *View) LegacyAuthorizationByName(name string) (*LegacyAuthorization, bool) {
	return v.legacyOf.get(name)
}

// LegacyAuthorizations lists all legacy authorizations, oldest first.
func (v *View) LegacyAuthorizations() []*LegacyAuthorization {
	return collect(v.legacy, func(*LegacyAuthorization) bool { return true }, func(a, b *LegacyAuthorization) int {
		return older(a.CreatedAt, b.CreatedAt, a.ID, b.ID)
	})
}

// BucketForMapping finds the bucket of a database and retention policy: an
// explicit mapping first, then the bucket of that name. An empty rp asks for the
// default mapping.
func (v *View) BucketForMapping(org point.ID, db, rp string) (*Bucket, bool) {
	var m *DBRP
	var ok bool
	if rp == "" {
		m, ok = v.dbrpDefOf.get(scopedName{org, db})
	} else {
		m, ok = v.dbrpOf.get(mappingName{org, db, rp})
	}
	if ok {
		return v.buckets.get(m.BucketID)
	}
	if rp == "" || rp == DefaultRetentionPolicy {
		if b, ok := v.bucketOf.get(scopedName{org, db}); ok && !strings.Contains(db, "/") {
			return b, true
		}
	}
	if rp == "" || strings.Contains(db, "/") {
		return nil, false
	}
	return v.bucketOf.get(scopedName{org, db + "/" + rp})
}

// DBRP finds a mapping of org by id: an explicit one, or the virtual one of the
// bucket with that id.
func (v *View) DBRP(org, id point.ID) (DBRP, bool) {
	if m, ok := v.dbrps.get(id); ok && m.OrgID == org {
		return *m, true
	}
	if b, ok := v.buckets.get(id); ok && b.OrgID == org {
		return v.virtual(b), true
	}
	return DBRP{}, false
}

// ExplicitDBRP finds the stored mapping of a database and retention policy.
func (v *View) ExplicitDBRP(org point.ID, db, rp string) (*DBRP, bool) {
	return v.dbrpOf.get(mappingName{org, db, rp})
}

// DefaultDBRP finds the explicit default mapping of a database.
func (v *View) DefaultDBRP(org point.ID, db string) (*DBRP, bool) {
	return v.dbrpDefOf.get(scopedName{org, db})
}

// ExplicitDBRPs lists the stored mappings of org, oldest first.
func (v *View) ExplicitDBRPs(org point.ID) []*DBRP {
	return collect(v.dbrps, func(m *DBRP) bool { return m.OrgID == org }, func(a, b *DBRP) int {
		return older(a.CreatedAt, b.CreatedAt, a.ID, b.ID)
	})
}

// DBRPs lists the mappings of org: the explicit ones, oldest first, then the
// virtual ones by bucket name, without those that an explicit one overrides.
func (v *View) DBRPs(org point.ID) []DBRP {
	var list []DBRP
	for _, m := range v.ExplicitDBRPs(org) {
		list = append(list, *m)
	}
	for _, b := range v.Buckets(org) {
		m := v.virtual(b)
		if _, overridden := v.dbrpOf.get(mappingName{org, m.Database, m.RetentionPolicy}); overridden {
			continue
		}
		list = append(list, m)
	}
	return list
}

// virtual is the mapping that follows from a bucket's name. It is the default
// of its database unless it names a retention policy or an explicit mapping is.
func (v *View) virtual(b *Bucket) DBRP {
	m := DBRP{ID: b.ID, OrgID: b.OrgID, BucketID: b.ID, Virtual: true, CreatedAt: b.CreatedAt}
	m.Database, m.RetentionPolicy = MappingOf(b.Name)
	if !strings.Contains(b.Name, "/") {
		m.Default = !v.dbrpDefOf.has(scopedName{b.OrgID, m.Database})
	}
	return m
}

func collect[K comparable, V any](t table[K, V], keep func(V) bool, compare func(a, b V) int) []V {
	var list []V
	for _, r := range t.all() {
		if keep(r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, compare)
	return list
}

func older(a, b time.Time, aID, bID point.ID) int {
	if c := a.Compare(b); c != 0 {
		return c
	}
	return cmp.Compare(aID, bID)
}
