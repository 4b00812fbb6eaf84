package flux

import (
	"fmt"
	"strings"

	"github.com/influxdata/flux/ast"
)

// What a script may have at most. What Flux needs to parse it and to find out its types
// takes a stack as deep as its parts are nested, which ends the process when it is too
// deep, and grows with the second or third power of its parts; neither ends with the
// query. On a busy machine a script takes up to some 10 s at these limits.
const (
	// scriptBytesMax is the length of a script.
	scriptBytesMax = 128 << 10
	// bracketsMax is how many of its characters open a bracket, or a function.
	bracketsMax = 4096
	// nestingMax is how deep brackets are nested.
	nestingMax = 24
	// partsMax is how many nodes the tree of a script has: six hundred comparisons
	// with a column are some 4,000.
	partsMax = 4000
	// arraysMax is how many arrays it has.
	arraysMax = 512
	// callsMax is how many calls of functions it has.
	callsMax = 256
	// functionsMax is how many functions it has, those that are written as arguments
	// included.
	functionsMax = 64
)

func tooMuch(what string, limit int) error {
	return &Error{Message: fmt.Sprintf("compilation failed: a script has at most %d %s", limit, what)}
}

// checkText refuses a script that is not to be parsed. It does not know strings from
// brackets, so that nothing can be hidden from it.
func checkText(text string) error {
	if len(text) > scriptBytesMax {
		return tooMuch("bytes", scriptBytesMax)
	}
	brackets := strings.Count(text, "=>")
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{':
			brackets++
		}
	}
	if brackets > bracketsMax {
		return tooMuch("brackets", bracketsMax)
	}
	return nil
}

// checkTree refuses a script that is not to be evaluated.
func checkTree(tree *ast.Package) error {
	c := new(treeCounter)
	ast.Walk(c, tree)
	switch {
	case c.functions > functionsMax:
		return &Error{Message: fmt.Sprintf("compilation failed: error at %s: a script has at most %d functions", c.over.Location(), functionsMax)}
	case c.calls > callsMax:
		return tooMuch("calls", callsMax)
	case c.arrays > arraysMax:
		return tooMuch("arrays", arraysMax)
	case c.deepest > nestingMax:
		return tooMuch("brackets inside each other", nestingMax)
	case c.parts > partsMax:
		return tooMuch("names, values and operators", partsMax)
	}
	return nil
}

// treeCounter counts the nodes of a tree.
type treeCounter struct {
	parts, calls, arrays, functions int
	depth, deepest                  int
	// over is the first function that is too many.
	over ast.Node
}

// Visit implements ast.Visitor.
func (c *treeCounter) Visit(n ast.Node) ast.Visitor {
	c.parts++
	switch n.(type) {
	case *ast.CallExpression:
		c.calls++
	case *ast.ArrayExpression:
		c.arrays++
	case *ast.FunctionExpression:
		if c.functions++; c.functions == functionsMax+1 {
			c.over = n
		}
	}
	if nests(n) {
		c.depth++
		c.deepest = max(c.deepest, c.depth)
	}
	return c
}

// Done implements ast.Visitor.
func (c *treeCounter) Done(n ast.Node) {
	if nests(n) {
		c.depth--
	}
}

// nests reports whether a node is more than a link of a chain.
func nests(n ast.Node) bool {
	switch n.(type) {
	case *ast.ArrayExpression, *ast.ObjectExpression, *ast.ParenExpression, *ast.FunctionExpression:
		return true
	}
	return false
}
