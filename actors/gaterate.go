package actors

import (
	"math"
	"time"
)

// rateStale is the longest time between two looks that makes a rate.
const rateStale = 10 * time.Second

// drainRate is an exponentially weighted rate of bytes a second, looked at no
// more often than every 100 ms. Under Gate.mu.
type drainRate struct {
	last    time.Time
	drained int64
	rate    float64
}

func (d *drainRate) perSecond(now time.Time, drained int64) float64 {
	dt := now.Sub(d.last).Seconds()
	if dt < 0.1 {
		return d.rate
	}
	if dt > rateStale.Seconds() { // an idle hour says nothing about the next second
		d.last, d.drained = now, drained
		return d.rate
	}
	current := float64(drained-d.drained) / dt
	if d.rate == 0 {
		d.rate = current
	} else {
		w := 1 - math.Exp(-dt) // time constant 1 s
		d.rate += w * (current - d.rate)
	}
	d.last, d.drained = now, drained
	return d.rate
}
