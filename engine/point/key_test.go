package point

import (
	"reflect"
	"testing"
)

// TestSeriesKeyRoundTrip: whatever line protocol can name comes back. Names, keys
// and values do not end in a backslash there.
func TestSeriesKeyRoundTrip(t *testing.T) {
	for _, c := range []struct {
		measurement string
		tags        []Tag
		key         string
	}{
		{"cpu", nil, `cpu`},
		{"cpu", []Tag{{"host", "a"}, {"region", "eu"}}, `cpu,host=a,region=eu`},
		{"a b,c=d", []Tag{{"k ,=", "v ,="}}, `a\ b\,c=d,k\ \,\==v\ \,\=`},
		{`a\,t=v`, nil, `a\\,t=v`},
		{`a\=b`, []Tag{{`k\=`, `\ v`}}, `a\=b,k\\==\\ v`},
		{`a\\b"c"`, []Tag{{`"k"`, `=`}}, `a\\b"c","k"=\=`},
	} {
		key := AppendSeriesKey(nil, c.measurement, c.tags)
		if string(key) != c.key {
			t.Errorf("%q %q: key %s, want %s", c.measurement, c.tags, key, c.key)
		}
		if m, tags := ParseSeriesKey(key); m != c.measurement || !reflect.DeepEqual(tags, c.tags) {
			t.Errorf("%s: parsed as %q %q, want %q %q", key, m, tags, c.measurement, c.tags)
		}
	}
}
