package flux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestEndlessFunctions: functions that would run for ever end with the query, where they
// are interpreted, where they run for each row, and where one is passed to another.
func TestEndlessFunctions(t *testing.T) {
	var doubling strings.Builder
	doubling.WriteString("f0 = (x) => x + 1\n")
	for i := range 30 {
		fmt.Fprintf(&doubling, "f%d = (x) => f%d(x: f%d(x: x))\n", i+1, i, i)
	}
	var twice strings.Builder
	twice.WriteString("twice = (f) => (x) => f(x: f(x: x))\nt0 = (x) => x + 1\n")
	for i := range 30 {
		fmt.Fprintf(&twice, "t%d = twice(f: t%d)\n", i+1, i)
	}
	for name, text := range map[string]string{
		"interpreted": doubling.String() + "v = f30(x: 1)\nbuckets()",
		"passed":      twice.String() + "v = t30(x: 1)\nbuckets()",
		"rows":        doubling.String() + "buckets() |> map(fn: (r) => ({r with v: f30(x: 1)}))",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := Run(ctx, fakeHost{"b": newFakeBucket()}, Query{Text: text, Now: testNow}, io.Discard)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestManyFunctions: what Flux needs ever longer for is refused.
func TestManyFunctions(t *testing.T) {
	filters := func(n int) string {
		return answer(fakeHost{"b": newFakeBucket()}, Query{Text: "buckets()" + strings.Repeat("\n|> filter(fn: (r) => true)", n), Now: testNow})
	}
	want := "error: compilation failed: error at 66:15-66:26: a script has at most 64 functions\n"
	if got := filters(functionsMax + 1); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := filters(8); strings.HasPrefix(got, "error") {
		t.Error(got)
	}
}
