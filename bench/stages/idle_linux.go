package stages

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// idleTime is the time that processors of the machine have been idle, all together. It
// moves by ticks of 10 ms.
func idleTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	// cpu user nice system idle iowait ...
	line, _, _ := strings.Cut(string(stat), "\n")
	f := strings.Fields(line)
	if len(f) < 6 {
		return 0
	}
	idle, _ := strconv.ParseInt(f[4], 10, 64)
	wait, _ := strconv.ParseInt(f[5], 10, 64)
	return time.Duration(idle+wait) * 10 * time.Millisecond
}
