package catalog

import (
	"errors"

	"headgate/engine/point"
)

// Action is what a permission allows.
type Action uint8

// The actions. The zero value is none.
const (
	Read Action = 1 + iota
	Write
)

var actionNames = [...]string{Read: "read", Write: "write"}

// ErrAction is the error for an action that is neither read nor write.
var ErrAction = errors.New("unknown action for permission")

// String returns read or write.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return ""
}

// MarshalText makes actions JSON strings.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (a *Action) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAction(string(b))
	return err
}

// ParseAction reads read or write; anything else is [ErrAction].
func ParseAction(s string) (Action, error) {
	switch s {
	case "read":
		return Read, nil
	case "write":
		return Write, nil
	}
	return 0, ErrAction
}

// ResourceType is a kind of thing that permissions are about. Most of them
// exist only so that tokens made for InfluxDB keep their permissions.
type ResourceType uint8

// The resource types, in the order in which an operator's token lists them. The
// zero value is none.
const (
	Authorizations ResourceType = 1 + iota
	Buckets
	Dashboards
	Orgs
	Sources
	Tasks
	Telegrafs
	Users
	Variables
	Scrapers
	Secrets
	Labels
	Views
	Documents
	NotificationRules
	NotificationEndpoints
	Checks
	DBRPs
	Notebooks
	Annotations
	Remotes
	Replications
	resourceTypes // one past the last
)

var resourceTypeNames = [...]string{
	Authorizations: "authorizations", Buckets: "buckets", Dashboards: "dashboards", Orgs: "orgs", Sources: "sources",
	Tasks: "tasks", Telegrafs: "telegrafs", Users: "users", Variables: "variables", Scrapers: "scrapers",
	Secrets: "secrets", Labels: "labels", Views: "views", Documents: "documents",
	NotificationRules: "notificationRules", NotificationEndpoints: "notificationEndpoints", Checks: "checks",
	DBRPs: "dbrp", Notebooks: "notebooks", Annotations: "annotations", Remotes: "remotes", Replications: "replications",
}

// ErrResourceType is the error for a name that is no resource type.
var ErrResourceType = errors.New("unknown resource type for permission")

// String returns the name that InfluxDB gives the type.
func (t ResourceType) String() string {
	if int(t) < len(resourceTypeNames) {
		return resourceTypeNames[t]
	}
	return ""
}

// MarshalText makes resource types JSON strings.
func (t ResourceType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (t *ResourceType) UnmarshalText(b []byte) (err error) {
	*t, err = ParseResourceType(string(b))
	return err
}

// ParseResourceType reads a name; an unknown one is [ErrResourceType].
func ParseResourceType(s string) (ResourceType, error) {
	for t := Authorizations; t < resourceTypes; t++ {
		if resourceTypeNames[t] == s {
			return t, nil
		}
	}
	return 0, ErrResourceType
}

// Permission allows one action on the resources of one type: on all of them, on
// those of one organization, or on a single one.
type Permission struct {
	Action Action       `json:"a"`
	Type   ResourceType `json:"t"`
	// ID is the resource, or 0 for all of the type.
	ID point.ID `json:"id,omitzero"`
	// OrgID is the organization, or 0 for any.
	OrgID point.ID `json:"org,omitzero"`
}

// Covers reports whether p allows everything that q allows.
func (p *Permission) Covers(q Permission) bool {
	if p.Action != q.Action || p.Type != q.Type {
		return false
	}
	if p.Type == Orgs { // an organization is in itself
		p, q := p.orgOnly(), q.orgOnly()
		return p == 0 || p == q
	}
	return (p.ID == 0 || p.ID == q.ID) && (p.OrgID == 0 || p.OrgID == q.OrgID)
}

func (p *Permission) orgOnly() point.ID {
	if p.ID != 0 {
		return p.ID
	}
	return p.OrgID
}

// String writes p as messages do: `write:orgs/<org>/buckets/<id>`.
func (p Permission) String() string {
	s := p.Action.String() + ":"
	if p.OrgID != 0 {
		s += "orgs/" + p.OrgID.String()
		if p.Type == Orgs {
			return s
		}
		s += "/"
	}
	s += p.Type.String()
	if p.ID != 0 {
		s += "/" + p.ID.String()
	}
	return s
}

// OperatorPermissions allow everything everywhere.
func OperatorPermissions() []Permission { return allPermissions(0, true) }

// OwnerPermissions are what an owner of org may do.
func OwnerPermissions(org point.ID) []Permission { return allPermissions(org, true) }

// MemberPermissions are what a member of org may do: read what is neither a
// secret nor a token.
func MemberPermissions(org point.ID) []Permission { return allPermissions(org, false) }

func allPermissions(org point.ID, write bool) []Permission {
	perms := make([]Permission, 0, 2*resourceTypes)
	for t := Authorizations; t < resourceTypes; t++ {
		switch {
		case org != 0 && t == Users: // users belong to no organization
			continue
		case !write && (t == Authorizations || t == Secrets):
			continue
		}
		perms = append(perms, Permission{Action: Read, Type: t, OrgID: org})
		if write {
			perms = append(perms, Permission{Action: Write, Type: t, OrgID: org})
		}
	}
	return perms
}
