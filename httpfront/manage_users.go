package httpfront

import (
	"bytes"
	"encoding/base64"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// userObject is a user on the wire.
type userObject struct {
	Links  selfLink `json:"links"`
	ID     point.ID `json:"id"`
	Name   string   `json:"name"`
	Status string   `json:"status"`
}

func newUserObject(u engine.User) userObject {
	return userObject{selfLink{userPath(u.ID)}, u.ID, u.Name, u.Status.String()}
}

func userPath(id point.ID) string { return "/api/v2/users/" + id.String() }

type userList struct {
	Links selfLink     `json:"links"`
	Users []userObject `json:"users"`
}

func getSetup(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) error {
	return s.answer(c, fasthttp.StatusOK, struct {
		Allowed bool `json:"allowed"`
	}{s.engine.SetupAllowed()}, nil)
}

// setupAnswer is what POST /api/v2/setup has made.
type setupAnswer struct {
	User   userObject   `json:"user"`
	Bucket bucketObject `json:"bucket"`
	Org    orgObject    `json:"org"`
	Auth   setupAuth    `json:"auth"`
}

// setupAuth is the operator token. Its members are not quite those of the tokens
// that /api/v2/authorizations makes.
type setupAuth struct {
	ID          point.ID           `json:"id"`
	Token       string             `json:"token"`
	HashedToken string             `json:"hashedToken"`
	Status      string             `json:"status"`
	Description string             `json:"description"`
	OrgID       point.ID           `json:"orgID"`
	UserID      point.ID           `json:"userID"`
	Permissions []permissionObject `json:"permissions"`
	CreatedAt   time.Time          `json:"createdAt"`
	UpdatedAt   time.Time          `json:"updatedAt"`
	Links       authLinks          `json:"links"`
}

func postSetup(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) error {
	var r struct {
		Username               string `json:"username"`
		Password               string `json:"password"`
		Org                    string `json:"org"`
		Bucket                 string `json:"bucket"`
		Token                  string `json:"token"`
		RetentionPeriodSeconds int64  `json:"retentionPeriodSeconds"`
	}
	if err := s.decodeJSON(c, &r); unreadBody(err) {
		return err
	} else if err != nil {
		// InfluxDB takes the blame for bad JSON here.
		return engine.Errorf(engine.Internal, "%w", err)
	}
	retention, _, err := retentionOf([]retentionRule{{EverySeconds: r.RetentionPeriodSeconds}})
	if err != nil {
		return err
	}
	res, err := s.engine.Setup(s.ctx, engine.SetupRequest{
		Username: r.Username, Password: r.Password, Org: r.Org, Bucket: r.Bucket, Token: r.Token, RetentionPeriod: retention,
	})
	if err != nil {
		return err
	}
	a := res.Authorization
	s.writeJSON(c, fasthttp.StatusCreated, setupAnswer{
		User: newUserObject(res.User), Bucket: newBucketObject(res.Bucket), Org: newOrgObject(res.Organization),
		Auth: setupAuth{
			ID: a.ID, Token: res.Token, HashedToken: "$influxdb2-sha256$" + base64.URLEncoding.EncodeToString(a.Token[:]),
			Status: a.Status.String(), Description: a.Description, OrgID: a.OrgID, UserID: a.UserID,
			Permissions: s.permissionObjects(a.Permissions), CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
			Links: authLinks{"/api/v2/authorizations/" + a.ID.String(), userPath(a.UserID)},
		},
	})
	return nil
}

// signIn opens a session for the user and password of a Basic header.
func signIn(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) error {
	scheme, rest, _ := bytes.Cut(c.Request.Header.Peek(fasthttp.HeaderAuthorization), []byte{' '})
	user, password, ok := "", "", false
	if bytes.EqualFold(scheme, []byte("Basic")) {
		user, password, ok = basicAuth(rest)
	}
	err := errUnauthorized()
	if ok {
		var session engine.Session
		if session, err = s.engine.SignIn(user, password); err == nil {
			setSessionCookie(c, session.Key, session.ExpiresAt)
		}
	}
	if s.authDisabled { // any credentials are good, none as well
		err = nil
	}
	return answerNothing(c, err)
}

func setSessionCookie(c *fasthttp.RequestCtx, key string, expires time.Time) {
	cookie := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(cookie)
	cookie.SetKey(sessionCookie)
	cookie.SetValue(key)
	cookie.SetPath("/api/")
	cookie.SetExpire(expires)
	cookie.SetHTTPOnly(true)
	cookie.SetSecure(c.IsTLS())
	cookie.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	c.Response.Header.SetCookie(cookie)
}

func signOut(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) error {
	key := string(c.Request.Header.Cookie(sessionCookie))
	if _, err := s.engine.AuthenticateSession(key); err != nil && !s.authDisabled {
		return err
	}
	s.engine.SignOut(key)
	return answerNothing(c, nil)
}

func getUsers(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	f := engine.UserFilter{Name: queryText(c, "name")}
	var err error
	if f.Page, err = page(c); err != nil {
		return err
	}
	if f.ID, err = queryID(c, "id"); err != nil {
		return err
	}
	users, err := s.engine.Users(p, f)
	list := userList{selfLink{"/api/v2/users"}, []userObject{}}
	for _, u := range users {
		list.Users = append(list.Users, newUserObject(u))
	}
	return s.answer(c, fasthttp.StatusOK, list, err)
}

// userRequest is the body of POST and PATCH.
type userRequest struct {
	Name   *string `json:"name"`
	Status *string `json:"status"`
}

func (r userRequest) status() (*engine.Status, error) {
	return parseStatus(r.Status, "invalid status: must be active or inactive")
}

// parseStatus reads a status, nil if there is none. message is that of the error.
func parseStatus(text *string, message string) (*engine.Status, error) {
	if text == nil {
		return nil, nil
	}
	var status engine.Status
	if err := status.UnmarshalText([]byte(*text)); err != nil {
		return nil, engine.Errorf(engine.Invalid, "%s", message)
	}
	return &status, nil
}

func postUser(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	var r userRequest
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	status, err := r.status()
	if err != nil {
		return err
	}
	if status == nil {
		status = new(engine.Status)
	}
	if r.Name == nil {
		r.Name = new(string)
	}
	u, err := s.engine.CreateUser(s.ctx, p, *r.Name, *status)
	return s.answer(c, fasthttp.StatusCreated, newUserObject(u), err)
}

func getUser(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	u, err := s.engine.User(p, id)
	return s.answer(c, fasthttp.StatusOK, newUserObject(u), err)
}

func patchUser(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	var r userRequest
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	status, err := r.status()
	if err != nil {
		return err
	}
	u, err := s.engine.UpdateUser(s.ctx, p, id, r.Name, status)
	return s.answer(c, fasthttp.StatusOK, newUserObject(u), err)
}

func deleteUser(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	return answerNothing(c, s.engine.DeleteUser(s.ctx, p, id))
}

func getMe(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	u, err := s.engine.Me(p)
	return s.answer(c, fasthttp.StatusOK, newUserObject(u), err)
}

// passwordRequest is the body of the calls that set a password.
type passwordRequest struct {
	Password string `json:"password"`
}

func setUserPassword(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	var r passwordRequest
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	return answerNothing(c, s.engine.SetUserPassword(s.ctx, p, id, r.Password))
}

func setMyPassword(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	me, err := s.engine.Me(p)
	if err != nil {
		return err
	}
	var r passwordRequest
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	return answerNothing(c, s.engine.SetUserPassword(s.ctx, p, me.ID, r.Password))
}
