package engine

import (
	"context"

	"headgate/engine/catalog"
	"headgate/engine/point"
)

// AuthorizationRequest describes a token, or a legacy authorization, to make.
type AuthorizationRequest struct {
	// OrgID is the organization it belongs to. Required.
	OrgID point.ID
	// UserID is the user in whose name it acts. Default: the caller's.
	UserID      point.ID
	Status      Status
	Description string
	// Permissions are what it may do, at least one and none that the caller has not.
	Permissions []Permission
}

func errAuthorizationNotFound() error { return Errorf(NotFound, "authorization not found") }

func authorizationPermission(action Action, org, id point.ID) Permission {
	return Permission{Action: action, Type: catalog.Authorizations, ID: id, OrgID: org}
}

// check fails unless p may make what r describes.
func (r *AuthorizationRequest) check(p *Principal) error {
	if r.OrgID == 0 {
		return Errorf(Invalid, "org id required: invalid ID")
	}
	if len(r.Permissions) == 0 {
		return Errorf(Invalid, "authorization must include permissions")
	}
	for _, perm := range r.Permissions {
		switch {
		case perm.Action.String() == "":
			return Errorf(Invalid, "invalid action type for permission: %w", catalog.ErrAction)
		case perm.Type.String() == "":
			return Errorf(Invalid, "invalid resource type for permission: %w", catalog.ErrResourceType)
		case perm.OrgID != 0 && perm.OrgID != r.OrgID:
			return Errorf(Invalid, "permission %s is not for org id %s", perm, r.OrgID)
		}
	}
	if err := p.require(authorizationPermission(ActionWrite, r.OrgID, 0)); err != nil {
		return err
	}
	for _, perm := range r.Permissions {
		if !p.allows(perm) {
			return Errorf(Forbidden, "permission %s is not allowed", perm)
		}
	}
	return nil
}

// resolve fills in the user and checks what r refers to.
func (r *AuthorizationRequest) resolve(tx *catalog.Tx, p *Principal) error {
	if _, ok := tx.Organization(r.OrgID); !ok {
		return errOrganizationNotFound()
	}
	if r.UserID == 0 {
		r.UserID = p.UserID
	}
	if _, ok := tx.User(r.UserID); !ok {
		return errUserNotFound()
	}
	return nil
}

// CreateAuthorization makes a token. It is returned here and never again. Errors:
// Invalid for a bad request, NotFound for an unknown organization or user,
// Unauthorized, Forbidden for permissions that p cannot give.
func (e *Engine) CreateAuthorization(ctx context.Context, p *Principal, r AuthorizationRequest) (a Authorization, token string, err error) {
	if err := r.check(p); err != nil {
		return a, "", err
	}
	token = catalog.NewToken()
	err = e.change(ctx, func(tx *catalog.Tx) error {
		if err := r.resolve(tx, p); err != nil {
			return err
		}
		a = Authorization{
			ID: tx.NewID(), Token: catalog.HashToken(token), Status: r.Status, Description: r.Description,
			OrgID: r.OrgID, UserID: r.UserID, Permissions: r.Permissions, CreatedAt: tx.Now(), UpdatedAt: tx.Now(),
		}
		return tx.PutAuthorization(a)
	})
	if err != nil {
		return Authorization{}, "", err
	}
	return a, token, nil
}

// AuthorizationFilter selects authorizations; zero fields select all.
type AuthorizationFilter struct {
	OrgID, UserID point.ID
	// Name selects a legacy authorization by user name.
	Name string
}

// Authorizations lists the tokens that p may read, oldest first.
func (e *Engine) Authorizations(p *Principal, f AuthorizationFilter) []Authorization {
	list := []Authorization{}
	for _, a := range e.catalog.View().Authorizations() {
		if (f.OrgID == 0 || f.OrgID == a.OrgID) && (f.UserID == 0 || f.UserID == a.UserID) &&
			p.allows(authorizationPermission(ActionRead, a.OrgID, a.ID)) {
			list = append(list, *a)
		}
	}
	return list
}

// Authorization returns one token's authorization. Errors: NotFound, Unauthorized.
func (e *Engine) Authorization(p *Principal, id point.ID) (Authorization, error) {
	a, ok := e.catalog.View().Authorization(id)
	if !ok {
		return Authorization{}, errAuthorizationNotFound()
	}
	if err := p.require(authorizationPermission(ActionRead, a.OrgID, id)); err != nil {
		return Authorization{}, err
	}
	return *a, nil
}

// UpdateAuthorization changes what is not nil. Errors: NotFound, Unauthorized.
func (e *Engine) UpdateAuthorization(ctx context.Context, p *Principal, id point.ID, status *Status, description *string) (Authorization, error) {
	var a Authorization
	err := e.change(ctx, func(tx *catalog.Tx) error {
		old, ok := tx.Authorization(id)
		if !ok {
			return errAuthorizationNotFound()
		}
		if err := p.require(authorizationPermission(ActionWrite, old.OrgID, id)); err != nil {
			return err
		}
		a = *old
		if status != nil {
			a.Status = *status
		}
		if description != nil {
			a.Description = *description
		}
		a.UpdatedAt = tx.Now()
		return tx.PutAuthorization(a)
	})
	return a, err
}

// DeleteAuthorization deletes a token; it is refused from then on. Errors:
// NotFound, Unauthorized.
func (e *Engine) DeleteAuthorization(ctx context.Context, p *Principal, id point.ID) error {
	return e.change(ctx, func(tx *catalog.Tx) error {
		a, ok := tx.Authorization(id)
		if !ok {
			return errAuthorizationNotFound()
		}
		if err := p.require(authorizationPermission(ActionWrite, a.OrgID, id)); err != nil {
			return err
		}
		return tx.DeleteAuthorization(id)
	})
}

// CreateLegacyAuthorization makes a user name of the v1 API, which can be used
// once it has a password. Errors: those of CreateAuthorization, and Conflict if
// the name is taken.
func (e *Engine) CreateLegacyAuthorization(ctx context.Context, p *Principal, name string, r AuthorizationRequest) (LegacyAuthorization, error) {
	if name == "" {
		return LegacyAuthorization{}, Errorf(Invalid, "token is required")
	}
	if err := r.check(p); err != nil {
		return LegacyAuthorization{}, err
	}
	var a LegacyAuthorization
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, taken := tx.LegacyAuthorizationByName(name); taken {
			return Errorf(Conflict, "token already exists")
		}
		if err := r.resolve(tx, p); err != nil {
			return err
		}
		a = LegacyAuthorization{
			ID: tx.NewID(), Name: name, Status: r.Status, Description: r.Description,
			OrgID: r.OrgID, UserID: r.UserID, Permissions: r.Permissions, CreatedAt: tx.Now(), UpdatedAt: tx.Now(),
		}
		return tx.PutLegacyAuthorization(a)
	})
	return a, err
}

// LegacyAuthorizations lists the legacy authorizations that p may read, oldest first.
func (e *Engine) LegacyAuthorizations(p *Principal, f AuthorizationFilter) []LegacyAuthorization {
	list := []LegacyAuthorization{}
	for _, a := range e.catalog.View().LegacyAuthorizations() {
		if (f.OrgID == 0 || f.OrgID == a.OrgID) && (f.UserID == 0 || f.UserID == a.UserID) && (f.Name == "" || f.Name == a.Name) &&
			p.allows(authorizationPermission(ActionRead, a.OrgID, a.ID)) {
			list = append(list, *a)
		}
	}
	return list
}

// LegacyAuthorization returns one legacy authorization. Errors: NotFound,
// Unauthorized.
func (e *Engine) LegacyAuthorization(p *Principal, id point.ID) (LegacyAuthorization, error) {
	a, ok := e.catalog.View().LegacyAuthorization(id)
	if !ok {
		return LegacyAuthorization{}, errAuthorizationNotFound()
	}
	if err := p.require(authorizationPermission(ActionRead, a.OrgID, id)); err != nil {
		return LegacyAuthorization{}, err
	}
	return *a, nil
}

// changeLegacy changes a legacy authorization if p may.
func (e *Engine) changeLegacy(ctx context.Context, p *Principal, id point.ID, change func(*LegacyAuthorization)) (LegacyAuthorization, error) {
	var a LegacyAuthorization
	err := e.change(ctx, func(tx *catalog.Tx) error {
		old, ok := tx.LegacyAuthorization(id)
		if !ok {
			return errAuthorizationNotFound()
		}
		if err := p.require(authorizationPermission(ActionWrite, old.OrgID, id)); err != nil {
			return err
		}
		a = *old
		change(&a)
		a.UpdatedAt = tx.Now()
		return tx.PutLegacyAuthorization(a)
	})
	return a, err
}

// UpdateLegacyAuthorization changes what is not nil. Errors: NotFound, Unauthorized.
func (e *Engine) UpdateLegacyAuthorization(ctx context.Context, p *Principal, id point.ID, status *Status, description *string) (LegacyAuthorization, error) {
	return e.changeLegacy(ctx, p, id, func(a *LegacyAuthorization) {
		if status != nil {
			a.Status = *status
		}
		if description != nil {
			a.Description = *description
		}
	})
}

// SetLegacyPassword gives a legacy authorization its password. Errors: NotFound,
// Invalid for a password that is not 8 to 72 bytes long, Overloaded when too many
// passwords are being checked, Unauthorized.
func (e *Engine) SetLegacyPassword(ctx context.Context, p *Principal, id point.ID, password string) error {
	a, ok := e.catalog.View().LegacyAuthorization(id)
	if !ok {
		return errAuthorizationNotFound()
	}
	if err := p.require(authorizationPermission(ActionWrite, a.OrgID, id)); err != nil {
		return err
	}
	hash, err := e.hashPassword(password)
	if err != nil {
		return err
	}
	_, err = e.changeLegacy(ctx, p, id, func(a *LegacyAuthorization) { a.PasswordHash = hash })
	return err
}

// DeleteLegacyAuthorization deletes a user name of the v1 API. Errors: NotFound,
// Unauthorized.
func (e *Engine) DeleteLegacyAuthorization(ctx context.Context, p *Principal, id point.ID) error {
	return e.change(ctx, func(tx *catalog.Tx) error {
		a, ok := tx.LegacyAuthorization(id)
		if !ok {
			return errAuthorizationNotFound()
		}
		if err := p.require(authorizationPermission(ActionWrite, a.OrgID, id)); err != nil {
			return err
		}
		return tx.DeleteLegacyAuthorization(id)
	})
}
