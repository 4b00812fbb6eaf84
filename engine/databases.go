package engine

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"unicode"

	"headgate/engine/catalog"
	"headgate/engine/influxql"
	"headgate/engine/point"
)

// The v1 API's databases and retention policies are names for buckets: the bucket
// `db/rp`, or `db` for the retention policy autogen, unless an explicit mapping
// says otherwise. What follows is InfluxQL's view of them, with its errors.

// Databases lists the databases that p may read: those of explicit mappings
// first, then those that buckets are named by, sorted.
func (e *Engine) Databases(p *Principal) []string {
	names := []string{}
	seen := make(map[string]bool)
	if p == nil {
		return names
	}
	for _, m := range e.catalog.View().DBRPs(p.OrgID) {
		b := Bucket{ID: m.BucketID, OrgID: m.OrgID}
		if !seen[m.Database] && p.allows(bucketPermission(ActionRead, &b)) {
			seen[m.Database] = true
			names = append(names, m.Database)
		}
	}
	return names
}

// RetentionPolicies lists the retention policies of a database that p may read,
// none when there is no such database.
func (e *Engine) RetentionPolicies(p *Principal, db string) []influxql.RetentionPolicy {
	list := []influxql.RetentionPolicy{}
	if p == nil {
		return list
	}
	v := e.catalog.View()
	for _, m := range v.DBRPs(p.OrgID) {
		if m.Database != db {
			continue
		}
		if b, ok := v.Bucket(m.BucketID); ok && p.allows(bucketPermission(ActionRead, b)) {
			list = append(list, influxql.RetentionPolicy{
				Name: m.RetentionPolicy, Duration: b.RetentionPeriod, ShardGroupDuration: b.Window, ReplicaN: 1, Default: m.Default,
			})
		}
	}
	return list
}

// databaseBuckets are the buckets that a database's name is part of, by name.
func databaseBuckets(v *catalog.View, org point.ID, db string) []*catalog.Bucket {
	return slices.DeleteFunc(v.Buckets(org), func(b *catalog.Bucket) bool {
		name, _ := catalog.MappingOf(b.Name)
		return name != db
	})
}

// databaseExists reports whether db names a bucket or an explicit mapping.
func databaseExists(v *catalog.View, org point.ID, db string) bool {
	if _, ok := v.BucketByName(org, db); ok {
		return true
	}
	if _, ok := v.DefaultDBRP(org, db); ok {
		return true
	}
	return len(databaseBuckets(v, org, db)) > 0
}

// bucketNameOf is the bucket that a database and retention policy are made as.
func bucketNameOf(db, rp string) string {
	if rp == catalog.DefaultRetentionPolicy {
		return db
	}
	return db + "/" + rp
}

// checkDatabaseName refuses what InfluxDB 1.x refuses, and what no bucket may be
// called.
func checkDatabaseName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) ||
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return &Error{Kind: Invalid, Message: influxql.ErrInvalidName.Error(), Err: influxql.ErrInvalidName}
	}
	return checkBucketName(name)
}

func errDatabaseNotFound(db string) error {
	err := influxql.ErrDatabaseNotFound{Database: db}
	return &Error{Kind: NotFound, Message: err.Error(), Err: err}
}

func errRetentionPolicyNotFound(rp string) error {
	err := influxql.ErrRetentionPolicyNotFound{RetentionPolicy: rp}
	return &Error{Kind: NotFound, Message: err.Error(), Err: err}
}

// mayStatement returns nil if p may write to a bucket, or make buckets in org if
// id is 0; else the error that a statement fails with.
func (p *Principal) mayStatement(org point.ID, id BucketID) error {
	if !p.allows(Permission{Action: ActionWrite, Type: catalog.Buckets, ID: id, OrgID: org}) {
		return Errorf(Unauthorized, "insufficient permissions")
	}
	return nil
}

// maySee reports whether p may read or write any bucket of a database.
func (p *Principal) maySee(v *catalog.View, org point.ID, db string) bool {
	for _, m := range v.DBRPs(org) {
		b := Bucket{ID: m.BucketID, OrgID: org}
		if m.Database == db && (p.allows(bucketPermission(ActionRead, &b)) || p.allows(bucketPermission(ActionWrite, &b))) {
			return true
		}
	}
	return false
}

// CreateDatabase makes a database in org as the bucket `db`, or `db/rp` if the
// statement names a retention policy. It succeeds when the database exists
// already, unless the statement asks for another default policy than it has.
func (e *Engine) CreateDatabase(ctx context.Context, p *Principal, org point.ID, r influxql.CreateDatabase) error {
	spec := influxql.RetentionPolicySpec{}
	if r.RetentionPolicy != nil {
		spec = *r.RetentionPolicy
	}
	if spec.Name == "" {
		spec.Name = catalog.DefaultRetentionPolicy
	}
	b := BucketRequest{OrgID: org, Name: bucketNameOf(r.Name, spec.Name), Window: spec.ShardGroupDuration}
	if spec.Duration != nil {
		b.RetentionPeriod = *spec.Duration
	}
	if err := checkDatabaseName(r.Name); err != nil {
		return err
	}
	if err := checkDatabaseName(spec.Name); err != nil {
		return err
	}
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	v := e.catalog.View()
	if databaseExists(v, org, r.Name) {
		if !p.maySee(v, org, r.Name) {
			return p.mayStatement(org, 0)
		}
		if r.RetentionPolicy == nil {
			return nil
		}
		have, ok := v.BucketForMapping(org, r.Name, spec.Name)
		def, hasDefault := v.BucketForMapping(org, r.Name, "")
		if !ok || !hasDefault || def.ID != have.ID || spec.Duration != nil && *spec.Duration != have.RetentionPeriod ||
			spec.ShardGroupDuration != 0 && max(spec.ShardGroupDuration, windowMin) != have.Window {
			return Errorf(Conflict, "retention policy conflicts with an existing policy")
		}
		return nil
	}
	if err := p.mayStatement(org, 0); err != nil {
		return err
	}
	_, err := e.createBucket(ctx, b, defaultMapping(r.Name, spec.Name, spec.Name != catalog.DefaultRetentionPolicy))
	return err
}

// defaultMapping adds the explicit mapping that makes a new bucket the default of
// its database, if wanted.
func defaultMapping(db, rp string, wanted bool) func(*catalog.Tx, Bucket) error {
	if !wanted {
		return nil
	}
	return func(tx *catalog.Tx, b Bucket) error { return putDefault(tx, b.OrgID, b.ID, db, rp) }
}

// putDefault makes a bucket the default of a database.
func putDefault(tx *catalog.Tx, org point.ID, id BucketID, db, rp string) error {
	m := DBRP{ID: tx.NewID(), OrgID: org, BucketID: id, Database: db, RetentionPolicy: rp, CreatedAt: tx.Now()}
	if old, ok := tx.ExplicitDBRP(org, db, rp); ok {
		m = *old
	}
	m.Default = true
	_, err := tx.PutDBRP(m)
	return err
}

// DropDatabase deletes the buckets of org that are called `db` or `db/...`, and
// the explicit mappings of the database; a bucket of another name that was mapped
// to it stays. It succeeds when there is no such database. The caller needs to be
// allowed to write all of org's buckets: a token that an agent writes one bucket
// with must not be able to drop it.
func (e *Engine) DropDatabase(ctx context.Context, p *Principal, org point.ID, db string) error {
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	e.shard.MakeRoom(ctx)
	var dropped []BucketID
	err := e.change(ctx, func(tx *catalog.Tx) error {
		for _, m := range tx.ExplicitDBRPs(org) {
			if m.Database != db {
				continue
			}
			if err := p.mayStatement(org, 0); err != nil {
				return err
			}
			if err := tx.DeleteDBRP(m.ID); err != nil {
				return err
			}
		}
		for _, b := range databaseBuckets(tx.View, org, db) {
			if err := p.mayStatement(org, 0); err != nil {
				return err
			}
			if err := tx.DeleteBucket(b.ID); err != nil {
				return err
			}
			dropped = append(dropped, b.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.dropBuckets(ctx, dropped...)
	if dropped != nil {
		e.o.Logger.Info("dropped a database", slog.String("database", db), slog.Int("buckets", len(dropped)))
	}
	return nil
}

// CreateRetentionPolicy makes the bucket `db/rp` in org. It succeeds when the same
// policy exists already. Errors: NotFound for an unknown database, Conflict if the
// policy exists and is another, Invalid or Internal for a bad duration.
func (e *Engine) CreateRetentionPolicy(ctx context.Context, p *Principal, org point.ID, r influxql.CreateRetentionPolicy) error {
	if err := checkDatabaseName(r.Name); err != nil {
		return err
	}
	window, err := newRetention(r.Duration, r.ShardGroupDuration)
	if err != nil {
		return err
	}
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	v := e.catalog.View()
	if !databaseExists(v, org, r.Database) || !p.maySee(v, org, r.Database) && p.mayStatement(org, 0) != nil {
		return errDatabaseNotFound(r.Database)
	}
	if have, ok := v.BucketForMapping(org, r.Database, r.Name); ok {
		if have.RetentionPeriod != r.Duration || have.Window != window {
			return Errorf(Conflict, "retention policy already exists")
		}
		if !r.Default {
			return nil
		}
		return e.makeDefault(ctx, p, org, have.ID, r.Database, r.Name)
	}
	if err := p.mayStatement(org, 0); err != nil {
		return err
	}
	b := BucketRequest{OrgID: org, Name: bucketNameOf(r.Database, r.Name), RetentionPeriod: r.Duration, Window: window}
	_, err = e.createBucket(ctx, b, defaultMapping(r.Database, r.Name, r.Default))
	return err
}

// makeDefault makes a bucket the default of a database, if it is not. e.manageMu
// is held.
func (e *Engine) makeDefault(ctx context.Context, p *Principal, org point.ID, id BucketID, db, rp string) error {
	if err := p.mayStatement(org, id); err != nil {
		return err
	}
	if def, ok := e.catalog.View().BucketForMapping(org, db, ""); ok && def.ID == id {
		return nil
	}
	return e.change(ctx, func(tx *catalog.Tx) error { return putDefault(tx, org, id, db, rp) })
}

// AlterRetentionPolicy changes the bucket of a retention policy. Errors: NotFound
// for an unknown database or policy, Internal for a bad duration.
func (e *Engine) AlterRetentionPolicy(ctx context.Context, p *Principal, org point.ID, r influxql.AlterRetentionPolicy) error {
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	v := e.catalog.View()
	if !databaseExists(v, org, r.Database) || !p.maySee(v, org, r.Database) {
		return errDatabaseNotFound(r.Database)
	}
	have, ok := v.BucketForMapping(org, r.Database, r.Name)
	if !ok {
		return errRetentionPolicyNotFound(r.Name)
	}
	if err := p.mayStatement(org, have.ID); err != nil {
		return err
	}
	var b Bucket
	err := e.change(ctx, func(tx *catalog.Tx) error {
		b = *have
		if r.Duration != nil {
			b.RetentionPeriod = *r.Duration
		}
		window := b.Window
		if r.ShardGroupDuration != nil {
			window = *r.ShardGroupDuration
		}
		var err error
		if b.Window, err = newRetention(b.RetentionPeriod, window); err != nil {
			return err
		}
		b.UpdatedAt = tx.Now()
		return tx.PutBucket(b)
	})
	if err != nil {
		return err
	}
	e.retentionChanged(b)
	if !r.Default {
		return nil
	}
	return e.makeDefault(ctx, p, org, have.ID, r.Database, r.Name)
}

// DropRetentionPolicy deletes the bucket of a retention policy and the explicit
// mapping, if there is one; a bucket that is not called by the policy's name
// stays. It succeeds when there is no such database or policy.
func (e *Engine) DropRetentionPolicy(ctx context.Context, p *Principal, org point.ID, db, rp string) error {
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	e.shard.MakeRoom(ctx)
	var dropped []BucketID
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if m, ok := tx.ExplicitDBRP(org, db, rp); ok {
			if err := p.mayStatement(org, 0); err != nil {
				return err
			}
			if err := tx.DeleteDBRP(m.ID); err != nil {
				return err
			}
		}
		b, ok := tx.BucketByName(org, bucketNameOf(db, rp))
		if !ok {
			return nil
		}
		if err := p.mayStatement(org, 0); err != nil {
			return err
		}
		dropped = append(dropped, b.ID)
		return tx.DeleteBucket(b.ID)
	})
	if err == nil {
		e.dropBuckets(ctx, dropped...)
	}
	return err
}
