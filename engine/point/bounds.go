package point

// Bounds returns the least and the greatest of v, which is not empty, as signed
// numbers. It takes two at a time, which need not wait for each other.
func Bounds(v []uint64) (lo, hi int64) {
	lo, hi = int64(v[0]), int64(v[0])
	lo2, hi2 := lo, hi
	for ; len(v) >= 2; v = v[2:] {
		lo, hi = min(lo, int64(v[0])), max(hi, int64(v[0]))
		lo2, hi2 = min(lo2, int64(v[1])), max(hi2, int64(v[1]))
	}
	if len(v) > 0 {
		lo, hi = min(lo, int64(v[0])), max(hi, int64(v[0]))
	}
	return min(lo, lo2), max(hi, hi2)
}
