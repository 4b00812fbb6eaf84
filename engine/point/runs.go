package point

import "math"

// FirstAt is the first of the ascending times in [lo, hi) that is not before t, hi
// if there is none. guess is where it probably is.
func FirstAt(times []int64, lo, hi, guess int, t int64) int {
	if guess >= lo && guess <= hi && (guess == hi || times[guess] >= t) && (guess == lo || times[guess-1] < t) {
		return guess
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if times[mid] < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// LeastFloat is the index of the least of the floats whose bits are nums xor flip, or
// -1 when best, which counts unless fresh, is it already. nums are not empty; they are
// older than best when descending, newer otherwise. Of equal floats the oldest is
// taken. flip makes a minimum of a maximum.
func LeastFloat(fresh bool, best uint64, nums []uint64, flip uint64, descending bool) int {
	at := -1
	least := math.Float64frombits(best ^ flip)
	if descending {
		i := len(nums) - 1
		if fresh {
			at, least, i = i, math.Float64frombits(nums[i]^flip), i-1
		}
		for ; i >= 0; i-- {
			if v := math.Float64frombits(nums[i] ^ flip); v <= least {
				at, least = i, v
			}
		}
		return at
	}
	i := 0
	if fresh {
		at, least, i = 0, math.Float64frombits(nums[0]^flip), 1
	}
	for ; i < len(nums); i++ {
		if v := math.Float64frombits(nums[i] ^ flip); v < least {
			at, least = i, v
		}
	}
	return at
}

// LeastUnsigned is LeastFloat for unsigned numbers; flip makes them of integers, too.
func LeastUnsigned(fresh bool, best uint64, nums []uint64, flip uint64, descending bool) int {
	at := -1
	least := best ^ flip
	if descending {
		i := len(nums) - 1
		if fresh {
			at, least, i = i, nums[i]^flip, i-1
		}
		for ; i >= 0; i-- {
			if v := nums[i] ^ flip; v <= least {
				at, least = i, v
			}
		}
		return at
	}
	i := 0
	if fresh {
		at, least, i = 0, nums[0]^flip, 1
	}
	for ; i < len(nums); i++ {
		if v := nums[i] ^ flip; v < least {
			at, least = i, v
		}
	}
	return at
}
