package flux

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/ast"
	"github.com/influxdata/flux/interpreter"
	"github.com/influxdata/flux/parser"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/values"
)

// script is one query's evaluation. It makes what the script names of prelude and
// library, and no more: Flux infers types over everything in scope.
type script struct {
	ctx context.Context
	// universe are the functions of the prelude that are Go.
	universe *interpreter.Package
	stdlib   interpreter.Importer
	now      time.Time
	// names are the identifiers that the script has anywhere.
	names map[string]bool
	// started are the functions of packages that are called with a start.
	started map[string]bool
	// made are the values of the prelude, packages those that have been imported.
	made     map[string]values.Value
	packages map[string]*interpreter.Package
}

// newScript is a script of which nothing has been evaluated.
func newScript(ctx context.Context, q *Query) *script {
	s := &script{
		ctx: ctx, stdlib: flux.StdLib(), now: q.Now,
		names: make(map[string]bool), started: make(map[string]bool), made: make(map[string]values.Value), packages: make(map[string]*interpreter.Package),
	}
	s.universe, _ = s.stdlib.ImportPackageObject("universe")
	return s
}

// parse makes the tree of a query.
func parse(q *Query) (*ast.Package, error) {
	var tree *ast.Package
	switch {
	case q.Text != "":
		if err := checkText(q.Text); err != nil {
			return nil, err
		}
		var err error
		if tree, err = parseText(q.Text); err != nil {
			return nil, err
		}
	case len(q.AST) > 0:
		tree = new(ast.Package)
		if err := json.Unmarshal(q.AST, tree); err != nil {
			return nil, &Error{Message: "invalid AST: " + err.Error(), Err: err}
		}
	default:
		tree = parser.ParseSource("")
	}
	if len(q.Extern) > 0 && string(q.Extern) != "null" {
		extern := new(ast.File)
		if err := json.Unmarshal(q.Extern, extern); err != nil {
			return nil, &Error{Message: "invalid extern: " + err.Error(), Err: err}
		}
		tree.Files = append([]*ast.File{extern}, tree.Files...)
	}
	if ast.Check(tree) > 0 {
		return nil, compileError(ast.GetError(tree))
	}
	return tree, nil
}

// evaluate runs the script and returns its streams of tables in order, and what
// it says the time is.
func evaluate(ctx context.Context, q *Query, tree *ast.Package) ([]*flux.TableObject, time.Time, error) {
	s := newScript(ctx, q)
	if err := checkTree(tree); err != nil {
		return nil, time.Time{}, err
	}
	if err := s.check(tree); err != nil {
		return nil, time.Time{}, err
	}
	prelude := values.NewScope()
	for _, name := range sortedKeys(s.names) {
		if err := s.define(prelude, name); err != nil {
			return nil, time.Time{}, err
		}
	}
	if q.Params != nil {
		v, err := valueOf(q.Params)
		if err != nil {
			return nil, time.Time{}, err
		}
		prelude.Set("params", v)
	}
	graph, err := semantic.New(tree)
	if err != nil {
		return nil, time.Time{}, compileError(err)
	}
	pkg := interpreter.NewPackage("")
	scope := values.Scope(watchedScope{values.NewNestedScope(prelude, pkg), ctx})
	effects, err := interpreter.NewInterpreter(pkg).Eval(ctx, graph, scope, s)
	if err != nil {
		return nil, time.Time{}, compileError(err)
	}
	now := q.Now
	if v, ok := scope.Lookup("now"); ok && v.Type().Nature() == semantic.Function {
		at, err := v.Function().Call(ctx, values.NewObject())
		if err != nil {
			return nil, now, compileError(err)
		}
		if at.Type().Nature() != semantic.Time {
			return nil, now, &Error{Message: "compilation failed: option now must return a time"}
		}
		now = at.Time().Time()
	}
	var streams []*flux.TableObject
	for _, effect := range effects {
		if to, ok := effect.Value.(*flux.TableObject); ok && !slices.Contains(streams, to) {
			streams = append(streams, to)
		}
	}
	// A stream that another one goes on from is made with that one.
	streams = slices.DeleteFunc(streams, func(to *flux.TableObject) bool {
		return slices.ContainsFunc(streams, func(other *flux.TableObject) bool { return other != to && descends(other, to) })
	})
	if len(streams) == 0 {
		return nil, now, &Error{Message: "compilation failed: this Flux script returns no streaming data. " +
			"Consider adding a \"yield\" or invoking streaming functions directly, without performing an assignment"}
	}
	return streams, now, nil
}

// descends reports whether to is among what a stream is made of.
func descends(stream, to *flux.TableObject) bool {
	found := false
	stream.Parents.Range(func(_ int, v values.Value) {
		p, ok := v.(*flux.TableObject)
		found = found || ok && (p == to || descends(p, to))
	})
	return found
}

// check notes the names of the tree and refuses what is not there, by name and
// place.
func (s *script) check(tree *ast.Package) error {
	assigned := make(map[string]bool)
	var calls []*ast.Identifier
	var members []*ast.MemberExpression
	var imports []*ast.ImportDeclaration
	ast.Walk(ast.CreateVisitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Identifier:
			s.names[n.Name] = true
		case *ast.VariableAssignment:
			assigned[n.ID.Name] = true
		case *ast.CallExpression:
			switch callee := n.Callee.(type) {
			case *ast.Identifier:
				calls = append(calls, callee)
			case *ast.MemberExpression:
				if hasArgument(n, "start") {
					s.started[callee.Property.Key()] = true
				}
			}
		case *ast.MemberExpression:
			members = append(members, n)
		case *ast.ImportDeclaration:
			imports = append(imports, n)
		}
	}), tree)
	s.names["now"] = true
	packages := make(map[string]string)
	for _, imp := range imports {
		p := imp.Path.Value
		packages[path.Base(p)] = p
		if imp.As != nil {
			packages[imp.As.Name] = p
		}
		if _, ok := libraryPackages[p]; !ok && ownPackages[p] == nil {
			return &Error{Message: fmt.Sprintf("compilation failed: error at %s: package %q is not supported; those that are: %s",
				imp.Location(), p, strings.Join(append(sortedKeys(libraryPackages), sortedKeys(ownPackages)...), ", "))}
		}
	}
	for _, m := range members {
		object, ok := m.Object.(*ast.Identifier)
		if !ok || packages[object.Name] == "" || assigned[object.Name] {
			continue
		}
		pkg, ok := s.ImportPackageObject(packages[object.Name])
		if !ok {
			continue // evaluating it says why
		}
		if _, ok := pkg.Get(m.Property.Key()); !ok {
			return &Error{Message: fmt.Sprintf("compilation failed: error at %s: %s.%s is not supported", m.Location(), packages[object.Name], m.Property.Key())}
		}
	}
	for _, id := range calls {
		if why := refused[id.Name]; why != "" && !assigned[id.Name] {
			return &Error{Message: fmt.Sprintf("compilation failed: error at %s: %s", id.Location(), why)}
		}
	}
	return nil
}

// hasArgument reports whether a call has an argument of that name.
func hasArgument(call *ast.CallExpression, name string) bool {
	for _, a := range call.Arguments {
		if o, ok := a.(*ast.ObjectExpression); ok {
			for _, p := range o.Properties {
				if p.Key != nil && p.Key.Key() == name {
					return true
				}
			}
		}
	}
	return false
}

// define sets name in scope if the prelude has it.
func (s *script) define(scope values.Scope, name string) error {
	v, err := s.value(name)
	if err == nil && v != nil {
		scope.Set(name, v)
	}
	return err
}

// value is the prelude's value of name, nil if it has none.
func (s *script) value(name string) (values.Value, error) {
	if v := s.made[name]; v != nil || refused[name] != "" {
		return v, nil
	}
	var v values.Value
	var err error
	switch source := preludeSources[name]; {
	case source != "":
		v, err = s.make(name, source)
	case name == "now":
		v = s.nowFunction()
	case name == "from" || name == "buckets":
		v = sources()[name]
	default:
		if have, ok := s.universe.Get(name); ok {
			v = bounded(name, have)
		}
	}
	if err == nil && v != nil {
		s.made[name] = v
	}
	return v, err
}

// nowFunction is the now of a query: always the same time.
func (s *script) nowFunction() values.Value {
	at := values.NewTime(values.ConvertTime(s.now))
	t := semantic.NewFunctionPolyType(semantic.FunctionPolySignature{Return: semantic.Time})
	return values.NewFunction("now", t, func(context.Context, values.Object) (values.Value, error) { return at, nil }, false)
}

// make evaluates a function that is written in Flux, in a package of its own with
// what it names.
func (s *script) make(name, source string) (values.Value, error) {
	tree := parser.ParseSource("package library\n" + name + " = " + source)
	if ast.Check(tree) > 0 {
		return nil, &Error{Internal: true, Message: "flux: library: " + name, Err: ast.GetError(tree)}
	}
	names, parameters := make(map[string]bool), map[string]bool{name: true}
	ast.Walk(ast.CreateVisitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Identifier:
			names[n.Name] = true
		case *ast.FunctionExpression:
			for _, p := range n.Params {
				parameters[p.Key.Key()] = true
			}
		}
	}), tree)
	scope := values.NewScope()
	for _, n := range sortedKeys(names) {
		if parameters[n] {
			continue // whatever has that name in the prelude, even what names this function
		}
		if n == "date" || n == "math" {
			p, _ := s.ImportPackageObject(n)
			scope.Set(n, p)
			continue
		}
		if err := s.define(scope, n); err != nil {
			return nil, err
		}
	}
	graph, err := semantic.New(tree)
	if err != nil {
		return nil, &Error{Internal: true, Message: "flux: library: " + name, Err: err}
	}
	pkg := interpreter.NewPackage("library")
	if _, err := interpreter.NewInterpreter(pkg).Eval(s.ctx, graph, values.NewNestedScope(scope, pkg), s); err != nil {
		return nil, &Error{Internal: true, Message: "flux: library: " + name + ": " + err.Error(), Err: err}
	}
	v, _ := pkg.Get(name)
	return v, nil
}

// Import implements semantic.Importer.
func (s *script) Import(p string) (semantic.PackageType, bool) {
	pkg, ok := s.ImportPackageObject(p)
	if !ok {
		return semantic.PackageType{}, false
	}
	return semantic.PackageType{Name: pkg.Name(), Type: pkg.PolyType()}, true
}

// ImportPackageObject implements interpreter.Importer.
func (s *script) ImportPackageObject(p string) (*interpreter.Package, bool) {
	if pkg := s.packages[p]; pkg != nil {
		return pkg, true
	}
	pkg := interpreter.NewPackage(path.Base(p))
	if names, ok := libraryPackages[p]; ok {
		have, _ := s.stdlib.ImportPackageObject(p)
		have.Range(func(name string, v values.Value) {
			if names == nil || slices.Contains(names, name) {
				pkg.Set(name, bounded(name, v))
			}
		})
	} else if own := ownPackages[p]; own != nil {
		for _, name := range sortedKeys(own) {
			if !s.names[name] {
				continue
			}
			source := own[name]
			if s.started[name] {
				// A default that is a duration would have start be one always.
				source = strings.Replace(source, "start=-30d", "start", 1)
			}
			v, err := s.make(name, source)
			if err != nil {
				return nil, false
			}
			pkg.Set(name, v)
		}
		if p == "influxdata/influxdb" {
			for name, v := range sources() {
				pkg.Set(name, v)
			}
		}
	} else {
		return nil, false
	}
	s.packages[p] = pkg
	return pkg, true
}

// valueOf makes a Flux value of what JSON has decoded to.
func valueOf(v any) (values.Value, error) {
	switch v := v.(type) {
	case string:
		return values.NewString(v), nil
	case bool:
		return values.NewBool(v), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return values.NewInt(n), nil
		}
		f, err := v.Float64()
		return values.NewFloat(f), err
	case float64:
		return values.NewFloat(v), nil
	case map[string]any:
		o := values.NewObject()
		for _, k := range sortedKeys(v) {
			member, err := valueOf(v[k])
			if err != nil {
				return nil, err
			}
			o.Set(k, member)
		}
		return o, nil
	case []any:
		var elements []values.Value
		t := semantic.Type(semantic.String)
		for _, e := range v {
			element, err := valueOf(e)
			if err != nil {
				return nil, err
			}
			if t = element.Type(); len(elements) > 0 && elements[0].Type() != t {
				return nil, &Error{Message: "params: the elements of an array must be of one type"}
			}
			elements = append(elements, element)
		}
		return values.NewArrayWithBacking(t, elements), nil
	}
	return nil, &Error{Message: fmt.Sprintf("params: %v is not supported", v)}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
