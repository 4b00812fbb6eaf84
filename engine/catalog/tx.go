package catalog

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"headgate/engine/point"
)

// Tx stages changes. It reads its own changes through the methods of [View]. A
// Tx belongs to the function that Update calls and ends with it.
type Tx struct {
	*View
	e          *edit
	changes    []change
	now        time.Time
	recordsMax int
}

// Now is the time of the transaction.
func (tx *Tx) Now() time.Time { return tx.now }

// NewID returns a random id that no record has.
func (tx *Tx) NewID() point.ID {
	for {
		var b [8]byte
		rand.Read(b[:])
		id := point.ID(binary.BigEndian.Uint64(b[:]))
		if id != 0 && !tx.orgs.has(id) && !tx.users.has(id) && !tx.members.has(id) && !tx.buckets.has(id) &&
			!tx.auths.has(id) && !tx.legacy.has(id) && !tx.dbrps.has(id) && !tx.dropped.has(id) {
			return id
		}
	}
}

// put stages r.
func (tx *Tx) put(r record) error {
	for _, name := range r.texts() {
		if !utf8.ValidString(name) { // JSON would store another name than the one in memory
			return fmt.Errorf("%w: %q", ErrEncoding, name)
		}
	}
	c, err := putChange(r)
	if err != nil {
		return fmt.Errorf("catalog: encode %s: %w", r.kind(), err)
	}
	// What goes into the view is what a restart will read. A record that could not be
	// read again would keep the catalog from ever opening.
	stored := newRecord(r.kind())
	if err := json.Unmarshal(c.Put, stored); err != nil {
		return fmt.Errorf("catalog: %s: %w", r.kind(), err)
	}
	if err := tx.View.put(tx.e, stored); err != nil {
		return err
	}
	if n := tx.records(); n > tx.recordsMax {
		return fmt.Errorf("%w: %d records, as many as Options.RecordsMax allows", ErrFull, tx.recordsMax)
	}
	tx.changes = append(tx.changes, c)
	return nil
}

func (tx *Tx) remove(k kind, id point.ID) error {
	if err := tx.View.remove(tx.e, k, id); err != nil {
		return err
	}
	tx.changes = append(tx.changes, change{Kind: k, Delete: id})
	return nil
}

// PutOrganization adds an organization or replaces the one with its id.
// [ErrExists] if the name is taken.
func (tx *Tx) PutOrganization(o Organization) error { return tx.put(&o) }

// PutUser adds or replaces a user. [ErrExists] if the name is taken.
func (tx *Tx) PutUser(u User) error { return tx.put(&u) }

// PutMember adds or replaces a membership. [ErrNotFound] if the organization or
// the user does not exist.
func (tx *Tx) PutMember(m Member) error { return tx.put(&m) }

// PutBucket adds or replaces a bucket. [ErrExists] if the name is taken in its
// organization, [ErrNotFound] if there is no such organization.
func (tx *Tx) PutBucket(b Bucket) error { return tx.put(&b) }

// PutAuthorization adds or replaces an authorization. [ErrExists] if the token
// is taken.
func (tx *Tx) PutAuthorization(a Authorization) error { return tx.put(&a) }

// PutLegacyAuthorization adds or replaces a legacy authorization. [ErrExists] if
// the name is taken.
func (tx *Tx) PutLegacyAuthorization(a LegacyAuthorization) error { return tx.put(&a) }

// PutDBRP adds or replaces a mapping. The first mapping of a database is its
// default whatever m.Default says; a new default takes over from the old one; and
// a default that gives itself up hands over to the oldest other mapping, or
// stays when there is none. It returns the mapping as stored.
func (tx *Tx) PutDBRP(m DBRP) (DBRP, error) {
	m.Virtual = false
	def, ok := tx.DefaultDBRP(m.OrgID, m.Database)
	switch {
	case !ok:
		m.Default = true
	case m.Default && def.ID != m.ID:
		old := *def
		old.Default = false
		if err := tx.put(&old); err != nil {
			return DBRP{}, err
		}
	case !m.Default && def.ID == m.ID:
		if err := tx.put(&m); err != nil {
			return DBRP{}, err
		}
		if handed, err := tx.electDefault(m.OrgID, m.Database, m.ID); err != nil || handed {
			return m, err
		}
		m.Default = true
	}
	stored := m
	return m, tx.put(&stored)
}

// electDefault makes the oldest mapping of db the default, except is out of the
// question. It reports whether there was one.
func (tx *Tx) electDefault(org point.ID, db string, except point.ID) (bool, error) {
	for _, m := range tx.ExplicitDBRPs(org) {
		if m.Database == db && m.ID != except {
			next := *m
			next.Default = true
			return true, tx.put(&next)
		}
	}
	return false, nil
}

// DeleteDBRP deletes an explicit mapping. If it was the default, the oldest other
// mapping of the database becomes that. [ErrNotFound] if there is none.
func (tx *Tx) DeleteDBRP(id point.ID) error {
	m, ok := tx.dbrps.get(id)
	if !ok {
		return fmt.Errorf("%w: mapping %s", ErrNotFound, id)
	}
	if err := tx.remove(kindDBRP, id); err != nil || !m.Default {
		return err
	}
	_, err := tx.electDefault(m.OrgID, m.Database, id)
	return err
}

// DeleteBucket deletes a bucket and its explicit mappings, and remembers it as
// dropped: the caller has to delete its points and then to call ForgetDropped.
// [ErrNotFound] if there is none.
func (tx *Tx) DeleteBucket(id point.ID) error {
	b, ok := tx.buckets.get(id)
	if !ok {
		return fmt.Errorf("%w: bucket %s", ErrNotFound, id)
	}
	for _, m := range tx.ExplicitDBRPs(b.OrgID) {
		if m.BucketID == id {
			if err := tx.DeleteDBRP(m.ID); err != nil {
				return err
			}
		}
	}
	return tx.dropBucket(id)
}

func (tx *Tx) dropBucket(id point.ID) error {
	if err := tx.remove(kindBucket, id); err != nil {
		return err
	}
	return tx.put(&Dropped{ID: id})
}

// ForgetDropped ends the memory of a deleted bucket, whose points are gone.
// [ErrNotFound] if there is none.
func (tx *Tx) ForgetDropped(id point.ID) error { return tx.remove(kindDropped, id) }

// DeleteOrganization deletes an organization and all that belongs to it. The
// caller has to delete the points of its buckets, as for DeleteBucket. [ErrNotFound] if there is none.
func (tx *Tx) DeleteOrganization(id point.ID) error {
	if !tx.orgs.has(id) {
		return fmt.Errorf("%w: organization %s", ErrNotFound, id)
	}
	for _, m := range tx.ExplicitDBRPs(id) {
		if err := tx.remove(kindDBRP, m.ID); err != nil {
			return err
		}
	}
	for _, b := range tx.Buckets(id) {
		if err := tx.dropBucket(b.ID); err != nil {
			return err
		}
	}
	for _, a := range tx.Authorizations() {
		if a.OrgID == id {
			if err := tx.remove(kindAuth, a.ID); err != nil {
				return err
			}
		}
	}
	for _, a := range tx.LegacyAuthorizations() {
		if a.OrgID == id {
			if err := tx.remove(kindLegacy, a.ID); err != nil {
				return err
			}
		}
	}
	for _, m := range tx.MembersOf(id) {
		if err := tx.remove(kindMember, m.ID); err != nil {
			return err
		}
	}
	return tx.remove(kindOrganization, id)
}

// DeleteUser deletes a user and its memberships. Its tokens stay and are refused,
// since their user is gone. [ErrNotFound] if there is none.
func (tx *Tx) DeleteUser(id point.ID) error {
	for _, m := range tx.Memberships(id) {
		if err := tx.remove(kindMember, m.ID); err != nil {
			return err
		}
	}
	return tx.remove(kindUser, id)
}

// DeleteMember ends a membership. [ErrNotFound] if there is none.
func (tx *Tx) DeleteMember(org, user point.ID) error {
	m, ok := tx.Member(org, user)
	if !ok {
		return fmt.Errorf("%w: user %s in organization %s", ErrNotFound, user, org)
	}
	return tx.remove(kindMember, m.ID)
}

// DeleteAuthorization deletes a token. [ErrNotFound] if there is none.
func (tx *Tx) DeleteAuthorization(id point.ID) error { return tx.remove(kindAuth, id) }

// DeleteLegacyAuthorization deletes a legacy authorization. [ErrNotFound] if
// there is none.
func (tx *Tx) DeleteLegacyAuthorization(id point.ID) error { return tx.remove(kindLegacy, id) }
