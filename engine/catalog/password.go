package catalog

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// The lengths of passwords in bytes. bcrypt looks at no more than 72.
const (
	PasswordBytesMin = 8
	PasswordBytesMax = 72
)

// ErrBusy is the error for a password that could not be checked, because too many
// others are being.
var ErrBusy = errors.New("catalog: too many passwords are being checked")

// ErrPasswordLength is the error for a new password of a wrong length.
var ErrPasswordLength = errors.New("passwords must be between 8 and 72 characters long")

func passwordChecksDefault() int { return max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())/2) }

// passwordGate bounds the CPU time that bcrypt can take from writes: a few
// computations at a time, a few callers waiting, and only so long.
type passwordGate struct {
	cost       int
	waitersMax int32
	wait       time.Duration
	slots      chan struct{}
	waiting    atomic.Int32
	// decoy is the hash of no password; checking against it takes as long as
	// checking a user's, so that time does not tell which users exist.
	decoy string
}

func newPasswordGate(o Options) *passwordGate {
	g := &passwordGate{cost: o.PasswordCost, waitersMax: int32(o.PasswordWaitersMax), wait: o.PasswordWait, slots: make(chan struct{}, o.PasswordChecksMax)}
	g.decoy = decoyHash(o.PasswordCost)
	return g
}

// decoyHash has the form of a hash of the given cost. Which password it belongs
// to, nobody knows.
func decoyHash(cost int) string {
	return fmt.Sprintf("$2a$%02d$%s%s", cost, strings.Repeat("x", 21)+"O", strings.Repeat("x", 30)+"O")
}

// enter waits for a slot.
func (g *passwordGate) enter() error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.waitersMax {
		return ErrBusy
	}
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrBusy
	}
}

func (g *passwordGate) leave() { <-g.slots }

// check compares a password with a hash, unless skip, asked once the turn has
// come, says that there is no need any more.
func (g *passwordGate) check(skip func() bool, hash, password string) error {
	if hash == "" {
		return ErrUnauthorized
	}
	if err := g.enter(); err != nil {
		return err
	}
	defer g.leave()
	if skip() {
		return nil
	}
	if len(password) > PasswordBytesMax || bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return ErrUnauthorized
	}
	return nil
}

// HashPassword makes the hash of a new password. [ErrPasswordLength] unless it has
// 8 to 72 bytes; [ErrBusy] as for checks.
func (c *Catalog) HashPassword(password string) (string, error) {
	if len(password) < PasswordBytesMin || len(password) > PasswordBytesMax {
		return "", ErrPasswordLength
	}
	if err := c.passwords.enter(); err != nil {
		return "", err
	}
	defer c.passwords.leave()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), c.passwords.cost)
	return string(hash), err
}

// CheckPassword reports who a user is, by name and password. [ErrUnauthorized] if
// the two do not go together, [ErrUserInactive] if they do and the user is
// inactive, [ErrBusy] if too many passwords are being checked.
func (c *Catalog) CheckPassword(name, password string) (*User, error) {
	u, ok := c.View().UserByName(name)
	hash := c.passwords.decoy
	if ok && u.PasswordHash != "" {
		hash = u.PasswordHash
	}
	err := c.passwords.check(func() bool { return false }, hash, password)
	switch {
	case err != nil:
		return nil, err
	case !ok || u.PasswordHash == "":
		return nil, ErrUnauthorized
	case u.Status != Active:
		return nil, ErrUserInactive
	}
	return u, nil
}
