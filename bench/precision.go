package bench

import "time"

// Precision names the unit of timestamps: ns, us, ms or s.
type Precision string

// Precisions lists every precision.
func Precisions() []Precision { return []Precision{"ns", "us", "ms", "s"} }

// unit returns the nanoseconds of one tick, and how many digits a timestamp has
// from September 2001 on until 2262 at least.
func (p Precision) unit() (ns int64, digits int) {
	switch p {
	case "us":
		return int64(time.Microsecond), timeDigits - 3
	case "ms":
		return int64(time.Millisecond), timeDigits - 6
	case "s":
		return int64(time.Second), timeDigits - 9
	}
	return 1, timeDigits
}

// v1 returns the name of the precision in POST /write, where old servers take us
// for ns without a word.
func (p Precision) v1() string {
	if p == "us" {
		return "u"
	}
	return string(p)
}
