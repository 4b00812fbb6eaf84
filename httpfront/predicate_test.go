package httpfront

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestPredicate parses each line of a block.
func TestPredicate(t *testing.T) {
	datadriven.RunTest(t, "testdata/predicate", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for line := range strings.Lines(d.Input) {
			conditions, err := parsePredicate(strings.TrimSuffix(line, "\n"))
			if err != nil {
				fmt.Fprintln(&b, "error:", err)
				continue
			}
			for i, c := range conditions {
				if i > 0 {
					b.WriteString(" AND ")
				}
				op := "="
				if c.Not {
					op = "!="
				}
				fmt.Fprintf(&b, "%q%s%q", c.Key, op, c.Value)
			}
			b.WriteString("\n")
		}
		return b.String()
	})
}

func FuzzPredicate(f *testing.F) {
	for _, s := range []string{`a=b`, `(a="b" AND c!=d)`, `a=~/b/`, `((`, `a=-1h AND name=true`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		conditions, err := parsePredicate(s)
		if err == nil && len(conditions) == 0 && strings.TrimSpace(s) != "" {
			t.Errorf("%q is no condition and no error: it would delete everything", s)
		}
	})
}
