package catalog

import "headgate/engine/point"

// PrincipalKind says how a caller has shown who it is.
type PrincipalKind uint8

// The kinds of principals.
const (
	// ByOperator is a caller that is taken for the operator without credentials.
	ByOperator PrincipalKind = 1 + iota
	// ByToken is a token.
	ByToken
	// ByLegacy is a legacy authorization's name and password.
	ByLegacy
	// BySession is a user who has signed in.
	BySession
)

// Principal is a caller and what it may do. It is immutable and may be kept for
// one request; it does not see changes that come after it was made.
type Principal struct {
	// Kind is how the caller has shown who it is.
	Kind PrincipalKind
	// OrgID is the organization that the credentials belong to; for a session the
	// first organization of the user; 0 if there is none.
	OrgID point.ID
	// UserID is the user in whose name the caller acts; 0 for ByOperator on a
	// catalog without users.
	UserID point.ID
	// AuthorizationID is the token's or legacy authorization's, else 0.
	AuthorizationID point.ID
	// Status is the authorization's. An inactive principal may do nothing.
	Status Status
	// Permissions are what the caller may do while it is active. Nobody changes
	// them.
	Permissions []Permission
}

// Allows reports whether p may do action to a resource: id 0 stands for all
// resources of the type, org 0 for all organizations.
func (p *Principal) Allows(action Action, t ResourceType, id, org point.ID) bool {
	return p.Status == Active && p.covers(Permission{Action: action, Type: t, ID: id, OrgID: org})
}

func (p *Principal) covers(q Permission) bool {
	for i := range p.Permissions {
		if p.Permissions[i].Covers(q) {
			return true
		}
	}
	return false
}

// operatorPrincipal is the operator as of one generation of the view.
type operatorPrincipal struct {
	generation uint64
	principal  *Principal
}

// Operator returns a principal that may do everything. It acts in the name of the
// oldest operator among the users and for the oldest organization, if there are any.
func (c *Catalog) Operator() *Principal {
	view := c.View()
	if o := c.operator.Load(); o != nil && o.generation == view.generation {
		return o.principal
	}
	p := &Principal{Kind: ByOperator, Permissions: OperatorPermissions()}
	if orgs := view.Organizations(); len(orgs) > 0 {
		p.OrgID = orgs[0].ID
	}
	for _, u := range view.Users() {
		if u.Operator {
			p.UserID = u.ID
			break
		}
	}
	c.operator.Store(&operatorPrincipal{view.generation, p})
	return p
}

func tokenPrincipal(a *Authorization) *Principal {
	return &Principal{Kind: ByToken, OrgID: a.OrgID, UserID: a.UserID, AuthorizationID: a.ID, Status: a.Status, Permissions: a.Permissions}
}

func legacyPrincipal(a *LegacyAuthorization) *Principal {
	return &Principal{Kind: ByLegacy, OrgID: a.OrgID, UserID: a.UserID, AuthorizationID: a.ID, Status: a.Status, Permissions: a.Permissions}
}

func (v *View) sessionPrincipal(u *User) *Principal {
	p := &Principal{Kind: BySession, UserID: u.ID}
	if u.Operator {
		p.Permissions = OperatorPermissions()
	}
	for _, m := range v.Memberships(u.ID) {
		if p.OrgID == 0 {
			p.OrgID = m.OrgID
		}
		if u.Operator {
			continue
		}
		if m.Role == RoleOwner {
			p.Permissions = append(p.Permissions, OwnerPermissions(m.OrgID)...)
		} else {
			p.Permissions = append(p.Permissions, MemberPermissions(m.OrgID)...)
		}
	}
	if !u.Operator {
		p.Permissions = append(p.Permissions, Permission{Action: Read, Type: Users, ID: u.ID}, Permission{Action: Write, Type: Users, ID: u.ID})
	}
	return p
}
