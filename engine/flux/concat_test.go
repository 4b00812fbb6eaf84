package flux

import (
	"fmt"
	"strings"
	"testing"
)

// TestLongStrings: a script cannot fill the memory by doubling a string, neither where
// it is evaluated nor row by row.
func TestLongStrings(t *testing.T) {
	var doubling strings.Builder
	doubling.WriteString("s0 = \"0123456789abcdef\"\n")
	for i := range 40 {
		fmt.Fprintf(&doubling, "s%d = s%d + s%d\n", i+1, i, i)
	}
	rows := strings.Repeat(" |> map(fn: (r) => ({r with name: r.name + r.name}))", 24)
	for name, text := range map[string]string{
		"statements": doubling.String() + `buckets() |> map(fn: (r) => ({r with name: s40}))`,
		"rows":       "buckets() |> map(fn: (r) => ({r with name: \"0123456789abcdef\"}))" + rows,
	} {
		t.Run(name, func(t *testing.T) {
			got := answer(fakeHost{"b": newFakeBucket()}, Query{Text: text, Now: testNow, BytesMax: 1 << 30})
			if !strings.Contains(got, "the longest that a script can make") {
				t.Errorf("%.200q", got)
			}
		})
	}
}
