package httpfront

import (
	"errors"
	"os"
	"time"
)

// deadline is when reading from a connection, or writing to it, must be over. Arming
// a connection's timer takes half a microsecond, and a request would do it four times.
// So a deadline that is moved on is only noted: the timer then comes too early, and is
// armed again for what is wanted.
type deadline struct {
	wanted time.Time // zero: none
	armed  time.Time // what the connection has; zero: none
}

// set moves the deadline to t, zero for none. arm is the connection's own setter.
func (d *deadline) set(t time.Time, arm func(time.Time) error) error {
	if t.IsZero() || !d.armed.IsZero() && !t.Before(d.armed) {
		d.wanted = t
		return nil
	}
	return d.force(t, arm)
}

// force is set for one who cannot bear a timer that comes too early.
func (d *deadline) force(t time.Time, arm func(time.Time) error) error {
	d.wanted, d.armed = t, t
	return arm(t)
}

// sooner has a timer come early, at t. Where the deadline is before t, it does nothing.
func (d *deadline) sooner(t time.Time, arm func(time.Time) error) error {
	if !d.wanted.IsZero() && !t.Before(d.wanted) {
		return nil
	}
	d.armed = t
	return arm(t)
}

// early reports whether err is of a timer that came too early. It has then been armed
// again, and the operation is to be repeated.
func (d *deadline) early(err error, arm func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
		return false
	}
	return d.force(d.wanted, arm) == nil
}
