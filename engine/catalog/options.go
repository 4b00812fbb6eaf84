package catalog

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Options configures a Catalog. The zero value of each field means its default.
type Options struct {
	// RecordsMax bounds the records of all kinds together; changes that would go
	// over it fail with [ErrFull]. Default 1 million, about 1 GB of memory.
	RecordsMax int
	// CachedPrincipalsMax bounds the callers whose credentials are remembered, so
	// that they are not hashed again; it is rounded up to a power of two. More
	// distinct credentials than this in use at once cost a hash each. Default 8192.
	CachedPrincipalsMax int
	// SessionsMax bounds the sessions; the one that ends first makes room. Default
	// 10,000.
	SessionsMax int
	// SessionLength is how long a session lasts after its last use. Default 1 h.
	SessionLength time.Duration
	// PasswordCost is the bcrypt cost of new passwords, 4 to 31. Default 10, about
	// 60 ms of CPU for each check that is not cached.
	PasswordCost int
	// PasswordChecksMax bounds the bcrypt computations at one time. Default half
	// the CPUs, at least 1.
	PasswordChecksMax int
	// PasswordWaitersMax bounds the callers that wait for their computation;
	// further ones get [ErrBusy]. Default 128.
	PasswordWaitersMax int
	// PasswordWait is how long such a caller waits before it gets ErrBusy. Default 5 s.
	PasswordWait time.Duration
	// Logger gets what an operator should know. Default: discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time

	// ops are for tests that make disks fail.
	ops *fileOps
}

// EnsureDefaults fills in the zero fields.
func (o *Options) EnsureDefaults() {
	setDefault(&o.RecordsMax, 1_000_000)
	setDefault(&o.CachedPrincipalsMax, 8192)
	setDefault(&o.SessionsMax, 10_000)
	setDefault(&o.SessionLength, time.Hour)
	setDefault(&o.PasswordCost, bcrypt.DefaultCost)
	setDefault(&o.PasswordChecksMax, passwordChecksDefault())
	setDefault(&o.PasswordWaitersMax, 128)
	setDefault(&o.PasswordWait, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ops == nil {
		ops := osFileOps()
		o.ops = &ops
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *Options) Validate() error {
	switch {
	case o.RecordsMax < 1, o.CachedPrincipalsMax < 1, o.SessionsMax < 1, o.PasswordChecksMax < 1, o.PasswordWaitersMax < 1:
		return errors.New("catalog: the limits in Options must be positive")
	case o.CachedPrincipalsMax > 1<<24:
		return fmt.Errorf("catalog: Options.CachedPrincipalsMax is %d, over the most that makes sense, %d", o.CachedPrincipalsMax, 1<<24)
	case o.SessionLength < 0, o.PasswordWait < 0:
		return errors.New("catalog: a duration in Options is negative")
	case o.PasswordCost < bcrypt.MinCost, o.PasswordCost > bcrypt.MaxCost:
		return fmt.Errorf("catalog: Options.PasswordCost is %d, not in %d to %d", o.PasswordCost, bcrypt.MinCost, bcrypt.MaxCost)
	}
	return nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
