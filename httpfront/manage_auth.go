package httpfront

import (
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// authObject is a token, or a legacy authorization, on the wire.
type authObject struct {
	ID point.ID `json:"id"`
	// Token is the token where it is made, empty afterwards, and always the user
	// name of a legacy authorization.
	Token       string             `json:"token"`
	Status      string             `json:"status"`
	Description string             `json:"description"`
	OrgID       point.ID           `json:"orgID"`
	Org         string             `json:"org"`
	UserID      point.ID           `json:"userID"`
	User        string             `json:"user"`
	Permissions []permissionObject `json:"permissions"`
	Links       authLinks          `json:"links"`
	CreatedAt   time.Time          `json:"createdAt"`
	UpdatedAt   time.Time          `json:"updatedAt"`
}

type authLinks struct {
	Self string `json:"self"`
	User string `json:"user"`
}

// permissionObject is a permission on the wire, with the names of what it is about.
type permissionObject struct {
	Action   string         `json:"action"`
	Resource resourceObject `json:"resource"`
}

type resourceObject struct {
	Type  string   `json:"type"`
	ID    point.ID `json:"id,omitzero"`
	OrgID point.ID `json:"orgID,omitzero"`
	Name  string   `json:"name,omitempty"`
	Org   string   `json:"org,omitempty"`
}

func (s *Server) permissionObjects(perms []engine.Permission) []permissionObject {
	list := []permissionObject{}
	for _, perm := range perms {
		o := permissionObject{perm.Action.String(), resourceObject{Type: perm.Type.String(), ID: perm.ID, OrgID: perm.OrgID}}
		if b, ok := s.engine.BucketByID(perm.ID); ok && perm.Type == engine.ResourceBuckets {
			o.Resource.Name = b.Name
		}
		if org, ok := s.engine.OrganizationByID(perm.OrgID); ok {
			o.Resource.Org = org.Name
		}
		list = append(list, o)
	}
	return list
}

func (s *Server) newAuthObject(a engine.Authorization, token string) authObject {
	org, _ := s.engine.OrganizationByID(a.OrgID)
	return authObject{
		ID: a.ID, Token: token, Status: a.Status.String(), Description: a.Description, OrgID: a.OrgID, Org: org.Name,
		UserID: a.UserID, User: s.userName(a.UserID), Permissions: s.permissionObjects(a.Permissions),
		Links:     authLinks{"/api/v2/authorizations/" + a.ID.String(), userPath(a.UserID)},
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

func (s *Server) newLegacyObject(a engine.LegacyAuthorization) authObject {
	org, _ := s.engine.OrganizationByID(a.OrgID)
	return authObject{
		ID: a.ID, Token: a.Name, Status: a.Status.String(), Description: a.Description, OrgID: a.OrgID, Org: org.Name,
		UserID: a.UserID, User: s.userName(a.UserID), Permissions: s.permissionObjects(a.Permissions),
		Links:     authLinks{pathLegacy + "/" + a.ID.String(), userPath(a.UserID)},
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// userName is the name of a user, whoever asks: who may read a token may know
// whose it is.
func (s *Server) userName(id point.ID) string {
	u, err := s.engine.User(s.engine.Operator(), id)
	if err != nil {
		return ""
	}
	return u.Name
}

// authRequest is the body of POST. What can be misspelt is text here, so that
// each mistake gets its own message.
type authRequest struct {
	OrgID       point.ID `json:"orgID"`
	UserID      point.ID `json:"userID"`
	Token       string   `json:"token"`
	Status      *string  `json:"status"`
	Description string   `json:"description"`
	Permissions []struct {
		Action   string `json:"action"`
		Resource struct {
			Type  string   `json:"type"`
			ID    point.ID `json:"id"`
			OrgID point.ID `json:"orgID"`
		} `json:"resource"`
	} `json:"permissions"`
}

// decodeAuthRequest reads the body of POST.
func (s *Server) decodeAuthRequest(c *fasthttp.RequestCtx) (r authRequest, req engine.AuthorizationRequest, err error) {
	if err := s.decode(c, &r, badJSONStructure); err != nil {
		return r, req, err
	}
	s.defaultOrg(&r.OrgID)
	req = engine.AuthorizationRequest{OrgID: r.OrgID, UserID: r.UserID, Description: r.Description}
	for _, p := range r.Permissions {
		action, err := engine.ParseAction(p.Action)
		if err != nil {
			return r, req, engine.Errorf(engine.Invalid, "invalid action type for permission: %w", err)
		}
		typ, err := engine.ParseResourceType(p.Resource.Type)
		if err != nil {
			return r, req, engine.Errorf(engine.Invalid, "invalid resource type for permission: %w", err)
		}
		req.Permissions = append(req.Permissions, engine.Permission{Action: action, Type: typ, ID: p.Resource.ID, OrgID: p.Resource.OrgID})
	}
	status, err := parseStatus(r.Status, "invalid status: must be active or inactive")
	if err != nil {
		return r, req, err
	}
	if status != nil {
		req.Status = *status
	}
	return r, req, nil
}

func postAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	_, req, err := s.decodeAuthRequest(c)
	if err != nil {
		return err
	}
	a, token, err := s.engine.CreateAuthorization(s.ctx, p, req)
	if err != nil {
		return err
	}
	s.writeJSON(c, fasthttp.StatusCreated, s.newAuthObject(a, token))
	return nil
}

type authList struct {
	Links          selfLink     `json:"links"`
	Authorizations []authObject `json:"authorizations"`
}

// authFilter reads the parameters that select authorizations.
func (s *Server) authFilter(c *fasthttp.RequestCtx) (f engine.AuthorizationFilter, err error) {
	if f.OrgID, err = s.listOrgID(c); err != nil {
		return f, err
	}
	if f.UserID, err = queryID(c, "userID"); err != nil {
		return f, err
	}
	if name := queryText(c, "user"); name != "" && f.UserID == 0 {
		users, err := s.engine.Users(s.engine.Operator(), engine.UserFilter{Name: name})
		if err != nil {
			return f, err
		}
		f.UserID = users[0].ID
	}
	return f, nil
}

func getAuthorizations(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	f, err := s.authFilter(c)
	if err != nil {
		return err
	}
	list := authList{selfLink{"/api/v2/authorizations"}, []authObject{}}
	for _, a := range s.engine.Authorizations(p, f) {
		list.Authorizations = append(list.Authorizations, s.newAuthObject(a, ""))
	}
	s.writeJSON(c, fasthttp.StatusOK, list)
	return nil
}

func getAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	a, err := s.engine.Authorization(p, id)
	return s.answer(c, fasthttp.StatusOK, s.newAuthObject(a, ""), err)
}

// decodeAuthUpdate reads the body of PATCH.
func (s *Server) decodeAuthUpdate(c *fasthttp.RequestCtx) (status *engine.Status, description *string, err error) {
	var r struct {
		Status      *string `json:"status"`
		Description *string `json:"description"`
	}
	if err := s.decode(c, &r, badJSONStructure); err != nil {
		return nil, nil, err
	}
	status, err = parseStatus(r.Status, "encodeAuthorization: unknown authorization status")
	return status, r.Description, err
}

func patchAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	status, description, err := s.decodeAuthUpdate(c)
	if err != nil {
		return err
	}
	a, err := s.engine.UpdateAuthorization(s.ctx, p, id, status, description)
	return s.answer(c, fasthttp.StatusOK, s.newAuthObject(a, ""), err)
}

func deleteAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	return answerNothing(c, s.engine.DeleteAuthorization(s.ctx, p, id))
}

func postLegacyAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	r, req, err := s.decodeAuthRequest(c)
	if err != nil {
		return err
	}
	a, err := s.engine.CreateLegacyAuthorization(s.ctx, p, r.Token, req)
	return s.answer(c, fasthttp.StatusCreated, s.newLegacyObject(a), err)
}

func getLegacyAuthorizations(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	f, err := s.authFilter(c)
	if err != nil {
		return err
	}
	f.Name = queryText(c, "token")
	id, err := queryID(c, "authID")
	if err != nil {
		return err
	}
	list := authList{selfLink{pathLegacy}, []authObject{}}
	for _, a := range s.engine.LegacyAuthorizations(p, f) {
		if id == 0 || id == a.ID {
			list.Authorizations = append(list.Authorizations, s.newLegacyObject(a))
		}
	}
	s.writeJSON(c, fasthttp.StatusOK, list)
	return nil
}

func getLegacyAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	a, err := s.engine.LegacyAuthorization(p, id)
	return s.answer(c, fasthttp.StatusOK, s.newLegacyObject(a), err)
}

func patchLegacyAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	status, description, err := s.decodeAuthUpdate(c)
	if err != nil {
		return err
	}
	a, err := s.engine.UpdateLegacyAuthorization(s.ctx, p, id, status, description)
	return s.answer(c, fasthttp.StatusOK, s.newLegacyObject(a), err)
}

func deleteLegacyAuthorization(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	return answerNothing(c, s.engine.DeleteLegacyAuthorization(s.ctx, p, id))
}

func postLegacyPassword(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	var r passwordRequest
	if err := s.decode(c, &r, badJSONStructure); err != nil {
		return err
	}
	return answerNothing(c, s.engine.SetLegacyPassword(s.ctx, p, id, r.Password))
}
