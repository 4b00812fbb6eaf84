package main

import (
	"os"
	"testing"

	"headgate/engine/testkit"
)

// beHeadgate is a variable that makes the test binary the command itself, for tests of
// what only a process of its own can show.
const beHeadgate = "TEST_BE_HEADGATE"

func TestMain(m *testing.M) {
	if os.Getenv(beHeadgate) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	testkit.Main(m)
}
