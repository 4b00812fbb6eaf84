package catalog

import (
	"crypto/sha256"
	"sync"
	"time"

	"headgate/engine/point"
)

// Session is a user's sign-in. It lives in memory only: a restart ends it.
type Session struct {
	// Key is the secret that the user's browser keeps.
	Key    string
	UserID point.ID
	// ExpiresAt moves on with each use of the session.
	ExpiresAt time.Time
}

// sessions are the open sessions, by the hash of their keys.
type sessions struct {
	max    int
	length time.Duration
	now    func() time.Time

	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*session // guarded by mu
}

type session struct {
	user         point.ID
	passwordHash string // a new password ends the session
	expiresAt    time.Time
	// principal was made from the view of that generation; nil at first.
	principal  *Principal
	generation uint64
}

func newSessions(o Options) *sessions {
	return &sessions{max: o.SessionsMax, length: o.SessionLength, now: o.Now, byKey: make(map[[sha256.Size]byte]*session)}
}

// SignIn opens a session for a user. Its errors are those of CheckPassword.
func (c *Catalog) SignIn(name, password string) (Session, error) {
	u, err := c.CheckPassword(name, password)
	if err != nil {
		return Session{}, err
	}
	s := c.sessions
	key := NewToken()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.byKey) >= s.max {
		s.makeRoom(now)
	}
	expires := now.Add(s.length)
	s.byKey[sha256.Sum256([]byte(key))] = &session{user: u.ID, passwordHash: u.PasswordHash, expiresAt: expires}
	return Session{Key: key, UserID: u.ID, ExpiresAt: expires}, nil
}

// makeRoom drops the sessions that have ended, or else the one that ends first.
func (s *sessions) makeRoom(now time.Time) {
	var first [sha256.Size]byte
	var at time.Time
	for k, se := range s.byKey {
		if !se.expiresAt.After(now) {
			delete(s.byKey, k)
		} else if at.IsZero() || se.expiresAt.Before(at) {
			first, at = k, se.expiresAt
		}
	}
	if len(s.byKey) >= s.max {
		delete(s.byKey, first)
	}
}

// AuthenticateSession finds whose session a key opens, and extends it.
// [ErrUnauthorized] if there is none, [ErrUserInactive] if its user is inactive.
func (c *Catalog) AuthenticateSession(key string) (*Principal, error) {
	if key == "" || len(key) > CredentialBytesMax {
		return nil, ErrUnauthorized
	}
	s, view, hash := c.sessions, c.View(), sha256.Sum256([]byte(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	se, ok := s.byKey[hash]
	if !ok {
		return nil, ErrUnauthorized
	}
	now := s.now()
	u, known := view.User(se.user)
	if !se.expiresAt.After(now) || !known || u.PasswordHash != se.passwordHash {
		delete(s.byKey, hash)
		return nil, ErrUnauthorized
	}
	if u.Status != Active {
		return nil, ErrUserInactive
	}
	se.expiresAt = now.Add(s.length)
	if se.principal == nil || se.generation != view.generation {
		se.principal, se.generation = view.sessionPrincipal(u), view.generation
	}
	return se.principal, nil
}

// SignOut ends a session. It reports whether there was one.
func (c *Catalog) SignOut(key string) bool {
	s, hash := c.sessions, sha256.Sum256([]byte(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byKey[hash]
	delete(s.byKey, hash)
	return ok
}
