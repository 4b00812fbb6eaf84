package engine

import (
	"testing"
	"testing/fstest"
)

func TestMemoryBytes(t *testing.T) {
	const meminfo = "MemTotal:       8388608 kB\nMemFree: 1 kB\n" // 8 GiB
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing to read": {nil, 1 << 30},
		"machine":         {map[string]string{"proc/meminfo": meminfo}, 8 << 30},
		"no limit":        {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 8 << 30},
		"own group": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/headgate.service\n",
			"sys/fs/cgroup/system.slice/headgate.service/memory.max": "536870912\n"}, 512 << 20},
		"group above": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/headgate.service\n",
			"sys/fs/cgroup/system.slice/memory.max": "268435456\n", "sys/fs/cgroup/system.slice/headgate.service/memory.max": "max\n"}, 256 << 20},
		"version 1": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "9:cpu,cpuacct:/x\n5:memory:/small\n0::/y\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/small/memory.limit_in_bytes": "536870912\n"}, 512 << 20},
		"container that sees the host's path": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/kubepods/pod1/c2\n",
			"sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30},
	} {
		files := make(fstest.MapFS)
		for path, text := range c.files {
			files[path] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryBytes(files); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
