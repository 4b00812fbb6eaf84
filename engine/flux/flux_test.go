package flux

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"headgate/engine/point"
)

// testNow is the time of the tests: 1000 s.
var testNow = time.Unix(1000, 0)

// TestScripts runs the scripts of testdata/scripts. Commands:
//
//	write bucket=NAME    line protocol in seconds
//	query [max-bytes=N] [header=false] [annotations=a,b] [delimiter=c] [prefix=c]
//	                     runs Flux; the answer without annotations unless they are
//	                     asked for, or the error
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		host := fakeHost{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "write":
				var name string
				d.ScanArgs(t, "bucket", &name)
				if host[name] == nil {
					host[name] = newFakeBucket()
				}
				if err := host[name].write(d.Input); err != nil {
					t.Fatal(err)
				}
				return ""
			case "query":
				q := Query{Text: d.Input, Now: testNow}
				d.MaybeScanArgs(t, "max-bytes", &q.BytesMax)
				q.Dialect.NoHeader = d.HasArg("header")
				var annotations, delimiter string
				d.MaybeScanArgs(t, "annotations", &annotations)
				if annotations != "" {
					q.Dialect.Annotations = strings.Split(annotations, "+")
				}
				d.MaybeScanArgs(t, "delimiter", &delimiter)
				for _, r := range delimiter {
					q.Dialect.Delimiter = r
				}
				d.MaybeScanArgs(t, "prefix", &q.Dialect.CommentPrefix)
				return answer(host, q)
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

// answer is what a query says, or its error.
func answer(host Host, q Query) string {
	var sb strings.Builder
	if err := Run(context.Background(), host, q, &sb); err != nil {
		return "error: " + err.Error() + "\n"
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(sb.String(), "\r\n"), "\r\n") {
		if line == "" {
			line = "."
		}
		lines = append(lines, strings.NewReplacer("1970-01-01T00:", "").Replace(line))
	}
	return strings.Join(lines, "\n") + "\n"
}

func newFakeBucket() *fakeBucket {
	return &fakeBucket{measurements: make(map[string]map[string]point.FieldType)}
}

// TestParserGivesUp: a script that the parser does not survive is the script's fault.
func TestParserGivesUp(t *testing.T) {
	const text = `from(bucket: "b") |> range(start: 0) |> map(fn: (r) => ({r x: 1}))`
	var e *Error
	if err := Run(t.Context(), fakeHost{"b": newFakeBucket()}, Query{Text: text, Now: testNow}, io.Discard); !errors.As(err, &e) || e.Internal {
		t.Errorf("%v, want an error of the script", err)
	}
	if _, err := AST(text); !errors.As(err, &e) || e.Internal {
		t.Errorf("its tree: %v, want an error of the script", err)
	}
	if list := Analyze(text); len(list) != 1 {
		t.Errorf("analyzed to %v", list)
	}
}
