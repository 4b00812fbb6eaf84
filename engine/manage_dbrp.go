package engine

import (
	"context"

	"headgate/engine/catalog"
	"headgate/engine/point"
)

// DBRPRequest describes a mapping to make.
type DBRPRequest struct {
	OrgID    point.ID
	BucketID BucketID
	// Database and RetentionPolicy are letters, digits, '_', '-' and '.', at least one.
	Database, RetentionPolicy string
	// Default makes it serve requests without a retention policy. The first mapping
	// of a database does so in any case.
	Default bool
}

func errDBRPNotFound() error { return Errorf(NotFound, "unable to find DBRP") }

func dbrpPermission(action Action, org, id point.ID) Permission {
	return Permission{Action: action, Type: catalog.DBRPs, ID: id, OrgID: org}
}

// mayReadDBRP: whoever may use the bucket may know its mapping.
func (p *Principal) mayReadDBRP(m DBRP) bool {
	b := Bucket{ID: m.BucketID, OrgID: m.OrgID}
	return p.allows(dbrpPermission(ActionRead, m.OrgID, m.ID)) || p.allows(bucketPermission(ActionRead, &b))
}

func checkMappingName(member, name string) error {
	ok := name != ""
	for _, r := range []byte(name) {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-', r == '.':
		default:
			ok = false
		}
	}
	if !ok {
		return Errorf(Invalid, "DBRP provided is invalid: %s must contain at least one character and only be letters, numbers, '_', '-', and '.'", member)
	}
	return nil
}

func errDBRPExists() error {
	return Errorf(Conflict, "another DBRP mapping with same orgID, db, and rp exists")
}

// CreateDBRP makes a mapping. Errors: Invalid for a bad name, NotFound for an
// unknown organization or bucket, Conflict if the database and retention policy
// are mapped, Unauthorized.
func (e *Engine) CreateDBRP(ctx context.Context, p *Principal, r DBRPRequest) (DBRP, error) {
	if err := checkMappingName("database", r.Database); err != nil {
		return DBRP{}, err
	}
	if err := checkMappingName("retentionPolicy", r.RetentionPolicy); err != nil {
		return DBRP{}, err
	}
	if err := p.require(dbrpPermission(ActionWrite, r.OrgID, 0)); err != nil {
		return DBRP{}, err
	}
	var m DBRP
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, ok := tx.Organization(r.OrgID); !ok {
			return errOrganizationNotFound()
		}
		if b, ok := tx.Bucket(r.BucketID); !ok || b.OrgID != r.OrgID {
			return errBucketNotFound()
		}
		if _, taken := tx.ExplicitDBRP(r.OrgID, r.Database, r.RetentionPolicy); taken {
			return errDBRPExists()
		}
		var err error
		m, err = tx.PutDBRP(DBRP{ID: tx.NewID(), OrgID: r.OrgID, BucketID: r.BucketID, Database: r.Database, RetentionPolicy: r.RetentionPolicy, Default: r.Default, CreatedAt: tx.Now()})
		return err
	})
	return m, err
}

// DBRPFilter selects mappings of an organization; zero fields select all.
type DBRPFilter struct {
	OrgID                     point.ID // required
	ID                        point.ID
	BucketID                  BucketID
	Database, RetentionPolicy string
	Default, Virtual          *bool
}

// DBRPs lists the mappings that p may read: the explicit ones, oldest first, then
// the virtual ones by bucket name.
func (e *Engine) DBRPs(p *Principal, f DBRPFilter) []DBRP {
	list := []DBRP{}
	for _, m := range e.catalog.View().DBRPs(f.OrgID) {
		if (f.ID == 0 || f.ID == m.ID) && (f.BucketID == 0 || f.BucketID == m.BucketID) &&
			(f.Database == "" || f.Database == m.Database) && (f.RetentionPolicy == "" || f.RetentionPolicy == m.RetentionPolicy) &&
			(f.Default == nil || *f.Default == m.Default) && (f.Virtual == nil || *f.Virtual == m.Virtual) && p.mayReadDBRP(m) {
			list = append(list, m)
		}
	}
	return list
}

// DBRP returns one mapping; the id of a virtual one is its bucket's. The error is
// NotFound also for one that p may not read.
func (e *Engine) DBRP(p *Principal, org, id point.ID) (DBRP, error) {
	m, ok := e.catalog.View().DBRP(org, id)
	if !ok || !p.mayReadDBRP(m) {
		return DBRP{}, errDBRPNotFound()
	}
	return m, nil
}

// UpdateDBRP changes what is not nil. A default that gives itself up hands over
// to the oldest other mapping of its database. A virtual mapping becomes an
// explicit one when it is changed. Errors: NotFound, Invalid for a bad name,
// Conflict, Unauthorized.
func (e *Engine) UpdateDBRP(ctx context.Context, p *Principal, org, id point.ID, retentionPolicy *string, isDefault *bool) (DBRP, error) {
	var m DBRP
	err := e.change(ctx, func(tx *catalog.Tx) error {
		var ok bool
		if m, ok = tx.DBRP(org, id); !ok {
			return errDBRPNotFound()
		}
		if err := p.require(dbrpPermission(ActionWrite, org, id)); err != nil {
			return err
		}
		old := m
		if retentionPolicy != nil {
			if err := checkMappingName("retentionPolicy", *retentionPolicy); err != nil {
				return err
			}
			m.RetentionPolicy = *retentionPolicy
		}
		if isDefault != nil {
			m.Default = *isDefault
		}
		if m == old {
			return nil
		}
		if other, taken := tx.ExplicitDBRP(org, m.Database, m.RetentionPolicy); taken && other.ID != m.ID {
			return errDBRPExists()
		}
		if m.Virtual {
			m.CreatedAt = tx.Now() // its id stays the bucket's
		}
		var err error
		m, err = tx.PutDBRP(m)
		return err
	})
	return m, err
}

// DeleteDBRP deletes an explicit mapping; if it was its database's default, the
// oldest other one becomes that. Deleting a virtual or an unknown mapping changes
// nothing and is no error. The error is Unauthorized.
func (e *Engine) DeleteDBRP(ctx context.Context, p *Principal, org, id point.ID) error {
	if err := p.require(dbrpPermission(ActionWrite, org, id)); err != nil {
		return err
	}
	return e.change(ctx, func(tx *catalog.Tx) error {
		if m, ok := tx.DBRP(org, id); !ok || m.Virtual {
			return nil
		}
		return tx.DeleteDBRP(id)
	})
}
