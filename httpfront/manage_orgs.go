package httpfront

import (
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// orgObject is an organization on the wire.
type orgObject struct {
	Links       orgLinks  `json:"links"`
	ID          point.ID  `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

type orgLinks struct {
	Buckets    string `json:"buckets"`
	Dashboards string `json:"dashboards"`
	Labels     string `json:"labels"`
	Logs       string `json:"logs"`
	Members    string `json:"members"`
	Owners     string `json:"owners"`
	Secrets    string `json:"secrets"`
	Self       string `json:"self"`
	Tasks      string `json:"tasks"`
}

func newOrgObject(o engine.Organization) orgObject {
	self, name := orgPath(o.ID), url.QueryEscape(o.Name)
	return orgObject{
		Links: orgLinks{
			Buckets: "/api/v2/buckets?org=" + name, Dashboards: "/api/v2/dashboards?org=" + name, Labels: self + "/labels",
			Logs: self + "/logs", Members: self + "/members", Owners: self + "/owners", Secrets: self + "/secrets",
			Self: self, Tasks: "/api/v2/tasks?org=" + name,
		},
		ID: o.ID, Name: o.Name, Description: o.Description, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
	}
}

func orgPath(id point.ID) string { return "/api/v2/orgs/" + id.String() }

type orgList struct {
	Links selfLink    `json:"links"`
	Orgs  []orgObject `json:"orgs"`
}

func getOrgs(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	f := engine.OrganizationFilter{Name: queryText(c, "org")}
	var err error
	if f.Page, err = page(c); err != nil {
		return err
	}
	if f.ID, err = queryID(c, "orgID"); err != nil {
		return err
	}
	if f.UserID, err = queryID(c, "userID"); err != nil {
		return err
	}
	orgs, err := s.engine.Organizations(p, f)
	list := orgList{Links: selfLink{"/api/v2/orgs"}, Orgs: []orgObject{}}
	for _, o := range orgs {
		list.Orgs = append(list.Orgs, newOrgObject(o))
	}
	return s.answer(c, fasthttp.StatusOK, list, err)
}

func getOrg(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	o, err := s.engine.Organization(p, id)
	return s.answer(c, fasthttp.StatusOK, newOrgObject(o), err)
}

func postOrg(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	var r struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	o, err := s.engine.CreateOrganization(s.ctx, p, r.Name, r.Description)
	return s.answer(c, fasthttp.StatusCreated, newOrgObject(o), err)
}

func patchOrg(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	var r struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
	}
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	o, err := s.engine.UpdateOrganization(s.ctx, p, id, r.Name, r.Description)
	return s.answer(c, fasthttp.StatusOK, newOrgObject(o), err)
}

func deleteOrg(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	return answerNothing(c, s.engine.DeleteOrganization(s.ctx, p, id))
}

func getOrgLabels(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	_, err = s.engine.Organization(p, id)
	return s.answer(c, fasthttp.StatusOK, labelsAnswer{selfLink{orgPath(id) + "/labels"}, []string{}}, err)
}

// memberObject is a user with a role in an organization, on the wire.
type memberObject struct {
	Role string `json:"role"`
	userObject
}

func newMemberObject(u engine.OrganizationUser) memberObject {
	return memberObject{u.Role.String(), newUserObject(u.User)}
}

type memberList struct {
	Links selfLink       `json:"links"`
	Users []memberObject `json:"users"`
}

func newMemberList(path string, users []engine.OrganizationUser) memberList {
	list := memberList{selfLink{path}, []memberObject{}}
	for _, u := range users {
		list.Users = append(list.Users, newMemberObject(u))
	}
	return list
}

func getMembers(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.getMembers(c, p, engine.RoleMember, "/members")
}

func getOwners(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.getMembers(c, p, engine.RoleOwner, "/owners")
}

func (s *Server) getMembers(c *fasthttp.RequestCtx, p *engine.Principal, role engine.Role, path string) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	users, err := s.engine.Members(p, id, role)
	return s.answer(c, fasthttp.StatusOK, newMemberList(orgPath(id)+path, users), err)
}

func postMember(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.postMember(c, p, engine.RoleMember)
}

func postOwner(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.postMember(c, p, engine.RoleOwner)
}

func (s *Server) postMember(c *fasthttp.RequestCtx, p *engine.Principal, role engine.Role) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	var r struct {
		ID point.ID `json:"id"`
	}
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	if r.ID == 0 {
		return engine.Errorf(engine.Invalid, "user id missing or invalid")
	}
	u, err := s.engine.AddMember(s.ctx, p, id, r.ID, role)
	return s.answer(c, fasthttp.StatusCreated, newMemberObject(u), err)
}

func deleteMember(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.deleteMember(c, p, engine.RoleMember)
}

func deleteOwner(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.deleteMember(c, p, engine.RoleOwner)
}

func (s *Server) deleteMember(c *fasthttp.RequestCtx, p *engine.Principal, role engine.Role) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	user, err := pathID(c, "user")
	if err != nil {
		return err
	}
	return answerNothing(c, s.engine.RemoveMember(s.ctx, p, id, user, role))
}
