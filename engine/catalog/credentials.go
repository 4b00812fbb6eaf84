package catalog

import (
	"crypto/subtle"
	"errors"
	"math/bits"
	"sync/atomic"

	"headgate/engine/point"
)

// ErrUnauthorized is the error for credentials that nobody has.
var ErrUnauthorized = errors.New("catalog: unknown credentials")

// ErrUserInactive is the error for credentials whose user is inactive or gone.
var ErrUserInactive = errors.New("catalog: user is inactive")

// CredentialBytesMax is the longest token, or name and password together, that
// is looked at. Anything longer is unknown.
const CredentialBytesMax = 1024

type credentialKind uint8

const (
	tokenCredential credentialKind = 1 + iota
	legacyCredential
)

// credential is what the cache knows about one token, or one name and password.
// It is immutable. It holds the very records that it was made from, so it is good
// for as long as the view has these same records.
type credential struct {
	key fingerprint
	// generation is the latest view that it is known to be good for.
	generation uint64
	// One of auth and legacy is set.
	auth   *Authorization
	legacy *LegacyAuthorization
	user   *User // nil if the user is gone
	// principal or err is the outcome.
	principal *Principal
	err       error
}

// userID is the user in whose name the authorization acts.
func (cr *credential) userID() point.ID {
	if cr.auth != nil {
		return cr.auth.UserID
	}
	return cr.legacy.UserID
}

// goodFor reports whether v has the records that cr was made from.
func (cr *credential) goodFor(v *View) bool {
	if cr.auth != nil {
		if a, _ := v.auths.get(cr.auth.ID); a != cr.auth {
			return false
		}
	} else if a, _ := v.legacy.get(cr.legacy.ID); a != cr.legacy {
		return false
	}
	u, _ := v.users.get(cr.userID())
	return u == cr.user
}

// cacheWays is how many credentials share a set of the cache.
const cacheWays = 4

// credentialCache remembers credentials in a fixed number of slots, four to a
// set. Looking one up takes no lock and allocates nothing.
type credentialCache struct {
	keys fingerprintKeys
	mask uint64
	// sets are atomic; anyone writes, the last one wins.
	sets []cacheSet
}

type cacheSet struct {
	next  atomic.Uint32 // the way to replace next
	slots [cacheWays]atomic.Pointer[credential]
}

func newCredentialCache(entriesMax int) *credentialCache {
	n := 1 << bits.Len(uint(max(1, entriesMax/cacheWays)-1))
	return &credentialCache{keys: newFingerprintKeys(), mask: uint64(n - 1), sets: make([]cacheSet, n)}
}

// get finds the outcome for key, if it is known and good for v.
func (c *credentialCache) get(key fingerprint, v *View) *credential {
	set := &c.sets[key[0]&c.mask]
	for i := range set.slots {
		cr := set.slots[i].Load()
		if cr == nil || cr.key != key {
			continue
		}
		if cr.generation == v.generation {
			return cr
		}
		if !cr.goodFor(v) {
			return nil
		}
		// The catalog has changed elsewhere: remember that, so that the next look is
		// a comparison again. Losing a race costs another refresh.
		fresh := *cr
		fresh.generation = v.generation
		set.slots[i].CompareAndSwap(cr, &fresh)
		return &fresh
	}
	return nil
}

func (c *credentialCache) put(cr *credential) {
	set := &c.sets[cr.key[0]&c.mask]
	for i := range set.slots {
		if old := set.slots[i].Load(); old == nil || old.key == cr.key {
			set.slots[i].Store(cr)
			return
		}
	}
	set.slots[set.next.Add(1)%cacheWays].Store(cr)
}

// AuthenticateToken finds who has a token. A token that is inactive gives an
// inactive principal. [ErrUnauthorized] if nobody has it, [ErrUserInactive] if its
// user is inactive or gone. After the first use of a token this takes no lock,
// computes no cryptographic hash and allocates nothing.
func (c *Catalog) AuthenticateToken(token string) (*Principal, error) {
	if token == "" || len(token) > CredentialBytesMax {
		return nil, ErrUnauthorized
	}
	view := c.View()
	key := c.cache.keys.of(tokenCredential, "", token)
	if cr := c.cache.get(key, view); cr != nil {
		return cr.principal, cr.err
	}
	hash := HashToken(token)
	a, ok := view.tokens.get(hash)
	if !ok || subtle.ConstantTimeCompare(a.Token[:], hash[:]) != 1 {
		return nil, ErrUnauthorized // not remembered: anyone can think up tokens
	}
	cr := &credential{key: key, generation: view.generation, auth: a}
	cr.settle(view, tokenPrincipal(a))
	c.cache.put(cr)
	return cr.principal, cr.err
}

// settle looks up the user and with it decides the outcome.
func (cr *credential) settle(v *View, p *Principal) {
	cr.user, _ = v.users.get(cr.userID())
	if cr.user == nil || cr.user.Status != Active {
		cr.err = ErrUserInactive
		return
	}
	cr.principal = p
}

// AuthenticateLegacy finds who has a name and password of the v1 API: a legacy
// authorization with that name, or, if there is none, the password taken as a
// token. Inactive ones are [ErrUnauthorized] too. [ErrBusy] if too many passwords
// are being checked. After the first use of a name and password, right or wrong,
// this takes no lock, computes no hash of the password and allocates nothing.
func (c *Catalog) AuthenticateLegacy(user, password string) (*Principal, error) {
	if len(user)+len(password) > CredentialBytesMax {
		return nil, ErrUnauthorized
	}
	view := c.View()
	a, ok := view.legacyOf.get(user)
	if !ok {
		return c.AuthenticateActiveToken(password)
	}
	key := c.cache.keys.of(legacyCredential, user, password)
	if cr := c.cache.get(key, view); cr != nil {
		return cr.principal, cr.err
	}
	cr := &credential{key: key, generation: view.generation, legacy: a}
	var known *credential
	err := c.passwords.check(func() bool {
		// Others may have asked for the same while we waited for our turn.
		known = c.cache.get(key, view)
		return known != nil
	}, a.PasswordHash, password)
	if known != nil {
		return known.principal, known.err
	}
	switch {
	case errors.Is(err, ErrBusy):
		return nil, err
	case err != nil:
		cr.user, _ = view.users.get(a.UserID)
		cr.err = ErrUnauthorized
	default:
		cr.settle(view, legacyPrincipal(a))
		if cr.err != nil || a.Status != Active {
			cr.principal, cr.err = nil, ErrUnauthorized
		}
	}
	c.cache.put(cr)
	return cr.principal, cr.err
}

// AuthenticateActiveToken is AuthenticateToken for the v1 API, where an inactive
// token or user is [ErrUnauthorized] as well.
func (c *Catalog) AuthenticateActiveToken(token string) (*Principal, error) {
	p, err := c.AuthenticateToken(token)
	if err != nil || p.Status != Active {
		return nil, ErrUnauthorized
	}
	return p, nil
}
