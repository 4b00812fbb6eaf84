package bench

import (
	"strings"
	"testing"
)

func mustParseRows(t *testing.T, text string) *rowSet {
	t.Helper()
	s, err := parseRows([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func TestRowsDiff(t *testing.T) {
	of := func(series string) string { return `{"results":[{"statement_id":0,"series":[` + series + `]}]}` }
	one := of(`{"name":"m","tags":{"h":"a","b":"c"},"columns":["time","v","s"],"values":[[1,0.1,"x"],[2,2,null]]}`)
	for _, tt := range []struct {
		name, a, b string
		ulps       uint64
		want       string
	}{
		{"the same", one, one, 0, ""},
		{"other space and order of keys", one, strings.ReplaceAll(of(`{"columns":["time","v","s"],"tags":{"b":"c","h":"a"},"name":"m","values":[[1,0.1,"x"],[2,2,null]]}`), ",", " , "), 0, ""},
		{"an integral float written otherwise", one, strings.Replace(one, "[2,2,", "[2,2.0,", 1), 0, ""},
		{"an exponent", one, strings.Replace(one, "0.1", "1e-1", 1), 0, ""},
		{"one ulp off", one, strings.Replace(one, "0.1", "0.10000000000000002", 1), 0, "row 0, column v: 0.10000000000000002, not 0.1"},
		{"one ulp off, allowed", one, strings.Replace(one, "0.1", "0.10000000000000002", 1), 1, ""},
		{"two ulps off, one allowed", one, strings.Replace(one, "0.1", "0.10000000000000003", 1), 1, "column v"},
		{"big integers", of(`{"name":"m","columns":["v"],"values":[[9007199254740993]]}`), of(`{"name":"m","columns":["v"],"values":[[9007199254740992]]}`), 9, "9007199254740992, not"},
		{"null and zero", one, strings.Replace(one, "null", "0", 1), 0, "column s: 0, not <nil>"},
		{"number and string", one, strings.Replace(one, `"x"`, "1", 1), 0, "column s"},
		{"tags", one, strings.Replace(one, `"a"`, `"z"`, 1), 0, "series m,b=c,h=z, not m,b=c,h=a"},
		{"columns", one, strings.Replace(one, `"s"`, `"t"`, 1), 0, "columns [time v t], not [time v s]"},
		{"a row less", one, strings.Replace(one, ",[2,2,null]", "", 1), 0, "1 rows, not 2"},
		{"a series less", one, of(""), 0, "0 series, not 1"},
		{"no series at all", of(""), `{"results":[{"statement_id":0}]}`, 0, ""},
	} {
		got := mustParseRows(t, tt.a).diff(mustParseRows(t, tt.b), tt.ulps)
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want one with %q", tt.name, got, tt.want)
		}
	}
	if n := mustParseRows(t, one).rows(); n != 2 {
		t.Errorf("%d rows", n)
	}
}

func TestRowsSortTies(t *testing.T) {
	a := mustParseRows(t, `{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[[1,"b"],[1,"a"],[2,"c"],[2,"d"]]}]}]}`)
	b := mustParseRows(t, `{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[[1,"a"],[1,"b"],[2,"d"],[2,"c"]]}]}]}`)
	c := mustParseRows(t, `{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[[1,"a"],[2,"b"],[1,"d"],[2,"c"]]}]}]}`)
	for _, s := range []*rowSet{a, b, c} {
		s.sortTies()
	}
	if d := a.diff(b, 0); d != "" {
		t.Error(d)
	}
	if a.diff(c, 0) == "" {
		t.Error("rows of different times are put in order as well")
	}
}

func TestParseRowsErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"error":"no"}`:                              "no",
		`{"results":[{"error":"never"}]}`:             "never",
		`{"results":[{"partial":true}]}`:              "cut short",
		`{"results":[{"series":[{"values":[[1]]}]}]}`: "1 values has 0 columns",
		`{"results":[`:                                "EOF",
	} {
		if _, err := parseRows([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestUlpsBetween(t *testing.T) {
	const tiny = 5e-324
	for _, tt := range []struct {
		a, b float64
		want uint64
	}{{1, 1, 0}, {0, tiny, 1}, {-tiny, tiny, 2}, {1, 1 + 0x1p-52, 1}, {-1, -1 - 0x1p-52, 1}} {
		if got := ulpsBetween(tt.a, tt.b); got != tt.want || ulpsBetween(tt.b, tt.a) != tt.want {
			t.Errorf("%v, %v: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
