package catalog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"headgate/engine/point"
)

// Organization owns buckets, tokens and mappings.
type Organization struct {
	ID          point.ID  `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"desc,omitempty"`
	CreatedAt   time.Time `json:"created"`
	UpdatedAt   time.Time `json:"updated"`
}

// Bucket is where points are kept.
type Bucket struct {
	ID          point.ID `json:"id"`
	OrgID       point.ID `json:"org"`
	Name        string   `json:"name"`
	Description string   `json:"desc,omitempty"`
	// RetentionPeriod is how long points are kept; 0 is for ever.
	RetentionPeriod time.Duration `json:"retention,omitempty"`
	// Window is the time range that groups blocks of points and expires as a
	// whole, what InfluxDB calls the shard group duration.
	Window    time.Duration `json:"window"`
	CreatedAt time.Time     `json:"created"`
	UpdatedAt time.Time     `json:"updated"`
}

// Status says whether a user or an authorization may be used.
type Status uint8

// The statuses. The zero value is active.
const (
	Active Status = iota
	Inactive
)

// ErrStatus is the error for a status that is neither active nor inactive.
var ErrStatus = errors.New("must be active or inactive")

// String returns active or inactive.
func (s Status) String() string {
	if s == Active {
		return "active"
	}
	return "inactive"
}

// MarshalText makes statuses JSON strings.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText. The empty string is active.
func (s *Status) UnmarshalText(b []byte) error {
	switch string(b) {
	case "active", "":
		*s = Active
	case "inactive":
		*s = Inactive
	default:
		return ErrStatus
	}
	return nil
}

// User is a person or a machine that can sign in.
type User struct {
	ID     point.ID `json:"id"`
	Name   string   `json:"name"`
	Status Status   `json:"status,omitzero"`
	// Operator may do everything in every organization, as the user that set
	// the engine up.
	Operator bool `json:"operator,omitempty"`
	// PasswordHash is a bcrypt hash; empty for a user that cannot sign in.
	PasswordHash string    `json:"password,omitempty"`
	CreatedAt    time.Time `json:"created"`
	UpdatedAt    time.Time `json:"updated"`
}

// Role is what a member may do in an organization.
type Role uint8

// The roles.
const (
	// RoleMember reads.
	RoleMember Role = iota
	// RoleOwner reads and writes, and manages the organization.
	RoleOwner
)

// String returns member or owner.
func (r Role) String() string {
	if r == RoleOwner {
		return "owner"
	}
	return "member"
}

// Member says that a user belongs to an organization.
type Member struct {
	ID     point.ID `json:"id"`
	OrgID  point.ID `json:"org"`
	UserID point.ID `json:"user"`
	Role   Role     `json:"role,omitempty"`
}

// TokenHash is the SHA-256 of a token.
type TokenHash [32]byte

// MarshalText writes h as hex digits.
func (h TokenHash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText is the inverse of MarshalText.
func (h *TokenHash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("catalog: a token hash has %d hex digits, not %d", len(b), 2*len(h))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Authorization is a token: what it may do, in whose name. The token itself is
// known only to whoever it was handed to.
type Authorization struct {
	ID          point.ID     `json:"id"`
	Token       TokenHash    `json:"token"`
	Status      Status       `json:"status,omitzero"`
	Description string       `json:"desc,omitempty"`
	OrgID       point.ID     `json:"org"`
	UserID      point.ID     `json:"user,omitzero"`
	Permissions []Permission `json:"perms"`
	CreatedAt   time.Time    `json:"created"`
	UpdatedAt   time.Time    `json:"updated"`
}

// LegacyAuthorization is a user name and password of the v1 API.
type LegacyAuthorization struct {
	ID point.ID `json:"id"`
	// Name is the user name, which the API calls the token.
	Name string `json:"name"`
	// PasswordHash is a bcrypt hash; empty until a password has been set.
	PasswordHash string       `json:"password,omitempty"`
	Status       Status       `json:"status,omitzero"`
	Description  string       `json:"desc,omitempty"`
	OrgID        point.ID     `json:"org"`
	UserID       point.ID     `json:"user,omitzero"`
	Permissions  []Permission `json:"perms"`
	CreatedAt    time.Time    `json:"created"`
	UpdatedAt    time.Time    `json:"updated"`
}

// DBRP maps a database and retention policy of the v1 API to a bucket.
type DBRP struct {
	ID              point.ID `json:"id"`
	OrgID           point.ID `json:"org"`
	BucketID        point.ID `json:"bucket"`
	Database        string   `json:"db"`
	RetentionPolicy string   `json:"rp"`
	// Default mappings serve requests that name no retention policy. At most one
	// explicit mapping of a database is the default.
	Default bool `json:"default,omitempty"`
	// Virtual mappings follow from a bucket's name and are not stored.
	Virtual   bool      `json:"-"`
	CreatedAt time.Time `json:"created"`
}

// DefaultRetentionPolicy names the retention policy of a bucket whose name has
// no slash.
const DefaultRetentionPolicy = "autogen"

// MappingOf splits a bucket's name into the database and retention policy that
// it serves without an explicit mapping: `db/rp`, or `db` with autogen.
func MappingOf(bucketName string) (database, retentionPolicy string) {
	if db, rp, ok := strings.Cut(bucketName, "/"); ok {
		return db, rp
	}
	return bucketName, DefaultRetentionPolicy
}

// Dropped is a bucket that has been deleted and whose points may still be there:
// a crash can come between the two. Only what is remembered here is taken for
// deleted, so that a lost catalog never takes points along.
type Dropped struct {
	ID point.ID `json:"id"`
}
