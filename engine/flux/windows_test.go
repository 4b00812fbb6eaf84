package flux

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/flux/plan"

	"headgate/engine/testkit"
)

// TestWindowsAgree compares windows and what folds them with what Flux's own engine
// makes of them: table for table, row for row, null for null.
func TestWindowsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 3))
	t.Logf("-flux.seed=%d", *seed)
	rounds := testkit.Rounds(40)
	pushed := 0
	for range rounds {
		w := newWindowCase(rng)
		q := Query{Text: w.query(rng), Now: testNow, Dialect: Dialect{Annotations: []string{"datatype", "group", "default"}}}
		host := fakeHost{"b": w.bucket}
		w.bucket.chunkRows = 1 + rng.IntN(9)
		if readsWindows(t, q) {
			pushed++
		}
		with := answer(host, q)
		q.pushDownOff = true
		without := answer(host, q)
		if strings.HasPrefix(with, "error: ") && strings.HasPrefix(without, "error: ") {
			continue
		}
		a, b := tablesOf(with), tablesOf(without)
		if !slices.Equal(a, b) {
			t.Fatalf("%s\npushed down:\n%s\nnot:\n%s", q.Text, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
	t.Logf("%d of %d queries read by window", pushed, rounds)
	if pushed < rounds/2 {
		t.Errorf("%d of %d queries read by window", pushed, rounds)
	}
}

// windowCase is a bucket with points in some range of time.
type windowCase struct {
	bucket *fakeBucket
	// base and span are where the points are, in seconds.
	base, span int
	durations  []string
}

func newWindowCase(rng *rand.Rand) windowCase {
	w := windowCase{bucket: newFakeBucket(), span: 300, durations: []string{"7s", "30s", "1m", "100s", "5m", "1h"}}
	switch rng.IntN(5) {
	case 0: // around 1970
		w.base = -100
	case 1:
		const day = 24 * 3600
		w.base, w.span, w.durations = rng.IntN(20000*day), 900*day, []string{"1mo", "3mo", "1y", "30d", "1w", "36h"}
		if rng.IntN(2) == 0 {
			w.base -= 10000 * day
		}
	}
	var sb strings.Builder
	for range 1 + rng.IntN(60) {
		var tags string
		for _, key := range []string{"dc", "host"} {
			if rng.IntN(3) > 0 {
				tags += "," + key + "=" + string('a'+rune(rng.IntN(2)))
			}
		}
		// Sums of quarters do not depend on their order.
		fields := []string{
			fmt.Sprintf("v=%g", float64(rng.IntN(2000)-1000)/4), fmt.Sprintf("i=%di", rng.IntN(9)-4),
			fmt.Sprintf("u=%du", rng.IntN(9)), fmt.Sprintf("s=\"%c\"", 'x'+rune(rng.IntN(3))), fmt.Sprintf("o=%t", rng.IntN(2) == 0),
		}
		if rng.IntN(20) == 0 {
			fields[1] = fmt.Sprintf("i=%di", 1<<62-1-rng.IntN(2)) // beyond what a float holds
		}
		rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		fmt.Fprintf(&sb, "m%s %s %d\n", tags, strings.Join(fields[:1+rng.IntN(5)], ","), w.base+rng.IntN(w.span))
	}
	if err := w.bucket.write(sb.String()); err != nil {
		panic(err)
	}
	return w
}

// query makes a query of windows, of which most can be pushed down.
func (w *windowCase) query(rng *rand.Rand) string {
	duration := func() string { return w.durations[rng.IntN(len(w.durations))] }
	fn := []string{"first", "last", "count", "sum", "mean", "min", "max"}[rng.IntN(7)]
	field := []string{"v", "i", "u", "v", "i", "u", "s", "o"}[rng.IntN(8)]
	if field == "s" || field == "o" {
		fn = []string{"first", "last", "count", fn}[rng.IntN(4)]
	}
	start := w.base + rng.IntN(w.span/2) - w.span/10
	stop := start + 1 + rng.IntN(w.span)
	at := func(s int) string { return time.Unix(int64(s), int64(rng.IntN(2))).UTC().Format(time.RFC3339Nano) }
	q := fmt.Sprintf("from(bucket: \"b\") |> range(start: %s, stop: %s) |> filter(fn: (r) => r._field == %q)", at(start), at(stop), field)
	createEmpty := []string{"", ", createEmpty: false", ", createEmpty: true"}[rng.IntN(3)]
	switch rng.IntN(8) {
	case 0, 1, 2, 3: // aggregateWindow
		options := []string{"", "", "", ", timeSrc: \"_start\"", ", timeSrc: \"_time\"", ", timeDst: \"t\"", ", column: \"_value\""}[rng.IntN(7)]
		q += fmt.Sprintf(" |> aggregateWindow(every: %s, fn: %s%s%s)", duration(), fn, createEmpty, options)
	case 4, 5: // its pieces
		offset := []string{"", ", offset: 3s", ", offset: -10s", ", offset: 5m", ", offset: 1d"}[rng.IntN(5)]
		q += fmt.Sprintf(" |> window(every: %s%s%s) |> %s()", duration(), offset, createEmpty, fn)
		if rng.IntN(2) == 0 {
			q += " |> duplicate(column: \"_stop\", as: \"_time\") |> window(every: inf)"
		}
	case 6:
		q += fmt.Sprintf(" |> window(every: %s, period: %s%s) |> %s()", duration(), duration(), createEmpty, fn)
	case 7: // one window for two
		other := []string{"count", "last", "max"}[rng.IntN(3)]
		return fmt.Sprintf("w = %s |> window(every: %s%s)\nw |> %s() |> yield(name: \"a\")\nw |> %s() |> yield(name: \"b\")", q, duration(), createEmpty, fn, other)
	}
	return q + []string{"", "", "", " |> count()", " |> keep(columns: [\"_time\", \"_value\", \"dc\", \"host\"]) |> sort(columns: [\"_time\"])", " |> group(columns: [\"host\"]) |> count()", " |> fill(value: 0.0)", " |> window(every: 1h) |> count()"}[rng.IntN(8)]
}

// tablesOf are the tables of annotated CSV without their numbers, sorted, each with its
// annotations, of which datatype is the first, and its header.
func tablesOf(csv string) []string {
	var tables []string
	var head, table, number string
	begun := false // there is a head, or a table
	end := func() {
		if begun {
			tables = append(tables, head+table)
		}
		table = ""
	}
	for line := range strings.Lines(csv) {
		fields := strings.SplitN(line, ",", 4)
		switch {
		case strings.HasPrefix(line, "#datatype"):
			end()
			head, number, begun = line, "", true
		case strings.HasPrefix(line, "#default") && len(fields) == 4:
			head += fields[1] + "," + fields[3] // of a table without rows it has the number
		case strings.HasPrefix(line, "#") || strings.HasPrefix(line, ",result"):
			head += line
		case len(fields) == 4:
			if number != "" && fields[2] != number {
				end()
			}
			number = fields[2]
			table += fields[1] + "," + fields[3]
		}
	}
	end()
	slices.Sort(tables)
	return tables
}

// plans are the plans of a query's streams: the kinds of their nodes, the last first.
func plans(t *testing.T, q Query) (kinds [][]plan.ProcedureKind, nodes []plan.Node) {
	t.Helper()
	register()
	r := &run{q: &q, under: newGate(tablesUnderWayMax)}
	ctx := context.WithValue(t.Context(), runKey{}, r)
	tree, err := parse(&q)
	if err != nil {
		t.Fatal(err)
	}
	streams, now, err := evaluate(ctx, &q, tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range streams {
		p, err := r.compile(ctx, to, now)
		if err != nil {
			t.Fatal(err)
		}
		var list []plan.ProcedureKind
		if err := p.PlanSpec.TopDownWalk(func(n plan.Node) error {
			nodes, list = append(nodes, n), append(list, n.Kind())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, list)
	}
	return kinds, nodes
}

// readsWindows reports whether a query reads by window.
func readsWindows(t *testing.T, q Query) bool {
	_, nodes := plans(t, q)
	windowed := false
	for _, n := range nodes {
		if read, ok := n.ProcedureSpec().(*readProcedure); ok {
			windowed = windowed || read.windows != nil
		}
	}
	return windowed
}

// TestWindowPlans shows which scripts become one read, so that none stops doing so
// unnoticed.
func TestWindowPlans(t *testing.T) {
	const from = `from(bucket: "b") |> range(start: 2020-01-01T00:00:00Z, stop: 2021-01-01T00:00:00Z) |> filter(fn: (r) => r._measurement == "m" and r._field == "v")`
	read := []plan.ProcedureKind{"generatedYield", readKind}
	for _, fn := range []string{"first", "last", "count", "sum", "mean", "min", "max"} {
		got, _ := plans(t, Query{Text: from + `|> aggregateWindow(every: 1m, fn: ` + fn + `)`, Now: testNow})
		if len(got) != 1 || !slices.Equal(got[0], read) {
			t.Errorf("%s: %v, want %v", fn, got, read)
		}
	}
	for _, fn := range []string{"last", "mean"} {
		for script, want := range map[string][]plan.ProcedureKind{
			`|> aggregateWindow(every: 1m, fn: ` + fn + `, createEmpty: false, timeSrc: "_start")`:    read,
			`|> aggregateWindow(every: 1mo, fn: ` + fn + `)`:                                          read,
			`|> aggregateWindow(every: 1m, fn: (column, tables=<-) => tables |> ` + fn + `())`:        read,
			`|> window(every: 1h, offset: 5m) |> ` + fn + `()`:                                        read,
			`|> window(every: 1h) |> ` + fn + `() |> window(every: inf)`:                              {"generatedYield", windowKind, readKind},
			`|> window(every: 1h, period: 2h) |> ` + fn + `()`:                                        {"generatedYield", plan.ProcedureKind(fn), windowKind, readKind},
			`|> window(every: 1mo, offset: 1d) |> ` + fn + `()`:                                       {"generatedYield", plan.ProcedureKind(fn), windowKind, readKind},
			`|> filter(fn: (r) => r._value > 1.0) |> window(every: 1h) |> ` + fn + `()`:               {"generatedYield", plan.ProcedureKind(fn), windowKind, filterKind, readKind},
			`|> aggregateWindow(every: 1m, fn: ` + fn + `) |> aggregateWindow(every: 1h, fn: median)`: nil,
		} {
			got, nodes := plans(t, Query{Text: from + script, Now: testNow})
			if want == nil {
				if last := nodes[len(nodes)-1].ProcedureSpec().(*readProcedure); last.windows == nil || last.windows.time != colStop {
					t.Errorf("%s: reads %+v", script, last)
				}
			} else if len(got) != 1 || !slices.Equal(got[0], want) {
				t.Errorf("%s: %v, want %v", script, got, want)
			}
		}
	}
	_, nodes := plans(t, Query{Text: from + ` |> window(every: 1m) |> max() |> limit(n: 1) |> window(every: inf)`, Now: testNow})
	if trigger := nodes[1].(*plan.PhysicalPlanNode).TriggerSpec; nodes[1].Kind() != windowKind || trigger == (plan.NarrowTransformationTriggerSpec{}) {
		t.Errorf("%s after windows that have been read ends its tables by %T", nodes[1].Kind(), trigger)
	}
	_, nodes = plans(t, Query{Text: from + ` |> aggregateWindow(every: 1m, fn: mean)`, Now: testNow})
	got := nodes[len(nodes)-1].ProcedureSpec().(*readProcedure)
	if got.fold != foldMean || got.filter == nil || got.windows == nil || !got.windows.createEmpty || got.windows.time != colStop {
		t.Errorf("mean: %+v", got)
	}
}
