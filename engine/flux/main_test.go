package flux

import (
	"testing"

	"headgate/engine/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
