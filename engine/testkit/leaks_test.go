package testkit

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestLeaksAreSeen(t *testing.T) {
	goroutines, files := stacks(), descriptors()
	if left := awaitNone(goroutines, files); left != "" {
		t.Fatalf("before anything: %s", left)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { <-stop; close(done) }()
	f, err := os.Create(filepath.Join(t.TempDir(), "left-open"))
	if err != nil {
		t.Fatal(err)
	}
	now, open := stacks(), descriptors()
	found := 0
	for id, stack := range now {
		if _, ok := goroutines[id]; !ok && strings.Contains(stack, "TestLeaksAreSeen") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d goroutines seen, want 1: %v", found, now)
	}
	if runtime.GOOS == "linux" {
		found = 0
		for fd, name := range open {
			if files[fd] != name && strings.HasSuffix(name, "left-open") {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d descriptors seen, want 1: %v", found, open)
		}
	}
	close(stop)
	<-done
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if left := awaitNone(goroutines, files); left != "" {
		t.Errorf("after all was closed: %s", left)
	}
}

func TestRounds(t *testing.T) {
	for _, n := range []int{1, 9, 1000} {
		got := Rounds(n)
		if got < 1 || got > n || RaceEnabled == (got == n) && n > 1 {
			t.Errorf("Rounds(%d) = %d", n, got)
		}
	}
}
