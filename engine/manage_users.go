package engine

import (
	"context"
	"errors"
	"strings"

	"headgate/engine/catalog"
	"headgate/engine/point"
)

func errUserNotFound() error { return Errorf(NotFound, "user not found") }

func userPermission(action Action, id point.ID) Permission {
	return Permission{Action: action, Type: catalog.Users, ID: id}
}

// mayUser reports whether p may do action to a user: by permission, or because
// it is that user.
func (p *Principal) mayUser(action Action, id point.ID) error {
	if p != nil && p.Status == Active && p.UserID == id && id != 0 && p.Kind == catalog.BySession {
		return nil
	}
	return p.require(userPermission(action, id))
}

// UserFilter selects users; zero fields select all.
type UserFilter struct {
	ID   point.ID
	Name string
	Page
}

// Users lists the users that p may read, oldest first. The error is NotFound if
// the filter names one that does not exist.
func (e *Engine) Users(p *Principal, f UserFilter) ([]User, error) {
	list := []User{}
	found := false
	for _, u := range e.catalog.View().Users() {
		if f.ID != 0 && f.ID != u.ID || f.Name != "" && f.Name != u.Name {
			continue
		}
		found = true
		if p.mayUser(ActionRead, u.ID) == nil {
			list = append(list, *u)
		}
	}
	if !found && (f.ID != 0 || f.Name != "") {
		return nil, errUserNotFound()
	}
	return paged(list, f.Page), nil
}

// User returns one user. Errors: NotFound, Unauthorized.
func (e *Engine) User(p *Principal, id point.ID) (User, error) {
	u, ok := e.catalog.View().User(id)
	if !ok {
		return User{}, errUserNotFound()
	}
	if err := p.mayUser(ActionRead, id); err != nil {
		return User{}, err
	}
	return *u, nil
}

// Me returns the user in whose name p acts. The error is NotFound if there is none,
// Unauthorized if p's token is inactive.
func (e *Engine) Me(p *Principal) (User, error) {
	if p != nil {
		if err := p.Active(); err != nil {
			return User{}, err
		}
		if u, ok := e.catalog.View().User(p.UserID); ok {
			return *u, nil
		}
	}
	return User{}, errUserNotFound()
}

// CreateUser makes a user, who can sign in once it has a password. Errors: Invalid
// without a name, Conflict if it is taken, Unauthorized.
func (e *Engine) CreateUser(ctx context.Context, p *Principal, name string, status Status) (User, error) {
	if strings.TrimSpace(name) == "" {
		return User{}, Errorf(Invalid, "user name is empty")
	}
	if err := p.require(userPermission(ActionWrite, 0)); err != nil {
		return User{}, err
	}
	var u User
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, taken := tx.UserByName(name); taken {
			return errUserExists(name)
		}
		u = User{ID: tx.NewID(), Name: name, Status: status, CreatedAt: tx.Now(), UpdatedAt: tx.Now()}
		return tx.PutUser(u)
	})
	return u, err
}

func errUserExists(name string) error {
	return Errorf(Conflict, "user with name %s already exists", name)
}

// UpdateUser changes what is not nil. Errors: NotFound, Invalid for an empty name,
// Conflict if it is taken, Unprocessable for taking the last operator out of
// service, Unauthorized.
func (e *Engine) UpdateUser(ctx context.Context, p *Principal, id point.ID, name *string, status *Status) (User, error) {
	var u User
	err := e.change(ctx, func(tx *catalog.Tx) error {
		old, ok := tx.User(id)
		if !ok {
			return errUserNotFound()
		}
		if err := p.mayUser(ActionWrite, id); err != nil {
			return err
		}
		u = *old
		if name != nil {
			if strings.TrimSpace(*name) == "" {
				return Errorf(Invalid, "user name is empty")
			}
			if other, taken := tx.UserByName(*name); taken && other.ID != id {
				return errUserExists(*name)
			}
			u.Name = *name
		}
		if status != nil {
			if *status != Active && lastOperator(tx, id) {
				return Errorf(Unprocessable, "the last operator cannot be made inactive")
			}
			u.Status = *status
		}
		u.UpdatedAt = tx.Now()
		return tx.PutUser(u)
	})
	return u, err
}

// lastOperator reports whether id is the only active operator. Without one,
// nobody could manage the engine, and without any user anybody could set it up
// again.
func lastOperator(tx *catalog.Tx, id point.ID) bool {
	if u, ok := tx.User(id); !ok || !u.Operator || u.Status != Active {
		return false
	}
	for _, u := range tx.Users() {
		if u.Operator && u.Status == Active && u.ID != id {
			return false
		}
	}
	return true
}

// DeleteUser deletes a user; its tokens are refused from then on. Errors:
// NotFound, Unprocessable for the last operator, Unauthorized.
func (e *Engine) DeleteUser(ctx context.Context, p *Principal, id point.ID) error {
	return e.change(ctx, func(tx *catalog.Tx) error {
		if _, ok := tx.User(id); !ok {
			return errUserNotFound()
		}
		if err := p.require(userPermission(ActionWrite, id)); err != nil {
			return err
		}
		if lastOperator(tx, id) {
			return Errorf(Unprocessable, "the last operator cannot be deleted")
		}
		return tx.DeleteUser(id)
	})
}

// SetUserPassword gives a user a new password, which ends its sessions. Errors:
// NotFound, Invalid for a password that is not 8 to 72 bytes long, Overloaded when
// too many passwords are being checked, Unauthorized.
func (e *Engine) SetUserPassword(ctx context.Context, p *Principal, id point.ID, password string) error {
	if _, ok := e.catalog.View().User(id); !ok {
		return errUserNotFound()
	}
	if err := p.mayUser(ActionWrite, id); err != nil {
		return err
	}
	hash, err := e.hashPassword(password)
	if err != nil {
		return err
	}
	return e.change(ctx, func(tx *catalog.Tx) error {
		u, ok := tx.User(id)
		if !ok {
			return errUserNotFound()
		}
		changed := *u
		changed.PasswordHash, changed.UpdatedAt = hash, tx.Now()
		return tx.PutUser(changed)
	})
}

// CheckPassword returns nil if the password is the user's. Errors are those of SignIn.
func (e *Engine) CheckPassword(user, password string) error {
	if _, err := e.catalog.CheckPassword(user, password); err != nil {
		return authError(err, "unauthorized access")
	}
	return nil
}

func (e *Engine) hashPassword(password string) (string, error) {
	hash, err := e.catalog.HashPassword(password)
	if errors.Is(err, catalog.ErrPasswordLength) {
		return "", &Error{Kind: Invalid, Message: err.Error(), Err: err}
	}
	if err != nil {
		return "", authError(err, "")
	}
	return hash, nil
}

// OrganizationUser is a user and its role in an organization.
type OrganizationUser struct {
	User
	Role Role
}

// Members lists the users that have a role in an organization, by id. Errors:
// NotFound, Unauthorized.
func (e *Engine) Members(p *Principal, org point.ID, role Role) ([]OrganizationUser, error) {
	if _, err := e.Organization(p, org); err != nil {
		return nil, err
	}
	v := e.catalog.View()
	list := []OrganizationUser{}
	for _, m := range v.MembersOf(org) {
		if u, ok := v.User(m.UserID); ok && m.Role == role {
			list = append(list, OrganizationUser{*u, m.Role})
		}
	}
	return list, nil
}

// AddMember gives a user a role in an organization, in place of the one it had.
// Errors: NotFound, Unauthorized.
func (e *Engine) AddMember(ctx context.Context, p *Principal, org, user point.ID, role Role) (OrganizationUser, error) {
	var added OrganizationUser
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, ok := tx.Organization(org); !ok {
			return errOrganizationNotFound()
		}
		if err := p.require(organizationPermission(ActionWrite, org)); err != nil {
			return err
		}
		u, ok := tx.User(user)
		if !ok {
			return errUserNotFound()
		}
		m := Member{ID: tx.NewID(), OrgID: org, UserID: user}
		if old, ok := tx.Member(org, user); ok {
			m = *old
		}
		m.Role = role
		added = OrganizationUser{*u, role}
		return tx.PutMember(m)
	})
	return added, err
}

// RemoveMember takes a role in an organization from a user. Errors: NotFound,
// Unauthorized.
func (e *Engine) RemoveMember(ctx context.Context, p *Principal, org, user point.ID, role Role) error {
	return e.change(ctx, func(tx *catalog.Tx) error {
		if _, ok := tx.Organization(org); !ok {
			return errOrganizationNotFound()
		}
		if err := p.require(organizationPermission(ActionWrite, org)); err != nil {
			return err
		}
		if m, ok := tx.Member(org, user); !ok || m.Role != role {
			return errUserNotFound()
		}
		return tx.DeleteMember(org, user)
	})
}
