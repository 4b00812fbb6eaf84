// Package catalog keeps what an engine knows besides points: organizations,
// users and their memberships, buckets, database mappings, tokens and legacy
// authorizations; and it decides who a caller is.
//
// Nouns:
//
//   - A [View] is an immutable picture of the whole catalog. Reading one takes no
//     lock and allocates nothing; [Catalog.View] is one atomic load.
//   - A [Tx] stages changes on a private copy of a view. [Catalog.Update] syncs
//     them to disk as one record and then publishes the view, or does neither.
//   - A [Principal] is a caller: a token, a legacy authorization, a session or the
//     operator, with the permissions it has.
//
// Example:
//
//	c, err := catalog.Open(dir, catalog.Options{})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	err = c.Update(func(tx *catalog.Tx) error {
//		id := tx.NewID()
//		return tx.PutOrganization(catalog.Organization{ID: id, Name: "acme", CreatedAt: tx.Now(), UpdatedAt: tx.Now()})
//	})
//
// Invariants:
//
//   - Update returns nil only once the change is on disk. After a crash the
//     catalog holds every change that Update has acknowledged, whole, in order.
//   - A record that a crash has torn off the end of the journal is dropped; a
//     damaged record anywhere else is [ErrCorrupt], never skipped.
//   - Tokens are kept as SHA-256 hashes, passwords as bcrypt hashes, session keys
//     only in memory and only hashed.
//   - A name is taken at most once in its scope, and nothing refers to an
//     organization or a bucket that is gone.
//
// The package never knows HTTP, logs of points, or actors, and never deletes a
// bucket's points: who deletes a bucket here has to see to that.
package catalog
