package engine

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// machineMemoryBytes is the memory that this process may use: the smallest of
// the machine's and the limits of its cgroups. 1 GiB where neither can be read.
func machineMemoryBytes() int64 { return memoryBytes(os.DirFS("/")) }

// memoryBytes is machineMemoryBytes with the root directory at root. A cgroup is limited
// by all those above it, too: by memory.max in version 2, memory.limit_in_bytes in 1. In
// a container the process's own may be where the mount begins.
func memoryBytes(root fs.FS) int64 {
	limit := int64(0)
	lower := func(n int64) {
		if n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	if b, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		for line := range bytes.Lines(b) {
			if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == "MemTotal:" {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				lower(kib << 10)
			}
		}
	}
	read := func(mount, group, file string) {
		for {
			if b, err := fs.ReadFile(root, path.Join(mount, group, file)); err == nil {
				n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
				lower(n) // "max" parses as 0: no limit
			}
			if group == "" {
				return
			}
			group, _ = path.Split(strings.TrimSuffix(group, "/"))
			group = strings.TrimSuffix(group, "/")
		}
	}
	unified, memory := "", ""
	if b, err := fs.ReadFile(root, "proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) { // hierarchy:controllers:/path
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(f) < 3 {
				continue
			}
			group := strings.TrimPrefix(path.Clean(f[2]), "/")
			if f[0] == "0" {
				unified = group
			} else if strings.Contains(","+f[1]+",", ",memory,") {
				memory = group
			}
		}
	}
	read("sys/fs/cgroup", unified, "memory.max")
	read("sys/fs/cgroup/memory", memory, "memory.limit_in_bytes")
	if limit == 0 {
		return 1 << 30
	}
	return limit
}
