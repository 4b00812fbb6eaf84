package flux

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/influxdata/flux/ast"
	"github.com/influxdata/flux/parser"
)

// parseText parses a script. Times that do not exist, which the parser takes for the
// year 1 without a word, are errors of their nodes. The error is for what the parser
// does not survive, such as an object that leaves out "with".
func parseText(text string) (tree *ast.Package, err error) {
	defer func() {
		if v := recover(); v != nil {
			tree, err = nil, &Error{Message: "compilation failed: the script cannot be parsed: something is missing or out of place"}
		}
	}()
	tree = parser.ParseSource(text)
	ast.Walk(ast.CreateVisitor(func(n ast.Node) {
		t, ok := n.(*ast.DateTimeLiteral)
		if !ok || !t.Value.IsZero() {
			return
		}
		text, layout := t.Location().Source, time.DateOnly
		if strings.Contains(text, "T") {
			layout = time.RFC3339Nano
		}
		if _, err := time.Parse(layout, text); err != nil {
			t.Errors = append(t.Errors, ast.Error{Msg: fmt.Sprintf("invalid time literal %q: there is no such time (a time of day ends with Z or an offset)", text)})
		}
	}), tree)
	return tree, nil
}

// AST is the tree of a script as JSON. The error is an *Error.
func AST(text string) ([]byte, error) {
	tree, err := parse(&Query{Text: text})
	if err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

// SyntaxError is one place where a script does not parse. Line, Column and
// Character count from 1, 1 and 0.
type SyntaxError struct {
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	Character int    `json:"character"`
	Message   string `json:"message"`
}

// Analyze lists what is wrong with the syntax of a script.
func Analyze(text string) []SyntaxError {
	if err := checkText(text); err != nil {
		return []SyntaxError{{Line: 1, Column: 1, Message: err.Error()}}
	}
	tree, err := parseText(text)
	if err != nil {
		return []SyntaxError{{Line: 1, Column: 1, Message: err.Error()}}
	}
	if ast.Check(tree) == 0 {
		return nil
	}
	var list []SyntaxError
	ast.Walk(ast.CreateVisitor(func(n ast.Node) {
		for _, e := range n.Errs() {
			at := n.Location().Start
			if at.Line == 0 {
				continue // a part that is not there; what it is missing from says so
			}
			list = append(list, SyntaxError{Line: at.Line, Column: at.Column, Message: e.Msg})
		}
	}), tree)
	return list
}
