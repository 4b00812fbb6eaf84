package flux

import (
	"fmt"
	_ "unsafe" // for linkname

	"github.com/influxdata/flux/ast"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/values"
)

// stringBytesMax is the longest string that a script can put together. Each `s + s`
// doubles one, so that forty short lines would fill any memory.
const stringBytesMax = 16 << 20

// binaryFunctions are Flux's operators on values, which interpreter and compiled
// functions look up here. Flux has no other place to bound them.
//
//go:linkname binaryFunctions github.com/influxdata/flux/values.binaryFuncLookup
var binaryFunctions map[values.BinaryFuncSignature]values.BinaryFunction

func init() {
	add := values.BinaryFuncSignature{Operator: ast.AdditionOperator, Left: semantic.String, Right: semantic.String}
	unbounded := binaryFunctions[add]
	binaryFunctions[add] = func(l, r values.Value) (values.Value, error) {
		if n := len(l.Str()) + len(r.Str()); n > stringBytesMax {
			return nil, fmt.Errorf("a string of %d bytes is longer than %d, the longest that a script can make", n, stringBytesMax)
		}
		return unbounded(l, r)
	}
}
