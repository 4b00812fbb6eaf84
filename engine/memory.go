package engine

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// machineMemoryBytes is the memory that this process may use: the smallest of
// the machine's and the limits of its cgroups (v2 memory.max, v1
// memory.limit_in_bytes). 1 GiB where neither can be read.
func machineMemoryBytes() int64 {
	limit := int64(0)
	lower := func(n int64) {
		if n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range bytes.Lines(b) {
			if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == "MemTotal:" {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				lower(kib << 10)
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(file); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			lower(n) // "max" parses as 0: no limit
		}
	}
	if limit == 0 {
		return 1 << 30
	}
	return limit
}
