package flux

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/values"
)

// Suggestion is a function that a script may call without importing anything.
type Suggestion struct {
	Name string
	// Params are the types of the parameters, by name, as InfluxDB writes them:
	// "stream" for what the function is piped, "invalid" for one that takes several.
	Params map[string]string
}

// Suggestions lists the functions of the prelude by name. The list is shared: leave it
// as it is.
func Suggestions() ([]Suggestion, error) { return suggestions() }

// suggestions are made once: the types of what is written in Flux have to be inferred.
var suggestions = sync.OnceValues(func() ([]Suggestion, error) {
	register()
	s := newScript(context.Background(), new(Query))
	names := slices.Collect(maps.Keys(preludeSources))
	s.universe.Range(func(name string, _ values.Value) { names = append(names, name) })
	names = append(names, fromKind, bucketsKind, "now")
	slices.Sort(names)
	var list []Suggestion
	for _, name := range slices.Compact(names) {
		v, err := s.value(name)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue // refused
		}
		if f, ok := v.PolyType().(interface {
			Signature() semantic.FunctionPolySignature
		}); ok && v.PolyType().Nature() == semantic.Function {
			list = append(list, Suggestion{Name: name, Params: paramsOf(f.Signature())})
		}
	}
	return list, nil
})

func paramsOf(f semantic.FunctionPolySignature) map[string]string {
	params := make(map[string]string, len(f.Parameters))
	for name, t := range f.Parameters {
		params[name] = t.Nature().String()
		if name == f.PipeArgument {
			params[name] = "stream"
		}
	}
	return params
}
