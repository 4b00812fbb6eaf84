package store

import (
	"math"
	"slices"
	"time"
)

// A window is a range of time whose points share parts, so that old ones expire
// together. Windows begin at multiples of their width.
type window struct{ min, max int64 } // both inclusive

// Widths by retention period, as InfluxDB chooses them for its shard groups.
const (
	windowShort  = time.Hour
	windowMedium = 24 * time.Hour
	windowLong   = 7 * 24 * time.Hour
)

// windowWidth is the width of the windows of a bucket with a retention period,
// 0 for ever.
func windowWidth(retention int64) int64 {
	switch r := time.Duration(retention); {
	case r == 0 || r >= 180*24*time.Hour:
		return int64(windowLong)
	case r >= 2*24*time.Hour:
		return int64(windowMedium)
	default:
		return int64(windowShort)
	}
}

// windowOf is the window of a width that has t.
func windowOf(t, width int64) window {
	n := t / width
	if t%width < 0 {
		n--
	}
	w := window{math.MinInt64, math.MaxInt64}
	if n >= math.MinInt64/width {
		w.min = n * width
	}
	if n < math.MaxInt64/width {
		w.max = (n+1)*width - 1
	}
	return w
}

// windowsMax is how many windows a flush writes parts for, each its own. Points
// of more are put into windows eight times as wide, and so on.
const windowsMax = 32

// windowsOf lists the windows that the segments' points are in, ascending.
func windowsOf(segments []*segment, cutoff, width int64) []window {
	var found []window
	add := func(t int64) {
		if t < cutoff {
			return
		}
		if n := len(found); n > 0 && found[n-1].min <= t && t <= found[n-1].max {
			return
		}
		found = append(found, windowOf(t, width))
	}
	settle := func() {
		slices.SortFunc(found, func(x, y window) int {
			switch {
			case x.min < y.min:
				return -1
			case x.min > y.min:
				return 1
			}
			return 0
		})
		found = slices.Compact(found)
	}
	for _, s := range segments {
		if w := windowOf(s.min, width); s.max <= w.max {
			add(s.max)
			continue
		}
		for i := range s.rows {
			add(int64(s.times.at(i)))
		}
		settle()
	}
	settle()
	for len(found) > windowsMax && width < math.MaxInt64/8 {
		width *= 8
		for i := range found {
			found[i] = windowOf(found[i].min, width)
		}
		settle()
	}
	return found
}
