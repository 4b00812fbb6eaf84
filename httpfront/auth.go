package httpfront

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// sessionCookie is the name of the cookie that POST /api/v2/signin sets.
const sessionCookie = "influxdb-oss-session"

// authenticate finds out who sends c. The errors are CONTRACT's: on v2 paths all
// alike, on v1 paths "unauthorized access" for credentials that are missing or
// cannot be read, and "Unauthorized" for those that are wrong.
func (s *Server) authenticate(c *fasthttp.RequestCtx, mode authMode) (*engine.Principal, error) {
	if mode == authNone {
		return nil, nil
	}
	if s.authDisabled {
		return s.engine.Operator(), nil
	}
	if mode == authV1 {
		return s.authenticateV1(c)
	}
	if token := headerToken(c); len(token) > 0 {
		return s.engine.AuthenticateToken(stringOf(token))
	}
	if key := c.Request.Header.Cookie(sessionCookie); len(key) > 0 {
		return s.engine.AuthenticateSession(string(key))
	}
	return nil, errUnauthorized()
}

func errUnauthorized() error { return engine.Errorf(engine.Unauthorized, "unauthorized access") }

// headerToken is the token of a v2 Authorization header: the scheme Token or
// Bearer in any case, one space, the token. It aliases c.
func headerToken(c *fasthttp.RequestCtx) []byte {
	h := c.Request.Header.Peek(fasthttp.HeaderAuthorization)
	scheme, token, ok := bytes.Cut(h, []byte{' '})
	if !ok || !bytes.EqualFold(scheme, []byte("Token")) && !bytes.EqualFold(scheme, []byte("Bearer")) {
		return nil
	}
	token = bytes.TrimRight(token, " \t")
	if len(token) > 0 && token[0] == ' ' {
		return nil
	}
	return token
}

// authenticateV1 looks at the u and p parameters first, then at the header.
func (s *Server) authenticateV1(c *fasthttp.RequestCtx) (*engine.Principal, error) {
	var p *engine.Principal
	var err error
	args := c.QueryArgs()
	u, pw := args.Peek("u"), args.Peek("p")
	h := c.Request.Header.Peek(fasthttp.HeaderAuthorization)
	scheme, rest, _ := bytes.Cut(h, []byte{' '})
	switch {
	case len(u) > 0 && len(pw) > 0:
		p, err = s.engine.AuthenticateLegacy(stringOf(u), stringOf(pw))
	case string(scheme) == "Token" && len(rest) > 0:
		token := rest
		if _, after, ok := bytes.Cut(rest, []byte{':'}); ok {
			token = after
		}
		p, err = s.engine.AuthenticateToken(stringOf(bytes.TrimRight(token, " \t")))
	case bytes.EqualFold(scheme, []byte("Basic")):
		user, password, ok := basicAuth(rest)
		if !ok {
			return nil, errUnauthorized()
		}
		p, err = s.engine.AuthenticateLegacy(user, password)
	default:
		return nil, errUnauthorized()
	}
	if err == nil {
		err = p.Active()
	}
	var e *engine.Error
	if errors.As(err, &e) && (e.Kind == engine.Unauthorized || e.Kind == engine.Forbidden) {
		return nil, &engine.Error{Kind: engine.Unauthorized, Message: "Unauthorized", Err: err}
	}
	return p, err
}

// basicAuth reads the credentials of a Basic header.
func basicAuth(encoded []byte) (user, password string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		return "", "", false
	}
	u, p, ok := bytes.Cut(b, []byte{':'})
	return string(u), string(p), ok
}
