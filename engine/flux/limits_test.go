package flux

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestScriptLimits gives scripts that would end the process, or that nobody could wait
// for, and the longest of what people write.
func TestScriptLimits(t *testing.T) {
	around := func(open, middle, shut string, n int) string {
		return "x = " + strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
	}
	const from = "from(bucket: \"b\") |> range(start: 0)"
	b := newFakeBucket()
	if err := b.write("m,host=a v=1 1"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ script, want string }{
		"long":         {"// " + strings.Repeat("x", scriptBytesMax), "131072 bytes"},
		"unclosed":     {around("(", "", "", 100_000), "4096 brackets"},
		"hidden":       {"x = /\"/\ny = " + strings.Repeat("[", 5000), "4096 brackets"},
		"parentheses":  {around("(", "1", ")", 100), "24 brackets inside"},
		"arrays":       {around("[", "1", "]", 100), "24 brackets inside"},
		"records":      {around("{a:", "1", "}", 100), "24 brackets inside"},
		"functions":    {around("() => ", "1", "", 65), "64 functions"},
		"signs":        {around("-", "1", "", 20_000), "4000 names"},
		"conditionals": {around("if true then 1 else ", "1", "", 5000), "4000 names"},
		"sum":          {around("1 + ", "1", "", 5000), "4000 names"},
		"chain":        {from + strings.Repeat(" |> limit(n: 1)", 300), "256 calls"},
		"many arrays":  {"x = [" + strings.Repeat("[1], ", 600) + "[1]]", "512 arrays"},
		"calls":        {"f = (x) => x\ny = f" + strings.Repeat("()", 300), "256 calls"},
		"filter":       {from + " |> filter(fn: (r) => r.host == \"a\"" + strings.Repeat(" or r.host == \"b\"", 300) + ")", ""},
		"brackets":     {"x = \"" + strings.Repeat("(", 1000) + "\"\n" + from, ""},
	} {
		err := Run(t.Context(), fakeHost{"b": b}, Query{Text: c.script, Now: testNow}, io.Discard)
		var e *Error
		switch {
		case c.want == "" && err != nil, c.want != "" && (!errors.As(err, &e) || !strings.Contains(e.Message, c.want) || e.Internal):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if bytesOrBrackets := name == "long" || name == "unclosed" || name == "hidden"; bytesOrBrackets {
			if list := Analyze(c.script); len(list) != 1 || !strings.Contains(list[0].Message, c.want) {
				t.Errorf("%s: analyzed to %v", name, list)
			}
			if _, err := AST(c.script); err == nil {
				t.Errorf("%s: has a tree", name)
			}
		}
	}

	// A tree can be as deep without any text.
	deep := `{"type":"IntegerLiteral","value":"1"}`
	for range 100 {
		deep = `{"type":"ArrayExpression","elements":[` + deep + `]}`
	}
	tree := fmt.Sprintf(`{"type":"Package","files":[{"type":"File","body":[{"type":"ExpressionStatement","expression":%s}]}]}`, deep)
	err := Run(t.Context(), fakeHost{"b": b}, Query{AST: json.RawMessage(tree)}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "24 brackets inside") {
		t.Errorf("tree: %v", err)
	}
}
