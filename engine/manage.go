package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"headgate/engine/catalog"
	"headgate/engine/point"
)

// DefaultOrganizationName is the organization that an engine with
// Options.AuthDisabled starts with.
const DefaultOrganizationName = "default"

// SetupRequest is what a fresh engine needs to know to be used with credentials.
type SetupRequest struct {
	// Username, Org and Bucket are the names of the first user, organization and
	// bucket. Required.
	Username, Org, Bucket string
	// Password is the user's, 8 to 72 bytes. A user without one cannot sign in.
	Password string
	// Token is the operator token, at most 1024 bytes. Default: a random one.
	Token string
	// RetentionPeriod is the bucket's; 0 keeps points for ever.
	RetentionPeriod time.Duration
}

// SetupResult is what Setup has made.
type SetupResult struct {
	User          User
	Organization  Organization
	Bucket        Bucket
	Authorization Authorization
	// Token is the operator token. It is shown only here.
	Token string
}

// SetupAllowed reports whether Setup has not been done yet.
func (e *Engine) SetupAllowed() bool { return len(e.catalog.View().Users()) == 0 }

// Setup makes the first user, organization, bucket and token, in a step that
// happens once: after it the error is Conflict. Other errors are Unprocessable for
// a missing name and Invalid for a bad password. Anyone may call it.
func (e *Engine) Setup(ctx context.Context, r SetupRequest) (SetupResult, error) {
	if !e.SetupAllowed() {
		return SetupResult{}, errSetUpAlready()
	}
	var missing []string
	for _, m := range []struct{ name, value string }{{"username", r.Username}, {"org", r.Org}, {"bucket", r.Bucket}} {
		if m.value == "" {
			missing = append(missing, m.name)
		}
	}
	switch {
	case missing != nil:
		return SetupResult{}, Errorf(Unprocessable, "onboarding failed: missing required fields [%s]", strings.Join(missing, ", "))
	case len(r.Token) > catalog.CredentialBytesMax:
		return SetupResult{}, Errorf(Invalid, "token is over %d bytes long", catalog.CredentialBytesMax)
	}
	window, err := newRetention(r.RetentionPeriod, 0)
	if err == nil {
		err = checkBucketName(r.Bucket)
	}
	if err != nil {
		return SetupResult{}, err
	}
	hash := ""
	if r.Password != "" {
		if hash, err = e.hashPassword(r.Password); err != nil {
			return SetupResult{}, err
		}
	}
	if r.Token == "" {
		r.Token = catalog.NewToken()
	}
	res := SetupResult{Token: r.Token}

	if err := e.lockBuckets(ctx); err != nil {
		return SetupResult{}, err
	}
	defer e.manageMu.Unlock()
	err = e.change(ctx, func(tx *catalog.Tx) error {
		if len(tx.Users()) > 0 {
			return errSetUpAlready()
		}
		now := tx.Now()
		res.User = User{ID: tx.NewID(), Name: r.Username, Operator: true, PasswordHash: hash, CreatedAt: now, UpdatedAt: now}
		res.Organization = Organization{ID: tx.NewID(), Name: r.Org, CreatedAt: now, UpdatedAt: now}
		if orgs := tx.Organizations(); len(orgs) == 1 && len(tx.Buckets(0)) == 0 {
			// The default organization of an engine that had authentication off, unused.
			res.Organization = *orgs[0]
			res.Organization.Name, res.Organization.UpdatedAt = r.Org, now
		} else if o, ok := tx.OrganizationByName(r.Org); ok {
			res.Organization = *o
		}
		res.Bucket = Bucket{ID: tx.NewID(), OrgID: res.Organization.ID, Name: r.Bucket, RetentionPeriod: r.RetentionPeriod, Window: window, CreatedAt: now, UpdatedAt: now}
		if b, ok := tx.BucketByName(res.Organization.ID, r.Bucket); ok {
			res.Bucket = *b
		}
		res.Authorization = Authorization{
			ID: tx.NewID(), Token: catalog.HashToken(r.Token), Description: r.Username + "'s Token",
			OrgID: res.Organization.ID, UserID: res.User.ID, Permissions: catalog.OperatorPermissions(), CreatedAt: now, UpdatedAt: now,
		}
		if err := errors.Join(tx.PutOrganization(res.Organization), tx.PutUser(res.User)); err != nil {
			return err
		}
		member := Member{ID: tx.NewID(), OrgID: res.Organization.ID, UserID: res.User.ID, Role: RoleOwner}
		return errors.Join(tx.PutMember(member), tx.PutBucket(res.Bucket), tx.PutAuthorization(res.Authorization))
	})
	if err != nil {
		return SetupResult{}, err
	}
	if e.bucket(res.Bucket.ID) == nil {
		// The rest of the set-up stands even if this fails: opening is tried again
		// when the engine is.
		if err := e.openBucket(res.Bucket); err != nil {
			return res, err
		}
	}
	return res, nil
}

func errSetUpAlready() error { return Errorf(Conflict, "onboarding has already been completed") }

// ensureDefaultOrganization makes the organization that an engine without
// authentication needs, if there is none at all.
func (e *Engine) ensureDefaultOrganization() error {
	if len(e.catalog.View().Organizations()) > 0 {
		return nil
	}
	return e.catalog.Update(func(tx *catalog.Tx) error {
		now := tx.Now()
		return tx.PutOrganization(Organization{ID: tx.NewID(), Name: DefaultOrganizationName, CreatedAt: now, UpdatedAt: now})
	})
}

// lockBuckets waits for recovery, whose buckets are not to change under it, and
// then takes e.manageMu. The caller unlocks it.
func (e *Engine) lockBuckets(ctx context.Context) error {
	if !e.recovered.Load() {
		timer := time.NewTimer(e.o.WriteTimeout)
		defer timer.Stop()
		select {
		case <-e.recoverDone:
		case <-ctx.Done():
		case <-timer.C:
		}
		if !e.recovered.Load() {
			return e.recoveringError()
		}
	}
	return e.manageMu.lock(ctx, e.o.WriteTimeout)
}

// change runs fn on the catalogue. Errors of fn's own kind stay what they are.
func (e *Engine) change(ctx context.Context, fn func(tx *catalog.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return &Error{Kind: Unavailable, Message: "request ended before the change was made: " + err.Error(), RetryAfter: time.Second, Err: err}
	}
	if err := e.changing.lock(ctx, e.o.WriteTimeout); err != nil {
		return err
	}
	// Without a bound: a change that has been begun is made or fails, and its caller
	// must know which. Behind it the others give up.
	err := func() error {
		defer e.changing.Unlock()
		return e.catalog.Update(fn)
	}()
	var known *Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, catalog.ErrEncoding):
		return &Error{Kind: Invalid, Message: err.Error(), Err: err}
	case errors.Is(err, catalog.ErrFull):
		return &Error{Kind: Unprocessable, Message: err.Error(), Err: err}
	case errors.Is(err, catalog.ErrExists):
		return &Error{Kind: Conflict, Message: err.Error(), Err: err}
	case errors.Is(err, catalog.ErrNotFound):
		return &Error{Kind: NotFound, Message: err.Error(), Err: err}
	case errors.Is(err, catalog.ErrClosed):
		return &Error{Kind: Unavailable, Message: "shutting down", RetryAfter: time.Second, Err: err}
	}
	return &Error{Kind: Unavailable, Message: "the change could not be written to disk", RetryAfter: time.Second, Err: err}
}

// dropBuckets frees the points of buckets that have left the catalogue. What is
// left behind when that fails is tried again by tidying.
func (e *Engine) dropBuckets(ctx context.Context, ids ...BucketID) {
	for _, id := range ids {
		if err := e.closeAndDropBucket(ctx, id); err != nil {
			e.o.Logger.Error("the points of a deleted bucket could not be removed yet", slog.String("bucket", id.String()), slog.Any("error", err))
		}
	}
}

// Page selects a part of a list.
type Page struct {
	// Limit is how many entries at most; 0 is no limit.
	Limit int
	// Offset is how many to leave out first; negative is 0.
	Offset int
	// Descending turns the list around.
	Descending bool
}

func paged[T any](list []T, p Page) []T {
	if p.Descending {
		slices.Reverse(list)
	}
	list = list[min(max(p.Offset, 0), len(list)):]
	if p.Limit > 0 {
		list = list[:min(p.Limit, len(list))]
	}
	return list
}

// OrganizationFilter selects organizations; zero fields select all.
type OrganizationFilter struct {
	ID     point.ID
	Name   string
	UserID point.ID // the organizations that this user belongs to
	Page
}

func errOrganizationNotFound() error { return Errorf(NotFound, "organization not found") }

func errOrganizationName(name string) error {
	return Errorf(NotFound, "organization name \"%s\" not found", name)
}

func organizationPermission(action Action, id point.ID) Permission {
	return Permission{Action: action, Type: catalog.Orgs, ID: id}
}

// Organizations lists the organizations that p may read, oldest first. The error
// is NotFound if the filter names one that does not exist.
func (e *Engine) Organizations(p *Principal, f OrganizationFilter) ([]Organization, error) {
	v := e.catalog.View()
	if _, ok := v.Organization(f.ID); f.ID != 0 && !ok {
		return nil, errOrganizationNotFound()
	}
	if _, ok := v.OrganizationByName(f.Name); f.Name != "" && !ok {
		return nil, errOrganizationName(f.Name)
	}
	list := []Organization{}
	for _, o := range v.Organizations() {
		_, belongs := v.Member(o.ID, f.UserID)
		if (f.ID == 0 || f.ID == o.ID) && (f.Name == "" || f.Name == o.Name) && (f.UserID == 0 || belongs) &&
			p.allows(organizationPermission(ActionRead, o.ID)) {
			list = append(list, *o)
		}
	}
	return paged(list, f.Page), nil
}

// Organization returns one organization. Errors: NotFound, Unauthorized.
func (e *Engine) Organization(p *Principal, id point.ID) (Organization, error) {
	o, ok := e.OrganizationByID(id)
	if !ok {
		return Organization{}, errOrganizationNotFound()
	}
	if err := p.require(organizationPermission(ActionRead, id)); err != nil {
		return Organization{}, err
	}
	return o, nil
}

// CreateOrganization makes an organization; the caller's user becomes its owner.
// Errors: Invalid without a name, Conflict if it is taken, Unauthorized.
func (e *Engine) CreateOrganization(ctx context.Context, p *Principal, name, description string) (Organization, error) {
	if strings.TrimSpace(name) == "" {
		return Organization{}, Errorf(Invalid, "org name is empty")
	}
	if err := p.require(organizationPermission(ActionWrite, 0)); err != nil {
		return Organization{}, err
	}
	var o Organization
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, taken := tx.OrganizationByName(name); taken {
			return Errorf(Conflict, "organization with name %s already exists", name)
		}
		o = Organization{ID: tx.NewID(), Name: name, Description: description, CreatedAt: tx.Now(), UpdatedAt: tx.Now()}
		if err := tx.PutOrganization(o); err != nil {
			return err
		}
		if _, ok := tx.User(p.UserID); !ok {
			return nil
		}
		return tx.PutMember(Member{ID: tx.NewID(), OrgID: o.ID, UserID: p.UserID, Role: RoleOwner})
	})
	return o, err
}

// UpdateOrganization changes what is not nil. Errors: NotFound, Invalid for an
// empty name, Conflict if it is taken, Unauthorized.
func (e *Engine) UpdateOrganization(ctx context.Context, p *Principal, id point.ID, name, description *string) (Organization, error) {
	var o Organization
	err := e.change(ctx, func(tx *catalog.Tx) error {
		old, ok := tx.Organization(id)
		if !ok {
			return errOrganizationNotFound()
		}
		if err := p.require(organizationPermission(ActionWrite, id)); err != nil {
			return err
		}
		o = *old
		if name != nil {
			if strings.TrimSpace(*name) == "" {
				return Errorf(Invalid, "org name is empty")
			}
			if other, taken := tx.OrganizationByName(*name); taken && other.ID != id {
				return Errorf(Conflict, "organization with name %s already exists", *name)
			}
			o.Name = *name
		}
		if description != nil {
			o.Description = *description
		}
		o.UpdatedAt = tx.Now()
		return tx.PutOrganization(o)
	})
	return o, err
}

// DeleteOrganization deletes an organization with its buckets, tokens and
// mappings. Errors: NotFound, Unauthorized.
func (e *Engine) DeleteOrganization(ctx context.Context, p *Principal, id point.ID) error {
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	e.shard.MakeRoom(ctx)
	var buckets []BucketID
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, ok := tx.Organization(id); !ok {
			return Errorf(NotFound, "error deleting organization id: %s: organization not found", id)
		}
		if err := p.require(organizationPermission(ActionWrite, id)); err != nil {
			return err
		}
		for _, b := range tx.Buckets(id) {
			buckets = append(buckets, b.ID)
		}
		return tx.DeleteOrganization(id)
	})
	if err == nil {
		e.dropBuckets(ctx, buckets...)
	}
	return err
}
