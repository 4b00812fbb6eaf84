//go:build !linux

package stages

import "time"

// idleTime is not known here, and idle-cores is reported as 0.
func idleTime() time.Duration { return 0 }
