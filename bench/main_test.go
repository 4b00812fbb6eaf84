package bench

import (
	"os"
	"testing"

	"headgate/engine/testkit"
)

func TestMain(m *testing.M) {
	code := testkit.Run(m)
	if dir := builtServer.dir; dir != "" {
		_ = os.RemoveAll(dir) // nothing of ours runs from it any more
	}
	os.Exit(code)
}
