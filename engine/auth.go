package engine

import (
	"errors"
	"time"

	"headgate/engine/catalog"
	"headgate/engine/point"
)

// What the catalogue keeps; see package catalog for the fields.
type (
	// Organization owns buckets, tokens and database mappings.
	Organization = catalog.Organization
	// Bucket is where points are kept.
	Bucket = catalog.Bucket
	// User can sign in.
	User = catalog.User
	// Member says that a user belongs to an organization.
	Member = catalog.Member
	// Authorization is a token without the token itself.
	Authorization = catalog.Authorization
	// LegacyAuthorization is a user name and password of the v1 API.
	LegacyAuthorization = catalog.LegacyAuthorization
	// DBRP maps a database and retention policy of the v1 API to a bucket.
	DBRP = catalog.DBRP
	// Permission allows one action on resources of one type.
	Permission = catalog.Permission
	// Session is a user's sign-in.
	Session = catalog.Session
	// Status is whether a user or an authorization may be used.
	Status = catalog.Status
	// Action is what a permission allows.
	Action = catalog.Action
	// ResourceType is what a permission is about.
	ResourceType = catalog.ResourceType
	// Role is what a member may do in an organization.
	Role = catalog.Role
)

// Actions, statuses and roles.
const (
	ActionRead  = catalog.Read
	ActionWrite = catalog.Write
	Active      = catalog.Active
	Inactive    = catalog.Inactive
	RoleMember  = catalog.RoleMember
	RoleOwner   = catalog.RoleOwner
)

// The resource types that mean something to Headgate.
const (
	ResourceAuthorizations = catalog.Authorizations
	ResourceBuckets        = catalog.Buckets
	ResourceOrganizations  = catalog.Orgs
	ResourceUsers          = catalog.Users
	ResourceDBRPs          = catalog.DBRPs
)

// ParseAction reads "read" or "write".
func ParseAction(s string) (Action, error) { return catalog.ParseAction(s) }

// ParseResourceType reads the name of a resource type, such as "buckets".
func ParseResourceType(s string) (ResourceType, error) { return catalog.ParseResourceType(s) }

// Principal is a caller and what it may do. Get one from the Authenticate
// methods or from [Engine.Operator], for one request at a time: it does not see
// later changes to its permissions.
type Principal catalog.Principal

// In is p for what names no organization, such as InfluxQL's databases, in org
// instead of p's own. It may do what p may.
func (p *Principal) In(org point.ID) *Principal {
	c := *p
	c.OrgID = org
	return &c
}

// Active returns nil, or an Unauthorized error if the caller's token is inactive.
func (p *Principal) Active() error {
	if p.Status != Active {
		return Errorf(Unauthorized, "token is inactive")
	}
	return nil
}

// CanWrite returns nil if p may write points to b. Otherwise the error is
// Unauthorized, or Forbidden if p's token is inactive.
func (p *Principal) CanWrite(b Bucket) error {
	return p.can(catalog.Write, b, "insufficient permissions for write")
}

// CanRead returns nil if p may query b; errors as for CanWrite.
func (p *Principal) CanRead(b Bucket) error {
	return p.can(catalog.Read, b, "insufficient permissions for read")
}

// CanDelete returns nil if p may delete points of b; errors as for CanWrite.
func (p *Principal) CanDelete(b Bucket) error {
	return p.can(catalog.Write, b, "insufficient permissions to delete")
}

func (p *Principal) can(action Action, b Bucket, message string) error {
	if p == nil {
		return Errorf(Unauthorized, "unauthorized access")
	}
	if p.Status != Active {
		return &Error{Kind: Forbidden, Message: message + ": token is inactive"}
	}
	if !p.allows(Permission{Action: action, Type: catalog.Buckets, ID: b.ID, OrgID: b.OrgID}) {
		return &Error{Kind: Unauthorized, Message: message}
	}
	return nil
}

func (p *Principal) allows(q Permission) bool {
	return p != nil && (*catalog.Principal)(p).Allows(q.Action, q.Type, q.ID, q.OrgID)
}

// require returns nil if p has the permission q, and otherwise the error that
// management calls answer with.
func (p *Principal) require(q Permission) error {
	switch {
	case p == nil:
		return Errorf(Unauthorized, "unauthorized access")
	case p.Status != Active:
		return p.Active()
	case !p.allows(q):
		return Errorf(Unauthorized, "%s is unauthorized", q)
	}
	return nil
}

// AuthenticateToken finds who has a v2 token. The error is Unauthorized for a
// token that nobody has, and Forbidden for one whose user is inactive or gone. An
// inactive token gives a principal that may do nothing. After a token's first
// use this takes no lock, computes no cryptographic hash and allocates nothing.
func (e *Engine) AuthenticateToken(token string) (*Principal, error) {
	p, err := e.catalog.AuthenticateToken(token)
	if err != nil {
		return nil, authError(err, "unauthorized access")
	}
	return (*Principal)(p), nil
}

// AuthenticateLegacy finds who has a user name and password of the v1 API: a
// legacy authorization, or, if there is none of that name, the password as a
// token. Whatever is wrong with them, an inactive token included, the error is
// Unauthorized; it is Overloaded when too many passwords are being checked.
// Credentials that have been checked are remembered, right or wrong.
func (e *Engine) AuthenticateLegacy(user, password string) (*Principal, error) {
	p, err := e.catalog.AuthenticateLegacy(user, password)
	if err != nil {
		return nil, authError(err, "Unauthorized")
	}
	return (*Principal)(p), nil
}

// AuthenticateSession finds whose session a key opens, and extends it. Errors are
// those of AuthenticateToken.
func (e *Engine) AuthenticateSession(key string) (*Principal, error) {
	p, err := e.catalog.AuthenticateSession(key)
	if err != nil {
		return nil, authError(err, "unauthorized access")
	}
	return (*Principal)(p), nil
}

// SignIn opens a session. The error is Unauthorized for a wrong name or password,
// Forbidden for an inactive user, and Overloaded when too many passwords are
// being checked.
func (e *Engine) SignIn(user, password string) (Session, error) {
	s, err := e.catalog.SignIn(user, password)
	if err != nil {
		return Session{}, authError(err, "unauthorized access")
	}
	return s, nil
}

// SignOut ends a session, if there is one.
func (e *Engine) SignOut(key string) { e.catalog.SignOut(key) }

// Operator returns a principal that may do everything. Embedders act as it, and
// so does everyone with Options.AuthDisabled.
func (e *Engine) Operator() *Principal { return (*Principal)(e.catalog.Operator()) }

// authError says in engine's terms why a caller has not been let in.
func authError(err error, message string) error {
	switch {
	case errors.Is(err, catalog.ErrUserInactive):
		return &Error{Kind: Forbidden, Message: "User is inactive", Err: err}
	case errors.Is(err, catalog.ErrUnauthorized):
		return &Error{Kind: Unauthorized, Message: message, Err: err}
	case errors.Is(err, catalog.ErrBusy):
		return &Error{Kind: Overloaded, Message: "too many passwords are being checked", RetryAfter: time.Second, Err: err}
	}
	return err
}

// OrganizationByName finds an organization. It takes no lock.
func (e *Engine) OrganizationByName(name string) (Organization, bool) {
	return valueOf(e.catalog.View().OrganizationByName(name))
}

// OrganizationByID finds an organization. It takes no lock.
func (e *Engine) OrganizationByID(id point.ID) (Organization, bool) {
	return valueOf(e.catalog.View().Organization(id))
}

// DefaultOrganization is the one that requests without credentials and without
// an organization mean: the oldest.
func (e *Engine) DefaultOrganization() (Organization, error) {
	if o, ok := e.OrganizationByID(e.catalog.Operator().OrgID); ok {
		return o, nil
	}
	return Organization{}, Errorf(NotFound, "organization not found")
}

// BucketByName finds a bucket of an organization. It takes no lock.
func (e *Engine) BucketByName(org point.ID, name string) (Bucket, bool) {
	return valueOf(e.catalog.View().BucketByName(org, name))
}

// BucketByID finds a bucket. It takes no lock.
func (e *Engine) BucketByID(id BucketID) (Bucket, bool) { return valueOf(e.catalog.View().Bucket(id)) }

// BucketForDatabase finds the bucket that a database and retention policy of the
// v1 API mean to p: that of an explicit mapping, else the bucket called `db/rp`,
// or `db` for the retention policy autogen. An empty rp asks for the default. A
// bucket that p may neither read nor write is not found; whether p may do what it
// wants is for the caller to ask. The error is NotFound.
func (e *Engine) BucketForDatabase(p *Principal, db, rp string) (Bucket, error) {
	if p != nil {
		b, ok := e.catalog.View().BucketForMapping(p.OrgID, db, rp)
		if ok && (p.CanWrite(*b) == nil || p.CanRead(*b) == nil) {
			return *b, nil
		}
	}
	return Bucket{}, &Error{Kind: NotFound, Message: "no dbrp mapping found"}
}

func valueOf[T any](r *T, ok bool) (T, bool) {
	if !ok {
		var zero T
		return zero, false
	}
	return *r, true
}
