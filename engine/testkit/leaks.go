package testkit

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakWait is how long goroutines and descriptors may take to go away once the
// tests are over: what ends them does not always wait for them. A leak takes all of
// it, and nothing else does.
const leakWait = 10 * time.Second

// ours are the functions whose goroutines must be gone.
var ours = []string{"headgate/", "github.com/cockroachdb/pebble", "github.com/valyala/fasthttp", "github.com/asynkron/protoactor-go"}

// forever are goroutines that a dependency starts once in a process and never ends.
var forever = []string{
	"fasthttp.updateServerDate",         // the Date header's clock
	"fasthttp.(*workerPool).Start.func", // ends only after its pool has been idle for a while
}

// Main runs a package's tests, fails when they left goroutines or descriptors
// behind, and exits. TestMain calls it last.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a package that has something to clean up. It returns the code to
// exit with.
func Run(m *testing.M) int {
	before := descriptors()
	code := m.Run()
	if code == 0 {
		if left := awaitNone(nil, before); left != "" {
			fmt.Printf("FAIL: left behind by the tests of this package:\n%s\n", left)
			code = 1
		}
	}
	return code
}

// CheckLeaks fails the test when goroutines or descriptors that were not there
// before are there after it. Call it before anything is opened: what is cleaned up
// after t.Cleanup of this call does not count. It is not for parallel tests.
func CheckLeaks(t testing.TB) {
	t.Helper()
	goroutines, files := stacks(), descriptors()
	t.Cleanup(func() {
		if left := awaitNone(goroutines, files); left != "" && !t.Failed() {
			t.Errorf("left behind:\n%s", left)
		}
	})
}

// awaitNone waits until there is nothing but what was there before, and returns what
// there still is.
func awaitNone(goroutines, files map[string]string) string {
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		var left strings.Builder
		for id, stack := range stacks() {
			if _, ok := goroutines[id]; !ok {
				left.WriteString(stack + "\n\n")
			}
		}
		for fd, name := range descriptors() {
			if files[fd] != name {
				fmt.Fprintf(&left, "descriptor %s: %s\n", fd, name)
			}
		}
		if left.Len() == 0 || time.Since(begin) > leakWait {
			return left.String()
		}
		// A pipe or a socket that nobody holds is closed by its finalizer.
		runtime.Gosched()
	}
}

// stacks returns the goroutines that count, by their number; the caller is left out.
func stacks() map[string]string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	found := map[string]string{}
	for i, block := range bytes.Split(buf, []byte("\n\n")) {
		stack := string(block)
		if i == 0 || !containsAny(stack, ours) || containsAny(stack, forever) || strings.Contains(stack, "testing.(*T).Run(") {
			continue // the first is the caller; one that runs tests ends with them
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		found[id] = stack
	}
	return found
}

func containsAny(s string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// descriptors returns what each open descriptor is, nil where the system does not
// tell. Those of the runtime's poller and of the testing package come and go, and are
// left out.
func descriptors() map[string]string {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for _, e := range entries {
		name, err := os.Readlink(dir + "/" + e.Name())
		if err != nil || strings.HasPrefix(name, "anon_inode:") || strings.HasSuffix(name, "/fd") {
			continue // the directory itself has been closed again
		}
		found[e.Name()] = name
	}
	return found
}
