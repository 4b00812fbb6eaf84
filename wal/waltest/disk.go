package waltest

import (
	"os"
	"strconv"
	"testing"
	"time"

	"headgate/engine/testkit"
	"headgate/wal"
)

// Disk is storage for one log. Operations that change it (create, write, sync,
// rename, ...) are counted from 0.
type Disk interface {
	// Open opens the log that is on the disk, or a new one.
	Open() (wal.Log, error)
	// Crash returns a new disk with what a power cut now would leave: all that is
	// synced, and of the rest about unsyncedPercent, chosen by seed.
	Crash(unsyncedPercent int, seed uint64) Disk
	// Watch makes the disk call fn before every operation that changes it. fn may
	// call Crash.
	Watch(fn func())
	// FailAt makes the n-th operation from now fail, and all after it if sticky,
	// until Heal.
	FailAt(n int, sticky bool)
	// Heal ends FailAt and reports whether an operation has failed.
	Heal() (fired bool)
	// Files returns the names of the files that hold the log, in order.
	Files() []string
	// Size returns the size of a file.
	Size(name string) int
	// Flip inverts bits of a byte. The log must be closed.
	Flip(name string, offset int, bits byte)
}

// Run runs the suite. newDisk returns an empty disk; its log should have limits
// small enough that a few megabytes exercise whatever happens in the background.
func Run(t *testing.T, newDisk func(t *testing.T) Disk) {
	seed := Seed(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, newDisk func(t *testing.T) Disk, seed uint64)
	}{
		{"Order", testOrder},
		{"Refusals", testRefusals},
		{"ReplayStops", testReplayStops},
		{"RemoveSurvives", testRemoveSurvives},
		{"Notifiers", testNotifiers},
		{"CrashPoints", testCrashPoints},
		{"Faults", testFaults},
		{"FaultsOpening", testFaultsOpening},
		{"Damage", testDamage},
		{"CloseWhileAppending", testCloseWhileAppending},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			test.run(t, newDisk, seed)
		})
	}
}

// Seed returns HEADGATE_SEED, or the time, and prints it.
func Seed(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HEADGATE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HEADGATE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("HEADGATE_SEED=%d", seed)
	return seed
}
