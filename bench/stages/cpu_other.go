//go:build !unix

package stages

import "time"

// cpuTime is not known here, and cpu-ns/line is reported as 0.
func cpuTime() time.Duration { return 0 }
