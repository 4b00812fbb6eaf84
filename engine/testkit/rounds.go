package testkit

// Rounds returns how often a random or exhaustive test goes round: n, or a tenth of
// it under the race detector, and once at least. The detector makes code ten times
// slower, and what it looks for does not depend on the data.
func Rounds(n int) int {
	if RaceEnabled {
		return max(n/10, 1)
	}
	return n
}
