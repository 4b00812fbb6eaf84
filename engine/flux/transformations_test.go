package flux

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/memory"
	"github.com/influxdata/flux/plan"
	"github.com/influxdata/flux/stdlib/universe"
	"github.com/influxdata/flux/values"
)

// TestTransformations runs transformations over tables of every length, however they are
// cut into buffers, which must make no difference. Commands:
//
//	apply [type=int]
//	VALUES              a value every 10 s, - for null
//	TRANSFORMATIONS     of the table, or a script in which IN is the table
//
// The answer has a line for each number of the first values, with a row each: its time,
// what it has besides, its value. Rows have ? in place of what they have lost, and / before
// those of another table.
func TestTransformations(t *testing.T) {
	register()
	// Unique cuts tables into buffers here.
	before, rows := transformations[universe.UniqueKind], 0
	defer func() { transformations[universe.UniqueKind] = before }()
	transformations[universe.UniqueKind] = func(id execute.DatasetID, _ execute.AccumulationMode, _ plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
		c := &whole{passing: passing{execute.NewPassthroughDataset(id)}, ctx: a.Context(), alloc: a.Allocator()}
		c.remake = func(r *tableRows) (flux.Table, error) {
			out := &table{key: r.key, cols: r.cols}
			for i := 0; i < r.n; i += rows {
				out.buffers = append(out.buffers, r.cut(i, min(i+rows, r.n)).buffers...)
			}
			return out, nil
		}
		return c, c.dataset, nil
	}
	datadriven.Walk(t, "testdata/transformations", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "apply" {
				t.Fatalf("unknown command %q", d.Cmd)
			}
			typ := "float"
			d.MaybeScanArgs(t, "type", &typ)
			first, script, _ := strings.Cut(d.Input, "\n")
			values := strings.Fields(first)
			var out strings.Builder
			for n := range len(values) + 1 {
				var answers []string
				for _, rows = range []int{1, 100} {
					answers = append(answers, apply(t, typ, values[:n], script))
				}
				if answers[0] != answers[1] {
					t.Errorf("%s: %d rows, each in a buffer and all in one: %q", d.Pos, n, answers)
				}
				fmt.Fprintf(&out, "%d:%s\n", n, answers[1])
			}
			return out.String()
		})
	})
}

// apply is what a script makes of a table of values.
func apply(t *testing.T, typ string, vs []string, script string) string {
	form := map[string]string{"float": "%s", "int": "%si", "uint": "%su", "bool": "%s", "string": "%q"}[typ]
	any := map[string]string{"float": "1", "int": "1", "uint": "1", "bool": "true", "string": "x"}[typ]
	b := newFakeBucket()
	// The last row gives the table its columns, and is filtered out.
	lines := []string{"m,t=a k=1,v=" + fmt.Sprintf(form, any) + " 900"}
	for i, v := range vs {
		line := "m,t=a k=1"
		if v != "-" {
			line += ",v=" + fmt.Sprintf(form, v)
		}
		lines = append(lines, fmt.Sprintf("%s %d", line, 10*(i+1)))
	}
	if err := b.write(strings.Join(lines, "\n")); err != nil {
		t.Fatal(err)
	}
	in := `from(bucket: "b") |> range(start: 0) |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
		|> drop(columns: ["k", "_start", "_stop", "_measurement"]) |> rename(columns: {v: "_value"})
		|> filter(fn: (r) => r._time < 1970-01-01T00:10:00Z, onEmpty: "keep") |> unique() `
	text := strings.ReplaceAll(script, "IN ", in)
	if text == script {
		text = in + script
	}
	var sb strings.Builder
	if err := Run(context.Background(), fakeHost{"b": b}, Query{Text: text, Now: testNow}, &sb); err != nil {
		return " error: " + err.Error()
	}
	return rowsOf(t, sb.String())
}

// rowsOf are the rows of an answer.
func rowsOf(t *testing.T, answer string) string {
	var out strings.Builder
	for text := range strings.SplitSeq(answer, "\r\n\r\n") {
		records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		last := "0"
		for i, r := range records {
			if i == 0 {
				continue
			}
			if r[2] != last {
				last = r[2]
				out.WriteString(" /")
			}
			out.WriteString(" ")
			value := ""
			for j, name := range records[0][3:] {
				v := r[j+3]
				if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
					v = fmt.Sprint(at.Sub(time.Unix(0, 0)).Seconds())
				}
				switch {
				case name == "t" && v == "a":
				case name == "t":
					value += ",t=?"
				case name == "_value" && v == "":
					value += "=null"
				case name == "_value":
					value += "=" + v
				case name == "_time" && v != "":
					out.WriteString(v)
				case name == "_time":
					out.WriteString("?")
				default:
					value += "," + name + "=" + v
				}
			}
			out.WriteString(value)
		}
	}
	return out.String()
}

// TestRowsEndWithTheQuery: what goes through the rows of a table stops when the query has
// ended, in the midst of a buffer too.
func TestRowsEndWithTheQuery(t *testing.T) {
	alloc := new(memory.Allocator)
	key := execute.NewGroupKey(nil, nil)
	b := execute.NewColListTableBuilder(key, alloc)
	j, err := b.AddCol(flux.ColMeta{Label: "_value", Type: flux.TInt})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 * rowsBetweenLooks {
		if err := b.AppendInt(j, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	w := &whole{passing{execute.NewPassthroughDataset(execute.DatasetID{})}, ctx, alloc, func(rows *tableRows) (flux.Table, error) {
		return nil, rows.each(j, func(i int, _ values.Value) error {
			if seen++; i == 5 {
				cancel()
			}
			return nil
		})
	}}
	if err := w.Process(execute.DatasetID{}, table); !errors.Is(err, context.Canceled) || seen > rowsBetweenLooks {
		t.Errorf("%v after %d rows of %d", err, seen, 10*rowsBetweenLooks)
	}
}
