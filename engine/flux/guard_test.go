package flux

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/stdlib/universe"

	"github.com/apache/arrow/go/arrow/array"
)

// panicking panics where it is told to, or passes tables on.
type panicking struct {
	passing
	in string
}

func (p *panicking) Process(_ execute.DatasetID, t flux.Table) error {
	switch p.in {
	case "Process":
		panic("no such row")
	case "columns":
		return p.dataset.Process(&shortTable{t})
	}
	return p.dataset.Process(t)
}

func (p *panicking) Finish(id execute.DatasetID, err error) {
	if p.in == "Finish" && err == nil {
		panic("no such row")
	}
	p.passing.Finish(id, err)
}

// shortTable is a table whose first column lacks a row.
type shortTable struct{ flux.Table }

func (t *shortTable) Do(f func(flux.ColReader) error) error {
	return t.Table.Do(func(cr flux.ColReader) error { return f(&shortRows{cr}) })
}

type shortRows struct{ flux.ColReader }

func (r *shortRows) Times(j int) *array.Int64 {
	if j == 0 {
		return arrow.IntSlice(r.ColReader.Times(0), 1, r.Len())
	}
	return r.ColReader.Times(j)
}

// TestPanics: a panic of a transformation, wherever it is, ends the query with an error
// that names it, and has the stack and the script for the log; and so does a table whose
// columns are of several lengths.
func TestPanics(t *testing.T) {
	register()
	host := fakeHost{"b": newFakeBucket()}
	if err := host["b"].write("m v=1 10\nm v=2 20\nm v=3 30"); err != nil {
		t.Fatal(err)
	}
	before := transformations[universe.UniqueKind]
	defer func() { transformations[universe.UniqueKind] = before }()
	what := map[string]string{"Process": "panic: no such row", "Finish": "panic: no such row", "columns": `column "_start" has 1 rows of 2`}
	for in := range what {
		transformations[universe.UniqueKind] = guard(universe.UniqueKind, func(id execute.DatasetID, _ execute.AccumulationMode, _ plan.ProcedureSpec, _ execute.Administration) (execute.Transformation, execute.Dataset, error) {
			d := execute.NewPassthroughDataset(id)
			return &panicking{passing{d}, in}, d, nil
		})
		const script = `from(bucket: "b") |> range(start: 0) |> unique() |> movingAverage(n: 1)`
		checkBug(t, "unique", what[in], script, Run(t.Context(), host, Query{Text: script, Now: testNow}, io.Discard))
	}
	host["b"].damage = func(int64) error { panic("no such block") }
	const script = `from(bucket: "b") |> range(start: 0)`
	checkBug(t, "reading a bucket", "panic: no such block", script, Run(context.Background(), host, Query{Text: script, Now: testNow}, io.Discard))
}

func checkBug(t *testing.T, where, what, script string, err error) {
	t.Helper()
	var e *Error
	var b *BugError
	if !errors.As(err, &e) || !e.Internal || !errors.As(err, &b) {
		t.Errorf("%s: %v, want a bug", what, err)
		return
	}
	if want := where + ": " + what + ": this is a bug of the query engine, and the server's log has its stack"; e.Message != want {
		t.Errorf("%s, want %s", e.Message, want)
	}
	if b.Script != script || !strings.Contains(b.Stack, "engine/flux") {
		t.Errorf("%s: script %q, stack %s", what, b.Script, b.Stack)
	}
}

// TestMixedTypes: fields of several types that come into one table are an error of the
// script, whichever goroutine of the engine meets it first.
func TestMixedTypes(t *testing.T) {
	host := fakeHost{"b": newFakeBucket()}
	if err := host["b"].write("m,h=a f=1.5,i=3i 10\nm,h=b f=2.5,i=4i 20"); err != nil {
		t.Fatal(err)
	}
	const from = `from(bucket: "b") |> range(start: 0)`
	for script, want := range map[string]string{
		from + ` |> map(fn: (r) => ({_time: r._time, _value: r._value}))`: "map: schema collision: column _value:",
		from + ` |> group() |> max()`:                                     `schema collision detected: column "_value" is both of type`,
		from + ` |> group() |> sum()`:                                     `schema collision detected: column "_value" is both of type`,
		`union(tables: [` + from + ` |> drop(columns: ["_field"]), ` + from + ` |> count() |> drop(columns: ["_field"])])`: "different schemas",
		`x = ` + from + ` |> drop(columns: ["_field"]) join(tables: {x: x, y: ` + from + `}, on: ["_time", "h"])`:          "",
	} {
		for range 100 {
			err := Run(t.Context(), host, Query{Text: script, Now: testNow}, io.Discard)
			var e *Error
			if !errors.As(err, &e) || e.Internal || !strings.Contains(e.Message, want) {
				t.Errorf("%s: %v, want %q", script, err, want)
				break
			}
		}
	}
}
