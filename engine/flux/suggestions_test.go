package flux

import (
	"maps"
	"testing"
)

// TestSuggestions shows that what is suggested is what scripts may call.
func TestSuggestions(t *testing.T) {
	list, err := Suggestions()
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]map[string]string)
	for i, s := range list {
		if i > 0 && list[i-1].Name >= s.Name {
			t.Errorf("%q comes after %q", s.Name, list[i-1].Name)
		}
		have[s.Name] = s.Params
	}
	for name, want := range map[string]map[string]string{
		"from":            {"bucket": "string", "bucketID": "string"},
		"mean":            {"tables": "stream", "column": "string"},
		"aggregateWindow": {"tables": "stream", "every": "duration", "period": "duration", "offset": "duration", "fn": "function", "column": "string", "timeSrc": "string", "timeDst": "string", "createEmpty": "bool"},
		"join":            {"tables": "object", "on": "array", "method": "string"},
		"now":             {},
		"to":              nil,
		"inf":             nil,
	} {
		got, ok := have[name]
		if want != nil && !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if function := name != "to" && name != "inf"; ok != function {
			t.Errorf("%s: suggested %t", name, ok)
		}
	}
	for name := range preludeSources {
		if len(have[name]) == 0 {
			t.Errorf("%s has no parameters", name)
		}
	}
	for name := range refused {
		if _, ok := have[name]; ok {
			t.Errorf("%s is suggested and refused", name)
		}
	}
}
