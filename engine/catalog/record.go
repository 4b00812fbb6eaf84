package catalog

import (
	"encoding/json"
	"errors"
	"fmt"

	"headgate/engine/point"
)

// kind names a kind of record in the journal. The names never change.
type kind string

const (
	kindOrganization kind = "org"
	kindUser         kind = "user"
	kindMember       kind = "member"
	kindBucket       kind = "bucket"
	kindAuth         kind = "auth"
	kindLegacy       kind = "legacy"
	kindDBRP         kind = "dbrp"
	kindDropped      kind = "dropped"
)

// record is one of the catalog's structs, as a pointer that is never written
// through once the record is in a view.
type record interface {
	kind() kind
	recordID() point.ID
	// texts are what people have chosen freely.
	texts() []string
}

func (r *Organization) kind() kind        { return kindOrganization }
func (r *User) kind() kind                { return kindUser }
func (r *Member) kind() kind              { return kindMember }
func (r *Bucket) kind() kind              { return kindBucket }
func (r *Authorization) kind() kind       { return kindAuth }
func (r *LegacyAuthorization) kind() kind { return kindLegacy }
func (r *DBRP) kind() kind                { return kindDBRP }
func (r *Dropped) kind() kind             { return kindDropped }

func (r *Organization) recordID() point.ID        { return r.ID }
func (r *User) recordID() point.ID                { return r.ID }
func (r *Member) recordID() point.ID              { return r.ID }
func (r *Bucket) recordID() point.ID              { return r.ID }
func (r *Authorization) recordID() point.ID       { return r.ID }
func (r *LegacyAuthorization) recordID() point.ID { return r.ID }
func (r *DBRP) recordID() point.ID                { return r.ID }
func (r *Dropped) recordID() point.ID             { return r.ID }

func (r *Organization) texts() []string        { return []string{r.Name, r.Description} }
func (r *User) texts() []string                { return []string{r.Name} }
func (r *Member) texts() []string              { return nil }
func (r *Bucket) texts() []string              { return []string{r.Name, r.Description} }
func (r *Authorization) texts() []string       { return []string{r.Description} }
func (r *LegacyAuthorization) texts() []string { return []string{r.Name, r.Description} }
func (r *DBRP) texts() []string                { return []string{r.Database, r.RetentionPolicy} }
func (r *Dropped) texts() []string             { return nil }

func newRecord(k kind) record {
	switch k {
	case kindOrganization:
		return new(Organization)
	case kindUser:
		return new(User)
	case kindMember:
		return new(Member)
	case kindBucket:
		return new(Bucket)
	case kindAuth:
		return new(Authorization)
	case kindLegacy:
		return new(LegacyAuthorization)
	case kindDBRP:
		return new(DBRP)
	case kindDropped:
		return new(Dropped)
	}
	return nil
}

// change is one step of a transaction as the journal stores it: a record to put
// whole, or the id of one to delete.
type change struct {
	Kind   kind            `json:"k"`
	Put    json.RawMessage `json:"put,omitempty"`
	Delete point.ID        `json:"del,omitzero"`
}

func putChange(r record) (change, error) {
	b, err := json.Marshal(r)
	return change{Kind: r.kind(), Put: b}, err
}

// apply brings a change read from the journal into v.
func (v *View) apply(e *edit, c change) error {
	if c.Put == nil {
		return v.remove(e, c.Kind, c.Delete)
	}
	r := newRecord(c.Kind)
	if r == nil {
		return fmt.Errorf("unknown kind of record %q", c.Kind)
	}
	if err := json.Unmarshal(c.Put, r); err != nil {
		return err
	}
	return v.put(e, r)
}

// ErrExists is the error for a name, a token or a mapping that is taken.
var ErrExists = errors.New("catalog: already exists")

// ErrNotFound is the error for a change to, or a reference to, a record that does
// not exist.
var ErrNotFound = errors.New("catalog: not found")

// ErrEncoding is the error for a name or description that is not UTF-8.
var ErrEncoding = errors.New("catalog: not valid UTF-8")

// put adds r to the view, or replaces the record with its id. It keeps the
// indexes and the invariants: on an error nothing has changed.
func (v *View) put(e *edit, r record) error {
	if r.recordID() == 0 {
		return fmt.Errorf("catalog: %s without an id", r.kind())
	}
	switch r := r.(type) {
	case *Organization:
		if o, ok := v.orgNames.get(r.Name); ok && o.ID != r.ID {
			return fmt.Errorf("%w: organization %q", ErrExists, r.Name)
		}
		if old, ok := v.orgs.get(r.ID); ok {
			v.orgNames.delete(e, old.Name)
		}
		v.orgs.set(e, r.ID, r)
		v.orgNames.set(e, r.Name, r)
	case *User:
		if o, ok := v.userNames.get(r.Name); ok && o.ID != r.ID {
			return fmt.Errorf("%w: user %q", ErrExists, r.Name)
		}
		if old, ok := v.users.get(r.ID); ok {
			v.userNames.delete(e, old.Name)
		}
		v.users.set(e, r.ID, r)
		v.userNames.set(e, r.Name, r)
	case *Member:
		key := membership{r.OrgID, r.UserID}
		if o, ok := v.memberOf.get(key); ok && o.ID != r.ID {
			return fmt.Errorf("%w: member %s of organization %s", ErrExists, r.UserID, r.OrgID)
		}
		if !v.orgs.has(r.OrgID) || !v.users.has(r.UserID) {
			return fmt.Errorf("%w: organization %s or user %s", ErrNotFound, r.OrgID, r.UserID)
		}
		if old, ok := v.members.get(r.ID); ok {
			v.memberOf.delete(e, membership{old.OrgID, old.UserID})
		}
		v.members.set(e, r.ID, r)
		v.memberOf.set(e, key, r)
	case *Bucket:
		key := scopedName{r.OrgID, r.Name}
		if o, ok := v.bucketOf.get(key); ok && o.ID != r.ID {
			return fmt.Errorf("%w: bucket %q", ErrExists, r.Name)
		}
		if !v.orgs.has(r.OrgID) {
			return fmt.Errorf("%w: organization %s", ErrNotFound, r.OrgID)
		}
		if old, ok := v.buckets.get(r.ID); ok {
			if old.OrgID != r.OrgID {
				return fmt.Errorf("catalog: bucket %s cannot move to another organization", r.ID)
			}
			v.bucketOf.delete(e, scopedName{old.OrgID, old.Name})
		}
		v.buckets.set(e, r.ID, r)
		v.bucketOf.set(e, key, r)
	case *Authorization:
		if o, ok := v.tokens.get(r.Token); ok && o.ID != r.ID {
			return fmt.Errorf("%w: token", ErrExists)
		}
		if !v.orgs.has(r.OrgID) {
			return fmt.Errorf("%w: organization %s", ErrNotFound, r.OrgID)
		}
		if old, ok := v.auths.get(r.ID); ok {
			v.tokens.delete(e, old.Token)
		}
		v.auths.set(e, r.ID, r)
		v.tokens.set(e, r.Token, r)
	case *LegacyAuthorization:
		if o, ok := v.legacyOf.get(r.Name); ok && o.ID != r.ID {
			return fmt.Errorf("%w: legacy authorization %q", ErrExists, r.Name)
		}
		if !v.orgs.has(r.OrgID) {
			return fmt.Errorf("%w: organization %s", ErrNotFound, r.OrgID)
		}
		if old, ok := v.legacy.get(r.ID); ok {
			v.legacyOf.delete(e, old.Name)
		}
		v.legacy.set(e, r.ID, r)
		v.legacyOf.set(e, r.Name, r)
	case *DBRP:
		return v.putDBRP(e, r)
	case *Dropped:
		v.dropped.set(e, r.ID, r)
	}
	return nil
}

func (v *View) putDBRP(e *edit, r *DBRP) error {
	key, db := mappingName{r.OrgID, r.Database, r.RetentionPolicy}, scopedName{r.OrgID, r.Database}
	if o, ok := v.dbrpOf.get(key); ok && o.ID != r.ID {
		return fmt.Errorf("%w: mapping of %s.%s", ErrExists, r.Database, r.RetentionPolicy)
	}
	if o, ok := v.dbrpDefOf.get(db); ok && o.ID != r.ID && r.Default {
		return fmt.Errorf("%w: default mapping of %s", ErrExists, r.Database)
	}
	if b, ok := v.buckets.get(r.BucketID); !ok || b.OrgID != r.OrgID {
		return fmt.Errorf("%w: bucket %s of organization %s", ErrNotFound, r.BucketID, r.OrgID)
	}
	v.dropDBRP(e, r.ID)
	v.dbrps.set(e, r.ID, r)
	v.dbrpOf.set(e, key, r)
	if r.Default {
		v.dbrpDefOf.set(e, db, r)
	}
	return nil
}

// dropDBRP takes a mapping out of the tables, if it is there.
func (v *View) dropDBRP(e *edit, id point.ID) bool {
	r, ok := v.dbrps.get(id)
	if !ok {
		return false
	}
	v.dbrps.delete(e, id)
	v.dbrpOf.delete(e, mappingName{r.OrgID, r.Database, r.RetentionPolicy})
	if r.Default {
		v.dbrpDefOf.delete(e, scopedName{r.OrgID, r.Database})
	}
	return true
}

// remove takes a record out of the view. What refers to it has to go first: see
// the Delete methods of Tx.
func (v *View) remove(e *edit, k kind, id point.ID) error {
	found := false
	switch k {
	case kindOrganization:
		var r *Organization
		if r, found = v.orgs.get(id); found {
			v.orgs.delete(e, id)
			v.orgNames.delete(e, r.Name)
		}
	case kindUser:
		var r *User
		if r, found = v.users.get(id); found {
			v.users.delete(e, id)
			v.userNames.delete(e, r.Name)
		}
	case kindMember:
		var r *Member
		if r, found = v.members.get(id); found {
			v.members.delete(e, id)
			v.memberOf.delete(e, membership{r.OrgID, r.UserID})
		}
	case kindBucket:
		var r *Bucket
		if r, found = v.buckets.get(id); found {
			v.buckets.delete(e, id)
			v.bucketOf.delete(e, scopedName{r.OrgID, r.Name})
		}
	case kindAuth:
		var r *Authorization
		if r, found = v.auths.get(id); found {
			v.auths.delete(e, id)
			v.tokens.delete(e, r.Token)
		}
	case kindLegacy:
		var r *LegacyAuthorization
		if r, found = v.legacy.get(id); found {
			v.legacy.delete(e, id)
			v.legacyOf.delete(e, r.Name)
		}
	case kindDBRP:
		found = v.dropDBRP(e, id)
	case kindDropped:
		if found = v.dropped.has(id); found {
			v.dropped.delete(e, id)
		}
	default:
		return fmt.Errorf("unknown kind of record %q", k)
	}
	if !found {
		return fmt.Errorf("%w: %s %s", ErrNotFound, k, id)
	}
	return nil
}
