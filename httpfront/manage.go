package httpfront

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// manageRoutes is the table of the management endpoints.
func manageRoutes() []route {
	return []route{
		{method: "GET", pattern: "/api/v2/setup", style: indented, handler: managed(getSetup)},
		{method: "POST", pattern: "/api/v2/setup", style: indented, handler: managed(postSetup)},
		{method: "POST", pattern: "/api/v2/signin", style: indented, handler: managed(signIn)},
		{method: "POST", pattern: "/api/v2/signout", style: indented, handler: managed(signOut)},

		{method: "POST", pattern: "/api/v2/compact", auth: authV2, style: indented, handler: managed(postCompact)},
		{method: "POST", pattern: "/api/v2/backup", auth: authV2, style: indented, handler: managed(postBackup)},

		{method: "GET", pattern: "/api/v2/orgs", auth: authV2, style: indented, handler: managed(getOrgs)},
		{method: "POST", pattern: "/api/v2/orgs", auth: authV2, style: indented, handler: managed(postOrg)},
		{method: "GET", pattern: "/api/v2/orgs/{id}", auth: authV2, style: indented, handler: managed(getOrg)},
		{method: "PATCH", pattern: "/api/v2/orgs/{id}", auth: authV2, style: indented, handler: managed(patchOrg)},
		{method: "DELETE", pattern: "/api/v2/orgs/{id}", auth: authV2, style: indented, handler: managed(deleteOrg)},
		{method: "GET", pattern: "/api/v2/orgs/{id}/labels", auth: authV2, style: indented, handler: managed(getOrgLabels)},
		{method: "GET", pattern: "/api/v2/orgs/{id}/members", auth: authV2, style: indented, handler: managed(getMembers)},
		{method: "POST", pattern: "/api/v2/orgs/{id}/members", auth: authV2, style: indented, handler: managed(postMember)},
		{method: "DELETE", pattern: "/api/v2/orgs/{id}/members/{user}", auth: authV2, style: indented, handler: managed(deleteMember)},
		{method: "GET", pattern: "/api/v2/orgs/{id}/owners", auth: authV2, style: indented, handler: managed(getOwners)},
		{method: "POST", pattern: "/api/v2/orgs/{id}/owners", auth: authV2, style: indented, handler: managed(postOwner)},
		{method: "DELETE", pattern: "/api/v2/orgs/{id}/owners/{user}", auth: authV2, style: indented, handler: managed(deleteOwner)},

		{method: "GET", pattern: "/api/v2/buckets", auth: authV2, style: indented, handler: managed(getBuckets)},
		{method: "POST", pattern: "/api/v2/buckets", auth: authV2, style: indented, handler: managed(postBucket)},
		{method: "GET", pattern: "/api/v2/buckets/{id}", auth: authV2, style: indented, handler: managed(getBucket)},
		{method: "PATCH", pattern: "/api/v2/buckets/{id}", auth: authV2, style: indented, handler: managed(patchBucket)},
		{method: "DELETE", pattern: "/api/v2/buckets/{id}", auth: authV2, style: indented, handler: managed(deleteBucket)},
		{method: "GET", pattern: "/api/v2/buckets/{id}/labels", auth: authV2, style: indented, handler: managed(getBucketLabels)},
		{method: "GET", pattern: "/api/v2/buckets/{id}/members", auth: authV2, style: indented, handler: managed(getBucketMembers)},
		{method: "GET", pattern: "/api/v2/buckets/{id}/owners", auth: authV2, style: indented, handler: managed(getBucketOwners)},

		{method: "GET", pattern: "/api/v2/authorizations", auth: authV2, style: indented, handler: managed(getAuthorizations)},
		{method: "POST", pattern: "/api/v2/authorizations", auth: authV2, style: indented, handler: managed(postAuthorization)},
		{method: "GET", pattern: "/api/v2/authorizations/{id}", auth: authV2, style: indented, handler: managed(getAuthorization)},
		{method: "PATCH", pattern: "/api/v2/authorizations/{id}", auth: authV2, style: indented, handler: managed(patchAuthorization)},
		{method: "DELETE", pattern: "/api/v2/authorizations/{id}", auth: authV2, style: indented, handler: managed(deleteAuthorization)},

		{method: "GET", pattern: pathLegacy, auth: authV2, style: indented, handler: managed(getLegacyAuthorizations)},
		{method: "POST", pattern: pathLegacy, auth: authV2, style: indented, handler: managed(postLegacyAuthorization)},
		{method: "GET", pattern: pathLegacy + "/{id}", auth: authV2, style: indented, handler: managed(getLegacyAuthorization)},
		{method: "PATCH", pattern: pathLegacy + "/{id}", auth: authV2, style: indented, handler: managed(patchLegacyAuthorization)},
		{method: "DELETE", pattern: pathLegacy + "/{id}", auth: authV2, style: indented, handler: managed(deleteLegacyAuthorization)},
		{method: "POST", pattern: pathLegacy + "/{id}/password", auth: authV2, style: indented, handler: managed(postLegacyPassword)},

		{method: "GET", pattern: "/api/v2/dbrps", auth: authV2, style: indented, handler: managed(getDBRPs)},
		{method: "POST", pattern: "/api/v2/dbrps", auth: authV2, style: indented, handler: managed(postDBRP)},
		{method: "GET", pattern: "/api/v2/dbrps/{id}", auth: authV2, style: indented, handler: managed(getDBRP)},
		{method: "PATCH", pattern: "/api/v2/dbrps/{id}", auth: authV2, style: indented, handler: managed(patchDBRP)},
		{method: "DELETE", pattern: "/api/v2/dbrps/{id}", auth: authV2, style: indented, handler: managed(deleteDBRP)},

		{method: "GET", pattern: "/api/v2/users", auth: authV2, style: indented, handler: managed(getUsers)},
		{method: "POST", pattern: "/api/v2/users", auth: authV2, style: indented, handler: managed(postUser)},
		{method: "GET", pattern: "/api/v2/users/{id}", auth: authV2, style: indented, handler: managed(getUser)},
		{method: "PATCH", pattern: "/api/v2/users/{id}", auth: authV2, style: indented, handler: managed(patchUser)},
		{method: "DELETE", pattern: "/api/v2/users/{id}", auth: authV2, style: indented, handler: managed(deleteUser)},
		{method: "POST", pattern: "/api/v2/users/{id}/password", auth: authV2, style: indented, handler: managed(setUserPassword)},
		{method: "PUT", pattern: "/api/v2/users/{id}/password", auth: authV2, style: indented, handler: managed(setUserPassword)},
		{method: "GET", pattern: "/api/v2/me", auth: authV2, style: indented, handler: managed(getMe)},
		{method: "PUT", pattern: "/api/v2/me/password", auth: authV2, style: indented, handler: managed(setMyPassword)},
		{method: "POST", pattern: "/api/v2/me/password", auth: authV2, style: indented, handler: managed(setMyPassword)},
	}
}

const pathLegacy = "/private/legacy/authorizations"

// managed makes a handler of a function that answers, or returns the error to
// answer with.
func managed(fn func(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error) handlerFunc {
	return func(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
		if err := fn(s, c, p); err != nil {
			s.writeError(c, err, indented)
		}
	}
}

// postCompact is POST /api/v2/compact, which is ours alone: what is in memory goes
// to the data store, whose parts are merged as far as they can be.
func postCompact(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return answerNothing(c, s.engine.Compact(s.ctx, p))
}

// answer is the end of a handler that answers with v, unless there is an error.
func (s *Server) answer(c *fasthttp.RequestCtx, status int, v any, err error) error {
	if err == nil {
		s.writeJSON(c, status, v)
	}
	return err
}

// answerNothing is the end of a handler that answers 204, unless there is an error.
func answerNothing(c *fasthttp.RequestCtx, err error) error {
	if err == nil {
		noContent(c)
	}
	return err
}

// decode reads the body into v. what begins the message about bad JSON.
func (s *Server) decode(c *fasthttp.RequestCtx, v any, what string) error {
	err := s.decodeJSON(c, v)
	if err == nil || unreadBody(err) {
		return err
	}
	// Of a body that is no object encoding/json would tell the whole Go type.
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field == "" {
		err = fmt.Errorf("json: cannot unmarshal %s, an object is wanted", mismatch.Value)
	}
	return engine.Errorf(engine.Invalid, "%s: %w", what, err)
}

// unreadBody reports whether decodeJSON failed to read the body at all.
func unreadBody(err error) bool {
	var known *engine.Error
	var slow *slowBodyError
	return errors.As(err, &known) || errors.As(err, &slow)
}

// The ways in which different parts of the API speak of bad JSON.
const (
	badJSON          = "failed to unmarshal json"
	badJSONStructure = "invalid json structure"
)

// pathID is the id in the {name} segment of the path.
func pathID(c *fasthttp.RequestCtx, name string) (point.ID, error) {
	id, err := point.ParseID(param(c, name))
	if err != nil {
		return 0, engine.Errorf(engine.Invalid, "%w", err)
	}
	return id, nil
}

// queryID is the id in a query parameter, 0 if that is missing or empty.
func queryID(c *fasthttp.RequestCtx, name string) (point.ID, error) {
	v := c.QueryArgs().Peek(name)
	if len(v) == 0 {
		return 0, nil
	}
	id, err := point.ParseID(string(v))
	if err != nil {
		return 0, engine.Errorf(engine.Invalid, "%w", err)
	}
	return id, nil
}

// queryText is a query parameter.
func queryText(c *fasthttp.RequestCtx, name string) string { return string(c.QueryArgs().Peek(name)) }

// listOrgID is the organization that a list is asked of, by orgID or org; 0 if by
// neither.
func (s *Server) listOrgID(c *fasthttp.RequestCtx) (point.ID, error) {
	if id, err := queryID(c, "orgID"); id != 0 || err != nil {
		return id, err
	}
	name := queryText(c, "org")
	if name == "" {
		return 0, nil
	}
	if o, ok := s.engine.OrganizationByName(name); ok {
		return o.ID, nil
	}
	return 0, engine.Errorf(engine.NotFound, "organization name \"%s\" not found", name)
}

// defaultOrg fills in the organization that a caller without credentials leaves
// out.
func (s *Server) defaultOrg(id *point.ID) {
	if *id == 0 && s.authDisabled {
		if o, err := s.engine.DefaultOrganization(); err == nil {
			*id = o.ID
		}
	}
}

// The bounds of the limit parameter.
const (
	pageLimitDefault = 20
	pageLimitMax     = 100
)

// page reads limit, offset and descending.
func page(c *fasthttp.RequestCtx) (engine.Page, error) {
	p := engine.Page{Limit: pageLimitDefault}
	for _, arg := range []struct {
		name string
		to   *int
	}{{"limit", &p.Limit}, {"offset", &p.Offset}} {
		if v := queryText(c, arg.name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				return p, engine.Errorf(engine.Invalid, "%s is invalid", arg.name)
			}
			*arg.to = n
		}
	}
	if p.Limit < 1 || p.Limit > pageLimitMax {
		return p, engine.Errorf(engine.Invalid, "limit must be between 1 and %d", pageLimitMax)
	}
	if v := queryText(c, "descending"); v != "" {
		var err error
		if p.Descending, err = strconv.ParseBool(v); err != nil {
			return p, engine.Errorf(engine.Invalid, "descending is invalid")
		}
	}
	return p, nil
}

// pageLinks are the links of a list that comes in pages.
type pageLinks struct {
	Prev string `json:"prev,omitempty"`
	Self string `json:"self"`
	Next string `json:"next,omitempty"`
}

// newPageLinks links the pages around p, which shows n entries of the list that
// path and the parameters in args select.
func newPageLinks(path string, args url.Values, p engine.Page, n int) pageLinks {
	link := func(offset int) string {
		args.Set("descending", strconv.FormatBool(p.Descending))
		args.Set("limit", strconv.Itoa(p.Limit))
		args.Set("offset", strconv.Itoa(offset))
		return path + "?" + args.Encode()
	}
	l := pageLinks{Self: link(p.Offset)}
	if p.Offset > 0 {
		l.Prev = link(max(0, p.Offset-p.Limit))
	}
	if n >= p.Limit {
		l.Next = link(p.Offset + p.Limit)
	}
	return l
}

// selfLink is the links member of most lists.
type selfLink struct {
	Self string `json:"self"`
}

// labelsAnswer answers for a resource's labels: there are none.
type labelsAnswer struct {
	Links  selfLink `json:"links"`
	Labels []string `json:"labels"`
}
